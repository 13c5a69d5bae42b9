"""Rules of diagnosis for one instance."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from durastream.core import events as ev
from durastream.inspect import rules_waiting
from durastream.inspect.ages import ago
from durastream.inspect.facts import InstanceFacts
from durastream.inspect.filter_fields import problem_kind
from durastream.inspect.finding import Finding
from durastream.inspect.hub import known_as
from durastream.inspect.rows import when
from durastream.inspect.rules_waiting import PENDING_LONG, Rule, home, listed

EVENTS_LARGE: Final = 10_000
"""Events in one execution from which on a takeover, which replays them, is felt: about a second of work."""


def unowned_partition(facts: InstanceFacts) -> Iterator[Finding]:
    row = home(facts)
    if row is None or row.lease == "held" or facts.status.ended:
        return
    live = facts.hub.overview.live_workers
    had = f"; {row.owner} had it until its lease ran out" if row.owner else ""
    yield Finding(
        "unowned-partition",
        "error",
        f"nobody owns partition {row.number}, where this instance lives{had}",
        "wait a few seconds: a live worker will take it" if live else _start_worker(facts),
    )


def unknown_orchestrator(facts: InstanceFacts) -> Iterator[Finding]:
    """Said by whoever lives, not only by the owner that has parked it."""
    status, live = facts.status, facts.hub.overview.live_workers
    name = known_as(status.name, status.version)
    if status.ended or not live or any(name in worker.runs for worker in live):
        return
    version = f" version {status.version}" if status.version else ""
    others = sorted({one for worker in live for one in worker.orchestrators})
    yield Finding(
        "unknown-orchestrator",
        "error",
        f"no live worker has the orchestrator {status.name}{version}; they have: {', '.join(others) or 'none'}",
        f"start a worker whose app has it, or terminate the instance: durastream terminate {status.id}",
    )


# ---------------------------------------------------------------- parked

_PROBLEMS: Final[dict[str, tuple[str, str]]] = {
    "nondeterminism": (
        "its history does not fit the code of the workers",
        "deploy the code it was started with, or mend the orchestrator and resume it; compare with: durastream export and"
        " durastream replay",
    ),
    "corrupt-history": (
        "its history cannot be read",
        "its keys were changed or lost: bring them back from a backup and resume it, or terminate and start it anew",
    ),
    "turn-failed": (
        "a turn fails inside the engine each time it is tried",
        "the log of the worker that owns the partition has the stack; mend the cause and resume it",
    ),
    "refused": (
        "the store refuses what comes of a message",
        "mend the cause (memory, keys of another type, a payload too large), then resume it",
    ),
    "worker-crashed": (
        "worker after worker died while running its turn",
        "look for an endless loop, a crash in native code, or memory running out in the orchestrator; deploy a fix and"
        " resume it",
    ),
}


def parked(facts: InstanceFacts) -> Iterator[Finding]:
    """It was set aside, and stays where it is. (One that lacks a worker with its code has a rule of its own.)"""
    kind = problem_kind(facts.status.problem)
    if not kind or facts.status.ended:
        return
    if kind == "unknown-orchestrator":
        if not any(True for _ in unknown_orchestrator(facts)):
            advice = "a live worker has it: the partition moves there within seconds"
            yield Finding("parked-unknown-orchestrator", "info", _message(facts.status.problem), advice)
        return
    text, advice = _PROBLEMS.get(kind, (f"it is parked ({kind})", "resume it once the cause is mended"))
    yield Finding(f"parked-{kind}", "error", f"{text}: {_message(facts.status.problem)}", advice)


def _message(problem: Any) -> str:
    return str(problem.get("message", problem)) if isinstance(problem, dict) else str(problem)


# ---------------------------------------------------------------- history


def unreadable_history(facts: InstanceFacts) -> Iterator[Finding]:
    if facts.unreadable is not None:
        text, advice = _PROBLEMS["corrupt-history"]
        yield Finding("unreadable-history", "error", f"{text}: {facts.unreadable}", advice)


def large_history(facts: InstanceFacts) -> Iterator[Finding]:
    if facts.status.ended or facts.status.events < EVENTS_LARGE:
        return
    yield Finding(
        "large-history",
        "warning",
        f"the history of this execution has {facts.status.events:,} events; a worker that takes over replays all of them",
        "loop with ctx.continue_as_new, or put parts of the work into sub-orchestrations",
    )


_DECISIONS: Final = (
    ev.TaskScheduled, ev.TimerCreated, ev.SubOrchestrationCreated, ev.EventSent, ev.EntityOperationCalled,
    ev.EntityOperationSignaled, ev.EntityLockRequested, ev.EntityUnlockSent,
)  # fmt: skip


def unawaited_event(facts: InstanceFacts) -> Iterator[Finding]:
    """An event came, and nothing came of it."""
    now = facts.hub.overview.now
    if facts.status.runtime_status != "Running":
        return
    idle = _since_last_decision(facts.history)
    awaited = None if facts.awaited is None else {name.casefold() for name in facts.awaited}
    for event in idle:
        known = awaited is not None and event.name.casefold() not in awaited
        if now - when(event.at) > PENDING_LONG and (known or awaited is None):
            waits = f"its code waits for: {listed(sorted(facts.awaited))}" if facts.awaited else "nothing came of it"
            yield Finding(
                "unawaited-event",
                "warning" if known else "info",
                f"event {event.name} was raised {ago(when(event.at), now)}, and {waits}",
                "compare the name with ctx.wait_for_external_event in the orchestrator (case does not matter); it stays"
                " until somebody waits for it",
            )


def _since_last_decision(history: Sequence[ev.Event]) -> list[ev.EventRaised]:
    found: list[ev.EventRaised] = []
    for event in reversed(history):
        if isinstance(event, _DECISIONS):
            break
        if isinstance(event, ev.EventRaised):
            found.append(event)
    return found[::-1]


def never_begun(facts: InstanceFacts) -> Iterator[Finding]:
    """Pending for longer than a lease, though its partition is owned by a worker that has its code."""
    status, now = facts.status, facts.hub.overview.now
    due = status.start_at or status.created_at
    if status.runtime_status != "Pending" or now - due < PENDING_LONG or status.problem is not None:
        return
    row = next((one for one in facts.hub.overview.partitions if one.number == status.partition), None)
    if row is not None and row.lease == "held":
        yield Finding(
            "never-begun",
            "warning",
            f"it should have begun {ago(due, now)}; {row.backlog:,} messages wait in its partition, which {row.owner} owns",
            "if the number falls, its turn will come: start more workers; if it does not, look into that worker's log",
        )


# ---------------------------------------------------------------- table


def _start_worker(facts: InstanceFacts) -> str:
    return f"start a worker: durastream worker module:app --hub {facts.hub.overview.hub}"


RULES: Final[tuple[Rule, ...]] = (
    unowned_partition,
    unreadable_history,
    parked,
    unknown_orchestrator,
    never_begun,
    *rules_waiting.RULES,
    large_history,
    unawaited_event,
)
"""In the order in which findings of one severity are shown: causes before what follows from them."""
