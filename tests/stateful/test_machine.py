"""The state machine, and that it notices an engine that was made worse.

DURASTREAM_STATEFUL is the number of examples; they are 100 steps long then.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from durastream.core.messages import RaiseEvent
from durastream.worker import administration, handlers
from tests.stateful.machine import Machine

_EXAMPLES = int(os.environ.get("DURASTREAM_STATEFUL", "0"))
_SHORT = settings(max_examples=40, stateful_step_count=40)
_LONG = settings(max_examples=_EXAMPLES or 1, stateful_step_count=100)
_CHECKS = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def _run(chosen: settings) -> None:
    run_state_machine_as_test(
        Machine, settings=settings(chosen, deadline=None, suppress_health_check=_CHECKS, print_blob=True)
    )


def test_the_machine() -> None:
    _run(_LONG if _EXAMPLES else _SHORT)


def _played(*steps: Callable[[Machine], object]) -> None:
    """A few steps by hand, and the invariants after each."""
    machine = Machine()
    try:
        for step in (lambda one: one.begin(1), *steps):
            step(machine)
            machine.fsck_finds_nothing()
            machine.histories_only_grow()
            machine.events_are_kept()
            machine.signals_are_kept()
    finally:
        machine.teardown()


TOKENS: list[Callable[[Machine], object]] = [
    lambda one: one.start_collects("<one>", 0, "error"),
    lambda one: one.raise_tokens("<one>", 3),
    lambda one: one.signal("x", 3, None),
    lambda one: one.settle(),
    lambda one: one.raise_word("<one>", "stop"),
    lambda one: one.settle(),
]


def test_a_sound_engine_passes_by_hand() -> None:
    _played(*TOKENS, lambda one: one.restart("<one>"), lambda one: one.settle(), lambda one: one.terminate("<one>"))


def test_an_engine_that_drops_an_event_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some tokens are taken from the inbox and forgotten."""
    sound = handlers.HANDLERS[RaiseEvent]

    def worse(partition: Any, live: Any, message: RaiseEvent) -> handlers.Answer:
        lost = message.data is not None and message.data.endswith(b'2."')
        return None if lost else sound(partition, live, message)

    monkeypatch.setitem(handlers.HANDLERS, RaiseEvent, worse)
    with pytest.raises(AssertionError, match=r"S11 t0002\. stands 0 times"):
        _played(*TOKENS)


def test_a_restart_that_keeps_the_old_history_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the record says and what stands in the history part ways."""
    sound = administration.write_record

    def worse(partition: Any, live: Any) -> None:
        sound(partition, live)
        partition.recorder.change(live).replace_history = False

    monkeypatch.setattr(administration, "write_record", worse)
    with pytest.raises(AssertionError, match=r"S1|S2|S6|S8|S10|S23|L1"):
        _played(*TOKENS, lambda one: one.restart("<one>"), lambda one: one.settle())


def test_damaged_states_are_noticed() -> None:
    machine = Machine()
    machine.begin(1)
    for step in TOKENS:
        step(machine)
    machine.histories_only_grow()
    entity = machine.at.hub.home("@Log@x").entities["@Log@x"]
    entity.fields["state"] = b'{"tokens":["t0004.","t0004.","t0005.","t0006."]}'
    with pytest.raises(AssertionError, match=r"S13 t0004\. stands 2 times"):
        machine.signals_are_kept()
    held = machine.at.hub.home("<one>").instances["<one>"]
    held.fields["output"] = b"[]"
    with pytest.raises(AssertionError, match=r"S8 the end of <one> changed"):
        machine.histories_only_grow()
    held.history[0] = held.history[1]
    with pytest.raises(AssertionError, match=r"S1 the history of <one> was changed"):
        machine.histories_only_grow()
    machine.purged.add("<one>")
    with pytest.raises(AssertionError, match=r"S19 <one> is still named"):
        machine._check_residue()
    machine.teardown()
