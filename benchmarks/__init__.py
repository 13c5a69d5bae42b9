"""Benchmarks: `python -m benchmarks [NAME…]`, or `./scripts/bench`."""
