"""The reference model against the Redis store: seeded random calls to both under one clock, all replies and all state compared.

    python -m tests.differential.run --seed 7 --steps 300 --server redis    one seed; a difference is shrunk and printed
    python -m tests.differential.run --seeds 5000 --server valkey           a long run
    python -m tests.differential.run --mutants                              what it takes to find deliberate faults

One clock: scripts read the time in `_clock.lua` only. For the test that part reads a key instead (`parts.py`), which is set
together with the clock of the model. The alternative, a model that takes its time from the server's replies, would leave it to
chance whether a lease or a timer is met at its very millisecond, and no seed would replay.

Ids of stream entries are compared as ranks (`calls.Ref`). Which of several waiting activities a claim takes is the store's
choice: the model checks that it was allowed, and follows (`following.py`). `now`, `server_info` and `loads().oldest` tell of the
server's own clock, and are compared by type.
Not compared: blocking reads, and limits of size. The conformance suite and the acceptance tests have those.
"""
