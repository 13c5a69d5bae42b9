from __future__ import annotations

from datetime import UTC, datetime

import pytest
from rich.cells import cell_len

from durastream.cli import choose
from durastream.cli.exits import UsageError
from durastream.inspect.filter import FilterError, parse

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)


def test_nothing_given_is_no_filter() -> None:
    assert not choose.given(choose.FilterFlags())
    assert str(choose.selection(choose.FilterFlags())) == ""
    assert choose.selection(choose.FilterFlags()).ordered


def test_all_that_is_given_is_one_filter() -> None:
    flags = choose.FilterFlags("tag:env=prod", ["failed", "running,Pending"], "Order*", "o-", "2031-05-01T12:00:00Z")
    assert choose.given(flags)
    assert str(choose.selection(flags, ["-id:x", "y"])) == (
        'id:x y tag:env=prod status:failed,running,Pending name:Order* id:o-* after:"2031-05-01T12:00:00+00:00"'.replace(
            "id:x", "-id:x", 1
        )
    )


def test_statuses_otherwise() -> None:
    for text, statuses in (
        (None, ("Failed",)),
        ("status:running", ("Running",)),
        ("-status:failed", ()),
        ("name:x", ("Failed",)),
    ):
        assert choose.selection(choose.FilterFlags(text), otherwise=["Failed"]).filter.statuses == statuses


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("statsu:failed", "statsu"),
        ("name:a status:failde", "failde"),
        ("書類 status:failde", "failde"),
        ("\x1b[31m\u202e status:failde", "failde"),
        ("x" * 500 + " status:failde", "failde"),
    ],
)
def test_the_mark_stands_below_the_mistake(text: str, place: str) -> None:
    with pytest.raises(FilterError) as caught:
        parse(text, NOW)
    _, shown, mark = choose.pointing(caught.value, text).splitlines()
    before = shown[: shown.index(place)]
    assert cell_len(before) == mark.index("^")
    assert len(shown) < 130
    assert shown.isprintable()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (choose.FilterFlags(filter='name:"open'), "has no end"),
        (choose.FilterFlags(status=["done"]), "--status: 'done' is no status"),
        (choose.FilterFlags(since="soon"), "no time"),
    ],
)
def test_what_cannot_be_read(flags: choose.FilterFlags, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        choose.selection(flags)
