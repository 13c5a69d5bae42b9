"""Members of timer sets as snapshots, with the instances and queues that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from durastream.core.ids import partition_of
from durastream.inspect.fsck.instances import slot
from durastream.inspect.fsck.subjects import Look, TimerAt
from durastream.inspect.invariants.members import Member, member
from durastream.inspect.invariants.snapshots import TimerSnapshot
from durastream.inspect.invariants.timers import TIMERS
from durastream.inspect.invariants.violation import check
from durastream.store.redis.fsck import RawHub

_ABOUT_TIMER: Final = ("execution_id", "status", "revision", "completed_at", "start_at")


class Timers:
    """Looks at members of timer sets."""

    def __init__(self, hub: RawHub) -> None:
        self._hub = hub

    async def look(self, subjects: Sequence[TimerAt]) -> dict[TimerAt, Look]:
        found: dict[TimerAt, Look] = {}
        read = {one: member(one.raw) for one in subjects}
        for kind, look in ((True, self._signals), (False, self._instances)):
            some = [one for one in subjects if (timer := read[one]) is not None and (timer.kind == "D") is kind]
            found |= {one: Look(check(snapshot, TIMERS)) for one, snapshot in (await look(some, read)).items()}
        rubbish = [one for one in subjects if read[one] is None]
        for one, score in zip(rubbish, await self._scores(rubbish), strict=True):
            found[one] = Look() if score is None else Look(check(self._timer(one, score, None), TIMERS))
        return found

    async def _scores(self, subjects: Sequence[TimerAt]) -> list[float | None]:
        keys = self._hub.keys.partitions
        return await self._hub.scores([(keys[one.partition].timers, one.raw) for one in subjects])

    def _timer(self, one: TimerAt, score: float, about: str | None, **more: Any) -> TimerSnapshot:
        home = None if about is None else partition_of(about, self._hub.hub.partitions)
        key = self._hub.keys.partitions[one.partition].timers
        return TimerSnapshot(key, one.partition, one.raw, score, home, **more)

    async def _instances(
        self, subjects: Sequence[TimerAt], read: dict[TimerAt, Member | None]
    ) -> dict[TimerAt, TimerSnapshot]:
        keys = self._hub.keys.partitions
        abouts = [timer.about for one in subjects if (timer := read[one]) is not None]
        numbers = [str(timer.number) for one in subjects if (timer := read[one]) is not None]
        records = await self._hub.fields(
            [keys[one.partition].instance(about) for one, about in zip(subjects, abouts, strict=True)], *_ABOUT_TIMER
        )
        events = await self._hub.values(
            [
                (keys[one.partition].history(about), number)
                for one, about, number in zip(subjects, abouts, numbers, strict=True)
            ]
        )
        scores = await self._scores(subjects)
        return {
            one: self._timer(one, score, about, fields=_present(record), event=slot(event))
            for one, score, about, record, event in zip(subjects, scores, abouts, records, events, strict=True)
            if score is not None
        }

    async def _signals(
        self, subjects: Sequence[TimerAt], read: dict[TimerAt, Member | None]
    ) -> dict[TimerAt, TimerSnapshot]:
        keys = self._hub.keys.partitions
        timers = [timer for one in subjects if (timer := read[one]) is not None]
        queued = await self._hub.values(
            [
                (keys[one.partition].queue_of(timer.about), str(timer.number))
                for one, timer in zip(subjects, timers, strict=True)
            ]
        )
        scores = await self._scores(subjects)
        return {
            one: self._timer(one, score, timer.about, queued=blob)
            for one, score, timer, blob in zip(subjects, scores, timers, queued, strict=True)
            if score is not None
        }


def _present(values: Iterable[bytes | None]) -> dict[str, bytes]:
    return {name: value for name, value in zip(_ABOUT_TIMER, values, strict=True) if value is not None}
