"""Real values of every kind, made by the code that makes them in earnest: what fuzzing begins with."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from durastream import wire
from durastream.core.events import Event, Failure, Parent
from durastream.core.limits import CAUSES_DEPTH_MAX, ID_BYTES_MAX, TIME_MS_MAX
from durastream.core.messages import ActivityItem, Message, Start
from durastream.store.protocol import EntityRecord, NewInstance, Record
from durastream.store.redis.clients import creation

NOW_MS = 1_900_000_000_000
EXECUTION = "0123456789abcdef.0"
ENTITY = "@Counter@a"
PARENT = Parent("parent", EXECUTION, 3)
FAILURE = Failure("ValueError", "it is \u202eno number", "  File x, line 1", (Failure("KeyError", "k"),), True)


def chain(length: int) -> Failure:
    """A failure with so many levels of causes."""
    failure = Failure("Last", "")
    for _ in range(length):
        failure = Failure("T", "m", "", (failure,))
    return failure


_PLAIN: dict[Any, Any] = {
    int: 7,
    str: "x",
    bytes: b'{"a":[1,2.5,"\xc3\xa9",null]}',
    bool: True,
    Failure: FAILURE,
    Parent: PARENT,
    tuple[str, ...]: ("@Counter@b", "@Counter@c"),
}
_LARGE: dict[Any, Any] = {
    int: TIME_MS_MAX,
    str: "x" * ID_BYTES_MAX,
    bytes: b"[" * 100 + b"]" * 100,
    bool: False,
    Failure: chain(CAUSES_DEPTH_MAX),
    Parent: Parent("é" * 128, EXECUTION, 0),
    tuple[str, ...]: tuple(f"@Counter@{k:02}" for k in range(100)),
}
_BY_NAME: dict[str, Any] = {
    "instance_id": "order-7",
    "execution_id": EXECUTION,
    "entity": ENTITY,
    "entities": (ENTITY, "@Counter@b"),
    "if_exists": "error",
    "at": NOW_MS,
    "due": NOW_MS,
    "name": "place_order",
    "operation": "add",
    "sender": "order-7",
    "tags": b'{"env":"prod"}',
}


def _made(cls: type[Any], known: dict[Any, Any], *, optional: bool) -> Any:
    values: list[Any] = []
    for name, hint in get_type_hints(cls).items():
        kinds = get_args(hint) if type(None) in get_args(hint) else (hint,)
        kind = next(one for one in kinds if one is not type(None))
        if len(kinds) > 1 and not optional:
            values.append(None)
        elif name in _BY_NAME:
            values.append(_BY_NAME[name])
        elif kind is Start:
            values.append(_made(Start, known, optional=False))
        else:
            values.append(known[kind])
    return cls(*values)


def variants(cls: type[Any]) -> list[Any]:
    """With every field, with those that must be, and as large as may be."""
    return [
        _made(cls, _PLAIN, optional=True),
        _made(cls, _PLAIN, optional=False),
        _made(cls, _LARGE, optional=True),
    ]


EVENTS: list[Event] = [one for cls in get_args(Event) for one in variants(cls)]
MESSAGES: list[Message] = [one for cls in get_args(Message) for one in variants(cls)]
ACTIVITIES: list[ActivityItem] = variants(ActivityItem)

START = Start("order-7", EXECUTION, "place_order", "2", b"1", None, b'{"env":"prod"}', None, None, "error", True)

PAYLOADS: list[bytes] = [
    b"null", b"true", b"1", b"-0.5", b'"text"', b"[]", b"{}", b'{"a":{"b":[1,2,{"c":null}]}}', b"[9223372036854775807]",
    b'{"sku":"A-1","amount":3,"price":"1.50","when":"2031-05-01T12:00:00Z","tags":["x"],"kind":"small","inner":{"n":1}}',
    b'["\\u00e9\\ud83e\\udd8a","\xc3\xa9"]', b"[" * 100 + b"]" * 100, b"[" + b"1," * 4_999 + b"1]", b'{"a\\"b":1,"a\\\\b":2}',
    b'[1e308,5e-324,0.1,12345678901234567890.5]', b' { "a" : 1 , "b" : [ ] } ',
]  # fmt: skip

NEW = NewInstance(
    "order-7",
    EXECUTION,
    "place_order",
    "2",
    b"1",
    b'{"env":"prod"}',
    start_at=NOW_MS,
    notify="ds:{h}:c:1",
    reply="answers",
    message=wire.pack_message(START),
)
RECORD = Record(
    "order-7", EXECUTION, "place_order", "Failed", 3, 12, NOW_MS, NOW_MS + 5, NOW_MS + 5, "2", b"1", b"[2]",
    b'{"type":"T","message":"m","stack":"","causes":[{"type":"C","message":"c"}],"non_retryable":false}', b'"custom"',
    b'{"env":"prod"}', f"parent\n{EXECUTION}\n3", "channel", "answers", b'{"kind":"turn-failed","message":"m"}', NOW_MS,
)  # fmt: skip
ENTITY_RECORD = EntityRecord(ENTITY, 3, b'{"n":1}', NOW_MS, NOW_MS + 5, f"order-7\n{EXECUTION}\n2", NOW_MS, 0)


def flat(record: Record | EntityRecord, *, without: tuple[str, ...]) -> tuple[bytes, ...]:
    """The hash of a record, as HGETALL answers."""
    pairs = ((name, value) for name, value in record._asdict().items() if name not in without and value is not None)
    return tuple(part for name, value in pairs for part in (name.encode(), _stored(value)))


def _stored(value: object) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()


def created() -> tuple[bytes, ...]:
    """The hash of an instance as the start script leaves it."""
    fixed = ("status", "Pending", "revision", 0, "events", 0, "created_at", NOW_MS, "updated_at", NOW_MS)
    return tuple(_stored(one) for one in ("execution_id", EXECUTION, *fixed, *creation(NEW)[6:]))
