"""Recorded executions as JSON: what `export` writes and `replay` reads.

`orchestrator` and `history` (events in the readable form of `durastream.wire`) are enough to replay; the rest says where
it came from: hub, ids, and the record as `show -o json` has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from durastream.cli.exits import UsageError
from durastream.core.events import Event
from durastream.core.limits import ID_BYTES_MAX, QUOTE_CHARS_MAX
from durastream.errors import WireError
from durastream.wire import event_from_json

if TYPE_CHECKING:
    from durastream.client.views import InstanceStatus
    from durastream.store.protocol import HubInfo

FORMAT: Final = 1
"""Version of the format; a file of another one is not read."""

_HISTORY: Final = "history"


@dataclass(frozen=True)
class Recorded:
    """An execution to replay."""

    orchestrator: str
    history: list[Event]
    version: str | None = None
    instance_id: str = "recorded-1"
    execution_id: str = "recorded.0"


def head(status: InstanceStatus, hub: HubInfo, record: Mapping[str, Any]) -> dict[str, Any]:
    """All of a recorded execution but its history."""
    return {
        "format": FORMAT,
        "hub": {"name": hub.name, "partitions": hub.partitions, "schema": hub.schema},
        "orchestrator": status.name,
        "version": status.version,
        "instance_id": status.id,
        "execution_id": status.execution_id,
        "instance": record,
    }


def opening(before: str) -> str:
    """The text of `head` as indented JSON, up to where the first event goes."""
    return before.removesuffix("\n}") + f',\n  "{_HISTORY}": ['


CLOSING: Final = "\n  ]\n}\n"


def read(path: Path) -> Recorded:
    """Raises UsageError for what is no recorded execution, with the place in it."""
    shown = _object(path)
    if shown.get("format", FORMAT) != FORMAT:
        raise UsageError(
            f"{path}: format {repr(shown['format'])[:QUOTE_CHARS_MAX]} is not {FORMAT}: written by another version of durastream"
        )
    given = {name: _text(path, name, shown[name]) for name in _TEXTS if shown.get(name) is not None}
    if "orchestrator" not in given or not isinstance(shown.get(_HISTORY), list):
        raise UsageError(f"{path}: no recorded execution: it needs `orchestrator` and `{_HISTORY}` (durastream export)")
    return Recorded(history=list(_events(path, shown[_HISTORY])), **given)


_TEXTS: Final = ("orchestrator", "version", "instance_id", "execution_id")


def _text(path: Path, name: str, value: object) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= ID_BYTES_MAX:
        raise UsageError(f"{path}: {name} is no text of 1 to {ID_BYTES_MAX} characters")
    return value


def _object(path: Path) -> dict[str, Any]:
    try:
        shown = orjson.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(shown, dict):
        raise UsageError(f"{path}: no recorded execution: a JSON object is needed (durastream export)")
    return shown


def _events(path: Path, shown: list[Any]) -> Iterator[Event]:
    for number, event in enumerate(shown):
        try:
            yield event_from_json(event if isinstance(event, dict) else {})
        except WireError as error:
            raise UsageError(f"{path}: event {number}: {error}") from None
