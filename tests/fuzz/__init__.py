"""Fuzzing of every decoder and of the ingress: named targets, seeded by real values, with the lines covered beside each count."""
