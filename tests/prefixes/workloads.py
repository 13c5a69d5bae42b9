"""What is recorded: together these do everything that can be done to a hub, and some of it while workers die."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

import durastream as ds
from tests.acceptance.processes import WorkerProcess
from tests.acceptance.serving import until, until_status
from tests.prefixes import app
from tests.prefixes.journal import Journal, Kind, Outcome
from workers import bank

HUB = "default"
_SOON_S = 20


@dataclass
class Run:
    """A workload under way: the client, a plain connection, and the processes of workers if it has any."""

    client: ds.Client
    server: Any
    journal: Journal
    processes: Sequence[WorkerProcess] = ()
    handles: dict[str, ds.Handle[Any]] = field(default_factory=dict)

    async def start(
        self, code: Any, input: Any, instance_id: str, *outcomes: Outcome, labels: Sequence[str] = (), **options: Any
    ) -> ds.Handle[Any]:
        self.journal.expect(instance_id, *outcomes, labels=labels)
        handle: ds.Handle[Any] = await self.client.start(code, input, instance_id=instance_id, **options)
        self.handles[instance_id] = handle
        self.journal.ack(self.server, "scheduled start" if "start_at" in options else "start", instance_id)
        return handle

    async def did(self, kind: Kind, of: str, call: Awaitable[Any]) -> None:
        await call
        self.journal.ack(self.server, kind, of)

    async def signal(self, number: int, label: str, **options: Any) -> None:
        kind: Kind = "signal for later" if options else "signal"
        await self.did(kind, label, self.client.signal_entity(app.ledger(number), "note", label, **options))

    async def ended(self, *ids: str) -> None:
        """Wait for these, and note how they ended."""

        async def one(instance_id: str) -> None:
            status = await self.client.handle(instance_id).wait(_SOON_S)
            self.journal.ack(self.server, "ended", instance_id, status.runtime_status)

        await asyncio.gather(*(one(instance_id) for instance_id in ids))

    def ingress(self, **fields: str) -> None:
        self.server.xadd(f"ds:{{{HUB}}}:in", fields)


def done(output: Any = None) -> Outcome:
    return Outcome("Completed", output)


FAILED: Final = Outcome("Failed")
TERMINATED: Final = Outcome("Terminated")
NUDGED: Final = Outcome("Completed", "on", unless_event=True)


async def results(run: Run) -> None:
    """Sequences, fan-out, sub-orchestrations in other partitions, failures, timers and events."""
    await asyncio.gather(
        run.start(app.sequence, 3, "sequence", done(14)),
        run.start(app.fan, 12, "fan", done(132)),
        run.start(app.tree, 3, "tree", done(6)),
        run.start(app.fails, 1, "fails", FAILED),
        run.start(app.patient, "p ", "patient", done("p on")),
        run.start(app.leaf, 4, "scheduled", done(8), start_at=0.05),
    )
    await run.did("event", "patient", run.handles["patient"].raise_event("go", "on"))
    await run.ended("sequence", "fan", "tree", "fails", "patient", "scheduled")


async def generations(run: Run) -> None:
    """Continue-as-new with events that come at any time."""
    for number in range(3):
        await run.start(app.rounds, 6, f"rounds {number}", done("go on"), NUDGED)
    for number in range(3):
        handle = run.handles[f"rounds {number}"]
        await asyncio.sleep(0.01 * number)  # time must pass: events meet different generations
        await run.did("event", handle.id, handle.raise_event("go", "go on"))
    await run.ended(*run.handles)


async def entities(run: Run) -> None:
    """Calls, signals, signals for later, failed operations, chains from entity to entity."""
    for number in range(3):
        me = f"notes {number}"
        labels = [f"{me} {what} {n}" for n in range(2) for what in ("call", "signal")]
        await run.start(app.notes, 2, me, done("ValueError"), labels=[*labels, f"{me} later"])
        await run.signal(number, f"client {number}")
        await run.signal(number, f"client later {number}", at=0.03)
        await run.client.signal_entity(app.ledger(0), "pass_on", f"chain {number} 4")
    await run.ended(*run.handles)
    await run.client.signal_entity(app.ledger(9), "note", "to be forgotten")
    await run.client.signal_entity(app.ledger(9), "forget")
    await until(lambda: _noted(run, "client later 2"), "signals for later have come")


async def _noted(run: Run, label: str) -> bool:
    found = [await run.client.read_entity(app.ledger(number)) for number in range(3)]
    return any(label in (one or {}).get("notes", ()) for one in found)


async def critical_sections(run: Run) -> None:
    """Locks over partitions, with others waiting; holders that are terminated."""
    for number in range(4):
        me = f"locks {number}"
        await run.start(app.locks, number, me, done("done"), labels=(f"{me} first", f"{me} second"))
    await run.start(app.holds, 1, "holds", done("on"), TERMINATED)
    await run.start(app.holds, 1, "holds too", done("on"))
    await run.signal(1, "while locked")
    await until_status(run.handles["holds"], "Running")
    await run.did("terminate", "holds", run.handles["holds"].terminate("enough"))
    await run.did("event", "holds too", run.handles["holds too"].raise_event("go", "on"))
    await run.ended(*run.handles)


async def money(run: Run) -> None:
    """`workers/bank.py`: transfers with two locks each."""
    for owner in ("ann", "ben", "cid"):
        await run.did("signal", owner, run.client.signal_entity(bank.account(owner), "deposit", 100))
    orders = [("ann", "ben", 30), ("ben", "cid", 120), ("cid", "ann", 15), ("ann", "cid", 400)]
    for number, (source, target, amount) in enumerate(orders):
        order = bank.Transfer(source, target, amount)
        await run.start(bank.transfer, order, f"transfer {number}", done())
    await run.ended(*run.handles)


async def administration(run: Run) -> None:
    """Suspend, resume, terminate, rewind, restart, purge, replace."""
    app.HEALTHY.clear()
    for name in ("paused", "killed", "purged", "replaced"):
        await run.start(app.patient, "p ", name, done("p on"), TERMINATED)
    await run.start(app.mended, 2, "mended", done("mended"), FAILED)
    await run.start(app.parent_of_mended, 2, "family", done("mended"), FAILED)
    run.journal.changing |= {"mended", "family", "family.child", "restarted", "replaced"}
    run.journal.vanishing |= {"purged"}
    await _pause(run)
    await asyncio.gather(_end(run, "killed"), _purge(run), _replace(run), _mend(run), _restart(run))
    await run.did("event", "paused", run.handles["paused"].raise_event("go", "on"))
    await run.ended("paused", "killed", "replaced")


async def _pause(run: Run) -> None:
    paused = run.handles["paused"]
    await run.did("suspend", "paused", paused.suspend("tea"))
    await until_status(paused, "Suspended")
    await run.did("resume", "paused", paused.resume())


async def _end(run: Run, name: str) -> None:
    await run.did("terminate", name, run.handles[name].terminate("enough"))
    await run.handles[name].wait(_SOON_S)


async def _purge(run: Run) -> None:
    await _end(run, "purged")
    await run.did("purge", "purged", run.handles["purged"].purge())


async def _replace(run: Run) -> None:
    again: ds.Handle[Any] = await run.client.start(app.patient, "q ", instance_id="replaced", if_exists="replace")
    run.journal.expect("replaced", done("q on"), done("p on"), TERMINATED)
    run.journal.ack(run.server, "replace", "replaced")
    await run.did("event", "replaced", again.raise_event("go", "on"))


async def _mend(run: Run) -> None:
    for name in ("mended", "family"):
        await run.handles[name].wait(_SOON_S)
    app.HEALTHY.update(("mended", "family.child"))
    for name in ("mended", "family"):
        await run.did("rewind", name, run.handles[name].rewind("mended"))
        await until_status(run.handles[name], "Completed")


async def _restart(run: Run) -> None:
    handle = await run.start(app.sequence, 1, "restarted", done(6))
    await handle.wait(_SOON_S)
    await run.did("restart", "restarted", handle.restart())
    await handle.wait(_SOON_S)


async def expiry(run: Run) -> None:
    """A hub that keeps what has ended for a moment only."""
    names = [f"short-lived {number}" for number in range(3)]
    run.journal.vanishing |= set(names)
    for number, name in enumerate(names):
        await run.start(app.sequence, number, name, done())
    for name in names:
        await until(partial(_absent, run, name), f"{name} has expired")
        run.journal.ack(run.server, "expired", name)


async def _absent(run: Run, instance_id: str) -> bool:
    try:
        await run.client.status(instance_id)
    except ds.InstanceNotFound:
        return True
    return False


async def ingress(run: Run) -> None:
    """Written by any Redis client: starts, events, signals, and rubbish."""
    for number in range(3):
        name = f"in {number}"
        run.journal.expect(name, done("i ingress"), Outcome("Completed", "i on", unless_event=True))
        run.ingress(op="start", name="patient", id=name, input='"i "', reply=f"answers {number}")
        run.journal.ack(run.server, "ingress start", name)
        run.ingress(op="event", id=name, name="go", data='"ingress"')
        run.journal.ack(run.server, "ingress event", name)
    run.ingress(op="signal", entity="Ledger", key="1", operation="note", input='"ingress"')
    run.ingress(op="nonsense")
    await until(lambda: run.server.llen("answers 2") == 1, "the last is answered")
    await run.ended("in 0", "in 1", "in 2")
    assert orjson.loads(run.server.lindex("answers 0", 0))["status"] == "Completed"


async def deaths(run: Run) -> None:
    """Workers are killed and frozen while there is much to do; others take over."""
    await load(run, 0)
    first, second = run.processes
    first.kill()
    run.journal.faults.append("worker killed")
    await load(run, 4)
    await run.ended(*run.handles)
    first.start()
    await first.until_serving()
    await load(run, 8)
    second.freeze()
    run.journal.faults.append("worker frozen")
    await run.ended(*run.handles)
    second.thaw()
    await load(run, 12)
    await run.ended(*(name for name in run.handles if name.endswith((" 12", " 13", " 14", " 15"))))


async def load(run: Run, begin: int) -> None:
    for n in range(begin, begin + 4):
        notes = [f"notes {n} call 0", f"notes {n} signal 0", f"notes {n} later"]
        await asyncio.gather(
            run.start(app.tree, 2, f"tree {n}", done(2)),
            run.start(app.fan, 5, f"fan {n}", done(20)),
            run.start(app.notes, 1, f"notes {n}", done("ValueError"), labels=notes),
            run.start(app.locks, n, f"locks {n}", done("done"), labels=(f"locks {n} first", f"locks {n} second")),
            run.start(app.rounds, 2, f"rounds {n}", done("on")),
        )
        handle = run.handles[f"rounds {n}"]
        await run.did("event", handle.id, handle.raise_event("go", "on"))
        await run.signal(n % 3, f"client {n}")


@dataclass(frozen=True)
class Workload:
    """`processes`: workers of their own, 0 for one in this process. `retention_s`: of its hub."""

    name: str
    run: Callable[[Run], Awaitable[None]]
    app: ds.App = app.app
    processes: int = 0
    retention_s: float = 86_400


WORKLOADS: Final = (
    Workload("results", results),
    Workload("generations", generations),
    Workload("entities", entities),
    Workload("critical sections", critical_sections),
    Workload("money", money, bank.app),
    Workload("administration", administration),
    Workload("expiry", expiry, retention_s=0.05),
    Workload("ingress", ingress),
    Workload("deaths", deaths, processes=2),
)
TARGET: Final = "tests.prefixes.app:app"
"""What the processes serve."""
