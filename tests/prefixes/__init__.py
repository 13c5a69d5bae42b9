"""Every prefix of the server's own log of commits is a legal state of the hub (reliability 3.4).

    python -m tests.prefixes.run --server redis --prefixes 1000 --recover 10 --cuts 20
    python -m tests.prefixes.run --mutants

Redis and Valkey write what a script did to the append-only file as one MULTI … EXEC. So the file is a total order of all commits,
and its prefixes are exactly the states that a crash can leave: of the machine (the tail of the file is lost), or of a primary
whose replica is promoted (the replication stream is the same sequence, and what is lost is its tail).

`recording` runs workloads against a real server and keeps its file, with what clients had been told by when. `exploring` applies
unit after unit to a second server: `fsck` looks at each state, and the checks of `inspect.invariants.log` at each step.
`recovering` gives a worker such a state and wants everything finished that had been acknowledged by then. `power` cuts the file
itself, also within a unit, and lets a worker live that remembers more than the server does.

Blind to races between units: those are found by the simulation and by chaos on real servers.
"""
