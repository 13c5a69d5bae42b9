"""Verbs of the hub's ingress stream: one router reads it, each partition takes every entry once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from durastream.store.protocol import Lease, NewInstance, Started
from durastream.store.redis import decode
from durastream.store.redis.base import Base
from durastream.store.redis.clients import creation


class IngressVerbs(Base):
    async def acquire_ingress(self, worker_id: str, nonce: str, ttl_ms: int) -> Lease | None:
        epoch = await self._run("acquire", [self.keys.lease], [worker_id, nonce, ttl_ms])
        return None if epoch is None else Lease(-1, int(epoch), nonce)

    async def read_ingress(self, cursor: str, count: int, block_ms: int) -> list[tuple[str, dict[bytes, bytes]]]:
        reply = await self._readers.read("ingress", block_ms, ("XREAD", "COUNT", count), {self.keys.ingress: cursor})
        return [(one.decode(), decode.pairs(fields)) for _, entries in reply for one, fields in entries]

    async def route(
        self,
        partition: int,
        lease: Lease,
        batch: Sequence[tuple[str, NewInstance | bytes]],
        forget: Sequence[str],
        *,
        turn: int = 0,
    ) -> list[Started | None]:
        names, run = self.keys.partitions[partition], self._handed_over
        keys = [names.routed, names.inbox, names.timers, names.status["Pending"]]
        args: list[Any] = [lease.epoch, turn, len(forget), *forget]
        for entry_id, item in batch:
            if isinstance(item, bytes):
                args += (entry_id, "m", item)
            else:
                keys.append(names.instance(item.instance_id))
                args += (entry_id, "s", *creation(item))
        reply = await run("route", keys, args)
        return [
            None if isinstance(item, bytes) else decode.started(item.instance_id, result)
            for (_, item), result in zip(batch, reply, strict=True)
        ]

    async def drop_ingress(self, entry_ids: Sequence[str]) -> None:
        if entry_ids:
            await self._handed_over("drop", [self.keys.ingress], entry_ids)
