"""Routes the hub's ingress stream, written by any Redis client, to the partitions. One worker at a time does it.

Each entry takes effect once: targets remember the entry ids that were taken and not yet dropped, and refuse a router whose epoch
is lower than one they have seen. Bad entries become dead letters with a reason and never stop the stream.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import NamedTuple, TypeAlias

import orjson

from durastream.core.ids import partition_of
from durastream.errors import DurastreamError, Fenced, StoreError, StoreUnavailable
from durastream.payload import Payloads
from durastream.store.protocol import Lease, NewInstance, Started, WorkerStore
from durastream.worker.backoff import Backoff, persist
from durastream.worker.entries import Routed, parse_entry, reply_list

log = logging.getLogger("durastream.worker.ingress")

_Addressed: TypeAlias = "tuple[str, NewInstance | bytes]"  # entry id, and what it asks for
_Answer: TypeAlias = "Started | StoreError | None"

_COUNT = 200
_BLOCK_MS = 2_000


class _Bad(NamedTuple):
    reason: str
    fields: dict[bytes, bytes]


class Ingress:
    """The router, for as long as this worker holds its lease."""

    def __init__(self, store: WorkerStore, lease: Lease, payloads: Payloads) -> None:
        self._store = store
        self.lease = lease
        self._payloads = payloads
        self._stopping = False
        self._dropped: list[str] = []  # gone from the stream, still remembered by the targets
        self._cursor = "0"
        self._turns: defaultdict[int, int] = defaultdict(int)  # calls to each partition

    def stop(self) -> None:
        self._stopping = True
        self._store.interrupt()

    async def run(self) -> None:
        backoff = Backoff()
        try:
            await self._take_over()
            while not self._stopping:
                try:
                    entries = await self._store.read_ingress(self._cursor, _COUNT, _BLOCK_MS)
                    if entries:
                        await self._route(entries)
                    backoff.reset()
                except StoreUnavailable:
                    await backoff.pause()
                except Fenced:
                    raise
                except StoreError as error:
                    log.error("the ingress stands still, and is tried again: %s", error)
                    await backoff.pause()
        except Fenced:
            log.info("another worker routes the ingress now")

    async def _take_over(self) -> None:
        """Make every partition refuse the routers before this one, before anything is routed."""
        await asyncio.gather(*(self._announce(p) for p in range(self._store.hub.partitions)))

    async def _announce(self, partition: int) -> None:
        try:
            await self._call(partition, [], [])
        except Fenced:
            raise
        except StoreError as error:  # somebody spoilt its keys: it takes nothing of any router
            log.error("partition %d takes nothing from the ingress: %s", partition, error)

    async def _route(self, entries: list[tuple[str, dict[bytes, bytes]]]) -> None:
        targets: defaultdict[int, list[_Addressed]] = defaultdict(list)
        bad: list[_Bad] = []
        fields_of = dict(entries)
        for entry_id, fields in entries:
            try:
                routed: Routed = parse_entry(entry_id, fields, self._payloads)
            except DurastreamError as error:
                bad.append(_Bad(str(error), fields))
                continue
            target = partition_of(routed.address, self._store.hub.partitions)
            targets[target].append((entry_id, routed.what))
        forget, self._dropped = self._dropped, []
        partitions = range(self._store.hub.partitions) if forget else list(targets)
        answers = await asyncio.gather(*(self._send(p, targets.get(p, []), forget) for p in partitions))
        for p, results in zip(partitions, answers, strict=True):
            bad += self._refused(targets.get(p, []), results, fields_of)
        await self._reject(bad)
        ids = [entry_id for entry_id, _ in entries]
        await persist(lambda: self._store.drop_ingress(ids))
        self._cursor, self._dropped = ids[-1], ids

    async def _send(self, partition: int, batch: list[_Addressed], forget: list[str]) -> list[_Answer]:
        """What became of each. A partition that takes nothing must not stop the stream for the others."""
        try:
            return list(await self._call(partition, batch, forget))
        except Fenced:
            raise
        except StoreError as error:
            return [error if len(batch) == 1 else (await self._send(partition, [one], []))[0] for one in batch]

    async def _call(self, partition: int, batch: list[_Addressed], forget: list[str]) -> list[Started | None]:
        self._turns[partition] += 1
        turn = self._turns[partition]
        return await persist(lambda: self._store.route(partition, self.lease, batch, self._known(forget), turn=turn))

    def _known(self, forget: list[str]) -> list[str]:
        """When it was told to stop, the store may have got back what had been dropped: then it must be remembered."""
        return [] if self._stopping else forget

    @staticmethod
    def _refused(
        batch: list[_Addressed], answers: list[_Answer], fields_of: dict[str, dict[bytes, bytes]]
    ) -> list[_Bad]:
        return [
            _Bad(reason, fields_of[entry_id])
            for (entry_id, _), answer in zip(batch, answers, strict=True)
            if (reason := _reason(answer)) is not None
        ]

    async def _reject(self, bad: list[_Bad]) -> None:
        if not bad:
            return
        letters = [(one.reason, orjson.dumps(_readable(one.fields))) for one in bad]
        await persist(lambda: self._store.dead_letter(letters))
        answers = [
            (key, orjson.dumps({"status": "Rejected", "error": one.reason}))
            for one in bad
            if (key := reply_list(one.fields)) is not None
        ]
        for answer in answers:
            try:
                await persist(lambda answer=answer: self._store.reply([answer]))  # type: ignore[misc]
            except StoreError as error:
                log.warning("reply list %.80a takes no answer: %s", answer[0], error)


def _reason(answer: _Answer) -> str | None:
    """Why an entry had no effect; None when it had."""
    if isinstance(answer, StoreError):
        return f"the partition it is for takes nothing: {answer}"
    if answer is None or answer.created:
        return None
    return f"instance {answer.instance_id!r} exists already ({answer.status})"


def _readable(fields: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode(errors="replace"): value.decode(errors="replace") for name, value in fields.items()}
