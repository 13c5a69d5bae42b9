"""Events, messages, activity items and notices: bytes that any writer of a stream chooses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgpack
import orjson

from durastream import notices, wire
from durastream.cli.output import to_json
from durastream.cli.records import history_record
from durastream.client.entity_views import queued_message
from durastream.core.events import Failure
from durastream.core.messages import (
    EntityOperation,
    LockEntities,
    LockGranted,
    Message,
    Restart,
    Terminate,
    UnlockEntities,
)
from durastream.core.status import ALL, TERMINAL
from durastream.errors import InvalidId, PayloadError, WireError
from durastream.inspect.rows import history_rows
from durastream.payload import Payloads
from durastream.store.protocol import HubInfo
from durastream.worker import admission
from tests.fuzz import corpus
from tests.fuzz.mutate import Case, mutated_json, mutated_msgpack
from tests.fuzz.target import Target, check, raw, same

_HUB = HubInfo("h", partitions=1, retention_ms=1, payload_bytes_max=1 << 20, schema=1, created_at=1)
_PAYLOADS = Payloads()


def _round_trip(pack: Callable[[Any], bytes], unpack: Callable[[bytes], Any]) -> Callable[[Case], Any]:
    def run(case: Case) -> Any:
        value = unpack(raw(case))
        same(unpack(pack(value)), value, "packed and read again")
        return value

    return run


_event = _round_trip(wire.pack_event, wire.unpack_event)
_message = _round_trip(wire.pack_message, wire.unpack_message)


def _shown_event(case: Case) -> None:
    """What is read can be shown, and what is exported can be read again."""
    event = _event(case)
    (row,) = history_rows([event])
    to_json(history_record(row, event), indent=True)
    text = orjson.dumps(wire.event_to_json(event))
    again = wire.event_from_json(orjson.loads(text))
    same(wire.event_to_json(again), wire.event_to_json(event), "exported and read again")


def _inbox(case: Case) -> None:
    """As an owner takes a message from its inbox."""
    message = _message(case)
    admission.check(message, 0, _HUB)


def _queued(case: Case) -> None:
    """As the queue of an entity is shown, whatever is in it."""
    shown = queued_message(1, raw(case), _PAYLOADS)
    to_json(shown, indent=True)
    check(shown.kind in ("call", "signal", "lock", "unreadable"), shown.kind)
    if shown.kind == "unreadable":
        raise WireError("unreadable")  # so that it counts as refused


def _notices(case: Case) -> None:
    for notice in notices.unpack_notices(raw(case)):
        if isinstance(notice, notices.Ack):
            packed = notices.pack_ack(*notice)
        else:
            check(notice.status in TERMINAL, f"an end with the status {notice.status}")
            packed = notices.pack_end(*notice[:5], limit_bytes=1 << 30)
            notice = notice._replace(complete=True)
        same(list(notices.unpack_notices(packed)), [notice], "packed and read again")


def _failure(case: Case) -> None:
    failure = notices.failure_from_json(raw(case))
    same(notices.failure_from_json(notices.failure_to_json(failure)), failure, "written and read again")
    to_json(failure, indent=True)


def _exported(case: Case) -> None:
    """One event of a file that `replay` is given."""
    try:
        shown = orjson.loads(raw(case))
    except ValueError:
        raise WireError("not JSON") from None  # `recorded.read` has refused it by then
    event = wire.event_from_json(shown if isinstance(shown, dict) else {})
    same(wire.unpack_event(wire.pack_event(event)), event, "packed and read again")
    history_rows([event])


def _packed(values: Iterable[Any], pack: Callable[[Any], bytes]) -> Callable[[], list[Case]]:
    return lambda: [pack(value) for value in values]


def _admitted() -> list[Case]:
    """Messages that any inbox takes: not each variant keeps the order of locks."""
    made: list[Case] = []
    for message in corpus.MESSAGES:
        try:
            admission.check(message, 0, _HUB)
        except InvalidId:
            continue
        made.append(wire.pack_message(message))
    return made


_START, _TERMINATE = corpus.START, Terminate("order-7", "why", True, None)
_OPERATION = EntityOperation(corpus.ENTITY, "add", b"1", corpus.PARENT, "order-7", None)
_LOCK = LockEntities(corpus.ENTITY, (corpus.ENTITY, "@Counter@b"), corpus.PARENT)
_NOT_ADMITTED: tuple[Message, ...] = (
    _START._replace(tags=b"no json"),
    _START._replace(tags=b"[]"),
    _START._replace(execution_id="a\nb.0"),
    _START._replace(version="x" * 300),
    _START._replace(execution_id="tok." + "9" * 5_000),
    _START._replace(execution_id="x" * 5_000 + ".0"),
    _START._replace(name="a\nb"),
    _START._replace(parent=corpus.PARENT._replace(instance_id="x\ny")),
    _TERMINATE._replace(reason="x" * 10_000),
    _OPERATION._replace(sender="é" * 1_000),
    _OPERATION._replace(entity="@"),
    _OPERATION._replace(caller=corpus.PARENT._replace(task=-1)),
    _LOCK._replace(entity="@Counter@z"),
    _LOCK._replace(entities=("@Counter@b", corpus.ENTITY)),
    _LOCK._replace(entities=("@x", "@y")),
    UnlockEntities(corpus.ENTITY, (corpus.ENTITY,), corpus.PARENT),
    LockGranted("order-7", corpus.EXECUTION, 1, ("@b@1", "@a@1")),
    Restart("order-7", "garbage", None),
)


_FOR_QUEUES: list[Message] = [
    message for message in corpus.MESSAGES if isinstance(message, EntityOperation | LockEntities)
]


def _shapes(codes: Sequence[int]) -> tuple[Case, ...]:
    """Each code with every number of fields, and with fields of wrong types."""
    made: list[Case] = [msgpack.packb([code, *[1] * count]) for code in codes for count in range(13)]
    others: list[Any] = [[], None, {}, "x", [None], [True, 1], [[]], [255], [-1]]
    made += [msgpack.packb(one) for one in others]
    return (*made, b"", b"\xc1", b"\x91" * 2_000)


def _ends() -> list[Case]:
    ends = [notices.pack_end("i", corpus.EXECUTION, word, b"1", None) for word in ALL if word in TERMINAL]
    ends += [notices.pack_end("i", corpus.EXECUTION, "Failed", None, notices.failure_to_json(corpus.FAILURE), 1)]
    return [*ends, notices.pack_ack("r", True), notices.pack_ack("r", False, "no"), b"".join(ends), b""]


_FAILURES: tuple[Failure, ...] = (corpus.FAILURE, corpus.chain(10), corpus.chain(50), Failure("", ""))
_NO_FAILURES: tuple[Case, ...] = (
    b"[]",
    b"{}",
    b'{"type":1}',
    b'{"type":"T","causes":5}',
    b'{"type":"T","causes":[5]}',
    b'{"type":"T","causes":"text"}',
    b"\xff",
    b'{"type":"T","causes":[' * 60 + b'{"type":"T"}' + b"]}" * 60,
    b'{"type":"T","causes":[' * 400 + b'{"type":"T"}' + b"]}" * 400,
)
_NO_EVENTS: tuple[Case, ...] = (
    b"{}",
    b"[]",
    b'{"kind":"TimerFired","at":1}',
    b'{"kind":"TimerFired","at":1,"task":2,"extra":3}',
    b'{"kind":["x"]}',
    b"{",
    b'{"kind":"ExecutionFailed","at":1,"failure":{"type":"T"}}',
    b'{"kind":"ExecutionFailed","at":1,"failure":[]}',
    b'{"kind":"ExecutionStarted","at":1,"name":"n","parent":[1],"generation":0}',
)


def _readable_events() -> list[Case]:
    return [orjson.dumps(wire.event_to_json(event)) for event in corpus.EVENTS]


TARGETS: tuple[Target, ...] = (
    Target(
        "wire.event",
        ("wire.py",),
        _event,
        _packed(corpus.EVENTS, wire.pack_event),
        _shapes((*wire.EVENT_CODES, 39)),
        (WireError,),
        mutated_msgpack,
    ),
    Target(
        "wire.message",
        ("wire.py",),
        _message,
        _packed(corpus.MESSAGES, wire.pack_message),
        _shapes((*wire.MESSAGE_CODES, 99)),
        (WireError,),
        mutated_msgpack,
    ),
    Target(
        "wire.activity",
        ("wire.py",),
        _round_trip(wire.pack_activity, wire.unpack_activity),
        _packed(corpus.ACTIVITIES, wire.pack_activity),
        _shapes((1, 2)),
        (WireError,),
        mutated_msgpack,
    ),
    Target(
        "event.shown",
        ("wire.py", "inspect/rows.py"),
        _shown_event,
        _packed(corpus.EVENTS, wire.pack_event),
        (),
        (WireError,),
        mutated_msgpack,
    ),
    Target("event.exported", ("wire.py",), _exported, _readable_events, _NO_EVENTS, (WireError,), mutated_json),
    Target(
        "inbox",
        ("wire.py", "worker/admission.py", "core/ids.py", "core/entity_id.py"),
        _inbox,
        _admitted,
        tuple(_packed((*corpus.MESSAGES, *_NOT_ADMITTED), wire.pack_message)()),
        (WireError, InvalidId),
        mutated_msgpack,
    ),
    Target(
        "entity.queue",
        ("client/entity_views.py",),
        _queued,
        _packed(
            _FOR_QUEUES,
            wire.pack_message,
        ),
        tuple(_packed(corpus.MESSAGES, wire.pack_message)()),
        (WireError, PayloadError),
        mutated_msgpack,
    ),
    Target("notices", ("notices.py",), _notices, _ends, _shapes(()), (WireError,), mutated_msgpack),
    Target(
        "failure",
        ("notices.py",),
        _failure,
        _packed(_FAILURES, notices.failure_to_json),
        _NO_FAILURES,
        (WireError,),
        mutated_json,
    ),
)
