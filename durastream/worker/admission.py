"""What a message must be, beyond well formed, before it may create or open an instance: anybody can write to an inbox."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from durastream.core.ids import check_instance_id, check_name, generation_of, partition_of
from durastream.core.messages import Message, Restart, Start
from durastream.errors import InvalidId
from durastream.store.protocol import HubInfo


def check(message: Message, partition: int, hub: HubInfo) -> None:
    """Raises InvalidId, which says what is wrong with it."""
    rule = _RULES.get(type(message))
    if rule is not None:
        rule(message, partition, hub)


def _start(message: Start, partition: int, hub: HubInfo) -> None:
    check_instance_id(message.instance_id)
    check_name(message.name, "orchestrator")
    _tags(message.tags)
    home = partition_of(message.instance_id, hub.partitions)
    if home != partition:
        raise InvalidId(f"instance {message.instance_id!r} lives in partition {home}")
    _execution(message.execution_id)
    if message.parent is not None:
        check_instance_id(message.parent.instance_id)
        _execution(message.parent.execution_id)


def _tags(tags: bytes | None) -> None:
    try:
        sound = tags is None or isinstance(orjson.loads(tags), dict)
    except ValueError:
        sound = False
    if not sound:
        raise InvalidId("the tags are no JSON object")


def _restart(message: Restart, _partition: int, _hub: HubInfo) -> None:
    _execution(message.execution_id)


def _execution(execution_id: str) -> None:
    generation_of(execution_id)
    if not execution_id.isprintable():
        raise InvalidId(f"execution id {execution_id[:80]!a} contains control characters")


_RULES: dict[type, Callable[[Any, int, HubInfo], None]] = {Start: _start, Restart: _restart}
