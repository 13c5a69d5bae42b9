"""A commit as one flat list of arguments: positions of keys, checks, notices, then Redis commands.

Commands of one kind are merged (one ZADD for all index entries of a batch), because inside the server the crossing from Lua
into a command costs more than most commands do (facts: 0.6–0.9 µs a crossing).
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from durastream.core.status import Status
from durastream.store.keys import PartitionKeys
from durastream.store.protocol import Commit, InstanceChange
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
        if commit.timers_add:
            self._op("ZADD", self._part(names.timers, "zset"), [x for timer in commit.timers_add for x in timer])
        self._parked(commit.parked)
        self._purges(commit.purged)
        if commit.timers_remove:
            members = [decode.member_bytes(member) for member in commit.timers_remove]
            self._op("ZREM", self._part(names.timers, "zset"), members)
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
        fields: list[Any] = ["revision", 0 if revision is None else revision + 1, "events", first + len(events)]
        gone: list[Any] = []
        for name, value in change.fields.items():
            if value is None:
                gone.append(name)
            else:
                fields += (name, value)
        self._op("HSET", key, fields)
        if gone:
            self._op("HDEL", key, gone)

    def _parked(self, parked: dict[str, bytes | None]) -> None:
        kept = [x for item in parked.items() if item[1] is not None for x in item]
        gone = [instance_id for instance_id, reason in parked.items() if reason is None]
        if kept:
            self._op("HSET", self._part(self._names.parked, "hash"), kept)
        if gone:
            self._op("HDEL", self._part(self._names.parked, "hash"), gone)

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
