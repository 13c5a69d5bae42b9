"""An orchestration as a graph: what was scheduled, and what the code had learnt when it scheduled it.

A history tells no more than the order: an edge leads from everything that came in since the last decisions to each of the
next ones. So a fan-out has one source and many targets, a fan-in the other way round, and chains side by side stay apart.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from durastream.core import events as ev
from durastream.inspect.rows import failure_line, when
from durastream.inspect.steps import Step, steps
from durastream.inspect.timeline import Outcome

NodeKind: TypeAlias = Literal[
    "start", "activity", "timer", "sub-orchestration", "entity operation", "lock", "event", "signal", "message", "join",
    "end",
]  # fmt: skip
"""signal: to an entity. message: an event sent to another instance. join: stands between many and many."""


@dataclass(frozen=True, slots=True)
class Node:
    """`id`: number of the event that began it, or `join-…`. `target`: instance or entity that one may go to."""

    id: str
    kind: NodeKind
    label: str
    outcome: Outcome
    started: datetime
    ended: datetime | None
    target: str = ""
    detail: str = ""
    attempts: int = 1
    count: int = 1  # how many alike it stands for


@dataclass(frozen=True, slots=True)
class Edge:
    source: str
    target: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in the order they were scheduled. `partial`: the history began before the first event given."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    partial: bool


def graph(
    history: Sequence[ev.Event],
    first: int = 0,
    *,
    timers_set: Collection[int] | None = None,
    fold: int = 12,
) -> Graph:
    """The graph of an execution. `first`, `timers_set`: as for `timeline`.

    fold: so many or more nodes of one kind and name, scheduled side by side, are drawn as one; 0: never.
    """
    building = _Building({step.task: step for step in steps(history, first, timers_set=timers_set)}, fold)
    for number, event in enumerate(history, first):
        building.take(number, event)
    building.decide()
    return building.graph(partial=first > 0)


class _Building:
    """Goes through a history once; decisions are collected as long as nothing new comes in."""

    def __init__(self, found: dict[int, Step], fold: int) -> None:
        self._steps = found
        self._fold = fold
        self._answers = {
            step.latest: step.task for step in found.values()
        }  # a failed attempt that is repeated leads nowhere
        self._nodes: list[Node] = []
        self._edges: list[Edge] = []
        self._drawn: dict[int, str] = {}  # step → id of the node it is part of
        self._learnt: dict[str, None] = {}  # ids of the nodes that came to an end since the last decisions, in order
        self._decided: list[Node] = []

    def take(self, number: int, event: Any) -> None:
        decided = _node(number, event, self._steps.get(number))
        answered = None if isinstance(event, ev.EntityUnlockSent) else self._answers.get(getattr(event, "task", -1))
        comes_in = isinstance(event, ev.EventRaised | ev.ExecutionStarted)
        if comes_in or answered is not None:
            self.decide()
        if decided is not None and comes_in:
            self._nodes.append(decided)
            self._learnt[decided.id] = None
        elif decided is not None:
            self._decided.append(decided)
        elif answered is not None and answered in self._drawn:
            self._learnt[self._drawn[answered]] = None

    def decide(self) -> None:
        """Draw what was decided since something came in."""
        if not self._decided:
            return
        drawn = _folded(self._decided, self._fold)
        for node, members in drawn:
            self._nodes.append(node)
            self._drawn |= {int(member.id): node.id for member in members}
        self._connect(list(self._learnt), [node.id for node, _ in drawn])
        self._learnt.clear()
        self._decided.clear()

    def _connect(self, sources: list[str], targets: list[str]) -> None:
        if len(sources) > 1 and len(targets) > 1:
            at = self._nodes[-1].started
            join = Node(f"join-{targets[0]}", "join", "", "done", at, at)
            self._nodes.append(join)
            self._edges += (Edge(source, join.id) for source in sources)
            sources = [join.id]
        self._edges += (Edge(source, target) for source in sources for target in targets)

    def graph(self, *, partial: bool) -> Graph:
        return Graph(tuple(self._nodes), tuple(self._edges), partial)


def _folded(nodes: Sequence[Node], fold: int) -> list[tuple[Node, list[Node]]]:
    """Each node with those it stands for."""
    groups: dict[tuple[object, ...], list[Node]] = {}
    for node in nodes:
        groups.setdefault((node.kind, node.label), []).append(node)
    drawn: list[tuple[Node, list[Node]]] = []
    for group in groups.values():
        if fold and len(group) >= fold:
            drawn.append((_together(group), group))
        else:
            drawn += ((node, [node]) for node in group)
    return sorted(drawn, key=lambda pair: int(pair[0].id))


_WORST: Final[tuple[Outcome, ...]] = ("failed", "waiting", "cancelled", "done")


def _together(group: Sequence[Node]) -> Node:
    outcome = next(one for one in _WORST if any(node.outcome == one for node in group))
    ended = [node.ended for node in group if node.ended is not None]
    counts = ((one, sum(node.outcome == one for node in group)) for one in _WORST)
    return replace(
        group[0],
        outcome=outcome,
        ended=max(ended) if len(ended) == len(group) else None,
        target="",
        detail=", ".join(f"{count:,} {one}" for one, count in counts if count),
        attempts=max(node.attempts for node in group),
        count=len(group),
    )


# ---------------------------------------------------------------- nodes


def _node(number: int, event: Any, step: Step | None) -> Node | None:
    """The node that an event begins; None where it begins none: an outcome, a further attempt."""
    if step is not None:
        return Node(
            str(number), step.kind, _label(event, step), step.outcome, step.started, step.ended,
            step.target, step.detail, step.attempts,
        )  # fmt: skip
    other = _OTHERS.get(type(event))
    if other is None:
        return None
    kind, label, target, outcome = other(event)
    return Node(str(number), kind, label, outcome, when(event.at), when(event.at), target)


def _label(event: Any, step: Step) -> str:
    """Without what makes each one different, so that those alike can be told."""
    if isinstance(event, ev.SubOrchestrationCreated):
        return event.name
    return "timer" if step.kind == "timer" else step.label


_Other: TypeAlias = tuple[NodeKind, str, str, Outcome]


def _started(event: ev.ExecutionStarted) -> _Other:
    return "start", event.name, event.parent.instance_id if event.parent else "", "done"


def _signal(event: ev.EntityOperationSignaled) -> _Other:
    return "signal", f"{event.operation} → {event.entity}", event.entity, "done"


def _sent(event: ev.EventSent) -> _Other:
    return "message", f"{event.name} → {event.instance_id}", event.instance_id, "done"


def _failed(event: ev.ExecutionFailed) -> _Other:
    return "end", f"failed: {failure_line(event.failure)}", "", "failed"


_OTHERS: Final[dict[type, Any]] = {
    ev.ExecutionStarted: _started,
    ev.EntityOperationSignaled: _signal,
    ev.EventSent: _sent,
    ev.ExecutionCompleted: lambda event: ("end", "completed", "", "done"),
    ev.ExecutionFailed: _failed,
    ev.ExecutionTerminated: lambda event: ("end", "terminated", "", "cancelled"),
}
