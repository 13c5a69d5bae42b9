"""What a client hears on its notification channel: msgpack arrays, one after another in each published blob.

    ["end", instance id, execution id, status, output JSON | nil, failure JSON | nil, complete]
    ["ack", request id, ok, text]

`complete` is false when output and failure were left out for their size: the listener reads the record then. A notice
is a hint, sent at most once; the record is the truth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgpack
import orjson

from durastream.core.events import Failure, Json
from durastream.core.limits import CAUSES_DEPTH_MAX
from durastream.core.status import TERMINAL, Status
from durastream.errors import WireError

PAYLOAD_BYTES_MAX: Final = 4096
"""Output and failure up to this size together travel in the notice itself."""


class End(NamedTuple):
    """An execution ended."""

    instance_id: str
    execution_id: str
    status: Status
    output: Json | None
    failure: Json | None  # see `failure_to_json`
    complete: bool


class Ack(NamedTuple):
    """An administrative message was carried out, or refused for the reason in `text`."""

    request_id: str
    ok: bool
    text: str


Notice: TypeAlias = End | Ack

_pack: Final[Callable[[Any], bytes]] = msgpack.Packer(autoreset=True).pack


def pack_end(
    instance_id: str,
    execution_id: str,
    status: Status,
    output: Json | None,
    failure: Json | None,
    limit_bytes: int = PAYLOAD_BYTES_MAX,
) -> bytes:
    """Notice of an ended execution; `failure` is JSON as in the record."""
    if (len(output) if output else 0) + (len(failure) if failure else 0) > limit_bytes:
        return _pack(("end", instance_id, execution_id, status, None, None, False))
    return _pack(("end", instance_id, execution_id, status, output, failure, True))


def pack_ack(request_id: str, ok: bool, text: str = "") -> bytes:
    """Answer to a Rewind, Restart or Purge that asked for one."""
    return _pack(("ack", request_id, ok, text))


def unpack_notices(blob: bytes) -> Iterator[Notice]:
    """The notices of one published blob. Raises WireError at the first that is none."""
    # The size bounds the buffer, which would take 1 MiB otherwise, and whatever length rubbish may declare.
    unpacker = msgpack.Unpacker(use_list=False, max_ext_len=0, max_buffer_size=len(blob) or 1)
    try:
        unpacker.feed(blob)
        for kind, *fields in unpacker:
            yield _KINDS[kind](*fields)
    except (ValueError, TypeError, KeyError, OverflowError, msgpack.UnpackException) as error:
        raise WireError(f"a notification of {len(blob)} bytes is no notice: {type(error).__name__}") from None


def _end(instance_id: str, execution_id: str, status: Status, output: object, failure: object, complete: bool) -> End:
    texts = isinstance(instance_id, str) and isinstance(execution_id, str) and status in TERMINAL
    if texts and isinstance(output, bytes | None) and isinstance(failure, bytes | None):
        return End(instance_id, execution_id, status, output, failure, complete is True)
    raise TypeError("end")


def _ack(request_id: str, ok: bool, text: str) -> Ack:
    if isinstance(request_id, str) and isinstance(text, str):
        return Ack(request_id, ok is True, text)
    raise TypeError("ack")


_KINDS: Final[dict[str, Callable[..., Notice]]] = {"end": _end, "ack": _ack}


# ---------------------------------------------------------------- failures as JSON, in records and notices


def failure_to_json(failure: Failure) -> Json:
    """`{"type", "message", "stack", "causes": […], "non_retryable"}`, as the record's field `failure` holds it."""
    return orjson.dumps(_failure_fields(failure))


def failure_from_json(data: Json) -> Failure:
    """The failure that `failure_to_json` wrote. Missing fields are empty. Raises WireError for anything else."""
    try:
        return _failure(orjson.loads(data), 0)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        raise WireError(f"{len(data)} bytes are no failure: {type(error).__name__}") from None


def _failure_fields(failure: Failure) -> dict[str, Any]:
    return failure._asdict() | {"causes": [_failure_fields(cause) for cause in failure.causes]}


def _failure(fields: dict[str, Any], depth: int) -> Failure:
    if depth > CAUSES_DEPTH_MAX:  # it could not be written again
        raise ValueError(f"causes are nested deeper than {CAUSES_DEPTH_MAX}")
    return Failure(
        type=str(fields["type"]),
        message=str(fields.get("message", "")),
        stack=str(fields.get("stack", "")),
        causes=tuple(_failure(cause, depth + 1) for cause in fields.get("causes") or ()),
        non_retryable=fields.get("non_retryable") is True,
    )
