"""How a command is declared: an async function of a session and a frozen dataclass whose fields are its flags.

The global flags (`--redis`, `--hub`, `-o`) are taken before and after the command's name; the nearer one counts, and
both come before the environment. Every other flag has the variable DURASTREAM_<COMMAND>_<FLAG>.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import MISSING, dataclass, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from durastream import errors
from durastream.cli.exits import OK, exit_code
from durastream.cli.output import Format
from durastream.cli.session import DEFAULT_HUB, Session

F = TypeVar("F")
Body = Callable[[Session, F], Awaitable[int | None]]


@dataclass(frozen=True)
class NoFlags:
    """For commands that have none of their own."""


_ENVIRONMENT = {
    "redis": "DURASTREAM_REDIS_URL",
    "hub": "DURASTREAM_HUB",
    "output": "DURASTREAM_OUTPUT",
}


def _near(name: str, *decls: str, help: str, metavar: str | None = None) -> Any:
    """A global flag after the command's name. Its variable belongs to the flag before it, so that the flag wins."""
    told = f"{help} [env var: {_ENVIRONMENT[name]}]"
    return typer.Option(*decls, metavar=metavar, help=told, allow_from_autoenv=False, show_envvar=False)


@dataclass(frozen=True)
class GlobalFlags:
    """As given at one place of the command line: None where absent."""

    redis: Annotated[str | None, _near("redis", "--redis", metavar="URL", help="Server.")] = None
    hub: Annotated[str | None, _near("hub", "--hub", metavar="NAME", help="Task hub.")] = None
    output: Annotated[Format | None, _near("output", "--output", "-o", help="What stdout gets.")] = None


def root(
    ctx: typer.Context,
    redis: Annotated[
        str | None,
        typer.Option("--redis", metavar="URL", envvar=_ENVIRONMENT["redis"], help="Redis or Valkey server."),
    ] = None,
    hub: Annotated[
        str, typer.Option("--hub", metavar="NAME", envvar=_ENVIRONMENT["hub"], help="Task hub.")
    ] = DEFAULT_HUB,
    *,
    output: Annotated[
        Format, typer.Option("--output", "-o", envvar=_ENVIRONMENT["output"], help="What stdout gets.")
    ] = Format.TEXT,
) -> None:
    """Durable execution for Python on Redis: orchestrations that survive any crash."""
    ctx.obj = Session(redis, hub, output)


def command(
    app: typer.Typer, name: str, *, body: Body[F], flags: type[F], examples: Iterable[str], help: str | None = None
) -> None:
    """Register `body` as a command. `examples` are shown in its help and must work as they stand."""
    epilog = "\n".join(["\b", "Examples:", *(f"  {line}" for line in examples)])
    app.command(name, help=help or inspect.getdoc(body), epilog=epilog)(_entry(body, flags))


def _entry(body: Body[F], flags: type[F]) -> Callable[..., None]:
    """The function typer sees: its signature is made of the dataclass fields."""
    own = [field.name for field in fields(flags)]  # type: ignore[arg-type]

    def entry(ctx: typer.Context, **values: Any) -> None:
        near = GlobalFlags(values.pop("redis"), values.pop("hub"), values.pop("output"))
        session = _nearest(ctx.obj, near)
        raise typer.Exit(run(session, body, flags(**{name: values[name] for name in own})))

    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    parameters = [context, *_parameters(flags), *_parameters(GlobalFlags)]
    entry.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    entry.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return entry


def _parameters(flags: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(flags, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.default is MISSING else field.default,
            annotation=hints[field.name],
        )
        for field in fields(flags)
    ]


def _nearest(far: Session, near: GlobalFlags) -> Session:
    return Session(near.redis or far.redis, near.hub or far.hub, near.output or far.format)


def run(session: Session, body: Body[F], flags: F) -> int:
    """Run a command to its exit code. Errors of this package become a message and a code; others are bugs and show."""
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_main(body, session, flags)) or OK
    except errors.DurastreamError as error:
        session.printer.error("\n".join([str(error) or type(error).__name__, *getattr(error, "__notes__", ())]))
        return exit_code(error)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


async def _main(body: Body[F], session: Session, flags: F) -> int | None:
    """Run the command; SIGTERM cancels it, so that what it started is stopped. A worker sets a handler of its own."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await body(session, flags)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed (an extra), else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop
