"""What all workloads have in common; and those that start orchestrations whose output is known beforehand."""

from __future__ import annotations

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, TypeAlias

import durastream as ds
from tests.chaos.log import Log, Op
from tests.chaos.witness import Seen

Plain: TypeAlias = "Callable[..., Coroutine[Any, Any, Any]]"
"""Sends one command on a connection of its own, once. Raises redis.RedisError or OSError when the fate is unknown."""


_LATE: Final = 90_000  # numbers that no act of phase 1 has
_LATE_ACTS: Final = 6


@dataclass
class Facts:
    """What stands in the store, and in the witness file, after everything has ended."""

    client: ds.Client
    statuses: Mapping[str, ds.InstanceStatus]  # all instances by id
    seen: Mapping[tuple[str, str], list[Seen]]  # runs by activity and key
    keys: frozenset[str]  # all that there are


@dataclass
class Workload(ABC):
    """One of them, in one run."""

    client: ds.Client  # through the faults
    log: Log
    rng: random.Random
    plain: Plain  # any Redis client, through the faults
    over: asyncio.Event = field(default_factory=asyncio.Event)  # phase 1 has ended: begin nothing new
    watchers: set[asyncio.Task[None]] = field(default_factory=set)  # wait for the ends of instances
    told: dict[str, Any] = field(default_factory=dict)  # outputs that watchers have heard of

    name: ClassVar[str]
    ops: ClassVar[tuple[str, ...]]  # kinds of calls it makes
    spans: ClassVar[bool] = False  # its instances talk to those of other partitions
    pace_s: ClassVar[float] = 0.25  # between two of them, on average

    async def prepare(self) -> None:
        """Before the first fault."""
        return

    @abstractmethod
    async def act(self, number: int) -> None:
        """One thing more."""

    async def settle(self) -> None:
        """After the last fault: what is needed for all that was begun to end."""
        return

    @abstractmethod
    async def check(self, facts: Facts) -> list[str]:
        """Violations, each beginning with the id of the invariant."""

    async def run(self) -> None:
        """Act at a random pace until phase 1 is over."""
        number = 0
        while not self.over.is_set():
            await self.act(number)
            number += 1
            await self.pause(self.rng.uniform(0, 2 * self.pace_s))

    async def make_up(self) -> None:
        """In good weather: some acts more, until each kind of call has succeeded once."""
        for number in range(_LATE, _LATE + _LATE_ACTS):
            if all(any(op.outcome == "ok" for op in self.starts(kind)) for kind in self.ops):
                return
            await self.act(number)

    async def pause(self, seconds: float) -> None:
        """Or until phase 1 is over."""
        try:
            async with asyncio.timeout(seconds):
                await self.over.wait()
        except TimeoutError:
            return

    async def start(
        self, orchestrator: Callable[..., Any], value: Any, instance_id: str, **options: Any
    ) -> ds.Handle[Any] | None:
        """Start it, keep books of that, and watch for its end."""
        starting: Coroutine[Any, Any, ds.Handle[Any]] = self.client.start(
            orchestrator, value, instance_id=instance_id, **options
        )
        handle = await self.log.attempt(f"{self.name}: start", instance_id, starting, value)
        if handle is not None:
            self.watch(handle)
        return handle

    def watch(self, handle: ds.Handle[Any]) -> None:
        task = asyncio.create_task(self._watch(handle), name=handle.id)
        self.watchers.add(task)
        task.add_done_callback(self.watchers.discard)

    async def _watch(self, handle: ds.Handle[Any]) -> None:
        """Until its end is told. An outage longer than the client's patience only means to ask again."""
        while True:
            try:
                self.told[handle.id] = await handle.result()
            except ds.StoreUnavailable:
                continue
            except ds.OrchestrationFailed as error:
                self.told[handle.id] = error
            except ds.InstanceNotFound:
                return  # `check` says whether that may be
            self.log.completed()
            return

    def starts(self, kind: str = "start") -> Iterator[Op]:
        return self.log.of(f"{self.name}: {kind}")


class Known(Workload):
    """Starts orchestrations whose output is known beforehand."""

    ops = ("start",)
    orchestrator: ClassVar[Callable[..., Any]]

    @abstractmethod
    def order(self) -> Any:
        """The input of the next one."""

    @abstractmethod
    def expected(self, value: Any) -> Any:
        """The output for this input, as JSON has it."""

    async def act(self, number: int) -> None:
        await self.start(type(self).orchestrator, self.order(), f"{self.name}-{number:05}")

    async def settle(self) -> None:
        """Half of the starts of unknown fate are made again, as callers do: that must not make a second instance."""
        for op in list(self.starts()):
            if op.outcome == "info" and self.rng.random() < 0.5:
                await self.start(type(self).orchestrator, op.value, op.key, if_exists="ignore")

    async def check(self, facts: Facts) -> list[str]:
        found = []
        for op in {op.key: op for op in self.starts()}.values():
            status = facts.statuses.get(op.key)
            if status is None:
                if self.log.absent(op):
                    found.append(f"S9 {op.key}: the start was acknowledged, and there is no such instance")
                continue
            found += self.judge(op, status)
        return found

    def judge(self, op: Op, status: ds.InstanceStatus) -> list[str]:
        """What is wrong with an instance that has ended."""
        if status.runtime_status != "Completed":
            return [f"S7 {op.key} is {status.runtime_status}, not Completed: {status.failure}"]
        wanted = self.expected(op.value)
        if status.output != wanted:
            return [f"S7 {op.key} with {op.value} gave {status.output}, not {wanted}"]
        return []
