"""The table of invariants is complete, and true."""

from __future__ import annotations

from durastream.inspect.invariants import CATALOGUE, CHECKS

DESIGNED = {
    "F0",
    *(f"S{number}" for number in range(1, 31)),
    "S26b",
    *(f"L{number}" for number in range(1, 13)),
    *(f"H{number}" for number in range(1, 11)),
}


def test_none_is_missing() -> None:
    assert set(CATALOGUE) == DESIGNED
    assert {check.id for check in CHECKS} <= DESIGNED


def test_what_fsck_sees_has_a_function_and_nothing_else_has() -> None:
    assert {entry.id for entry in CATALOGUE.values() if "fsck" in entry.seen_by} == {check.id for check in CHECKS}


def test_every_function_has_a_name_of_its_own_and_says_what_must_hold() -> None:
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert all(check.says for check in CHECKS)


def test_what_fsck_cannot_see_is_said() -> None:
    assert all(entry.unseen for entry in CATALOGUE.values() if "fsck" not in entry.seen_by)
