"""The filter language: what is read, what fits, what the server can be asked for, and where errors point."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

import pytest

from durastream.client.views import InstanceStatus
from durastream.core.events import Failure
from durastream.core.status import ALL
from durastream.inspect.filter import Filter, FilterError, parse, suggestions
from durastream.inspect.filter_fields import FIELDS, fits_pattern
from durastream.inspect.filter_tokens import quoted
from tests.fuzz.counting import work_of
from tests.inspect.made import NOW, before, status


def read(text: str) -> Filter:
    return parse(text, NOW)


def fits(text: str, **fields: object) -> bool:
    return read(text).matches(status(**fields))  # type: ignore[arg-type]


# ---------------------------------------------------------------- fields


@pytest.mark.parametrize(
    ("text", "yes", "no"),
    [
        ("status:failed", {"runtime_status": "Failed"}, {"runtime_status": "Running"}),
        ("status:FAILED,running", {"runtime_status": "Running"}, {"runtime_status": "Pending"}),
        ("status:active", {"runtime_status": "Suspended"}, {"runtime_status": "Failed"}),
        ("-status:ended", {"runtime_status": "Pending"}, {"runtime_status": "Terminated"}),
        ("name:place_order", {}, {"name": "place_orders"}),
        ("name:place*", {}, {"name": "a place"}),
        ("name:=p*", {"name": "p*"}, {"name": "pq"}),
        ("name:p?ace_order,x", {"name": "x"}, {"name": "pace_order"}),
        ("!name:place_order", {"name": "x"}, {}),
        ("id:order", {"id": "order-1"}, {"id": "an order"}),
        ("id:=order", {"id": "order"}, {"id": "order-1"}),
        ("id:*-7", {"id": "order-7"}, {"id": "order-70"}),
        ("RDER", {"id": "an order"}, {"id": "none"}),
        ("a,b", {"id": "xa,bx"}, {"id": "a"}),
        ("-der", {"id": "none"}, {"id": "order"}),
        ("order-7:0.3", {"id": "order-7:0.3"}, {"id": "order-7"}),
        ('"a b"', {"id": "xa bx"}, {"id": "ab"}),
        ("version:1.*", {"version": "1.2"}, {"version": None}),
        ("-version:1", {"version": None}, {"version": "1"}),
        ("parent:order", {"parent_id": "order-1"}, {"parent_id": None}),
        ("tag:env=prod", {"tags": {"env": "prod"}}, {"tags": {"env": "production"}}),
        ("tag:env=pr*", {"tags": {"env": "production"}}, {"tags": {"other": "prod"}}),
        ("tag:env", {"tags": {"env": ""}}, {"tags": {}}),
        ("tag:env=", {"tags": {"env": ""}}, {"tags": {"env": "x"}}),
        ("tag:'my env'=\"a b\"", {"tags": {"my env": "a b"}}, {"tags": {"my env": "a"}}),
        ("tag:a=1 tag:b=2", {"tags": {"a": "1", "b": "2"}}, {"tags": {"a": "1"}}),
        ("tag:a=1,b=2", {"tags": {"b": "2"}}, {"tags": {"a": "2"}}),
        ("error:timeout", {"failure": Failure("TimeoutError", "x")}, {"failure": None}),
        ("error:=OSError", {"failure": Failure("OSError", "x")}, {"failure": Failure("X", "an OSError")}),
        ("stuck:any", {"problem": {"kind": "refused"}}, {"problem": None}),
        ("stuck:nondet", {"problem": {"kind": "nondeterminism"}}, {"problem": {"kind": "refused"}}),
        ("stuck:unknown", {"problem": "written by hand"}, {"problem": {"kind": "refused"}}),
        ("partition:3", {"partition": 3}, {"partition": 13}),
        ("after:1h", {"created_at": before(hours=1)}, {"created_at": before(hours=1, seconds=1)}),
        ("before:1h30m", {"created_at": before(hours=2)}, {"created_at": before(hours=1)}),
        ("after:2031-01-01T00:00Z", {"created_at": datetime(2031, 1, 1, tzinfo=UTC)}, {"created_at": before(days=999)}),
        ("status:failed name:x", {"runtime_status": "Failed", "name": "x"}, {"runtime_status": "Failed"}),
    ],
)  # fmt: skip
def test_what_fits(text: str, yes: dict[str, object], no: dict[str, object]) -> None:
    assert fits(text, **yes)
    assert not fits(text, **no)


def test_an_empty_filter_fits_everything() -> None:
    for text in ("", "  \t\n "):
        assert not read(text)
        assert str(read(text)) == ""
        assert fits(text)
        assert read(text).statuses == ALL


# ---------------------------------------------------------------- what the server is asked for


def test_the_server_selects_statuses() -> None:
    assert read("status:failed,running").statuses == ("Running", "Failed")
    assert read("status:active -status:running").statuses == ("Pending", "Suspended")
    nothing = read("status:failed status:running")
    assert nothing.nothing and nothing.statuses == ()


@pytest.mark.parametrize(
    ("text", "prefix", "ids"),
    [
        ("id:order-", "order-", None),
        ("id:order-*7", "order-", None),
        ("id:order-17,order-12", "order-1", None),
        ("id:order-1,order-", "order-", None),
        ("id:a,b", "", None),
        ("id:a id:abc", "abc", None),
        ("-id:order", "", None),
        ("order", "", None),
        ("id:=order-7", "order-7", ("order-7",)),
        ("id:=a,=b,=a", "", ("a", "b")),
        ("id:=a,=b id:=b,=c", "", ("b",)),
        ("id:=a,b", "", None),
        ("id:=a*", "a*", ("a*",)),
        ("id:?a", "", None),
    ],
)
def test_the_server_selects_ids(text: str, prefix: str, ids: tuple[str, ...] | None) -> None:
    wanted = read(text)
    assert (wanted.prefix, wanted.ids) == (prefix, ids)


def test_the_server_selects_times_and_all_of_them_must_fit() -> None:
    wanted = read("after:3h before:1h after:2h before:30m")
    assert (wanted.bounds.after, wanted.bounds.before) == (before(hours=2), before(hours=1))
    assert wanted.listing() == {
        "status": ALL,
        "prefix": None,
        "created_after": before(hours=2),
        "created_before": before(hours=1),
    }


def test_time_goes_on() -> None:
    wanted = read("after:1h status:failed")
    later = wanted.at(NOW + timedelta(minutes=5))
    assert later.bounds.after == before(minutes=55)
    assert (str(later), later.statuses) == (str(wanted), ("Failed",))
    assert wanted.bounds.after == before(hours=1)


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("  status:failed   name:a*  ", "status:failed name:a*"),
        ("STATUS:Failed", "status:Failed"),
        ("!name:x", "-name:x"),
        ("name:'a b'", 'name:"a b"'),
        ("name:a\\ b", 'name:"a\\\\" b'),
        ("'-x'", '"-x"'),
        ('name:"it\'s"', 'name:"it\'s"'),
        ("a:1", None),
        ("order-7:0.3", '"order-7:0.3"'),
        ("tag:a='1,2',b", 'tag:"a=1,2",b'),
        ('"say \\"hi\\""', '"say \\"hi\\""'),
        ("after:1h", "after:1h"),
    ],
)
def test_one_way_of_writing_it(text: str, written: str | None) -> None:
    if written is None:
        with pytest.raises(FilterError):
            read(text)
    else:
        assert str(read(text)) == written
        assert read(written).terms == read(text).terms


def random_text(rng: random.Random) -> str:
    alphabet = "ab:, -!=*?\"'\\.\t\nüß東🦊\x1b\u202e"
    return "".join(rng.choice(alphabet) for _ in range(rng.randint(1, 12)))


def random_filters(rng: random.Random, count: int) -> Iterator[str]:
    free = ("name", "id", "version", "parent", "error", "stuck")
    for _ in range(count):
        terms = []
        for _ in range(rng.randint(0, 5)):
            sign = rng.choice(("", "", "-", "!"))
            values = ",".join(quoted(random_text(rng)) for _ in range(rng.randint(1, 3)))
            fixed = rng.choice(
                ("status:failed,active", f"partition:{rng.randrange(99)}", f"tag:k{quoted(random_text(rng))}")
            )
            terms.append(sign + rng.choice((f"{rng.choice(free)}:{values}", quoted(random_text(rng)), fixed)))
        yield rng.choice((" ", "  ")).join(terms)


def test_what_is_written_is_read_again() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    instances = [
        status(random_text(rng), name=random_text(rng), version=random_text(rng), runtime_status=rng.choice(ALL))
        for _ in range(20)
    ]
    for text in random_filters(rng, 1_000):
        wanted = read(text)
        again = read(str(wanted))
        assert again.terms == wanted.terms, text
        assert str(again) == str(wanted)
        assert (again.statuses, again.prefix, again.ids) == (wanted.statuses, wanted.prefix, wanted.ids)
        assert [again.matches(one) for one in instances] == [wanted.matches(one) for one in instances]


def test_what_the_server_is_asked_for_holds_all_that_fits() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    ids = ["".join(rng.choice("ab*") for _ in range(rng.randint(1, 4))) for _ in range(100)]
    for text in random_filters(rng, 500):
        ids_asked = ",".join(quoted(rng.choice(("", "=")) + rng.choice(ids)) for _ in range(rng.randint(1, 2)))
        wanted = read(f"{text} {rng.choice(('', '-'))}id:{ids_asked}")
        for one in ids:
            candidate = status(one, runtime_status=rng.choice(ALL))
            if wanted.matches(candidate):
                assert candidate.runtime_status in wanted.statuses
                assert one.startswith(wanted.prefix)
                assert wanted.ids is None or one in wanted.ids


def error_of(text: str) -> FilterError | None:
    """What is wrong with a filter; None if it can be read, and asked."""
    try:
        read(text).matches(status())
    except FilterError as error:
        return error
    return None


def test_nothing_but_filter_errors_comes_of_any_text() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    words = [
        *FIELDS,
        "failed",
        "1h",
        "2031-05-01",
        ":",
        ",",
        '"',
        "'",
        "\\",
        " ",
        "-",
        "!",
        "=",
        "*",
        "x",
        "\x00",
        "9" * 30,
    ]
    for _ in range(3_000):
        text = "".join(rng.choice(words) for _ in range(rng.randint(0, 8)))
        error = error_of(text)
        if error is not None:
            assert 0 <= error.position <= len(text), text
            assert error.pointing_at(text).endswith(" " * error.position + "^")


# ---------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("text", "position", "words"),
    [
        ("name:a statsu:x", 7, "no field statsu:; did you mean status:?"),
        ("name:a -nmae:x", 8, "did you mean name:?"),
        ("zzz:1", 0, "Known: status: name: id:"),
        ("status:faild", 7, "did you mean failed?"),
        ("status:failed,xyz", 14, "'xyz' is no status; Known: pending"),
        ("status:", 7, "a value is missing here"),
        ("status: failed", 7, "a value is missing here"),
        ("status:a,,b", 9, "a value is missing here"),
        ("name:a,", 7, "a value is missing here"),
        ("-", 1, "a value is missing here"),
        ('x name:"abc', 7, 'the quote " that begins here has no end'),
        ("name:'abc\\'", 5, "the quote ' that begins here has no end"),
        ("x after:1y", 8, "'1y' is no time: write 90s, 1h30m or 7d (ago)"),
        ("after:99999999999999d", 6, "is no time"),
        ("after:2031-13-01", 6, "is no time"),
        ("after:1h,2h", 9, "after: takes one value"),
        ("x -after:1h", 2, "cannot be turned round; write before:"),
        ("tag:=x", 4, "a tag is written tag:name=value"),
        ("partition:x", 10, "'x' is no number of a partition"),
        ("partition:²", 10, "is no number"),
        ("a" * 10_001, 10_000, "at most 10,000 characters"),
    ],
)
def test_errors_point_at_the_place(text: str, position: int, words: str) -> None:
    with pytest.raises(FilterError) as caught:
        read(text)
    assert caught.value.position == position
    assert words in str(caught.value)


def test_an_error_shows_where() -> None:
    with pytest.raises(FilterError) as caught:
        read("name:a status:faild")
    assert caught.value.pointing_at("name:a status:faild").splitlines()[1:] == [
        "  name:a status:faild",
        "                ^",
    ]


# ---------------------------------------------------------------- patterns


def test_patterns_agree_with_those_of_the_shell() -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    for _ in range(5_000):
        text = "".join(rng.choice("ab") for _ in range(rng.randint(0, 8)))
        pattern = "".join(rng.choice("ab*?") for _ in range(rng.randint(0, 6)))
        assert fits_pattern(text, pattern) == fnmatchcase(text, pattern), (text, pattern)


def test_a_pattern_of_many_stars_is_not_slow() -> None:
    """An expression that tries all ways would take 2^100 steps, and a hundred more with the next star."""
    for stars in (50, 100):
        wanted = read("name:" + "a*" * stars + "b")
        assert work_of(lambda: wanted.matches(status(name="a" * 256))) < 100 * 256 * 10  # noqa: B023


# ---------------------------------------------------------------- completion


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sta", ["status:"]),
        ("name:x -sta", ["-status:"]),
        ("P", ["parent:", "partition:"]),
        ("status:fa", ["status:failed"]),
        ("status:failed,p", ["status:failed,pending"]),
        ("!stuck:re", ["!stuck:refused"]),
        ("name:x", []),
        ("nothing:x", []),
        ("zzz", []),
    ],
)
def test_suggestions(text: str, expected: list[str]) -> None:
    assert suggestions(text, len(text)) == expected


def test_all_fields_are_suggested_at_a_new_word() -> None:
    assert suggestions("status:failed ", 14) == [f"{name}:" for name in FIELDS]


def test_examples_are_filters() -> None:
    for name, field in FIELDS.items():
        assert field.example.startswith(f"{name}:")
        assert isinstance(read(field.example), Filter)
        for choice in field.choices:
            assert read(f"{name}:{choice}")


def test_tags_written_by_hand_do_no_harm() -> None:
    odd: InstanceStatus = status(tags={"n": 1})
    assert read("tag:n=1").matches(odd)
