"""The terminal UI at a hub of 1,000,000 instances: how quick it is, and what it costs the workers.

The real application asks the real server; only the terminal is missing (Textual runs it without one). A key's time ends when
everything it led to has been drawn.

python -m benchmarks.terminal open|use|live URL COUNT
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from statistics import median
from typing import Any, Final

from textual.pilot import Pilot

import durastream as ds
from benchmarks.engine import start_worker
from benchmarks.floor import run
from benchmarks.harness import Bench, Child, Cpu, Figure, Measurement, process_cpu_s, tell
from benchmarks.planted import FEW, FEW_PREFIX, ORDER
from durastream.tui.app import TopApp
from durastream.tui.client_source import RETRY_S, ClientSource
from durastream.tui.main_screen import MainScreen
from durastream.tui.source import Row
from durastream.tui.table import Table

Found = list[Measurement | Figure]
INSTANCES: Final = 1_000_000
SIZE: Final = (80, 24)
ROUND: Final = 20_000  # orchestrations of one round of throughput
PAIRS: Final = 8  # of rounds
PAGES: Final = 20
_STARTS: Final = 3
_WATCHED_S: Final = 10.0
_LOG_MAX: Final = 100_000
_PATIENCE_S: Final = 20.0
_MODULE: Final = "benchmarks.terminal"


def terminal(bench: Bench) -> Found:
    """1,000,000 instances in the hub: first rows, scrolling and filters of `durastream top`, and what it costs the workers."""
    worker = start_worker(bench)
    return [*_filled(bench), *_started(bench), *_used(bench), *_idle(bench), *_beside(bench, worker)]


def _filled(bench: Bench) -> Found:
    count = bench.count(INSTANCES)
    told = bench.ask("benchmarks.planted", "plant", count)
    return [
        Figure(f"{count:,} instances planted", told["seconds"], "s"),
        Figure("server memory for them", told["bytes"] / 2**20, "MiB"),
        Figure("server memory of one, a few with history", told["bytes"] / count, "bytes"),
    ]


def _started(bench: Bench) -> Found:
    """Each time in a process of its own: nothing is warm."""
    painted, whole = [], []
    for _ in range(_STARTS):
        began = time.perf_counter()
        painted.append(_ask(bench, "open")["painted"])
        whole.append(time.perf_counter() - began)
    return [
        Figure("top: from connecting to the first rows", median(painted), "s", "under 1"),
        Figure("the same, with the start and end of Python", median(whole), "s"),
    ]


def _used(bench: Bench) -> Found:
    with bench.redis() as server:
        server.config_set("slowlog-max-len", _LOG_MAX)
        server.config_set("slowlog-log-slower-than", 0)
        server.slowlog_reset()
        told = _ask(bench, "use")
        server.config_set("slowlog-log-slower-than", -1)
        commands = sorted(server.slowlog_get(_LOG_MAX), key=lambda entry: int(entry["duration"]))
    longest, most = commands[-1], commands[len(commands) * 999 // 1_000]
    return [
        Figure("top: a page down, p50", told["page_p50"], "ms", "at most 50"),
        Figure("the same, p99", told["page_p99"], "ms", "at most 150"),
        Figure("filter status:failed, first rows", told["status"], "ms", "at most 500"),
        Figure(f"filter id:{FEW_PREFIX}, all {FEW}", told["prefix"], "ms", "at most 2,000"),
        Figure("filter id:=… (one instance)", told["exact"], "ms", "at most 500"),
        Figure("without a filter again, first rows", told["cleared"], "ms", "at most 500"),
        Figure(f"longest command of the server ({_name(longest)})", longest["duration"] / 1_000, "ms", "never over 50"),
        Figure("999 of 1,000 took no longer than", most["duration"] / 1_000, "ms", "at most 5"),
    ]


def _name(entry: dict[str, Any]) -> str:
    """The command without its arguments."""
    command: bytes = entry["command"]
    return command.partition(b" ")[0].decode()


def _idle(bench: Bench) -> Found:
    """While nothing else happens."""
    live = _live(bench)
    with bench.redis() as server:
        before = _seen(server, live)
        time.sleep(_WATCHED_S)
        of_ui, of_server, commands = (
            (now - then) / _WATCHED_S for now, then in zip(_seen(server, live), before, strict=True)
        )
    live.stop()
    return [
        Figure("top live, nothing going on: its CPU", 100 * of_ui, "% of a core", "at most 5"),
        Figure("the server's, worker idle", 100 * of_server, "% of a core"),
        Figure("server commands, with those of the worker", commands, "per second"),
    ]


def _seen(server: Any, live: Child) -> tuple[float, float, float]:
    cpu = server.info("cpu")
    of_server = float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])
    return process_cpu_s(live.pid), of_server, float(server.info("stats")["total_commands_processed"])


def _live(bench: Bench) -> Child:
    """The UI, live at the newest instances until it is stopped."""
    live = bench.python("-m", _MODULE, "live", bench.url, str(bench.count(INSTANCES)))
    assert live.line() == "live"
    return live


def _ask(bench: Bench, mode: str) -> dict[str, float]:
    return bench.ask(_MODULE, mode, bench.count(INSTANCES))


# ---------------------------------------------------------------- throughput beside it


def _beside(bench: Bench, worker: Child) -> Found:
    """Pairs of short rounds, without first and with first in turn: what changes with time harms both alike."""
    without, beside, used = list[Measurement](), list[Measurement](), list[float]()
    _round(bench, worker)
    for number in range(PAIRS):
        if number % 2:
            without.append(_round(bench, worker))
        live = _live(bench)
        before = process_cpu_s(live.pid)
        beside.append(_round(bench, worker))
        used.append((process_cpu_s(live.pid) - before) / beside[-1].seconds)
        live.stop()
        if not number % 2:
            without.append(_round(bench, worker))
    ratio = median(one.rate / other.rate for one, other in zip(beside, without, strict=True))
    name = "bulk, hub full"
    return [
        _all(name, without, None),
        _all(f"{name}, top open", beside, name),
        Figure("throughput with top open, against without", ratio, "", "at least 0.95"),
        Figure("top live under load: its CPU", 100 * median(used), "% of a core", "at most 10"),
    ]


def _round(bench: Bench, worker: Child) -> Measurement:
    client = bench.python("-m", "benchmarks.engine", "bulk", bench.url, str(bench.count(ROUND)))
    return bench.measure("", "orchestrations", client, [worker.pid])


def _all(name: str, rounds: Sequence[Measurement], base: str | None) -> Measurement:
    cpu = Cpu(*(sum(parts) for parts in zip(*(one.cpu for one in rounds), strict=True)))
    items, seconds = sum(one.items for one in rounds), sum(one.seconds for one in rounds)
    return Measurement(name, "orchestrations", items, seconds, cpu, base)


# ---------------------------------------------------------------- in the process of the UI


class Watched(TopApp):
    """Tells when something has been drawn."""

    def __init__(self, source: ClientSource) -> None:
        super().__init__(source)
        self._drawn = asyncio.Event()

    def post_display_hook(self) -> None:
        self._drawn.set()

    @property
    def table(self) -> Table[Row]:
        return self.main.instances.table

    async def until(self, seen: Callable[[Sequence[Row]], bool]) -> None:
        """Until this is true of the table's rows, and all that is to be drawn by then is drawn."""
        async with asyncio.timeout(_PATIENCE_S):
            while not (isinstance(self.screen, MainScreen) and self.screen.is_mounted and seen(self.table.items)):
                self._drawn.clear()
                await self._drawn.wait()
            done = asyncio.Event()
            self.table.call_after_refresh(done.set)
            await done.wait()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[tuple[Watched, Pilot[None]]]:
    """As `durastream top` opens it, up to the first rows."""
    async with ds.Client(url, retry_for_s=RETRY_S) as client:
        app = Watched(ClientSource(client, "localhost"))
        async with app.run_test(size=SIZE) as pilot:
            await app.until(lambda rows: len(rows) >= app.table.page)
            yield app, pilot


async def _open(url: str, _count: int) -> dict[str, float]:
    began = time.perf_counter()
    async with opened(url):
        return {"painted": time.perf_counter() - began}


async def _use(url: str, count: int) -> dict[str, float]:
    async with opened(url) as (app, pilot):
        pages = sorted([await _page_down(app) for _ in range(3 * PAGES)])
        shown = app.table.page
        wanted = ORDER.id(count // 20 * 10)

        async def filtered(text: str, seen: Callable[[Sequence[Row]], bool]) -> float:
            return await _filter(app, pilot, text, seen)

        return {
            "page_p50": pages[len(pages) // 2] * 1_000,
            "page_p99": pages[len(pages) * 99 // 100] * 1_000,
            "status": await filtered("status:failed", lambda rows: len(rows) >= shown and _all_failed(rows)),
            "prefix": await filtered(f"id:{FEW_PREFIX}", lambda rows: len(rows) == FEW),
            "exact": await filtered(f"id:={wanted}", lambda rows: [row.id for row in rows] == [wanted]),
            "cleared": await filtered("", lambda rows: len(rows) >= shown),
        }


def _all_failed(rows: Sequence[Row]) -> bool:
    return {row.status for row in rows} == {"Failed"}


async def _page_down(app: Watched) -> float:
    """Until the cursor is a page further; pressed again where not so many rows were there yet."""
    began, table = time.perf_counter(), app.table
    target = table.cursor + table.page
    while table.cursor < target:
        here = table.cursor
        if len(table.items) == here + 1:
            await app.until(lambda rows, here=here: len(rows) > here + 1)  # type: ignore[misc]
        app.simulate_key("pagedown")
        await app.until(lambda _, here=here: table.cursor > here)  # type: ignore[misc]
    return time.perf_counter() - began


async def _filter(app: Watched, pilot: Pilot[None], text: str, seen: Callable[[Sequence[Row]], bool]) -> float:
    """Milliseconds from the enter key on."""
    await pilot.press("slash", "ctrl+u", *text)
    began = time.perf_counter()
    app.simulate_key("enter")
    await app.until(seen)
    return (time.perf_counter() - began) * 1_000


async def _stay_live(url: str, _count: int) -> None:
    async with opened(url):
        print("live", flush=True)
        await asyncio.to_thread(sys.stdin.read)


ANSWERS: Final[dict[str, Callable[[str, int], Coroutine[Any, Any, dict[str, float]]]]] = {"open": _open, "use": _use}


async def drive(mode: str, url: str, count: int) -> None:
    if mode == "live":
        await _stay_live(url, count)
    else:
        await asyncio.to_thread(tell, await ANSWERS[mode](url, count))


def main(mode: str, url: str, count: str) -> None:
    run(drive(mode, url, int(count)))


if __name__ == "__main__":
    main(*sys.argv[1:])
