"""Oracles of a simulation: what is looked at with each commit, every so many commands, and in the end."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from durastream import wire
from durastream.core import timer_member
from durastream.core.events import Event, TimerCreated, TimerFired
from durastream.core.execution import Orchestration
from durastream.core.status import TERMINAL
from durastream.core.timer_member import Expiry
from durastream.payload import Payloads
from durastream.store.memory.state import Hub, Instance, Partition
from durastream.store.protocol import Commit, InstanceChange, Lease, Outcome
from tests.sim.image import checked

if TYPE_CHECKING:
    from tests.sim.world import World

_KEPT_S = 2.0  # of snapshots, before a rollback
_HARMLESS = {"refused", "touch", "wall-jump", "kill-client"}
"""Faults for which no activity has to run again."""

_COMMANDS_MAX = 60_000
_BLAME = re.compile(rb"worker processes \(([^)]*)\) died|while running it \(([^)]*)\)")
"""How work that is given up says which workers died of it."""


class Watch:
    def __init__(self, world: World) -> None:
        self._world = world
        self._server = world.server
        self._server.observer = self._observe
        self._histories: dict[str, tuple[str, list[bytes]]] = {}  # instance → execution, events
        self._revisions: dict[str, int] = {}
        self._completed: set[tuple[int, str, str]] = set()
        self._applied: dict[tuple[int, int], int] = {}  # last commit of each lease
        self._ended: dict[str, tuple[Any, ...]] = {}
        self._epochs: dict[int, int] = {}  # highest one given, by partition
        self._beats: dict[str, float] = {}  # worker → when it was heard last
        self.dead: set[str] = set()  # workers that were killed
        self._snapshots: list[tuple[float, Any]] = []
        self._next_check = world.knobs.check_every
        self.lossy = False
        self.allowed: set[str] = set()  # instances that somebody has changed after their end
        self.fsck_s = 0.0
        self.checks = 0

    # -- while it runs

    def _observe(self, verb: str, args: tuple[Any, ...], result: Any) -> None:
        try:
            self._look(verb, args, result)
        except Exception as error:  # of the oracle: the engine must not hear of it
            self._world.violated("X4", f"after {verb}: {type(error).__name__}: {error}", error)

    def _look(self, verb: str, args: tuple[Any, ...], result: Any) -> None:
        if verb == "commit":
            self._commit(*args)
        elif verb == "complete":
            self._complete(args[0], args[2], result)
        elif verb in ("acquire", "acquire_ingress") and result is not None:
            self._acquired(result)
        elif verb == "heartbeat":
            self._beats[args[0]] = self._world.loop.time()
        for blob in _written(verb, args):
            self._blames(blob)
        if self._server.commands == _COMMANDS_MAX:
            self._world.violated("X5", f"{_COMMANDS_MAX:,} commands: something turns in circles")
        if self._server.commands >= self._next_check:
            self._next_check = self._server.commands + self._world.knobs.check_every
            self.check_state()
        self._keep()

    def check_state(self) -> None:
        """`fsck` at this very moment."""
        begun = time.perf_counter()
        report = checked(self._server)
        self.fsck_s += time.perf_counter() - begun
        self.checks += 1
        for violation in report.violations:
            self._world.violated(violation.invariant, f"fsck: {violation.key}: {violation.text}")

    def _acquired(self, lease: Lease) -> None:
        highest = self._epochs.get(lease.partition, 0)
        if lease.epoch < highest and not self.lossy:
            self._world.violated("S21", f"partition {lease.partition}: epoch {lease.epoch} was given after {highest}")
        self._epochs[lease.partition] = lease.epoch

    def _commit(self, lease: Lease, sequence: int, commit: Commit) -> None:
        if lease.epoch < self._epochs.get(lease.partition, 0):
            self._world.violated("S21", f"partition {lease.partition}: a commit of epoch {lease.epoch} was applied")
        place = self._server.hub.partitions[lease.partition]
        if sequence <= self._applied.get((lease.partition, lease.epoch), 0):
            self._repeated(place, commit)
            return
        self._applied[lease.partition, lease.epoch] = sequence
        for change in commit.changes:
            held = place.instances.get(change.instance_id)
            if held is not None:
                self._instance(change, held, sequence)
        for instance_id, _ in commit.purged:
            for known in (self._histories, self._revisions, self._ended):
                known.pop(instance_id, None)

    def _repeated(self, place: Partition, commit: Commit) -> None:
        """A commit that had been applied came once more: it must have changed nothing."""
        for change in commit.changes:
            held = place.instances.get(change.instance_id)
            if held is not None and held.revision != self._revisions.get(change.instance_id, held.revision):
                self._world.violated("S2", f"a commit for {change.instance_id} was applied twice")

    def _instance(self, change: InstanceChange, held: Instance, sequence: int) -> None:
        name = change.instance_id
        before_it = self._revisions.get(name, held.revision - 1)
        if held.revision != before_it + 1:
            self._world.violated("S2", f"revision {before_it} of {name} was followed by {held.revision}")
        self._revisions[name] = held.revision
        execution = str(held.fields.get("execution_id", ""))
        before = self._histories.get(name)
        events = [held.history[number] for number in sorted(held.history)]
        if before is not None and before[0] == execution and name not in self.allowed:
            kept = before[1]
            if events[: len(kept)] != kept:
                self._world.violated("S1", f"history of {name} was changed, not appended to")
            if len(events) > len(kept):
                self._times(name, events, len(kept))
        self._same_end(name, held)
        ending = _ending(held)
        if ending[0] in TERMINAL:
            self._ended[name] = ending
        else:
            self._ended.pop(name, None)
        self._histories[name] = (execution, events)

    def _same_end(self, name: str, held: Instance) -> None:
        """S8: what has ended stays as it ended, unless somebody rewinds, restarts or replaces it."""
        before, now = self._ended.get(name), _ending(held)
        if before is not None and before != now and name not in self.allowed:
            self._world.violated("S8", f"the end of {name} changed from {before} to {now}")

    def _times(self, name: str, events: list[bytes], first: int) -> None:
        """S16: no timer is fired before its time by the server's clock."""
        for blob in events[first:]:
            event: Event = wire.unpack_event(blob)
            if isinstance(event, TimerFired):
                created = wire.unpack_event(events[event.task])
                assert isinstance(created, TimerCreated)
                early = created.due - self._server.clock()
                if early > 3_002 * self._world.plan.counts["clock-back"]:
                    self._world.violated("S16", f"timer {event.task} of {name} was fired {early} ms early")

    def touched(self, name: str) -> None:
        """Somebody has counted the revision of an instance up by hand."""
        if name in self._revisions:
            self._revisions[name] += 1

    def _complete(self, partition: int, outcomes: Sequence[Outcome], counted: int) -> None:
        """Of each claim one outcome counts."""
        if counted < len(outcomes):
            return  # which of them did cannot be told
        for queue, entry_id, _ in outcomes:
            if (partition, queue, entry_id) in self._completed:
                self._world.violated(
                    "S4", f"activity {entry_id} of {queue} in partition {partition} was completed twice"
                )
            self._completed.add((partition, queue, entry_id))

    def _blames(self, blob: bytes) -> None:
        """S23: work is given up only for workers that have died, or were cut off for three lease times or more."""
        for found in _BLAME.finditer(blob):
            for name in (found[1] or found[2]).decode().split(", "):
                silent_s = self._world.loop.time() - self._beats.get(name, -math.inf)
                if name not in self.dead and silent_s < 3 * self._world.knobs.lease_s:
                    self._world.violated(
                        "S23", f"{name} is blamed as dead, and was heard {silent_s:.3f} s ago: {blob[-300:]!r}"
                    )

    # -- loss of what came last

    def _keep(self) -> None:
        now = self._world.loop.time()
        near = any(one.kind == "rollback" and one.at - _KEPT_S < now < one.at for one in self._world.plan.timed)
        if near and (not self._snapshots or now - self._snapshots[-1][0] > 0.02):
            self._snapshots.append((now, self._server.snapshot()))

    def snapshot_before(self, when: float) -> Any:
        """The state as it was then, as far as it is known."""
        fitting = [snapshot for at, snapshot in self._snapshots if at <= when]
        self._snapshots = []
        return fitting[-1] if fitting else None

    def rolled_back(self) -> None:
        """What was acknowledged may be gone, and what was seen may change."""
        self.lossy = True
        self._histories.clear()
        self._revisions.clear()
        self._completed.clear()
        self._applied.clear()
        self._ended.clear()
        self._epochs.clear()

    def given_up(self, error: Exception) -> bool:
        """Whether it tells of work that was given up after worker after worker had died of it: whether they had is seen to when
        it is written (`_blames`)."""
        return "WorkerCrashed" in _texts(error)

    def buried(self, text: str) -> bool:
        """Whether a message that says so is a dead letter, after worker after worker had died of it."""
        letters = self._server.hub.dead
        return any(reason.startswith("WorkerCrashed") and text.encode() in blob for reason, blob in letters)

    def may_park(self) -> set[str]:
        """Why instances may be set aside until somebody looks after them, with the faults there were."""
        touched = self._world.plan.counts["touch"] > 0  # in the middle of careful mode, say
        return {"worker-crashed"} | ({"refused"} if touched or self.lossy else set())

    # -- in the end

    def left(self) -> str:
        """What is still under way; empty when the hub is quiet."""
        hub = self._server.hub
        return ", ".join(one for place in hub.partitions for one in _left(place, hub))

    def final(self) -> None:
        world = self._world
        for scenario in world.scenarios:
            try:
                scenario.check()
            except Exception as error:
                if not self.lossy:
                    world.violated("S7", f"{scenario.name}: {type(error).__name__}: {error}", error)
        if world.plan.counts.keys() <= _HARMLESS:
            for what, count in world.ledger.runs.items():
                if count > 1 and not what.startswith(("fails_at_first", "broken")):
                    world.violated("S5", f"{what} ran {count} times, and nobody had died, stopped or lost a reply")
        for place in self._server.hub.partitions:
            for name, held in place.instances.items():
                self._same_end(name, held)
        self._replays()

    def _replays(self) -> None:
        """S6: today's code, given each history, decides what stands there."""
        for place in self._server.hub.partitions:
            for name, held in place.instances.items():
                if held.history:
                    self._replay(name, held)

    def _replay(self, name: str, held: Instance) -> None:
        events = [wire.unpack_event(held.history[number]) for number in sorted(held.history)]
        definition = self._world.app.find_orchestrator(str(held.fields["name"]))
        assert definition is not None
        run = Orchestration(definition, name, str(held.fields["execution_id"]), codec=Payloads())
        try:
            run.replay(events)
        except Exception as error:
            self._world.violated("S6", f"the history of {name} does not replay: {error}")
        finally:
            run.close()


def _written(verb: str, args: tuple[Any, ...]) -> Iterator[bytes]:
    """What a call writes that may say that work was given up."""
    if verb == "dead_letter":
        yield from (reason.encode() for reason, _ in args[0])
    elif verb == "complete":
        yield from (outcome.message for outcome in args[2])
    elif verb == "commit":
        commit: Commit = args[2]
        yield from (reason for reason in commit.parked.values() if reason)
        yield from commit.inbox
        yield from (blob for _, blob in commit.outbox)


def _ending(held: Instance) -> tuple[Any, ...]:
    """How an instance stands: status first."""
    fields = held.fields
    names = ("execution_id", "output", "failure", "completed_at")
    return str(fields.get("status")), *(fields.get(name) for name in names)


def _texts(error: BaseException | None) -> str:
    """Of an error and of what caused it."""
    return "" if error is None else f"{type(error).__name__} {error} {vars(error)} {_texts(error.__cause__)}"


def _undelivered(place: Partition, hub: Hub) -> int:
    """Outbox entries that their target has not taken. One that it has may stay until the owner removes others, or changes."""
    source = f"p{place.number}"
    found = 0
    for number, entry in place.outbox.items():
        mark = hub.partitions[entry.target].marks.get(source) if isinstance(entry.target, int) else None
        found += mark is None or (mark.epoch, mark.sequence) < number
    return found


def _left(place: Partition, hub: Hub) -> Iterator[str]:
    timers = [member for member in place.timers if not isinstance(timer_member.parse(member), Expiry)]
    activities = sum(len(stream) for stream in place.activities.values())
    queued = sum(len(entity.queue) for entity in place.entities.values())
    locks = sum("lock" in entity.fields for entity in place.entities.values())
    counts = {
        "messages": len(place.inbox),
        "outbox entries": _undelivered(place, hub),
        "timers": len(timers),
        "activities": activities,
        "queued operations": queued,
        "locks": locks,
        "parked": len(place.parked),
        "stalled": len(place.stalled),
    }
    for what, count in counts.items():
        if count:
            yield f"{count} {what} in partition {place.number}"
