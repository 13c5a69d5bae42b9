"""The books and oracles themselves: each must be able to say no."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

import durastream as ds
from tests.chaos import oracles
from tests.chaos.lanes import Fault, Lanes
from tests.chaos.log import Log, Window
from tests.chaos.nemeses.base import Nemesis
from tests.chaos.witness import Seen, by_key
from tests.chaos.workloads.books import compare

pytestmark = pytest.mark.anyio


async def _say(log: Log, *numbers: int, error: Exception | None = None) -> None:
    for number in numbers:
        await log.attempt("say", "x", _answer(error), number)


async def _answer(error: Exception | None) -> None:
    if error is not None:
        raise error


def _books(log: Log, *heard: int) -> list[str]:
    return compare("x", heard, log.of("say"), log, invariant="S13")


async def test_what_was_acknowledged_is_heard_once_and_in_order() -> None:
    log = Log()
    await _say(log, 1, 2, 3)
    assert _books(log, 1, 2, 3) == []
    assert "never heard 2" in _books(log, 1, 3)[0]
    assert "heard 2 2 times" in _books(log, 1, 2, 2, 3)[0]
    assert "another order" in _books(log, 1, 3, 2)[0]
    assert "nobody sent" in _books(log, 1, 2, 3, 4)[0]


async def test_what_is_unknown_is_heard_once_or_never() -> None:
    log = Log()
    await _say(log, 1)
    await _say(log, 2, error=ds.StoreUnavailable("gone"))
    assert _books(log, 1) == _books(log, 1, 2) == []
    assert "heard 2 2 times" in _books(log, 1, 2, 2)[0]


async def test_what_a_replica_has_confirmed_is_not_excused_but_plain_commands_are() -> None:
    log = Log(confirmed=True)
    await _say(log, 1)
    await log.attempt("ingress: start", "y", _answer(None), 1)
    log.windows.append(Window(0, time.monotonic()))
    assert "never heard 1" in _books(log)[0]
    assert not log.absent(next(log.of("ingress: start")))
    assert log.lost == {"ingress: start": 1}


async def test_near_a_window_of_loss_something_may_have_been_done_twice() -> None:
    log = Log(confirmed=True)
    await _say(log, 1)
    begin = time.monotonic()
    await _say(log, 2)
    log.windows.append(Window(begin, time.monotonic()))
    await _say(log, 3)
    assert [log.untouched(op) for op in log.ops] == [True, False, True]


async def test_a_window_of_loss_excuses_what_is_missing_but_not_what_is_doubled() -> None:
    log = Log()
    await _say(log, 1, 2)
    log.windows.append(Window(0, time.monotonic()))
    await _say(log, 3)
    assert _books(log, 3) == []
    assert log.lost == {"say": 2}
    assert "never heard 3" in _books(log, 1, 2)[0]
    assert "heard 1 2 times" in _books(log, 1, 1, 3)[0]


def _runs(*at: float) -> dict[tuple[str, str], list[Seen]]:
    return by_key([Seen(one, 0, "pay", "order-7") for one in at])


def test_an_activity_runs_again_only_because_of_a_fault() -> None:
    kill = Fault("worker_kill", 10, 11, 1, "")
    assert oracles.executions(_runs(9, 12), [kill]) == ({"pay": 1}, [])
    assert "ran 3 times, with 1 faults" in oracles.executions(_runs(9, 12, 13), [kill])[1][0]
    assert "with 0 faults" in oracles.executions(_runs(5, 6), [kill])[1][0]
    assert "with 0 faults" in oracles.executions(_runs(30, 31), [kill])[1][0]


def test_keys_of_nobody_are_seen() -> None:
    assert oracles.foreign(["ds:hubs", "ds:{default}:hub", "ds:{default:3}:i:a\nb"]) == []
    assert len(oracles.foreign(["ds:{other}:hub", "session:7", "ds:{default:3}"])) == 3


class _Harmless(Nemesis[Any]):
    kind, lane, span, expects = "harmless", "a", (0.0, 0.0), "nothing"
    strikes = 0

    async def strike(self) -> str:
        type(self).strikes += 1
        return "nothing"

    async def heal(self) -> int:
        return int(self.strikes > 1)  # the first one meets nothing


class _Other(_Harmless):
    kind, strikes = "other", 1


async def test_each_kind_strikes_until_it_has_hit_and_the_seed_repeats_their_order() -> None:
    orders = []
    for _ in range(2):
        _Harmless.strikes, _Other.strikes = 0, 1
        made = [kind(None, None, None, random.Random(1)) for kind in (_Harmless, _Other)]  # type: ignore[arg-type]
        lanes = Lanes(made, seed=3, tell=lambda _: None)
        await lanes.run(0, 60)
        assert {fault.kind for fault in lanes.faults if fault.hits} == {"harmless", "other"}
        orders.append([fault.kind for fault in lanes.faults])
    assert orders[0] == orders[1]
