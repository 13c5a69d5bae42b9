"""How throughput grows with the masters of a Cluster and with worker processes. All on this machine: see docs/sizing.md for what
that can show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from benchmarks.engine import start_worker
from benchmarks.floor import COUNT
from benchmarks.harness import Bench, Cpu, Measurement, process_cpu_s
from tests.servers.cluster import Cluster

LAYOUTS: Final = ((1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2))
"""Masters, worker processes."""

_BASE: Final = LAYOUTS[0]


def shards(bench: Bench) -> list[Measurement]:
    """One-activity orchestrations in bulk, on one to three masters with one or two workers; ratios to one and one."""
    return [_measure(bench, masters, workers) for masters, workers in LAYOUTS]


def _measure(bench: Bench, masters: int, workers: int) -> Measurement:
    with Cluster.start(bench.binary, masters=masters) as cluster, contextlib.closing(_Sharded(bench, cluster)) as one:
        started = [start_worker(one) for _ in range(workers)]
        client = one.python("-m", "benchmarks.engine", "bulk", one.url, str(bench.count(COUNT)))
        base = None if (masters, workers) == _BASE else _name(*_BASE)
        return one.measure(
            _name(masters, workers), "orchestrations", client, [worker.pid for worker in started], base=base
        )


def _name(masters: int, workers: int) -> str:
    return f"{masters} master{'s' * (masters > 1)}, {workers} worker{'s' * (workers > 1)}"


class _Sharded(Bench):
    """A `Bench` whose server is all masters of a Cluster."""

    def __init__(self, bench: Bench, cluster: Cluster) -> None:
        super().__init__(bench.server, quick=bench.quick)
        self.url = cluster.url
        self._cluster = cluster

    def _cpu(self, client: int, workers: Sequence[int]) -> Cpu:
        servers = sum(process_cpu_s(node.pid) for node in self._cluster.nodes)
        return Cpu(servers, sum(process_cpu_s(pid) for pid in workers), process_cpu_s(client))
