"""Widths of columns, and what each key of the table is for."""

from __future__ import annotations

from rich.text import Text

from durastream.tui.header import sparkline
from durastream.tui.keys import KEYS, bindings, changing, for_bar, for_help
from durastream.tui.table import Column, _fitted, _widths

COLUMNS = (Column("A", 10, grow=1), Column("B", 10, drop=1), Column("C", 10, grow=3, drop=2))


def test_what_is_left_over_is_shared_out() -> None:
    assert _widths(COLUMNS, 41) == [(0, 12), (1, 10), (2, 16)]


def test_columns_go_where_there_is_no_room() -> None:
    assert _widths(COLUMNS, 25) == [(0, 13), (1, 10)]
    assert _widths(COLUMNS, 12) == [(0, 11)]
    assert _widths(COLUMNS, 3) == [(0, 10)]


def test_cells_are_cut_padded_and_safe() -> None:
    assert _fitted("abc", 5, False).plain == "abc  "
    assert _fitted("abc", 5, True).plain == "  abc"
    assert _fitted("abcdef", 5, False).plain == "abcd…"
    assert _fitted("\x1b[2J", 8, False).plain == "\\x1b[2J "
    assert _fitted("漢字漢字", 5, False).cell_len == 5
    assert _fitted(lambda width: Text("#" * width), 4, False).plain == "####"


def test_sparkline() -> None:
    assert sparkline([0, 1, 4, 8], 6) == "   ▁▄█"
    assert sparkline([], 3) == "   "


def test_no_key_has_two_meanings_in_one_place() -> None:
    for place in ("app", "table", "instances", "instance", "entities", "entity"):
        keys = [key for binding in bindings(place) for key in binding.key.split(",")]
        assert len(keys) == len(set(keys)), place


def test_upper_case_changes_things_and_nothing_else_does() -> None:
    assert all(key.keys.isupper() == key.changes for key in KEYS if len(key.keys) == 1 and key.keys.isalpha())


def test_read_only_shows_no_key_that_changes_things() -> None:
    assert not [key for key in for_help(read_only=True) if key.changes]
    assert not [key for key in for_bar("instances") if key.changes]
    assert {key.keys for key in changing("instances")} == set("TPUWXDE")
