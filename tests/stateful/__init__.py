"""Hypothesis drives an engine step by step, against a model of dictionaries; after each step the invariants must hold."""
