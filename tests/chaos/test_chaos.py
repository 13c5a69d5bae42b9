"""Short runs of the fault campaign, each in a process of its own; longer ones: `scripts/chaos`."""

from __future__ import annotations

import os
import random
import sys

import pytest

from tests.chaos.mutants import bounded, found_within
from tests.conftest import REAL_SERVERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_server,
    pytest.mark.skipif(not REAL_SERVERS, reason="no server on this machine"),
]

_LIMIT_S = 400  # a run ends by itself; this is for one that hangs

RUNS = {
    "single": ["--seconds", "15"],  # all nemeses, all workloads
    "cluster": ["--seconds", "5", "--nemeses", "worker_kill,master_kill,slots_move"],
    "sentinel": ["--seconds", "5", "--nemeses", "worker_kill,failover_in_sync,failover_cut_off"],
}


def _seed() -> int:
    return int(os.environ.get("DURASTREAM_SEED") or random.randrange(2**31))


@pytest.mark.parametrize("deployment", list(RUNS))
def test_nothing_is_lost_or_doubled(deployment: str) -> None:
    command = [sys.executable, "-m", "tests.chaos", "--deployment", deployment, "--seed", str(_seed())]
    ended = bounded([*command, *RUNS[deployment]], _LIMIT_S)
    print(ended.stdout)
    assert ended.returncode == 0, f"{ended.stdout[-6_000:]}\n{ended.stderr[-3_000:]}"


@pytest.mark.parametrize("mutant", ["twice", "early"])
def test_a_damaged_engine_is_found_out(mutant: str) -> None:
    """Two of them; `python -m tests.chaos --mutants` tries all."""
    attempts, output = found_within(mutant, _seed())
    assert attempts is not None, output[-6_000:]
