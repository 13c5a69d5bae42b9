"""Payloads: one strict domain, the same both ways, with the path of whatever breaks it."""

from __future__ import annotations

import enum
import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

import msgspec
import orjson
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durastream.core.limits import DEPTH_MAX, INT_MAX, ITEMS_MAX, PAYLOAD_BYTES_HARD_MAX
from durastream.errors import PayloadError, PayloadTooLarge
from durastream.payload import Payloads

PAYLOADS = Payloads()
encode = PAYLOADS.encode
decode = PAYLOADS.decode


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    ONE = "one"


class Point(NamedTuple):
    x: int
    y: int


class Options(TypedDict):
    fast: bool


class Struct(msgspec.Struct, rename="camel", tag=True):
    first_name: str
    born: date | None = None
    tags: set[int] = set()


class Model(pydantic.BaseModel):
    name: str = pydantic.Field(alias="theName")
    when: datetime
    price: Decimal


@dataclass
class Inner:
    _hidden: int
    point: Point


@dataclass
class Everything:
    number: int
    rate: float
    text: str
    flag: bool
    none: int | None
    when: datetime
    day: date
    hour: time
    span: timedelta
    key: UUID
    price: Decimal
    blob: bytes
    color: Color
    level: Level
    word: Word
    some: set[int]
    frozen: frozenset[str]
    pair: tuple[int, str]
    point: Point
    options: Options
    inner: Inner
    struct: Struct
    model: Model
    models: dict[str, Model] = field(default_factory=dict)

    @functools.cached_property
    def derived(self) -> str:
        return "not stored"


MODEL = Model(theName="m", when=datetime(2024, 1, 1, tzinfo=UTC), price=Decimal("1.10"))
EVERYTHING = Everything(
    number=-5,
    rate=0.1,
    text="naïve 🜁 \x00\x1f",
    flag=True,
    none=None,
    when=datetime(2024, 5, 1, 12, 30, 15, 123456, tzinfo=UTC),
    day=date(1999, 12, 31),
    hour=time(23, 59, 1),
    span=timedelta(days=1, seconds=2),
    key=UUID(int=7),
    price=Decimal("123456789012345678901234567890.55"),
    blob=b"\x00\xff",
    color=Color.RED,
    level=Level.LOW,
    word=Word.ONE,
    some={3, 1, 2},
    frozen=frozenset({"a"}),
    pair=(1, "x"),
    point=Point(1, 2),
    options={"fast": True},
    inner=Inner(9, Point(0, 0)),
    struct=Struct("Ada", date(1815, 12, 10), {1}),
    model=MODEL,
    models={"m": MODEL},
)


def refused(action: Callable[[], object]) -> str:
    with pytest.raises(PayloadError) as caught:
        action()
    assert len(str(caught.value)) < 1000
    return str(caught.value)


def test_every_supported_type_comes_back_as_its_annotated_type() -> None:
    assert EVERYTHING.derived
    back = decode(encode(EVERYTHING), Everything)
    assert back == EVERYTHING
    assert type(back.point) is Point
    assert type(back.inner) is Inner
    assert type(back.model) is Model


@pytest.mark.parametrize(
    ("value", "type_"),
    [
        (MODEL, Model),
        ([MODEL], list[Model]),
        (None, Model),
        (Struct("A"), Struct),
        (Point(1, 2), Point),
        ({"a": Color.RED}, dict[str, Color]),
        ({Word.ONE: 1}, dict[str, int]),
        (Level.LOW, Level),
        (3, int | str),
        ("x", int | str),
        (b"\xff", bytes),
        (timedelta(milliseconds=5), timedelta),
        (Decimal("0.1"), Decimal),
        (INT_MAX, int),
        (-INT_MAX, int),
        ([1, "a", None], Any),
        ([1, "a", None], object),
    ],
)
def test_single_values_come_back_equal(value: Any, type_: Any) -> None:
    assert decode(encode(value), type_) == value


def test_none_and_null() -> None:
    assert encode(None) is None
    assert decode(None) is None
    assert decode(None, int) is None
    assert decode(b"null") is None
    assert decode(b"null", Model) is None
    assert encode({"a": None}) == b'{"a":null}'


def test_text_is_compact_and_sets_are_sorted() -> None:
    assert encode({"b": [1, 2.5, "é"], "a": {3, 1, 2}}) == '{"b":[1,2.5,"é"],"a":[1,2,3]}'.encode()


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-INT_MAX, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), inner)
    ),
    max_leaves=30,
)


@settings(max_examples=400, deadline=None)
@given(PLAIN)
def test_accepted_values_come_back_equal_and_are_accepted_again(value: Any) -> None:
    data = encode(value)
    assert decode(data) == value
    if data is not None:
        assert PAYLOADS.check_json(data) == data
        assert encode(decode(data)) == (None if data == b"null" else data)


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(INT_MAX - 2, INT_MAX + 2)
    | st.floats()
    | st.text(st.characters())
    | st.decimals()
    | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(st.characters()) | st.integers(), inner),
    max_leaves=12,
)


def all_finite(value: Any) -> bool:
    if isinstance(value, float | Decimal):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(all_finite(one) for one in inner)


@settings(max_examples=600, deadline=None)
@given(HOSTILE)
def test_hostile_values_are_refused_or_stay_inside_the_domain(value: Any) -> None:
    try:
        data = encode(value)
    except PayloadError:
        return
    if data is not None:
        assert PAYLOADS.check_json(data) == data
        decode(data)
        assert all_finite(value)


@settings(max_examples=600, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:\\ue0129.-nulltrue \n', max_size=40).map(str.encode))
def test_any_bytes_are_refused_or_accepted_alike_by_check_and_decode(text: bytes) -> None:
    try:
        compact = PAYLOADS.check_json(text)
    except PayloadError:
        return
    assert PAYLOADS.check_json(compact) == compact
    assert decode(compact) == decode(text) == json.loads(text)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_named(number: float) -> None:
    assert "input.items[3].price: " in refused(lambda: encode({"items": [1, 2, None, {"price": number}]}, "input"))
    assert "input: " in refused(lambda: encode(number, "input"))
    bad = Everything(**_with_rate(number))
    assert "input.rate: " in refused(lambda: encode(bad, "input"))


def _with_rate(number: float) -> dict[str, Any]:
    return {name: number if name == "rate" else getattr(EVERYTHING, name) for name in Everything.__dataclass_fields__}


@pytest.mark.parametrize("number", [INT_MAX + 1, -INT_MAX - 1, 2**64, -(2**64), 10**400])
def test_integers_over_the_limit_are_named(number: int) -> None:
    assert "input.a[1]: integers" in refused(lambda: encode({"a": [0, number]}, "input"))
    if number < 10**40:
        text = b'{"a":[0,%d]}' % number
        assert "input.a[1]: integers" in refused(lambda: PAYLOADS.check_json(text, "input"))
        assert "input.a[1]: integers" in refused(lambda: decode(text, what="input"))


def test_integer_too_long_to_parse_is_refused() -> None:
    text = b"9" * 10_000
    refused(lambda: PAYLOADS.check_json(text))
    refused(lambda: decode(text))


def test_digits_in_strings_and_long_fractions_are_no_big_integers() -> None:
    for text in (b'"12345678901234567890123"', b"0.1234567890123456789012", b'{"1234567890123456789012":1}'):
        assert decode(PAYLOADS.check_json(text)) == json.loads(text)


def test_keys_must_be_strings() -> None:
    assert "input.a: keys must be strings, not int (1)" in refused(lambda: encode({"a": {1: 2}}, "input"))
    assert "keys must be strings" in refused(lambda: encode({None: 2}))


@pytest.mark.parametrize("text", ["\ud800", "x\udfff"])
def test_lone_surrogates_are_refused(text: str) -> None:
    assert "input.a: text is not valid Unicode" in refused(lambda: encode({"a": text}, "input"))
    assert "not valid Unicode" in refused(lambda: encode({text: 1}))
    refused(lambda: PAYLOADS.check_json(json.dumps(text).encode()))
    refused(lambda: decode(json.dumps(text).encode()))


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":{"b":1,"b":2}}',
        b'{"a": {"b": 1, "\\u0062": 2}}',
        b'{"a":{"b":"x:y","b":":::"}}',
        b'{"a":{"b":1,"c":"\\u003a","b":2}}',
    ],
)
def test_duplicate_keys_are_refused_with_their_path(text: bytes) -> None:
    assert "input.a: the key 'b' stands there twice" in refused(lambda: PAYLOADS.check_json(text, "input"))


@pytest.mark.parametrize(
    "text", [b"", b" ", b"{", b"nope", b"NaN", b"1e999", b"\xff", b'"\xff"', b"1 2", b"\xef\xbb\xbf1"]
)
def test_text_that_is_not_json(text: bytes) -> None:
    assert "input: not JSON" in refused(lambda: PAYLOADS.check_json(text, "input"))
    assert "input: not JSON" in refused(lambda: decode(text, what="input"))
    refused(lambda: decode(text, dict[str, int]))


def nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k[": value}
    return value


def test_depth_is_limited_alike_everywhere() -> None:
    data = encode(nested(DEPTH_MAX))
    assert data is not None
    assert decode(data) == nested(DEPTH_MAX)
    assert PAYLOADS.check_json(data) == data
    for depth in (DEPTH_MAX + 1, 253, 300, 600):
        assert "nested deeper than 100 levels" in refused(functools.partial(encode, nested(depth)))
        text = json.dumps(nested(depth)).encode()
        assert "nested deeper" in refused(functools.partial(PAYLOADS.check_json, text))
        assert "nested deeper" in refused(functools.partial(decode, text))
    refused(lambda: decode(b"[" * 100_000))


def test_brackets_in_strings_do_not_hide_depth() -> None:
    text = b'["]",' * 150 + b"1" + b',"["]' * 150
    assert "nested deeper" in refused(lambda: PAYLOADS.check_json(text))
    flat = json.dumps(['[[[{{{\\"'] * 100).encode()
    assert decode(PAYLOADS.check_json(flat)) == json.loads(flat)


def test_cycles_are_refused() -> None:
    value: list[Any] = []
    value.append(value)
    assert "nested deeper" in refused(lambda: encode(value))


def test_number_of_items_is_limited() -> None:
    roomy = Payloads(PAYLOAD_BYTES_HARD_MAX)
    data = roomy.encode([0] * ITEMS_MAX)
    assert data is not None
    assert len(decode(data)) == ITEMS_MAX
    assert roomy.check_json(data) == data
    more = b"[" + b"0," * ITEMS_MAX + b"0]"
    assert "more than 100,000 items" in refused(lambda: roomy.encode([0] * (ITEMS_MAX + 1)))
    assert "more than 100,000 items" in refused(lambda: roomy.check_json(more))
    assert "more than 100,000 items" in refused(lambda: decode(more))
    wide = [{"a": 0, "b": [1, None]}] * (ITEMS_MAX // 5)
    assert roomy.encode(wide)
    refused(lambda: roomy.encode([*wide, 1]))


def test_size_is_limited_with_size_and_limit_in_the_text() -> None:
    small = Payloads(100)
    assert small.encode("x" * 98)
    actions: list[Callable[[], object]] = [
        lambda: small.encode("x" * 99, "input"),
        lambda: small.check_json(b'"%s"' % (b"x" * 99), "input"),
    ]
    for action in actions:
        with pytest.raises(PayloadTooLarge, match="input is 101 bytes as JSON, over the limit of 100"):
            action()
    with pytest.raises(PayloadTooLarge):
        decode(b" " * (PAYLOAD_BYTES_HARD_MAX + 1))
    with pytest.raises(ValueError):
        Payloads(PAYLOAD_BYTES_HARD_MAX + 1)


class Unknown:
    pass


class Exploding(pydantic.BaseModel):
    x: int = 1

    @pydantic.field_serializer("x")
    def boom(self, _value: int) -> int:
        raise KeyError("boom")


@dataclass
class Strict:
    n: int

    def __post_init__(self) -> None:
        if self.n < 0:
            raise LookupError("negative")


def test_types_that_cannot_be_stored_are_named() -> None:
    assert "input.a.b[0]: a value of type" in refused(lambda: encode({"a": {"b": [Unknown()]}}, "input"))
    assert "Unknown" in refused(lambda: encode(Unknown()))
    assert "boom" in refused(lambda: encode(Exploding()))
    assert "not finite" in refused(lambda: encode({"d": Decimal("NaN")}))
    assert "generator" in refused(lambda: encode(i for i in range(3)))


def test_odd_keys_are_quoted_in_paths() -> None:
    assert refused(lambda: encode({"a b\x1b": {"é": math.nan}}, "input")).startswith("input['a b\\x1b']['\\xe9']: ")


def test_values_that_do_not_fit_the_type_are_named() -> None:
    assert "input does not fit Strict: Expected `int`, got `str` - at `input.n`" in refused(
        lambda: decode(b'{"n":"x"}', Strict, "input")
    )
    assert "negative" in refused(lambda: decode(b'{"n":-1}', Strict))
    assert "does not fit Model" in refused(lambda: decode(b"{}", Model))
    assert "does not fit" in refused(lambda: decode(b"[{}]", list[Model]))
    assert "cannot decode to Unknown" in refused(lambda: decode(b"[{}]", list[Unknown]))
    refused(lambda: decode(b"1", Model | Unknown))


def test_pydantic_is_not_imported_for_other_values() -> None:
    code = (
        "import sys; from durastream.payload import Payloads; p = Payloads();"
        "p.decode(p.encode({'a': {1, 2}}), dict[str, list[int]]); assert 'pydantic' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_orjson_still_writes_nan_as_null_which_is_why_null_is_looked_at() -> None:
    assert orjson.dumps(math.nan) == b"null"
