"""From counters to rates."""

from __future__ import annotations

from typing import Any

from durastream.inspect.hub import WorkerRow
from durastream.inspect.throughput import KEPT, Meter, Throughput, sample, throughput
from tests.inspect.made import hub, worker


def rows(**workers: tuple[float, int]) -> tuple[WorkerRow, ...]:
    """Worker id → (seconds ago it was heard of, turns it had done)."""
    made: list[Any] = [
        worker(one, silent_s=ago_s, turns=turns, operations=turns * 2, activities_done=turns * 3)
        for one, (ago_s, turns) in workers.items()
    ]
    return hub(made, []).workers


def test_rates_add_up_over_workers() -> None:
    before, after = sample(rows(a=(3, 100), b=(5, 10))), sample(rows(a=(1, 300), b=(1, 30)))
    assert throughput(before, after) == Throughput(105, 210, 315)


def test_only_who_is_in_both_samples_counts() -> None:
    before, after = sample(rows(a=(3, 100), gone=(3, 5))), sample(rows(a=(1, 300), new=(1, 9_999)))
    assert throughput(before, after).turns == 100
    assert throughput({}, after) == throughput(before, {}) == Throughput()


def test_without_a_new_heartbeat_there_is_no_rate_and_counters_that_fall_count_as_nothing() -> None:
    before = sample(rows(a=(3, 100)))
    assert throughput(before, before) == Throughput()
    assert throughput(before, sample(rows(a=(1, 50)))) == Throughput()


def test_the_dead_do_nothing() -> None:
    assert sample(rows(a=(60, 100))) == {}


def test_a_meter_keeps_its_rate_between_heartbeats() -> None:
    meter = Meter()
    assert meter.observe(rows(a=(9, 100))).turns == 0
    assert meter.observe(rows(a=(7, 300))).turns == 100
    assert meter.observe(rows(a=(7, 300))).turns == 100
    assert meter.observe(rows(a=(5, 300))).turns == 0
    assert meter.observe(rows(b=(5, 300))).turns == 0
    assert meter.observe(rows(a=(3, 900))).turns == 0  # it was gone: begins anew
    assert [one.turns for one in meter.series] == [0, 100, 100, 0, 0, 0]


def test_a_meter_remembers_so_many() -> None:
    meter = Meter()
    for _ in range(KEPT + 10):
        meter.observe(())
    assert len(meter.series) == KEPT
