"""`worker`: run an app, in this process or in several."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from durastream.cli import completion, target
from durastream.cli.exits import OK, UsageError
from durastream.cli.flags import command
from durastream.cli.logs import Level, LogFormat, to_stderr
from durastream.cli.reload import watch
from durastream.cli.session import Session
from durastream.cli.supervisor import Child, Supervisor, stop_with_parent, worker_command

if TYPE_CHECKING:
    from durastream.app import App


@dataclass(frozen=True)
class WorkerFlags:
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="The app to run, for example shop.flows:app.")]
    queues: Annotated[
        str | None,
        typer.Option(
            "--queues",
            metavar="A,B",
            help="Activity queues to serve; `default` if left out.",
            autocompletion=completion.queues,
        ),
    ] = None
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", "-c", min=1, help="Activities at once in each process.")
    ] = None
    processes: Annotated[int, typer.Option("--processes", "-p", min=1, help="Worker processes.")] = 1
    lease: Annotated[
        float | None,
        typer.Option(
            "--lease", metavar="SECONDS", min=0.5, help="After this long without a sign of life, others take over."
        ),
    ] = None
    reload: Annotated[
        bool, typer.Option("--reload", help="Start again when a .py file below the current directory changes.")
    ] = False
    until_idle: Annotated[bool, typer.Option("--until-idle", help="Exit once nothing is left that can run.")] = False
    name: Annotated[str | None, typer.Option("--name", help="Shown in lists and logs.")] = None
    log_level: Annotated[Level, typer.Option("--log-level", help="What is worth a line on stderr.")] = Level.INFO
    log_format: Annotated[LogFormat, typer.Option("--log-format", help="Of those lines.")] = LogFormat.TEXT
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "worker",
        body=worker,
        flags=WorkerFlags,
        examples=[
            "durastream worker workers.quickstart:app",
            "durastream worker shop.flows:app --processes 4 --concurrency 50 --redis redis://db:6379",
            "durastream worker shop.flows:app --reload",
        ],
    )


async def worker(session: Session, flags: WorkerFlags) -> int:
    """Run an app's orchestrators and activities until SIGTERM or Ctrl-C; a second signal ends it at once."""
    if flags.reload and flags.until_idle:
        raise UsageError("--reload and --until-idle exclude each other")
    if flags.reload or flags.processes > 1:
        return await _supervise(session, flags)
    if flags.supervised:
        stop_with_parent()
    to_stderr(flags.log_level, flags.log_format)
    await work(session, flags, target.load(flags.target))
    return OK


async def work(session: Session, flags: WorkerFlags, app: App) -> None:
    """Be a worker until told to stop, or until idle."""
    from durastream.worker import Worker

    options: dict[str, Any] = {
        "concurrency": flags.concurrency,
        "queues": [name.strip() for name in flags.queues.split(",") if name.strip()] if flags.queues else None,
        "lease": flags.lease,
        "name": flags.name,
    }
    given = {name: value for name, value in options.items() if value is not None}
    runner = Worker(app, session.url, hub=session.hub, **given)
    await (runner.run_until_idle() if flags.until_idle else runner.run())


async def _supervise(session: Session, flags: WorkerFlags) -> int:
    if not flags.reload:
        target.load(flags.target)  # a wrong target is told once, not by every child
    children = [Child(worker_command(_arguments(session, flags, number))) for number in range(1, flags.processes + 1)]
    supervisor = Supervisor(children, session.printer.note)
    stop_on_signals(supervisor.stop)
    watcher = asyncio.create_task(_reload_on_change(session, supervisor)) if flags.reload else None
    try:
        return await supervisor.run()
    finally:
        if watcher is not None:
            watcher.cancel()


def _arguments(session: Session, flags: WorkerFlags, number: int) -> list[str]:
    """The flags that child `number` gets."""
    named = {
        "--redis": session.redis,
        "--hub": session.hub,
        "--queues": flags.queues,
        "--concurrency": flags.concurrency,
        "--lease": flags.lease,
        "--log-level": flags.log_level.value,
        "--log-format": flags.log_format.value,
        "--name": f"{flags.name}-{number}" if flags.name else None,
    }
    given = [f"{name}={value}" for name, value in named.items() if value is not None]
    return [flags.target, *given, *(["--until-idle"] if flags.until_idle else [])]


async def _reload_on_change(session: Session, supervisor: Supervisor) -> None:
    def reload(paths: list[str]) -> None:
        session.printer.note(f"changed: {', '.join(paths[:3])}; starting again")
        supervisor.reload()

    await watch(Path.cwd(), reload)


def stop_on_signals(stop: Callable[[], None]) -> None:
    """Call `stop` at each SIGINT and SIGTERM."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
