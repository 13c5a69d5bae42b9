"""Short runs of the fault campaign, each in a process of its own; longer ones: `scripts/chaos`."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.chaos.mutants import bounded, found_within
from tests.chaos.nemeses import NEMESES
from tests.conftest import REAL_SERVERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_server,
    pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine"),
]

_LIMIT_S = 600  # a run ends by itself; this is for one that hangs

_SLOW = ("other_code", "code_missing", "client_storm", "starvation")  # longer than the rest together

RUNS: dict[str, list[tuple[str, list[str]]]] = {
    "single": [("single", [one.kind for one in NEMESES.values() if one.kind not in _SLOW])],
    "cluster": [("cluster", ["worker_kill", "master_kill", "master_replaced", "slots_move"])],
    "shards": [
        ("shards", ["worker_kill", "shard_cut_off", "shard_rolled_back"]),
        ("shards-strict", ["worker_kill", "shard_cut_off"]),
    ],
    "sentinel": [
        ("sentinel", ["worker_kill", "failover_in_sync", "failover_cut_off"]),
        ("strict", ["worker_kill", "failover_in_sync", "failover_cut_off"]),
    ],
    "wiped": [("wiped", ["hub_flushed", "code_missing"]), ("wiped", ["hub_deleted", "code_missing"])],
}
"""Deployments and what strikes there; where there are several, the seed says which it is."""


def _seed() -> int:
    return int(os.environ.get("DURASTREAM_SEED") or random.randrange(2**31))


@pytest.mark.parametrize("turns", list(RUNS))
def test_nothing_is_lost_or_doubled(turns: str) -> None:
    seed = _seed()
    deployment, nemeses = RUNS[turns][seed % len(RUNS[turns])]
    command = [sys.executable, "-m", "tests.chaos", "--deployment", deployment, "--seed", str(seed), "--seconds", "5"]
    ended = bounded([*command, "--nemeses", ",".join(nemeses)], _LIMIT_S)
    print(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout[-6_000:]}\n{ended.stderr[-3_000:]}"


def test_a_damaged_engine_is_found_out() -> None:
    """One of two, the seed says which; `python -m tests.chaos --mutants` tries all."""
    seed = _seed()
    attempts, output = found_within(("twice", "early")[seed % 2], seed)
    assert attempts is not None, output[-6_000:]
