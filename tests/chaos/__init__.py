"""Chaos on real servers: worker processes, servers and the network between them suffer, and nothing may be lost or doubled.

`python -m tests.chaos --seconds 20 --seed 7`, or `scripts/chaos`. Phase 1: workloads run while nemeses strike. Phase 2: faults
are off, everything must end. Then the oracles speak: each workload's own sums, fsck, replay of every history, the witness file.
"""
