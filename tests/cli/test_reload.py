from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from durastream.cli import reload

pytestmark = pytest.mark.anyio


def test_snapshot_sees_sources_only(tmp_path: Path) -> None:
    for name in ("a.py", "inner/b.py", "notes.txt", ".hidden/c.py", "node_modules/d.py", "__pycache__/e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    assert {Path(path).name for path in reload.snapshot(tmp_path)} == {"a.py", "b.py"}


def test_changed_names_what_is_new_gone_and_newer() -> None:
    before = {"same": 1, "newer": 1, "gone": 1}
    assert reload.changed(before, {"same": 1, "newer": 2, "new": 1}) == ["gone", "new", "newer"]


async def test_watch_tells_what_changed(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("")
    told: asyncio.Queue[list[str]] = asyncio.Queue()
    watcher = asyncio.create_task(reload.watch(tmp_path, told.put_nowait))
    await asyncio.sleep(0)  # the first look
    os.utime(source, (1, 1))
    assert await asyncio.wait_for(told.get(), 20) == [str(source)]
    watcher.cancel()
