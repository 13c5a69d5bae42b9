"""From what a turn decided to what a commit carries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgpack
import orjson

from durastream import wire
from durastream.core import timer_member
from durastream.core.events import Event, ExecutionStarted, Failure, Json, TurnSplit
from durastream.core.ids import generation_of, next_execution_id, partition_of
from durastream.core.messages import ActivityItem, ChildResult, Continue, Message, Rewind
from durastream.core.rewind import Rewound
from durastream.core.status import COMPLETED, FAILED, PENDING, RUNNING, TERMINAL, Status
from durastream.core.turn import Turn
from durastream.notices import failure_to_json, pack_ack, pack_end
from durastream.store.protocol import InstanceChange
from durastream.worker.committer import Committer
from durastream.worker.executor import Executor
from durastream.worker.live import Live, format_parent

_MESSAGE_WEIGHT = 1
_pack: Final[Callable[[Any], bytes]] = msgpack.Packer(autoreset=True).pack


class Recorder:
    """Writes turns of one partition into its open commit, and keeps the instances in memory in step with them."""

    def __init__(
        self, committer: Committer, executor: Executor, *, partition: int, partitions: int, retention_ms: int
    ) -> None:
        self._committer = committer
        self._executor = executor
        self._partition = partition
        self._partitions = partitions
        self._retention_ms = retention_ms

    # -- one instance

    def change(self, live: Live) -> InstanceChange:
        """The instance's change in the open commit, begun with the first turn that touches it."""
        change = self._committer.changes.get(live.instance_id)
        if change is None:
            before = live.status if live.exists else None
            status: Status = live.status or RUNNING
            change = InstanceChange(
                live.instance_id, live.revision, {}, (before, status, live.created_at), live.length, []
            )
            self._committer.changes[live.instance_id] = change
            live.revision = 0 if live.revision is None else live.revision + 1
            live.unsaved += 1
            live.exists = True
        return change

    def turn(self, live: Live, turn: Turn, now: int) -> None:
        """Record a turn that the instance's execution has just made."""
        change = self.change(live)
        fields = change.fields
        if turn.custom_status_changed:
            fields["custom_status"] = turn.custom_status
        size = self.effects(live, turn)
        if turn.continued is not None:
            self._continue_as_new(live, change, turn, now)
        else:
            packed = [wire.pack_event(event) for event in turn.events]
            change.events += packed
            live.length += len(packed)
            for event in packed:
                size += len(event)
            if turn.split:
                self.send(Continue(live.instance_id, live.execution_id))
        self.set_status(live, change, turn.status, now)
        if turn.status in TERMINAL:
            self._end(live, change, turn, now)
        self._committer.weigh(2 + len(turn.events), size)

    def set_status(self, live: Live, change: InstanceChange, status: Status, now: int) -> None:
        if now > live.updated_at:
            live.updated_at = now
        fields = change.fields
        fields["updated_at"] = live.updated_at
        if live.status != status or change.status[1] != status:
            live.status = status
            fields["status"] = status
            change.status = (change.status[0], status, live.created_at)
        if live.problem:
            live.problem = False
            fields["problem"] = None
            self._committer.open.parked[live.instance_id] = None

    def effects(self, live: Live, turn: Turn) -> int:
        """Put what a turn does to the world into the open commit; the bytes of it."""
        size = 0
        commit = self._committer.open
        instance_id, execution_id = live.instance_id, live.execution_id
        for task, event in turn.activities:
            _, name, payload, queue, timeout_ms, attempt = event
            blob = wire.pack_activity(ActivityItem(instance_id, execution_id, task, name, payload, timeout_ms, attempt))
            size += len(blob)
            commit.activities.append((queue, blob))
        for task, due in turn.timers:
            commit.timers_add.append((due, timer_member.timer(task, execution_id, instance_id)))
        for task in turn.timers_cancelled:
            commit.timers_remove.append(timer_member.timer(task, execution_id, instance_id))
        for message in turn.messages:
            self.send(message)
        return size

    def _continue_as_new(self, live: Live, change: InstanceChange, turn: Turn, now: int) -> None:
        continued = turn.continued
        assert continued is not None
        live.execution_id = next_execution_id(live.execution_id)
        live.input = continued.input
        started = ExecutionStarted(
            now, live.name, live.version, continued.input, live.parent, generation_of(live.execution_id)
        )
        self.open_history(live, change, [started, *continued.carried, TurnSplit(now)])
        change.fields |= {"execution_id": live.execution_id, "input": continued.input}
        self.send(Continue(live.instance_id, live.execution_id))

    def open_history(self, live: Live, change: InstanceChange, events: list[Event]) -> None:
        """Begin the history anew with these events, in the store and in memory."""
        change.replace_history = True
        change.first_event = 0
        change.overwrite = {}
        change.events = [wire.pack_event(event) for event in events]
        live.length = len(events)
        if live.execution is not None:
            live.execution.close()
        live.execution = self._executor.open(live.name, live.version, live.instance_id, live.execution_id)
        if live.execution is not None:
            live.execution.replay(events)

    def _end(self, live: Live, change: InstanceChange, turn: Turn, now: int) -> None:
        live.completed_at = live.updated_at
        change.fields["completed_at"] = live.updated_at
        if turn.result is not None:
            change.fields["output"] = turn.result
        if turn.failure is not None:
            change.fields["failure"] = _json(turn.failure)
        self.tell(live, turn.status, turn.result, turn.failure)
        if live.execution is not None:
            live.execution.close()
            live.execution = None
        due = live.updated_at + self._retention_ms
        self._committer.open.timers_add.append(
            (due, timer_member.expiry(live.updated_at, live.execution_id, live.instance_id))
        )

    def issue_again(self, live: Live, rewound: Rewound, reason: str | None) -> None:
        """Send out once more what failed before a rewind."""
        turn = Turn(live.length, activities=rewound.activities, timers=rewound.timers)
        self.effects(live, turn)
        for _, start in rewound.children:
            self.send(Rewind(start.instance_id, reason, None, start))
        for operation in rewound.operations:
            self.send(operation)
        self.send(Continue(live.instance_id, live.execution_id))

    def forget_timers(self, live: Live) -> None:
        """What waits for an execution that is over, or for one that has not begun: neither shall happen any more."""
        remove = self._committer.open.timers_remove
        if live.completed_at is not None:
            remove.append(timer_member.expiry(live.completed_at, live.execution_id, live.instance_id))
        elif live.status == PENDING:
            remove.append(timer_member.scheduled_start(live.execution_id, live.instance_id))

    # -- the world outside

    def tell(self, live: Live, status: Status, result: Json | None, failure: Failure | None) -> None:
        """Tell of an ending: those who wait, the parent, and the reply list."""
        json = _json(failure)
        notice = pack_end(live.instance_id, live.execution_id, status, result, json)
        self._committer.open.notices.append((live.instance_id, live.notify, notice))
        if live.parent is not None:
            parent = live.parent
            if status != COMPLETED and failure is None:
                failure = Failure("Terminated", f"sub-orchestration {live.instance_id!r} was terminated")
            outcome = result if status == COMPLETED else None
            self.send(ChildResult(parent.instance_id, parent.execution_id, parent.task, outcome, failure))
        if live.reply is not None:
            answer = reply_json(live.instance_id, live.name, status, result, json)
            self._committer.open.outbox.append(("reply", _pack([live.reply, answer])))

    def send(self, message: Message) -> None:
        """To an instance or entity: through the inbox when it lives in this partition, else through the outbox."""
        blob = wire.pack_message(message)
        target = partition_of(message[0], self._partitions)
        if target == self._partition:
            self._committer.open.inbox.append(blob)
        else:
            self._committer.open.outbox.append((target, blob))
        self._committer.weigh(_MESSAGE_WEIGHT, len(blob))

    def dead_letter(self, reason: str, blob: bytes) -> None:
        self._committer.open.outbox.append(("dead", _pack([reason, blob])))
        self._committer.weigh(_MESSAGE_WEIGHT, len(blob))

    def acknowledge(self, ack: str | None, ok: bool, text: str = "") -> None:
        """Answer an administrator's request. The empty id keeps it from those who watch the instance."""
        if ack is not None:
            channel, _, request = ack.rpartition(" ")
            self._committer.open.notices.append(("", channel, pack_ack(request, ok, text)))
            self._committer.weigh(_MESSAGE_WEIGHT, 0)


def creation_fields(live: Live) -> dict[str, bytes | str | int | None]:
    """Fields of a record that the owner itself creates or opens anew, but for tags and what the store maintains."""
    return {
        "execution_id": live.execution_id,
        "name": live.name,
        "version": live.version,
        "input": live.input,
        "parent": format_parent(live.parent),
        "notify": live.notify,
        "reply": live.reply,
        "created_at": live.created_at,
        "updated_at": live.updated_at,
        "output": None,
        "failure": None,
        "completed_at": None,
        "custom_status": None,
    }


def _json(failure: Failure | None) -> Json | None:
    return None if failure is None else failure_to_json(failure)


def reply_json(instance_id: str, name: str, status: Status, output: Json | None, failure: Json | None) -> bytes:
    """One answer for a reply list. Payloads are JSON already and are put in as they are."""
    answer: dict[str, object] = {"id": instance_id, "name": name, "status": status}
    if status == FAILED:
        answer["failure"] = orjson.Fragment(failure or b"null")
    elif status == COMPLETED:
        answer["output"] = orjson.Fragment(output or b"null")
    else:
        answer["reason"] = orjson.Fragment(output or b"null")
    return orjson.dumps(answer)
