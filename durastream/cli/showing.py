"""`show`: one instance on one page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from durastream.cli import bars, completion, times
from durastream.cli.flags import command
from durastream.cli.output import cell, status_cell, to_json
from durastream.cli.records import finding_record, status_record, wait_record
from durastream.cli.session import Session
from durastream.core import events as ev
from durastream.inspect import ages, sanitize
from durastream.inspect.diagnose import diagnose_instance
from durastream.inspect.diagrams import to_dot, to_mermaid
from durastream.inspect.fetch import fetch_instance
from durastream.inspect.graph import graph
from durastream.inspect.steps import steps
from durastream.inspect.waiting import summary

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.client.views import InstanceStatus
    from durastream.inspect.facts import InstanceFacts
    from durastream.inspect.finding import Finding
    from durastream.inspect.steps import Step

_EVENTS = 400  # of the end of the history, which the timeline is drawn from
_STEPS_MAX = 40
_PIPE_CELLS = 100  # a drawing has some width, even where nobody says how wide the paper is
_PAYLOAD_CHARS = 4_000
_SHORT_CHARS = 64  # of a payload that fits in one line
_ERROR_CHARS = 8_000

SEVERITIES: Final = {"error": ("✘", "red"), "warning": ("!", "yellow"), "info": ("i", "cyan")}


@dataclass(frozen=True)
class IdFlags:
    id: Annotated[str, typer.Argument(metavar="ID", help="Instance id.", autocompletion=completion.ids)]


class GraphFormat(StrEnum):
    """A language of diagrams."""

    MERMAID = "mermaid"
    DOT = "dot"


@dataclass(frozen=True)
class ShowFlags(IdFlags):
    graph: Annotated[
        GraphFormat | None, typer.Option("--graph", help="Its steps as a diagram instead, for Mermaid or Graphviz.")
    ] = None


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "show",
        body=show,
        flags=ShowFlags,
        examples=[
            "durastream show order-7",
            "durastream show order-7 -o json | jq .output",
            "durastream show order-7 --graph dot | dot -Tsvg > order-7.svg",
        ],
    )


async def show(session: Session, flags: ShowFlags) -> None:
    """Show one instance: state, what is wrong, what it waits for, its steps on a line of time, input, output, error."""
    async with session.client() as client:
        if flags.graph is not None:
            await _graph(session, client, await fetch_instance(client, flags.id, ask=False), flags.graph)
            return
        facts = await fetch_instance(client, flags.id, history=_EVENTS)
        found = diagnose_instance(facts)
        line = await _steps(client, facts)
    now = facts.hub.overview.now
    record = status_record(facts.status) | {
        "findings": [finding_record(one) for one in found],
        "waits": [wait_record(one, now) for one in facts.waits],
    }
    console = session.printer.stdout
    session.printer.data(record, text=lambda: Group(*_page(facts, found, line, console)))


async def _graph(session: Session, client: Client, facts: InstanceFacts, form: GraphFormat) -> None:
    drawn = graph(facts.history, facts.first, timers_set=await _timers_set(client, facts))
    text = to_mermaid(drawn) if form is GraphFormat.MERMAID else to_dot(drawn)
    if drawn.partial:
        session.printer.note(f"the last {len(facts.history):,} events only")
    session.printer.text({"graph": text}, text)


async def _steps(client: Client, facts: InstanceFacts) -> list[Step]:
    return steps(facts.history, facts.first, timers_set=await _timers_set(client, facts))


async def _timers_set(client: Client, facts: InstanceFacts) -> frozenset[int] | None:
    """Timers that were given up look like those still awaited, unless the server is asked."""
    timers = [number for number, event in enumerate(facts.history, facts.first) if isinstance(event, ev.TimerCreated)]
    return None if facts.status.ended or not timers else await client.timers_set(facts.status, timers)


def _page(
    facts: InstanceFacts, found: Sequence[Finding], line: Sequence[Step], console: Console
) -> Iterator[RenderableType]:
    status, now = facts.status, facts.hub.overview.now
    yield Text.assemble((sanitize.line(status.id, 1_024), "bold"), "  ", status_cell(status.runtime_status))
    if found:
        yield findings(found)
    yield _facts(status, now)
    if facts.waits:
        yield Text.assemble(("waits for  ", "bold"), sanitize.line(summary(facts.waits, now), 600))
    yield from _timeline(facts, line, console)
    yield from _payloads(status)


def findings(found: Sequence[Finding]) -> Table:
    """Each with what to do about it; what is too long for a line goes on below its own beginning."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for one in found:
        symbol, style = SEVERITIES[one.severity]
        grid.add_row(Text(symbol, style=f"bold {style}"), Text(sanitize.line(one.text, 1_000), style=style))
        grid.add_row("", Text("→ " + sanitize.line(one.advice, 1_000)))
    return grid


def _facts(status: InstanceStatus, now: datetime) -> Table:
    facts = {
        "orchestrator": status.name if status.version is None else f"{status.name} (version {status.version})",
        "created": f"{times.clock(status.created_at)} ({ages.ago(status.created_at, now)})",
        "took": ages.words(status.completed_at - status.created_at) if status.completed_at else None,
        "parent": status.parent_id,
        "starts": times.clock(status.start_at) if status.start_at else None,
        "tags": ", ".join(f"{key}={value}" for key, value in status.tags.items()),
        "custom status": None if status.custom_status is None else to_json(status.custom_status),
        "history": f"{status.events:,} events, execution {status.execution_id}, partition {status.partition}",
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        if value:
            grid.add_row(Text(name, style="dim"), cell(value, 200))
    return grid


def _timeline(facts: InstanceFacts, line: Sequence[Step], console: Console) -> Iterator[RenderableType]:
    shown = line[-_STEPS_MAX:]
    if shown or facts.first:
        yield Text("")
    if facts.first or len(shown) < len(line):
        what = f"the last {len(shown):,} steps" if shown else f"no step began in the last {len(facts.history):,} events"
        yield Text(sanitize.line(f"{what}; all of it: durastream history {facts.status.id}", 400), style="dim")
    if shown:
        width = console.width if console.is_terminal else _PIPE_CELLS
        yield bars.drawn(shown, facts.status.completed_at or facts.hub.overview.now, width)


def _payloads(status: InstanceStatus) -> Iterator[Text]:
    for name, value in (("input", status.input), ("output", status.output)):
        if value is not None:
            yield _payload(name, value)
    if status.failure is not None:
        text = f"{status.failure.type}: {status.failure.message}\n{status.failure.stack}".rstrip()
        yield Text.assemble("\n", ("error", "bold red"), "  ", sanitize.block(text, _ERROR_CHARS))


def _payload(name: str, value: Any) -> Text:
    short = to_json(value)
    text = short if len(short) <= _SHORT_CHARS else to_json(value, indent=True)
    return Text.assemble("\n", (name, "bold"), "  ", sanitize.block(text, _PAYLOAD_CHARS))
