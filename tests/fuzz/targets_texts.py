"""What people type: ids and names, filters, times, server URLs, values on a command line."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import redis.crc as crc

from durastream.cli import inputs, times
from durastream.cli.exits import UsageError
from durastream.client.views import InstanceStatus, instance_status
from durastream.core.entity_id import EntityId
from durastream.core.ids import (
    check_hub,
    check_instance_id,
    check_name,
    child_execution_id,
    child_instance_id,
    generation_of,
    next_execution_id,
    partition_of,
)
from durastream.core.limits import ENTITY_BYTES_MAX, ID_BYTES_MAX
from durastream.errors import InvalidId, PayloadError
from durastream.inspect import filter as filters
from durastream.inspect.filter import FilterError
from durastream.payload import Payloads
from durastream.store.connect import BadUrl, Endpoint
from durastream.store.keys import HubKeys
from tests.fuzz import corpus
from tests.fuzz.mutate import Case, mutated_json, words
from tests.fuzz.target import Target, check, same, text_of

NOW = datetime(2031, 5, 1, 12, tzinfo=UTC)
_KEYS = HubKeys("hub-1", 16)
_STATUS: InstanceStatus = instance_status(corpus.RECORD, Payloads(), 3)
_STATUSES = (_STATUS, replace(_STATUS, failure=None, problem=None, version=None, parent_id=None, tags={}))


def _instance_id(case: Case) -> None:
    """A valid id stands only in the tail of its keys: it can choose neither slot nor another key."""
    one = check_instance_id(text_of(case))
    names = _KEYS.partitions[partition_of(one, 16)]
    home = crc.key_slot(names.lease.encode())
    for key in (names.instance(one), names.history(one), names.activities(one), names.entity(one), names.queue_of(one)):
        check(crc.key_slot(key.encode()) == home, f"{key!a} has another slot")
        check(key.endswith(one) and key.startswith(names.tag), f"{key!a} is another key")
    check(not any(char in one for char in "\0\r\n\x1b\x7f\x9b"), "a control character")
    for task in (0, 10**6):
        check_instance_id(child_instance_id(one, 3, task))


def _execution_id(case: Case) -> None:
    execution = text_of(case)
    generation = generation_of(execution)
    check(generation >= 0, "generations are counted from 0")
    check(generation_of(next_execution_id(execution)) == generation + 1, "the next one")
    if execution.isprintable():
        generation_of(child_execution_id(execution, 5))


def _entity_id(case: Case) -> None:
    text = text_of(case)
    entity = EntityId.parse(text)
    same(str(entity), text, "written")
    check(len(text.encode()) <= ENTITY_BYTES_MAX, "the limit")
    check("@" not in entity.name, "a name with @")


def _name(case: Case) -> None:
    name = check_name(text_of(case))
    check(0 < len(name.encode()) <= ID_BYTES_MAX, "the limit")


def _hub(case: Case) -> None:
    hub = check_hub(text_of(case))
    check(hub.isascii() and not set(hub) & set("{}:*?[]\\ \n"), "a character that means something in keys or patterns")
    check(crc.key_slot(HubKeys(hub, 1).settings.encode()) == crc.key_slot(hub.encode()), "the slot")


def _filter(case: Case) -> None:
    text = text_of(case)
    for position in (0, len(text) // 2, len(text)):
        check(len(filters.suggestions(text, position)) < 100, "suggestions")
    parsed = filters.parse(text, NOW)
    again = filters.parse(str(parsed), NOW)
    check(again.terms == parsed.terms, f"{str(parsed)!r:.200} is another filter")
    for status in _STATUSES:
        check(again.matches(status) == parsed.matches(status), "it shows other instances")
        if parsed.matches(status):  # what the server is asked for is never less than what fits
            check(status.runtime_status in parsed.statuses and status.id.startswith(parsed.prefix), "its bounds")
            check(parsed.ids is None or status.id in parsed.ids, "its ids")
    parsed.listing()
    parsed.at(NOW + timedelta(days=1))


def _pointed(case: Case) -> None:
    """The mark below a filter that cannot be read."""
    text = text_of(case)
    try:
        filters.parse(text, NOW)
    except FilterError as error:
        check(0 <= error.position <= len(text), f"position {error.position}")
        check(len(error.pointing_at(text)) <= 2 * len(text) + 2_500, "a long message")


def _time(case: Case) -> None:
    """Each reader by itself: the one refuses what the other takes."""
    text, taken, refused = text_of(case), 0, UsageError("nothing")
    for read in (times.duration, lambda one: times.moment(one, NOW), lambda one: times.past(one, NOW)):
        try:
            value: Any = read(text)
        except UsageError as error:
            refused = error
            continue
        taken += 1
        check((isinstance(value, timedelta) and value >= timedelta(0)) or value.tzinfo is UTC, f"{value!r}")
        if isinstance(value, datetime):
            times.clock(value)
            times.short(value)
    if not taken:
        raise refused


def _url(case: Case) -> None:
    text = text_of(case)
    endpoint = Endpoint.parse(text)
    secret = endpoint.password
    shown = f"{endpoint} {endpoint!r} {endpoint.address}"
    check(not secret or len(secret) < 8 or text.count(secret) > 1 or secret not in shown, "the password is shown")
    endpoint.where()


def _url_refusal(case: Case) -> None:
    """A URL that is refused does not tell its password either."""
    try:
        Endpoint.parse(text_of(case).replace("\0", ""))
    except BadUrl as error:
        check("SECRET-PASSWORD" not in str(error), f"the password is shown: {error}")


def _input(case: Case) -> None:
    """`--input`: read, then encoded as each value of a user is."""
    text = text_of(case)
    if text == "-" or text.startswith("@"):
        raise UsageError("a file")
    Payloads().encode(inputs.read_input(text), "input")


def _tags(case: Case) -> None:
    tags = inputs.read_tags(text_of(case).split("\n"))
    check(all(tags), "a tag without a name")


def _texts(*texts: str) -> list[Case]:
    return [text.encode() for text in texts]


_IDS = (
    "order-7",
    "a{b}c",
    "{}",
    "::",
    "*?[",
    "../",
    "%00",
    "x:inbox",
    "i:x",
    "é" * 128,
    "🦊" * 64,
    "x" * 256,
    "\u05d0\u200f",
)
_BAD_IDS = _texts("", "a\r\nb", "\0", "\x7f", "x" * 257, "é" * 129, "\x9b")
_ODD = (
    "{",
    "}",
    ":",
    "*",
    "?",
    "[",
    "@",
    "\r\n",
    "\0",
    "é",
    "🦊",
    "\u202e",
    "x" * 255,
    "%00",
    "\x7f",
    "\x9b",
    "..",
    "/",
)
_FILTERS = (
    "status:failed,running",
    "name:Order*",
    "id:=order-7",
    "id:order-7,order-8",
    "after:1h30m",
    "before:2031-05-01",
    "after:2031-05-01T12:00Z",
    "version:1.*",
    "parent:order",
    "tag:env=prod",
    "tag:env",
    "tag:env=pr*",
    "error:timeout",
    "stuck:any",
    "partition:3",
    '"some words"',
    "-id:test",
    "!status:ended",
    "name:\"a b\",'c,d'",
    "order",
    "id:a?c*e",
    "status:active",
)
_BAD_FILTERS = _texts(
    "nope:1",
    "statsu:x",
    "status:",
    "status:runing",
    "after:x",
    "-after:1h",
    "after:1h,2h",
    "tag:=x",
    "partition:x",
    "partition:" + "9" * 5_000,
    '"open',
    'id:"a\\',
    "x" * 10_001,
    "after:99999999999w",
    "after:" + "9" * 400 + "d",
    "before:0001-01-01T00:00+23:00",
    "after:9999-12-31T23:59-23:00",
    "partition:²",
    "-",
    "id:,",
    "!",
)
_FILTER_WORDS = words(
    *_FILTERS,
    ":",
    ",",
    '"',
    "'",
    "\\",
    "-",
    "!",
    "=",
    "*",
    "?",
    " ",
    "after:",
    "before:",
    "status:",
    "id:",
    "tag:",
    "partition:",
    "9",
    "²",
    "\u2028",
    "\x1b",
)
_TIMES = ("90", "90s", "1h30m", "7d", "+5m", "2031-05-01T12:00:00Z", "2031-05-01", "1.5h", "100ms", "2w")
_BAD_TIMES = _texts(
    "",
    "x",
    "+",
    "-5m",
    "9" * 5_000,
    "9" * 400 + "d",
    "99999999999d",
    "+999999999w",
    "0001-01-01T00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "²s",
    "1h 2m",
    "1e5s",
    "nan",
    "inf",
)
_TIME_WORDS = words(
    "9",
    "ms",
    "s",
    "m",
    "h",
    "d",
    "w",
    "+",
    "-",
    ".",
    "T",
    ":",
    "Z",
    "2031-05-01",
    "0001-01-01",
    "9999-12-31",
    "+23:59",
    "-23:59",
    "W",
    "٣",
)
_URLS = (
    "redis://localhost:6379",
    "redis://me:SECRET-PASSWORD@db.example:6380/2",
    "rediss://h:1/?ssl_cert_reqs=none&ssl_check_hostname=false",
    "unix:///run/redis.sock?db=3",
    "redis://[::1]:6379/0?socket_timeout=5&socket_connect_timeout=0.5",
    "redis://:SECRET-PASSWORD@h",
    "rediss://h?ssl_ca_certs=/a&ssl_certfile=/b&ssl_keyfile=/c&ssl_password=p&ssl_ca_path=/d",
)
_BAD_URLS = _texts(
    "",
    "http://h",
    "redis://me:SECRET-PASSWORD@h:99999",
    "redis://me:SECRET-PASSWORD@[::1",
    "redis://me:SECRET-PASSWORD@\u2100x",
    "redis://me:SECRET-PASSWORD@h/x",
    "redis://h?db=x",
    "redis://h?nope=1",
    "unix://",
    "redis://h?ssl_ca_certs=x",
    "rediss://h?ssl_cert_reqs=maybe",
    "redis://h?socket_timeout=0",
    "redis://h?socket_timeout=nan",
    "redis://me:SECRET-PASSWORD@h]:1",
    "redis://h/" + "9" * 5_000,
    "redis://[v1.x]:1",
    "redis://me:SECRET-PASSWORD@[x]:1",
    "redis://h?db=" + "9" * 30,
    "redis://me:SECRET-PASSWORD@h:\u00b2",
    "redis://a:SECRET-PASSWORD@h?SECRET-PASSWORD=1",
)
_URL_WORDS = words(
    "redis://",
    "rediss://",
    "unix://",
    "me:SECRET-PASSWORD@",
    ":SECRET-PASSWORD@",
    "[",
    "]",
    "[::1]",
    ":",
    "/",
    "?",
    "#",
    "&",
    "=",
    "%",
    "%40",
    "\u2100",
    "db=",
    "socket_timeout=",
    "ssl_cert_reqs=",
    "9",
)

_IDS_FILES = ("core/ids.py", "core/entity_id.py", "store/keys.py")
_FILTER_FILES = ("inspect/filter.py", "inspect/filter_fields.py", "inspect/filter_tokens.py")

TARGETS: tuple[Target, ...] = (
    Target("id", _IDS_FILES, _instance_id, lambda: _texts(*_IDS), tuple(_BAD_IDS), (InvalidId,), words(*_ODD)),
    Target("name", _IDS_FILES, _name, lambda: _texts(*_IDS), tuple(_BAD_IDS), (InvalidId,), words(*_ODD)),
    Target(
        "hub",
        _IDS_FILES,
        _hub,
        lambda: _texts("default", "a", "A-1_x", "x" * 64),
        (b"", b"{a}", b"a:b", b"a\n", b"x" * 65),
        (InvalidId,),
        words(*_ODD, "a", "-"),
    ),
    Target(
        "id.entity",
        _IDS_FILES,
        _entity_id,
        lambda: _texts("@Counter@a", "@a{b}@{}", "@n@@k@", "@" + "é" * 128 + "@" + "x" * 256),
        (b"", b"@", b"@@", b"@a@", b"a@b", b"@a"),
        (InvalidId,),
        words(*_ODD),
    ),
    Target(
        "id.execution",
        _IDS_FILES,
        _execution_id,
        lambda: _texts(corpus.EXECUTION, "tok.41"),
        (b"", b".0", b"x.", b"x.\xc2\xb2", b"x.-1", b"x." + b"9" * 5_000, b"x." + b"9" * 20),
        (InvalidId,),
        words(".", "9", "0", "²", "-", "\n", "9" * 15, "9" * 16),
    ),
    Target(
        "filter",
        _FILTER_FILES,
        _filter,
        lambda: _texts(*_FILTERS, " ".join(_FILTERS)),
        tuple(_BAD_FILTERS),
        (FilterError,),
        _FILTER_WORDS,
    ),
    Target("filter.refused", _FILTER_FILES, _pointed, lambda: [*_BAD_FILTERS], (), (), _FILTER_WORDS),
    Target(
        "cli.times", ("cli/times.py",), _time, lambda: _texts(*_TIMES), tuple(_BAD_TIMES), (UsageError,), _TIME_WORDS
    ),
    Target(
        "cli.input",
        ("cli/inputs.py",),
        _input,
        lambda: list(corpus.PAYLOADS),
        (b"{", b"text", b'"\\ud800"', b"[" * 2_000),
        (UsageError, PayloadError),
        mutated_json,
    ),
    Target(
        "cli.tags",
        ("cli/inputs.py",),
        _tags,
        lambda: _texts("a=b", "env=prod\nx=", "a=b=c"),
        (b"", b"=", b"=x", b"a"),
        (UsageError,),
        words("=", "\n", "\u202e", "a"),
    ),
    Target("url", ("store/connect.py",), _url, lambda: _texts(*_URLS), tuple(_BAD_URLS), (BadUrl,), _URL_WORDS),
    Target("url.secret", ("store/connect.py",), _url_refusal, lambda: [*_BAD_URLS], (), (), _URL_WORDS),
)
