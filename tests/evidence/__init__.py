"""What the fault campaign says of itself: one form for simulation, prefixes, chaos, fuzzing and mutants."""
