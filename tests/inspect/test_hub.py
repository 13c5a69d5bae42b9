"""Rows of workers, partitions and queues, and the lag."""

from __future__ import annotations

import pytest

from durastream.inspect.hub import Lag, known_as, reads
from durastream.inspect.rows import when
from durastream.store.protocol import WorkerInfo
from tests.inspect.made import NOW, NOW_MS, before, hub, lease, load, queue, worker


def test_a_worker_as_it_tells() -> None:
    (row,) = hub().workers
    assert (row.id, row.alive, row.seen_at, row.host, row.pid) == ("w1", True, before(seconds=1), "host-1", 42)
    assert (row.partitions, row.busy, row.concurrency, row.running) == ((0, 1), 3, 256, ("charge",))
    assert (row.turns, row.operations, row.activities_done, row.skew_ms) == (2_000, 500, 1_000, None)
    assert row.started_at == before(hours=1)


@pytest.mark.parametrize(
    "about", [{}, {"owned": "x", "busy": "many", "pid": True, "queues": None, "runs": {"a": 1}, "started_at": []}]
)
def test_what_a_worker_does_not_tell_is_empty(about: dict[str, object]) -> None:
    (row,) = hub([WorkerInfo("w1", NOW_MS, about)], []).workers
    assert (row.partitions, row.busy, row.pid, row.queues, row.runs, row.started_at) == (
        (),
        0,
        None,
        (),
        frozenset(),
        None,
    )


def test_who_is_silent_for_a_lease_is_dead_unless_its_lease_is_longer() -> None:
    people = [worker("silent", silent_s=10), worker("slow", silent_s=30), worker("w1", silent_s=9.9)]
    view = hub(people, [lease(0, "slow"), lease(1, "silent", left_s=-1)])
    assert [(row.id, row.alive) for row in view.workers] == [("slow", True), ("w1", True), ("silent", False)]
    assert [row.id for row in view.live_workers] == ["slow", "w1"]
    assert [row.owner_alive for row in view.partitions] == [True, False]


def test_partitions() -> None:
    leases = [lease(0, backlog=3), lease(1, "gone", left_s=-1), lease(2, None, left_s=-1), lease(3, "w1", left_s=0)]
    view = hub(None, leases, [load(0, oldest=NOW_MS - 5_000, parked=2, stalled=1)])
    assert [row.lease for row in view.partitions] == ["held", "expired", "free", "expired"]
    assert view.unowned == (1, 2, 3)
    first, second = view.partitions[:2]
    assert (first.backlog, first.oldest, first.parked, first.stalled) == (3, before(seconds=5), 2, 1)
    assert (second.oldest, second.parked) == (None, 0)


def test_queues_add_up_over_partitions() -> None:
    people = [worker("w1"), worker("w2", queues=["gpu", "default"], busy=1, concurrency=4), worker("dead", silent_s=99)]
    loads = [
        load(0, queue("default", 5, 1, oldest_s=3), queue("gpu", 1)),
        load(1, queue("default", 2, 2, oldest_s=8), queue("nobodys", 7)),
    ]
    default, gpu, nobodys = hub(people, None, loads).queues
    assert (default.queue, default.waiting, default.running, default.oldest) == ("default", 7, 3, before(seconds=8))
    assert (default.workers, default.slots, default.busy) == (2, 260, 4)
    assert (gpu.workers, gpu.slots, gpu.oldest) == (1, 4, None)
    assert (nobodys.workers, nobodys.slots, nobodys.waiting) == (0, 0, 7)


def test_a_queue_that_was_never_used_is_shown_if_somebody_reads_it() -> None:
    assert [row.queue for row in hub([worker(queues=["gpu"]), worker("d", queues=["x"], silent_s=99)]).queues] == [
        "gpu"
    ]


def test_lag() -> None:
    leases = [lease(0, backlog=3), lease(1, backlog=4)]
    loads = [load(0, queue("a", 5, oldest_s=2), oldest=NOW_MS - 1_500), load(1, oldest=NOW_MS + 500)]
    lag = hub(None, leases, loads).lag
    assert (lag.messages, lag.activities, lag.messages_s, lag.activities_s) == (7, 5, 1.5, 2.0)
    assert hub().lag == Lag(0, 0, 0.0, 0.0)
    assert hub().now == NOW == when(NOW_MS)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("default", True), ("gpu", False), ("default/charge", True), ("default/other", False), ("gpu/charge", False)],
)
def test_who_reads_a_queue(name: str, expected: bool) -> None:
    (row,) = hub().workers
    assert reads(row, name) is expected


def test_names_with_versions() -> None:
    assert (known_as("a", None), known_as("a", "1")) == ("a", "a\n1")
