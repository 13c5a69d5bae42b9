"""Deterministic simulation: the worker's and the client's own code under virtual time, on one seeded scheduler, with faults.

See the section "Simulation" in docs/testing.md. `python -m tests.sim.run --seeds 100` is the command.
"""
