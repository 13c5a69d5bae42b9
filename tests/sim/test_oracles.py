"""The oracles of the simulation find what they are there for: the same run, with something damaged by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from durastream import wire
from durastream.core.messages import TaskResult
from durastream.store.memory.state import Hub, Partition
from tests.sim import run_one
from tests.sim.run_one import simulate
from tests.sim.world import Case, World

SEED = 12
"""One with many kinds of scenarios, and no faults."""


def _first(hub: Hub, what: Callable[[Partition], Any]) -> Any:
    return next((found for place in hub.partitions if (found := what(place))), None)


def _history_loses_an_event(hub: Hub) -> bool:
    held = _first(hub, lambda place: next((one for one in place.instances.values() if len(one.history) > 2), None))
    return held is not None and held.history.pop(1) is not None


def _activity_vanishes(hub: Hub) -> bool:
    stream = _first(hub, lambda place: next((one for one in place.activities.values() if len(one)), None))
    return stream is not None and stream.entries.popitem() is not None


def _message_vanishes(hub: Hub) -> bool:
    """The outcome of an activity: others may be repeated by their senders."""
    for place in hub.partitions:
        for entry_id, (blob, _) in reversed(place.inbox.entries.items()):
            if blob and isinstance(wire.unpack_message(blob), TaskResult):
                return place.inbox.remove(entry_id) is not None
    return False


def _index_forgets(hub: Hub) -> bool:
    ids = _first(hub, lambda place: place.index["Completed"] or None)
    return ids is not None and ids.popitem() is not None


def _timer_vanishes(hub: Hub) -> bool:
    timers = _first(hub, lambda place: {one for one in place.timers if one.startswith("T")} and place.timers)
    if timers is None:
        return False
    del timers[next(one for one in timers if one.startswith("T"))]
    return True


def _outcome_changes(hub: Hub) -> bool:
    held = _first(hub, lambda place: next((one for one in place.instances.values() if "output" in one.fields), None))
    if held is not None:
        held.fields["output"] = b'"another"'
    return held is not None


@pytest.mark.parametrize(
    "damage",
    [
        _history_loses_an_event,
        _activity_vanishes,
        _message_vanishes,
        _index_forgets,
        _timer_vanishes,
        _outcome_changes,
    ],
)
def test_damage_is_found(damage: Callable[[Hub], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """It is done as soon as it can be done, once."""
    done: list[bool] = []

    class Damaged(World):
        def trace(self, process: str, verb: str, what: str) -> None:
            super().trace(process, verb, what)
            if not done and verb == "complete" and self.server.commands > 200 and damage(self.server.hub):
                done.append(True)

    monkeypatch.setattr(run_one, "World", Damaged)
    assert simulate(Case(SEED)).violations and done


def test_without_damage_there_is_nothing_to_find() -> None:
    outcome = simulate(Case(SEED))
    assert not outcome.violations and not outcome.fired
