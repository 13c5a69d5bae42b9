"""Entries that somebody writes by hand: into the ingress, which is open to all, and into an inbox. What the tests of
tests/acceptance/test_bad_input_streams.py and test_ingress_faults.py write is left out."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from durastream import wire
from durastream.core.ids import partition_of
from durastream.core.messages import Message, RaiseEvent, Resume, Start, Suspend, Terminate
from durastream.errors import DurastreamError
from durastream.payload import Payloads
from durastream.store.keys import HubKeys
from durastream.store.protocol import HubInfo, NewInstance
from durastream.worker import admission
from durastream.worker.entries import parse_entry
from tests.acceptance.planting import PARTITIONS
from tests.fuzz import corpus
from tests.fuzz.targets import TARGETS

Fields = tuple[bytes, ...]

_KEYS = HubKeys("default", PARTITIONS)
KEY_LIKE = (
    "x:inbox",
    "inbox",
    "lease",
    "i:x",
    "h:x",
    "a:default",
    "s:Pending",
    "e:@Counter@a",
    _KEYS.settings,
    _KEYS.partitions[5].inbox,
    "ds:{default:5}:i:other",
    "{default:5}",
    "{}",
    "}{",
    "a{b}c",
    "{{x}}",
    "::",
    ":",
    "*?[",
    "[a-z]",
    "\\*",
    "../..",
    "/",
    "%00",
    "%0d%0a",
    "..",
    "-",
    "--help",
    "@",
    "@@",
    "@a",
    "a@b",
    "\u05d0\u05d1\u200f\u202e",
    "\U0001f98a" * 64,
    "é" * 128,
    "x" * 256,
    "\u200b",
    "\u2028",
    "null",
    "0",
    "'\"`$(x)",
)
"""Ids and names like names of keys, like patterns and like paths. All are valid, and mean nothing."""

REFUSED = ("", "a\nb", "a\r\nb", "\0", "\x7f", "\x1b[2J", "\x9b", "x" * 257, "é" * 129, "\U0001f98a" * 65, "\t")
"""Ids and names that each door refuses."""


def _entry(**fields: str | bytes) -> Fields:
    return tuple(part if isinstance(part, bytes) else part.encode() for pair in fields.items() for part in pair)


def refused_entries() -> Iterator[Fields]:
    """Each becomes a dead letter."""
    for bad in REFUSED[1:]:
        yield _entry(op="start", name="neighbour", id=bad)
        yield _entry(op="start", name=bad)
        yield _entry(op="event", id=bad, name="go")
        yield _entry(op="event", id="never made", name=bad)
        yield _entry(op="signal", entity=bad, key="k", operation="keep")
        yield _entry(op="signal", entity="Keeper", key=bad, operation="keep")
        yield _entry(op="signal", entity="Keeper", key="k", operation=bad)
        yield _entry(op="start", name="neighbour", id="never made", version=bad)
    for payload in (
        b"",
        b"{",
        b"NaN",
        b"1e999",
        b"[9223372036854775808]",
        b'{"a":1,"a":2}',
        b'"\\ud800"',
        b"\xff",
        b"[" * 101 + b"]" * 101,
        b"[" * 100_000,
        b"[" + b"1," * 100_000 + b"1]",
        b'"' + b"x" * (1 << 20) + b'"',
        b"\xef\xbb\xbf1",
    ):
        yield _entry(op="start", name="neighbour", id="never made", input=payload)
        yield _entry(op="event", id="never made", name="go", data=payload)
        yield _entry(op="signal", entity="Keeper", key="never made", operation="keep", input=payload)
    for tags in (
        b"[]",
        b'{"a":1}',
        b'{"a":null}',
        b'{"' + b"x" * 257 + b'":""}',
        b'{"a":"' + b"x" * 257 + b'"}',
        b'{"a":"\\ud800"}',
        b"{",
    ):
        yield _entry(op="start", name="neighbour", id="never made", tags=tags)
    for op in ("terminate", "suspend", "resume"):
        yield _entry(op=op, id="never made", reason="x" * 8_193)
        yield _entry(op=op, id="never made", reason=b"\xff")
    for reply in ("ds:{default}:hub", "ds:", "x" * 513, ""):
        yield _entry(op="start", name="neighbour", id="never made", reply=reply)
    yield from (_entry(op=op) for op in ("", "START", "purge", "start\0", "x" * 100_000, b"\xff"))
    yield from ((b"\xff", b"\xff"), (b"OP", b"start"), (b"op ", b"start"), _entry(m=wire.pack_message(corpus.START)))


START = Start("never made", corpus.EXECUTION, "neighbour", None, b"1", None, None, None, None, "error", False)
REFUSED_MESSAGES: list[Message] = [
    START._replace(version="x" * 257),
    START._replace(version="a\nb"),
    START._replace(execution_id="tok." + "9" * 16),
    START._replace(execution_id="tok." + "9" * 5_000),
    START._replace(execution_id="x" * 300 + ".0"),
    START._replace(tags=b'{"a":"' + b"x" * 300 + b'"}'),
    *(
        kind._replace(reason=reason)
        for kind in (Terminate("never made", "", True, None), Suspend("never made", ""), Resume("never made", ""))
        for reason in ("x" * 8_193, "x" * (8 << 20))
    ),
]
"""Well-formed messages in an inbox that break a limit: dead letters."""

LARGE: list[Message] = [
    RaiseEvent("never made", "go", b'"' + b"x" * (8 << 20) + b'"'),
    RaiseEvent("never made", "n" * (4 << 20), None),
]
"""Large, and for nobody: dropped."""


# ---------------------------------------------------------------- generated

_PAYLOADS = Payloads()


def made_by(blob: bytes) -> str | None:
    """The instance that a message in an inbox may rightly make."""
    try:
        message = wire.unpack_message(blob)
        hub = HubInfo("default", PARTITIONS, 1, 1 << 20, schema=1, created_at=1)
        admission.check(message, partition_of(message[0], PARTITIONS), hub)
    except DurastreamError:
        return None
    return message[0]


def started_by(fields: Fields) -> str | None:
    """The instance that an entry of the ingress may rightly make. The id may be left out: it is the entry's own then."""
    walk = iter(fields)
    try:
        what = parse_entry("1-0", dict(zip(walk, walk, strict=False)), _PAYLOADS).what
    except DurastreamError:
        return None
    return what.instance_id if isinstance(what, NewInstance) else None


def messages(rng: Random, count: int) -> list[bytes]:
    """Mutated messages, activities or not: what they mean now is their affair."""
    target = TARGETS["wire.message"]
    cases = target.real()
    mutated = (target.mutate(rng, rng.choice(cases), cases) for _ in range(count))
    return [case for case in mutated if isinstance(case, bytes)]


def ingress(rng: Random, count: int) -> list[Fields]:
    """Mutated entries. A stream takes none without fields."""
    target = TARGETS["ingress"]
    cases = target.real()
    made: list[Fields] = []
    while len(made) < count:
        case = target.mutate(rng, rng.choice(cases), cases)
        if isinstance(case, tuple) and case and sum(map(len, case)) < 100_000:
            made.append(case)
    return made


def members(rng: Random, count: int) -> list[bytes]:
    """Mutated members of a timer set."""
    target = TARGETS["timer.member"]
    cases = target.real()
    mutated = (target.mutate(rng, rng.choice(cases), cases) for _ in range(count))
    return [case for case in mutated if isinstance(case, bytes)]
