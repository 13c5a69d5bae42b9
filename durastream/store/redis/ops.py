"""A commit as one flat list of arguments: positions of keys, checks, notices, then Redis commands.

Commands of one kind are merged (one ZADD for all index entries of a batch), because inside the server the crossing from Lua
into a command costs more than most commands do (facts: 0.6–0.9 µs a crossing).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from durastream.core.status import Status
from durastream.store.keys import PartitionKeys
from durastream.store.protocol import Commit, EntityChange, InstanceChange
from durastream.store.redis import decode

_ARGS_MAX = 3_000  # arguments of one command inside a script; Lua's unpack stops at 7,999


class CommitBuilder:
    """Collects keys, checks and commands of one commit."""

    def __init__(self, keys: PartitionKeys) -> None:
        self._names = keys
        self.keys: list[str] = [keys.lease, keys.watch]
        self._positions: dict[str, int] = {}
        self._types: list[Any] = [2, "hash"]
        self._checks: list[Any] = []
        self._ops: list[Any] = []

    def _key(self, name: str) -> int:
        position = self._positions.get(name)
        if position is None:
            self.keys.append(name)
            position = self._positions[name] = len(self.keys)
        return position

    def _part(self, name: str, kind: str) -> int:
        """A key of the partition itself, whose type is checked before anything is written."""
        known = self._positions.get(name)
        if known is not None:
            return known
        position = self._key(name)
        self._types += (position, kind)
        return position

    def _op(self, command: str, key: int, args: list[Any]) -> None:
        if len(args) <= _ARGS_MAX:
            self._ops += (command, key, len(args))
            self._ops += args
            return
        for start in range(0, len(args), _ARGS_MAX):  # even, so that pairs stay together
            part = args[start : start + _ARGS_MAX]
            self._ops += (command, key, len(part))
            self._ops += part

    def build(self, commit: Commit, epoch: int) -> None:
        """Streams first: an XADD that the server refuses refuses the whole commit, because nothing precedes it."""
        names = self._names
        for position, (target, blob) in enumerate(commit.outbox, commit.outbox_first):
            self._op("XADD", self._part(names.outbox, "stream"), [f"{epoch}-{position}", "to", target, "m", blob])
        for blob in commit.inbox:
            self._op("XADD", self._part(names.inbox, "stream"), ["*", "m", blob])
        for queue, blob in commit.activities:
            self._op("XADD", self._part(names.activities(queue), "stream"), ["*", "m", blob])
        if commit.activities:
            self._op("SADD", self._part(names.queues, "set"), sorted({queue for queue, _ in commit.activities}))
        self._changes(commit.changes)
        self._entities(commit.entities)
        if commit.timers_add:
            self._op("ZADD", self._part(names.timers, "zset"), [x for timer in commit.timers_add for x in timer])
        self._reasons(names.parked, commit.parked)
        self._reasons(names.stalled, commit.stalled)
        self._purges(commit.purged)
        if commit.timers_remove:
            members = [decode.member_bytes(member) for member in commit.timers_remove]
            self._op("ZREM", self._part(names.timers, "zset"), members)
        if commit.forgotten:
            ids = [f"{delivered}-{sequence}" for delivered, sequence in commit.forgotten]
            self._op("XDEL", self._part(names.outbox, "stream"), ids)
        if commit.consumed:
            self._op("XDEL", self._part(names.inbox, "stream"), commit.consumed)

    def _changes(self, changes: list[InstanceChange]) -> None:
        removed: defaultdict[Status, list[Any]] = defaultdict(list)
        added: defaultdict[Status, list[Any]] = defaultdict(list)
        for change in changes:
            self._change(change)
            before, after, created_at = change.status
            if before != after:
                if before is not None:
                    removed[before].append(change.instance_id)
                added[after] += (created_at, change.instance_id)
        status = self._names.status
        for word, ids in added.items():
            self._op("ZADD", self._part(status[word], "zset"), ids)
        for word, ids in removed.items():
            self._op("ZREM", self._part(status[word], "zset"), ids)

    def _change(self, change: InstanceChange) -> None:
        names = self._names
        instance_id, first, events = change.instance_id, change.first_event, change.events
        key, history = self._key(names.instance(instance_id)), self._key(names.history(instance_id))
        revision = change.revision
        self._checks += (
            key,
            "" if revision is None else revision,
            history,
            first if (events or change.overwrite) and not change.replace_history else "",
        )
        if change.replace_history:
            self._op("DEL", history, [])
        stored: list[Any] = []
        for place, event in enumerate(events, first):
            stored += (place, event)
        for place, event in change.overwrite.items():
            stored += (place, event)
        if stored:
            self._op("HSET", history, stored)
        kept: list[Any] = ["revision", _next(revision)]
        if events or change.replace_history or revision is None:
            kept += ("events", first + len(events) if events else 0)
        self._fields(key, kept, change.fields)

    def _fields(self, key: int, kept: list[Any], fields: Mapping[str, Any]) -> None:
        """`kept` and what has a value is written, what has none is deleted."""
        gone: list[Any] = []
        for name, value in fields.items():
            if value is None:
                gone.append(name)
            else:
                kept += (name, value)
        if kept:
            self._op("HSET", key, kept)
        if gone:
            self._op("HDEL", key, gone)

    def _entities(self, changes: list[EntityChange]) -> None:
        names = self._names
        created: list[Any] = []
        gone: list[Any] = []
        locks: dict[str, Any] = {}
        for change in changes:
            self._entity(change)
            if change.gone:
                gone.append(change.entity)
                locks[change.entity] = None
                continue
            if change.revision is None:
                created += (0, change.entity)
            if "lock" in change.fields:
                locks[change.entity] = change.fields["lock"]
        if created:
            self._op("ZADD", self._part(names.entities, "zset"), created)
        if gone:
            self._op("ZREM", self._part(names.entities, "zset"), gone)
        self._reasons(names.locks, locks)

    def _entity(self, change: EntityChange) -> None:
        """The queue is looked at, and its type with it, only where it changes: mostly an entity has none."""
        revision, gone = change.revision, change.gone
        added, removed = change.queue_add, change.queue_remove
        key = queue = self._key(self._names.entity(change.entity))
        touched = gone or added or removed
        if touched:
            queue = self._key(self._names.queue_of(change.entity))
        self._checks += (key, "" if revision is None else revision, queue, change.queue_length if touched else "")
        if gone:
            self._op("UNLINK", key, [])
            if change.queue_length:
                self._op("UNLINK", queue, [])
            return
        if removed:
            self._op("HDEL", queue, removed)
        if added:
            self._op("HSET", queue, [x for item in added.items() for x in item])
        self._fields(key, ["revision", _next(revision)], change.fields)

    def _reasons(self, name: str, reasons: Mapping[str, Any]) -> None:
        """A hash of the partition that says something of some of its instances or entities; None deletes."""
        if reasons:
            self._fields(self._part(name, "hash"), [], reasons)

    def _purges(self, purged: list[tuple[str, Status]]) -> None:
        for instance_id, status in purged:
            self._op("UNLINK", self._key(self._names.instance(instance_id)), [])
            self._op("UNLINK", self._key(self._names.history(instance_id)), [])
            self._op("ZREM", self._part(self._names.status[status], "zset"), [instance_id])
            self._op("HDEL", self._key(self._names.watch), [instance_id])

    def arguments(self, commit: Commit, fence: tuple[int, str], sequence: int) -> list[Any]:
        notices = [x or "" for notice in commit.notices for x in notice]
        return [
            *fence, sequence,
            len(self._checks) // 4, *self._checks,
            len(self._types) // 2, *self._types,
            len(commit.notices), *notices,
            *self._ops,
        ]  # fmt: skip


def _next(revision: int | None) -> int:
    return 0 if revision is None else revision + 1
