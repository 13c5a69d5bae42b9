"""`demo`: real workers on a real server, one killed half way, and the proof that nothing was lost or done twice."""

from __future__ import annotations

import asyncio
import secrets
import signal
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from durastream import errors
from durastream.cli.demo_view import Picture, View, verdict_lines
from durastream.cli.demo_witness import Run, Verdict, judge, read_runs
from durastream.cli.exits import FAILED, OK
from durastream.cli.flags import command
from durastream.cli.next_steps import after_demo
from durastream.cli.output import Format, payload
from durastream.cli.server import a_server
from durastream.cli.session import Session
from durastream.cli.supervisor import Child, worker_command
from durastream.core.events import TaskCompleted, TaskScheduled
from durastream.core.status import TERMINAL
from durastream.store.redis import RedisStore
from durastream.store.redis.hubs import delete_hub

if TYPE_CHECKING:
    from durastream.client import Client

STEPS = ("reserve", "charge", "pack", "label", "ship")
_APP = "durastream.cli.demo_app:app"
_LEASE_SECONDS = 2.0
_CONCURRENCY = 4
_TICK_SECONDS = 0.1
_QUIET_SECONDS = 0.1  # after a step's end, its outcome has reached the server: commits take about 1 ms
_STOPPED_SECONDS = 0.005  # a process on another core stops when the signal gets there, not at once
_READY_SECONDS = 30.0
_SETTLED_SECONDS = 1.2  # more than two heartbeats: whoever was to hand over or take has done so
_STOP_SECONDS = 5.0
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class DemoFlags:
    instances: Annotated[int, typer.Option("--instances", "-n", min=1, max=200, help="Orders to run.")] = 12
    workers: Annotated[int, typer.Option("--workers", min=2, max=8, help="Worker processes.")] = 3
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=10, help="How long each step takes.")] = 0.5
    kill: Annotated[bool, typer.Option("--kill/--no-kill", help="Kill one worker half way.")] = True


class DemoFailed(errors.DurastreamError):
    """The demo did not come to its end."""


@dataclass
class Scene:
    """Everything the demo runs with."""

    client: Client
    view: View
    picture: Picture
    workers: dict[str, Child]
    witness: Path
    kill: bool
    done_by: float = field(default_factory=lambda: time.monotonic() + _PATIENCE_SECONDS)

    def others(self) -> str:
        return " and ".join(name for name in self.workers if name != self.picture.killed)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "demo",
        body=demo,
        flags=DemoFlags,
        examples=["durastream demo", "durastream demo --instances 30 --workers 4"],
    )


async def demo(session: Session, flags: DemoFlags) -> int:
    """Watch orchestrations survive a killed worker.

    Starts a server and worker processes, runs a dozen orders of five steps each, kills a worker half way with SIGKILL,
    and proves that each step is recorded once and none that was finished ran again.
    """
    printer = session.printer
    console = printer.stdout if printer.format is Format.TEXT else printer.stderr
    with tempfile.TemporaryDirectory(prefix="durastream-demo-") as directory, View(console) as view:
        async with _server(session, view) as there:
            killed, verdict = await _play(there, flags, view=view, directory=Path(directory))
    if verdict.wrong:
        for fault in verdict.wrong[:20]:
            printer.error(fault)
        return FAILED
    printer.data(
        asdict(verdict) | {"run_again": verdict.run_again, "killed": killed},
        text=lambda: "\n".join(["", *verdict_lines(verdict, killed), "", after_demo()]),
    )
    return OK


@asynccontextmanager
async def _server(session: Session, view: View) -> AsyncIterator[Session]:
    """A session on a server, with a hub of its own that is deleted afterwards."""
    there = replace(session, hub=f"demo-{secrets.token_hex(3)}")
    async with a_server(session.redis, say=view.say) as url:
        yield replace(there, redis=url)
        if session.redis is not None:
            await _clean_up(replace(there, redis=url))


async def _clean_up(there: Session) -> None:
    store = await RedisStore.open(there.url, there.hub)
    for worker in await store.workers():  # the killed one could not say goodbye
        await store.leave(worker.worker_id)
    await store.close()
    await delete_hub(there.url, there.hub)


async def _play(there: Session, flags: DemoFlags, *, view: View, directory: Path) -> tuple[str | None, Verdict]:
    witness = directory / "witness.jsonl"
    names = [f"shop-{number}" for number in range(1, flags.workers + 1)]
    workers = {name: _worker(there, flags, name, witness) for name in names}
    orders = [f"order-{number:02}" for number in range(1, flags.instances + 1)]
    try:
        for child in workers.values():
            await child.start()
        async with there.client() as client:
            scene = Scene(client, view, Picture(orders, STEPS), workers, witness, flags.kill)
            await _begin(scene)
            await _watch(scene)
            recorded = {order: await _recorded(client, order) for order in orders}
            killed = scene.picture.killed
            return killed, judge(read_runs(witness), recorded, orders=orders, steps=STEPS, killed=killed)
    except errors.DurastreamError as error:
        if words := _last_words(directory):
            error.add_note(words)
        raise
    finally:
        await _stop(workers.values())


def _worker(there: Session, flags: DemoFlags, name: str, witness: Path) -> Child:
    options = {
        "--redis": there.url,
        "--hub": there.hub,
        "--lease": _LEASE_SECONDS,
        "--concurrency": _CONCURRENCY,
        "--name": name,
    }
    return Child(
        worker_command([_APP, *(f"{key}={value}" for key, value in options.items())]),
        environment={
            "DURASTREAM_DEMO_WITNESS": str(witness),
            "DURASTREAM_DEMO_WORKER": name,
            "DURASTREAM_DEMO_STEP_SECONDS": str(flags.seconds),
        },
        log=witness.with_name(f"{name}.log"),
    )


async def _begin(scene: Scene) -> None:
    """Wait until the workers have shared the partitions, then start all orders at once."""
    shares = await _settled(scene)
    for name, child in scene.workers.items():
        scene.view.say(f"worker {name} is process {child.pid} and owns {shares[name]} of {shares.total()} partitions")
    orders = list(scene.picture.orders)
    await scene.client.start_many("order", orders, instance_ids=orders)
    scene.view.say(f"started {len(orders)} orders of {len(STEPS)} steps each")


async def _settled(scene: Scene) -> Counter[str | None]:
    """Partitions of each worker, once all workers are there and the shares have stood still for a while."""
    ready_by, stood_since, shares = time.monotonic() + _READY_SECONDS, time.monotonic(), Counter[str | None]()
    while None in shares or time.monotonic() < stood_since + _SETTLED_SECONDS:
        before, shares = shares, Counter(lease.owner for lease in await scene.client.partitions())
        if before != shares or len(await scene.client.workers()) < len(scene.workers):
            stood_since = time.monotonic()
        _all_alive(scene)
        if time.monotonic() > ready_by:
            raise DemoFailed(f"the workers have not shared the partitions after {_READY_SECONDS:g} s")
        await asyncio.sleep(_TICK_SECONDS)
    return shares


async def _watch(scene: Scene) -> None:
    """Show how it goes, until every order has ended; kill a worker on the way."""
    while True:
        await _look(scene)
        scene.view.show(scene.picture)
        if all(scene.picture.statuses.get(order) in TERMINAL for order in scene.picture.orders):
            return
        if time.monotonic() > scene.done_by:
            raise DemoFailed(f"not done after {_PATIENCE_SECONDS:g} s")
        _all_alive(scene)
        if scene.kill and scene.picture.killed is None and _half_way(scene.picture):
            _try_to_kill(scene)
        await asyncio.sleep(_TICK_SECONDS)


async def _look(scene: Scene) -> None:
    scene.picture.runs = read_runs(scene.witness)
    async for status in scene.client.list(limit=None):
        scene.picture.statuses[status.id] = status.runtime_status


def _half_way(picture: Picture) -> bool:
    return picture.steps_done * 5 >= len(picture.orders) * len(picture.steps) * 2


def _try_to_kill(scene: Scene) -> None:
    """Kill the busiest worker, in a moment when what it has finished is surely recorded; else try again later.

    It is stopped first, so that the look at the witness file and the kill are one moment: a step that ends between the
    two, with its outcome on the way, would be run again, and rightly so, but could not be told from a fault.
    """
    name = max(scene.workers, key=lambda worker: len(scene.picture.running(worker)))
    child = scene.workers[name]
    child.signal(signal.SIGSTOP)
    time.sleep(_STOPPED_SECONDS)
    now, runs = time.time(), read_runs(scene.witness)
    mine = [run for run in runs if run.worker == name]
    if not _quiet(mine, now):
        child.signal(signal.SIGCONT)
        return
    child.signal(signal.SIGKILL)
    scene.picture.killed = name
    cut_off = sum(run.done is None for run in mine)
    scene.view.say(f"kill -9 {child.pid}: worker {name} is dead, {cut_off} steps cut off", "bold red")
    scene.view.say(f"{scene.others()} take over when its lease has run out, in about {_LEASE_SECONDS:g} s")


def _quiet(mine: Sequence[Run], now: float) -> bool:
    """Whether something is running, and nothing has just begun or ended."""
    last = max((run.done or run.begun for run in mine), default=now)
    return any(run.done is None for run in mine) and now - last > _QUIET_SECONDS


def _all_alive(scene: Scene) -> None:
    for name, child in scene.workers.items():
        if not child.running and name != scene.picture.killed:
            raise DemoFailed(f"{name} ended by itself")


async def _recorded(client: Client, order: str) -> list[str]:
    """The steps whose success the history of `order` holds."""
    history = await client.history(order)
    scheduled = {number: event for number, event in enumerate(history) if isinstance(event, TaskScheduled)}
    done = [scheduled[event.task] for event in history if isinstance(event, TaskCompleted)]
    return [payload(event.input)["step"] for event in done]


async def _stop(children: Iterable[Child]) -> None:
    """Stop the workers: gently first, then not."""
    await asyncio.gather(*(_stop_one(child) for child in children if child.running))


async def _stop_one(child: Child) -> None:
    child.signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(child.wait(), _STOP_SECONDS)
    except TimeoutError:
        child.signal(signal.SIGKILL)
        await child.wait()


def _last_words(directory: Path) -> str:
    """The end of what each worker wrote to its log."""
    texts = {log.stem: log.read_text(encoding="utf-8", errors="replace").strip() for log in directory.glob("*.log")}
    return "\n".join(f"--- {name}\n{text[-2_000:]}" for name, text in sorted(texts.items()) if text)
