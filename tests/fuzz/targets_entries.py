"""The ingress: fields of an entry that any Redis client may write."""

from __future__ import annotations

from durastream import wire
from durastream.cli.output import to_json
from durastream.cli.records import status_record
from durastream.client.views import instance_status
from durastream.errors import InvalidId, PayloadError
from durastream.payload import Payloads
from durastream.store.protocol import HubInfo, NewInstance
from durastream.store.redis import decode
from durastream.store.redis.clients import creation
from durastream.worker import admission
from durastream.worker.entries import parse_entry, reply_list
from tests.fuzz import corpus
from tests.fuzz.mutate import Case, mutated_fields
from tests.fuzz.target import Target, check, fields_of, same

_PAYLOADS = Payloads(50_000)
_HUB = HubInfo("h", partitions=1, retention_ms=1, payload_bytes_max=50_000, schema=1, created_at=1)


def _routed(case: Case) -> None:
    """What is routed is taken by an inbox, makes a record that can be read, and can be shown."""
    fields = decode.pairs(fields_of(case))
    answer_to = reply_list(fields)
    check(answer_to is None or not answer_to.startswith("ds:"), "an answer into our own keys")
    routed = parse_entry("1-0", fields, _PAYLOADS)
    new = routed.what
    message = wire.unpack_message(new.message if isinstance(new, NewInstance) else new)
    admission.check(message, 0, _HUB)
    same(message[0], routed.address, "the address")
    if isinstance(new, NewInstance):
        _started(new)


def _started(new: NewInstance) -> None:
    args = [value if isinstance(value, bytes) else str(value).encode() for value in creation(new)]
    fixed = [b"execution_id", new.execution_id.encode(), b"status", b"Pending", b"created_at", b"1900000000000"]
    record = decode.record(new.instance_id, [*fixed, *args[6:]])
    assert record is not None
    check((record.name, record.input, record.tags) == (new.name, new.input, new.tags), "the record is another one")
    to_json(status_record(instance_status(record, _PAYLOADS, 0)), indent=True)


def _entry(**fields: str) -> tuple[bytes, ...]:
    return tuple(part.encode() for pair in fields.items() for part in pair)


def _seeds() -> list[Case]:
    return [
        _entry(
            op="start",
            name="place_order",
            input='{"sku":1}',
            id="order-7",
            version="2",
            tags='{"env":"prod"}',
            reply="answers",
        ),
        _entry(op="start", name="place_order"),
        _entry(op="event", id="order-7", name="paid", data="1"),
        _entry(op="terminate", id="order-7", reason="why"),
        _entry(op="suspend", id="order-7", reason="why"),
        _entry(op="resume", id="order-7"),
        _entry(op="signal", entity="Counter", key="a", operation="add", input="1"),
        _entry(op="signal", entity="Counter", key="a", operation="add", at="2031-05-01T12:00:00Z"),
        _entry(op="signal", entity="Counter", key="a", operation="add", at=str(corpus.NOW_MS)),
    ]


_BAD: tuple[Case, ...] = (
    (),
    (b"op", b""),
    (b"op", b"x" * 5_000),
    (b"op", b"\xff"),
    (b"op", b"start"),
    (b"op", b"start", b"name", b"\xff"),
    (b"op", b"start", b"name", b"n", b"tags", b"[]"),
    (b"op", b"start", b"name", b"n", b"tags", b'{"a":1}'),
    (b"op", b"start", b"name", b"n", b"tags", b'{"a":"' + b"x" * 300 + b'"}'),
    (b"op", b"start", b"name", b"n", b"reply", b"ds:{h}:hub"),
    (
        b"op",
        b"start",
        b"name",
        b"n",
        b"tags",
        b"{" + b",".join(b'"%d":"%s"' % (k, b"x" * 200) for k in range(30)) + b"}",
    ),
    (b"op", b"start", b"name", b"n", b"version", b"x" * 5_000),
    (b"op", b"terminate", b"id", b"i", b"reason", b"x" * 100_000),
    (b"op", b"signal", b"entity", b"a@b", b"key", b"k", b"operation", b"o"),
    (b"op", b"signal", b"entity", b"a", b"key", b"k", b"operation", b"o", b"at", b"soon"),
    (b"op", b"signal", b"entity", b"a", b"key", b"k", b"operation", b"o", b"at", b"2031-05-01T12:00:00"),
    (b"op", b"signal", b"entity", b"a", b"key", b"k", b"operation", b"o", b"at", b"0001-01-01T00:00:00+23:59"),
    (b"op", b"event", b"id", b"a\r\nb", b"name", b"n"),
    (b"op", b"event", b"id", b"i", b"name", b"n", b"data", b"{"),
)

TARGETS: tuple[Target, ...] = (
    Target(
        "ingress",
        ("worker/entries.py", "core/ids.py", "core/entity_id.py"),
        _routed,
        _seeds,
        _BAD,
        (InvalidId, PayloadError),
        mutated_fields,
    ),
)
