"""`doctor`: is the server fit, is the hub worked on, does anything stand still? Each finding with what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from durastream.cli.exits import FAILED, OK
from durastream.cli.flags import NoFlags, command
from durastream.cli.output import cell
from durastream.cli.records import finding_record
from durastream.cli.session import Session
from durastream.cli.showing import findings
from durastream.errors import HubNotFound
from durastream.inspect import ages
from durastream.inspect.diagnose import Finding, diagnose_hub, diagnose_instance
from durastream.inspect.fetch import fetch_hub, fetch_instance
from durastream.inspect.filter import parse

if TYPE_CHECKING:
    from durastream.client import Client
    from durastream.inspect.facts import HubFacts
    from durastream.store.protocol import HubInfo

_STUCK_SHOWN = 5


@dataclass(frozen=True)
class Report:
    """What was looked at, as (what, in words) pairs, and what was found."""

    checks: Sequence[tuple[str, str]]
    findings: Sequence[Finding]
    facts: HubFacts
    hub: HubInfo

    @property
    def code(self) -> int:
        return FAILED if any(one.severity != "info" for one in self.findings) else OK


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "doctor",
        body=doctor,
        flags=NoFlags,
        examples=["durastream doctor", "durastream doctor --redis redis://db:6379 --hub orders -o json | jq .findings"],
    )


async def doctor(session: Session, flags: NoFlags) -> int:
    """Look for what is wrong with the server and the hub, and say what to do about each finding.

    Exit code 0: nothing (but hints), 1: something was found, 3: no such hub, 5: the server cannot be reached.
    """
    from durastream.store.redis.hubs import hub_info, list_hubs

    try:
        await hub_info(session.url, session.hub)  # looking must not create it
    except HubNotFound as error:
        known = await list_hubs(session.url)
        error.add_note(f"hubs on this server: {', '.join(known) or 'none'}; the first worker or client creates one")
        raise
    async with session.client() as client:
        report = await examine(client)
    session.printer.data(_record(session, report), text=lambda: Group(*_page(session, report)))
    return report.code


async def examine(client: Client) -> Report:
    facts = await fetch_hub(client)
    found = diagnose_hub(facts)
    if any(row.parked for row in facts.overview.partitions):
        found = [*found, *await _stuck(client, facts)]
    checks = [(name, words) for name, look in _CHECKS.items() if (words := look(facts, client.hub))]
    return Report(checks, found, facts, client.hub)


async def _stuck(client: Client, facts: HubFacts) -> list[Finding]:
    """Why the first few instances that cannot move do not: what most of the others lack too."""
    found: list[Finding] = []
    for instance_id in await _parked(client, facts):
        one = await fetch_instance(client, instance_id, hub=facts, history=1, ask=False)
        found += (
            Finding(finding.rule, finding.severity, f"{instance_id}: {finding.text}", finding.advice)
            for finding in diagnose_instance(one)
            if finding.severity == "error"
        )
    return found


async def _parked(client: Client, facts: HubFacts) -> list[str]:
    wanted = parse("stuck:any status:active", facts.overview.now)
    found: list[str] = []
    async for status in client.list(limit=1_000, payloads=False, **wanted.listing()):
        if wanted.matches(status):
            found.append(status.id)
        if len(found) == _STUCK_SHOWN:
            break
    return found


# ---------------------------------------------------------------- what was looked at


def _server(facts: HubFacts, hub: HubInfo) -> str:
    server = facts.server
    if server is None or server.version is None:
        return "does not tell its version"
    up = f", up {ages.words(timedelta(seconds=server.uptime_s))}" if server.uptime_s is not None else ""
    return f"{(server.kind or 'server').capitalize()} {server.version}{up}, {server.clients or 0:,} connections"


def _persistence(facts: HubFacts, hub: HubInfo) -> str:
    server = facts.server
    if server is None or server.aof is None:
        return "unknown: the server does not tell"
    return f"append-only file, appendfsync {server.appendfsync or 'unknown'}" if server.aof else "append-only file off"


def _memory(facts: HubFacts, hub: HubInfo) -> str:
    server = facts.server
    if server is None or server.used_memory is None:
        return "unknown: the server does not tell"
    limit = _bytes(server.maxmemory) if server.maxmemory else "no limit"
    return f"{_bytes(server.used_memory)} of {limit}, policy {server.policy or 'unknown'}"


def _bytes(count: int) -> str:
    """`1.2 MiB`."""
    size, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1_024:
            break
        size, unit = size / 1_024, larger
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def _scripts(facts: HubFacts, hub: HubInfo) -> str:
    allowed: dict[bool | None, str] = {True: "allowed", False: "forbidden", None: "unknown"}
    return allowed[facts.server.scripts if facts.server else None]


def _latency(facts: HubFacts, hub: HubInfo) -> str:
    return "" if facts.latency_ms is None else f"{facts.latency_ms:.2f} ms for a round trip"


def _clock(facts: HubFacts, hub: HubInfo) -> str:
    return "" if facts.skew_ms is None else f"{facts.skew_ms:+,} ms between the server and this machine"


def _settings(facts: HubFacts, hub: HubInfo) -> str:
    kept = ages.words(timedelta(milliseconds=hub.retention_ms))
    return f"{hub.name}: {hub.partitions} partitions, ended instances kept {kept}, payloads up to {_bytes(hub.payload_bytes_max)}"


def _partitions(facts: HubFacts, hub: HubInfo) -> str:
    rows = facts.overview.partitions
    return f"{len(rows) - len(facts.overview.unowned)} of {len(rows)} owned"


def _workers(facts: HubFacts, hub: HubInfo) -> str:
    live = facts.overview.live_workers
    busy, slots = sum(row.busy for row in live), sum(row.concurrency for row in live)
    return f"{len(live)} alive, {busy:,} of {slots:,} slots taken"


def _lag(facts: HubFacts, hub: HubInfo) -> str:
    lag = facts.overview.lag
    messages, activities = timedelta(seconds=lag.messages_s), timedelta(seconds=lag.activities_s)
    return (
        f"{lag.messages:,} messages{_since(lag.messages, messages)}, {lag.activities:,} activities"
        f"{_since(lag.activities, activities)}"
    )


def _since(count: int, age: timedelta) -> str:
    return f" (oldest {ages.words(age)})" if count else ""


def _instances(facts: HubFacts, hub: HubInfo) -> str:
    counts = facts.overview.counts
    return ", ".join(f"{count:,} {status}" for status, count in counts.items() if count) or "none"


def _stuck_counts(facts: HubFacts, hub: HubInfo) -> str:
    rows = facts.overview.partitions
    return (
        f"{sum(row.parked for row in rows):,} instances parked, {sum(row.stalled for row in rows):,} entities stalled"
    )


_CHECKS: Final[dict[str, Callable[[HubFacts, HubInfo], str]]] = {
    "server": _server,
    "persistence": _persistence,
    "memory": _memory,
    "scripts": _scripts,
    "latency": _latency,
    "clock": _clock,
    "hub": _settings,
    "partitions": _partitions,
    "workers": _workers,
    "lag": _lag,
    "instances": _instances,
    "stuck": _stuck_counts,
}


# ---------------------------------------------------------------- output


def _record(session: Session, report: Report) -> dict[str, Any]:
    facts = report.facts
    overview = facts.overview
    return {
        "ok": report.code == OK,
        "url": session.where,
        "hub": report.hub,
        "server": facts.server,
        "latency_ms": facts.latency_ms,
        "skew_ms": facts.skew_ms,
        "workers": len(overview.live_workers),
        "unowned_partitions": overview.unowned,
        "lag": {name: getattr(overview.lag, name) for name in ("messages", "activities", "messages_s", "activities_s")},
        "instances": dict(overview.counts),
        "parked": sum(row.parked for row in overview.partitions),
        "stalled": sum(row.stalled for row in overview.partitions),
        "findings": [finding_record(one) for one in report.findings],
    }


def _page(session: Session, report: Report) -> Iterator[RenderableType]:
    yield Text(f"{session.where}  hub {session.hub}", style="bold")
    grid = Table.grid(padding=(0, 2))
    for name, words in report.checks:
        grid.add_row(Text(name, style="dim"), cell(words, 200))
    yield grid
    yield Text("")
    yield findings(report.findings) if report.findings else Text.assemble(("✔ ", "bold green"), "nothing was found")
