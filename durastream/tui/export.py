"""A recorded execution as a JSON file, as `durastream replay` reads it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any, Final

import orjson

from durastream.core.events import Event
from durastream.tui.source import Source
from durastream.wire import event_to_json

_PAGE: Final = 500
_NAME_MAX: Final = 100
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


async def export(source: Source, instance_id: str, directory: Path) -> Path:
    """Write the history of the present execution to a new file, and say to which. Raises DurastreamError, OSError."""
    status = await source.status(instance_id)
    events: list[Event] = []
    while page := await source.events(instance_id, len(events), _PAGE):
        events += page
    told = {
        "orchestrator": status.name,
        "version": status.version,
        "instance_id": status.id,
        "execution_id": status.execution_id,
        "history": [event_to_json(event) for event in events],
    }
    return await asyncio.to_thread(_write, directory, file_name(instance_id), told)


def file_name(instance_id: str) -> str:
    """A name that is harmless whatever the id is."""
    return _UNSAFE.sub("_", instance_id[:_NAME_MAX]).lstrip(".") or "instance"


def _write(directory: Path, name: str, content: dict[str, Any]) -> Path:
    """Never over a file that is there already."""
    data = orjson.dumps(content, option=orjson.OPT_INDENT_2)
    for count in range(1, 1_000):
        path = directory / (f"{name}.history.json" if count == 1 else f"{name}-{count}.history.json")
        try:
            with path.open("xb") as file:
                file.write(data)
        except FileExistsError:
            continue
        return path
    raise FileExistsError(f"{directory}: a thousand exports of {name} are there already")
