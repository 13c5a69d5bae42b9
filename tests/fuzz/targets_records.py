"""What stands in hashes, streams and timer sets, which anybody with write access may have spoilt; and tokens of pages."""

from __future__ import annotations

from durastream.cli.output import to_json
from durastream.cli.records import status_record
from durastream.client.entity_views import entity_status
from durastream.client.locks import parse_holder
from durastream.client.views import instance_status
from durastream.core import timer_member
from durastream.core.limits import TIME_MS_MAX, TIME_MS_MIN
from durastream.core.status import ALL
from durastream.errors import DurastreamError, PayloadError, Refused, StoreError, WireError
from durastream.payload import Payloads
from durastream.store.protocol import Record, WorkerInfo
from durastream.store.redis import decode, inspection
from durastream.store.redis.clients import worker_info
from durastream.store.redis.pages import Position
from durastream.worker.live import Live
from durastream.worker.sharing import desired_owners, told
from tests.fuzz import corpus
from tests.fuzz.mutate import Case, mutated_fields, mutated_json, words
from tests.fuzz.target import Target, check, fields_of, raw, same, text_of

_PAYLOADS = Payloads()


def _record(case: Case) -> None:
    """Read, shown, and taken into an owner's memory."""
    record = decode.record("order-7", fields_of(case))
    if record is None:
        raise Refused("no instance")
    check(record.status in ALL, f"the status {record.status!r}")
    _loaded(record)
    to_json(status_record(instance_status(record, _PAYLOADS, 0)), indent=True)


def _loaded(record: Record) -> None:
    try:
        Live.loaded(record)
    except ValueError:  # an owner takes it for a spoilt record
        raise Refused("the parent cannot be read") from None


def _entity(case: Case) -> None:
    record = decode.entity(corpus.ENTITY, fields_of(case), 0)
    if record is None:
        raise Refused("no entity")
    to_json(entity_status(record, _PAYLOADS, 0), indent=True)


def _queue(case: Case) -> None:
    waiting = decode.queue(corpus.ENTITY, fields_of(case))
    check(waiting == sorted(waiting) and all(number >= 0 for number, _ in waiting), "numbers rise")


def _inbox_entry(case: Case) -> None:
    entry = decode.inbox_entry([b"1-0", fields_of(case)])
    check(entry.created_at >= 0 and isinstance(entry.blob, bytes), "a blob and a time")
    entry.blob.decode(errors="replace")


def _outbound(case: Case) -> None:
    entry = decode.outbound([b"7-1", fields_of(case)])
    check((isinstance(entry.target, int) and entry.target >= 0) or entry.target in ("dead", "reply", "?"), "a target")
    check(isinstance(entry.blob, bytes), "a blob")


def _member(case: Case) -> None:
    member = decode.member(raw(case))
    same(timer_member.raw(member), raw(case), "taken out of the set by the same bytes")
    item = timer_member.parse(member)
    if item is None:
        raise WireError("none of ours")
    check(0 <= item[2] < 10**15, f"the number {item[2]}")
    item[0].encode()


def _holder(case: Case) -> None:
    """What an entity is locked by."""
    holder = parse_holder(text_of(case))
    if holder is None:
        raise WireError("none of ours")
    check(holder.task >= 0, "a number of an event")
    same(parse_holder("\n".join(map(str, holder))), holder, "written and read again")


def _page_cursor(case: Case) -> None:
    position = Position.parse(text_of(case))
    same(Position.parse(str(position)), position, "written and read again")


def _scan_cursor(case: Case) -> None:
    under_way, unopened = inspection._read_cursor(text_of(case))
    check(unopened >= 0 and all(scan.place >= 0 for scan in under_way), "places of indexes")
    written = inspection._write_cursor(under_way, unopened)
    same(inspection._read_cursor(written), (under_way, unopened), "written and read again")


def _about(case: Case) -> None:
    """What a worker tells of itself, read by all others with each heartbeat."""
    worker = worker_info(b"w", 1, raw(case))
    for what in ("runs", "split", "queues"):
        check(all(isinstance(name, str) for name in told(worker, what)), "names")
    owners = desired_owners([worker, WorkerInfo("other", 1, {})], 4)
    check(len(owners) == 4 and None not in owners, "each partition has an owner")


def _names(case: Case) -> None:
    """Members of a set of names, each with the score it might have in a sorted set."""
    members = fields_of(case)
    names = decode.names(members)
    check(
        [name.encode() for name in names] == [one for one in members if _is_text(one)],
        "all that are text, and no others",
    )
    for number in (b"inf", b"-inf", b"1e300", b"-1.5", b"1900000000000"):
        check(TIME_MS_MIN <= decode.score(number) <= TIME_MS_MAX, f"the time {number!a}")


def _is_text(member: bytes) -> bool:
    try:
        member.decode()
    except UnicodeDecodeError:
        return False
    return True


def _records() -> list[Case]:
    full = corpus.flat(corpus.RECORD, without=("instance_id",))
    return [full, corpus.created()]


def _spoilt(flat: tuple[bytes, ...]) -> tuple[Case, ...]:
    """Each field in turn with what it must not hold."""
    values = (b"", b"x", b"-1", b"\xff", b"9" * 30, b"9" * 5_000, b"{", b"[" * 2_000, b"Weird", b"\n\n", b"a\nb")
    places = range(1, len(flat), 2)
    return tuple((*flat[:at], value, *flat[at + 1 :]) for at in places for value in values)


def _members() -> list[Case]:
    made = [
        timer_member.timer(3, corpus.EXECUTION, "order-7"),
        timer_member.scheduled_start(corpus.EXECUTION, "é" * 128),
        timer_member.expiry(corpus.NOW_MS, corpus.EXECUTION, "a{b}c"),
        timer_member.signal(5, corpus.NOW_MS, corpus.ENTITY),
    ]
    return [timer_member.raw(one) for one in made]


_ENTITY_FIELDS = corpus.flat(corpus.ENTITY_RECORD, without=("entity", "queued"))
_ABOUT = (
    b'{"host":"h","pid":1,"runs":["place_order","a\\n2","\\nCounter"],"queues":["default"],"parked":{"1":["place_order"]},'
    b'"kept":{"2":["a\\n2"],"3":[]},"split":["default/x"]}'
)
_NO_ABOUT: tuple[Case, ...] = (
    b"",
    b"x",
    b"[]",
    b"7",
    b'{"parked":{"x":["a"]}}',
    b'{"parked":{"1":5}}',
    b'{"parked":{"1":[5]}}',
    b'{"kept":[1]}',
    b'{"kept":{"9":[[]]}}',
    b'{"runs":[[1]]}',
    b'{"runs":"text"}',
    b"\xff",
    b"[" * 5_000,
    b'{"parked":{"' + b"9" * 5_000 + b'":[]}}',
)
_STREAM_FIELDS: tuple[Case, ...] = (
    (),
    (b"x", b"1"),
    (b"m", b""),
    (b"t", b"12"),
    (b"t", b"\xc2\xb2", b"m", b"x"),
    (b"m", b"x", b"t", b"9" * 5_000),
    (b"\xff", b"\xff"),
    (b"to", b"99999", b"m", b"x"),
    (b"to", b"-1", b"m", b"x"),
    (b"to", b"\xff", b"m", b"x"),
    (b"to", b"\xc2\xb2"),
    (b"to", b"9" * 5_000),
)
_mutated_member = words(
    "\n", "T", "S", "X", "D", "T\n", "9" * 15, "9" * 16, "0", "-", ".", "@", "@Counter@", "\r", "²", "order-7"
)

TARGETS: tuple[Target, ...] = (
    Target(
        "names",
        ("store/redis/decode.py",),
        _names,
        lambda: [(b"default", b"a/b", "é".encode()), ()],
        ((b"\xff\xfe",), (b"",)),
        (),
        mutated_fields,
    ),
    Target(
        "record",
        ("store/redis/decode.py", "client/views.py", "worker/live.py"),
        _record,
        _records,
        _spoilt(corpus.flat(corpus.RECORD, without=("instance_id",))),
        (Refused, PayloadError, WireError),
        mutated_fields,
    ),
    Target(
        "entity",
        ("store/redis/decode.py", "client/entity_views.py"),
        _entity,
        lambda: [_ENTITY_FIELDS, _ENTITY_FIELDS[:8]],
        _spoilt(_ENTITY_FIELDS),
        (Refused, PayloadError),
        mutated_fields,
    ),
    Target(
        "entity.places",
        ("store/redis/decode.py",),
        _queue,
        lambda: [(b"1", b"x", b"22", b"y"), ()],
        ((b"x", b"y"), (b"01", b""), (b"-1", b""), (b"\xc2\xb2", b"")),
        (Refused,),
        mutated_fields,
    ),
    Target(
        "inbox.entry",
        ("store/redis/decode.py",),
        _inbox_entry,
        lambda: [(b"m", b"x"), (b"m", b"x", b"t", b"12"), (b"m", b"", b"t", b"5")],
        _STREAM_FIELDS,
        (),
        mutated_fields,
    ),
    Target(
        "outbox.entry",
        ("store/redis/decode.py",),
        _outbound,
        lambda: [(b"to", b"3", b"m", b"x"), (b"to", b"dead", b"m", b"x")],
        _STREAM_FIELDS,
        (),
        mutated_fields,
    ),
    Target(
        "timer.member",
        ("core/timer_member.py", "store/redis/decode.py"),
        _member,
        _members,
        (b"", b"T\n1\n2", b"Z\n1\n2\n3"),
        (WireError,),
        _mutated_member,
    ),
    Target(
        "lock.holder",
        ("client/locks.py", "core/ids.py"),
        _holder,
        lambda: [f"order-7\n{corpus.EXECUTION}\n3".encode()],
        (b"", b"a\nb\nc", b"a\nb.0\n" + b"9" * 30, b"a\nb." + b"9" * 5_000 + b"\n1"),
        (WireError,),
        _mutated_member,
    ),
    Target(
        "cursor.page",
        ("store/redis/pages.py",),
        _page_cursor,
        lambda: [str(Position.of(corpus.NOW_MS, b"order-7")).encode(), b"1~eA=="],
        (b"", b"~", b"x~", b"1~x", b"1~/w==", b"1~\xff", b"9" * 5_000 + b"~", b"1~gICA"),
        (StoreError,),
        words("~", "=", "-", "9", "_", "A", " "),
    ),
    Target(
        "cursor.scan",
        ("store/redis/inspection.py",),
        _scan_cursor,
        lambda: [b"0", b"8 1:77 3:18446744073709551615"],
        (b"", b"x", b"-1", b"1 x", b"1 1:", b"1 :1", b"1 -1:5", b"1 1:x"),
        (StoreError,),
        words(" ", ":", "-", "9", "x", "0"),
    ),
    Target(
        "worker.about",
        ("store/redis/clients.py", "worker/sharing.py"),
        _about,
        lambda: [_ABOUT, b"{}", *_NO_ABOUT],
        (),
        (DurastreamError,),
        mutated_json,
    ),
)
