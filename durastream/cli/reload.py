"""Watch source files by their modification times."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "venv"})
_POLL_SECONDS = 0.5


def snapshot(root: Path) -> dict[str, int]:
    """Path → modification time (ns) of every Python file below `root`, hidden and installed ones left out."""
    return dict(_files(str(root)))


def _files(root: str) -> Iterator[tuple[str, int]]:
    for directory, below, names in os.walk(root):
        below[:] = [name for name in below if not name.startswith(".") and name not in _SKIPPED]
        for path in (os.path.join(directory, name) for name in names if name.endswith(".py")):
            with suppress(FileNotFoundError):  # editors replace files: it may be gone between the two looks
                yield path, os.stat(path).st_mtime_ns


def changed(before: dict[str, int], after: dict[str, int]) -> list[str]:
    """Files that are new, gone or newer, sorted."""
    return sorted({path for path, _ in before.items() ^ after.items()})


async def watch(root: Path, on_change: Callable[[list[str]], None]) -> None:
    """Call `on_change` with the files each time some have changed; for ever."""
    before = snapshot(root)
    while True:
        await asyncio.sleep(_POLL_SECONDS)
        after = await asyncio.to_thread(snapshot, root)
        if paths := changed(before, after):
            on_change(paths)
        before = after
