"""What a generator of calls sees: the state of the model, names to choose from, and what was given out before."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final, TypeVar

from durastream.core.ids import partition_of
from durastream.store.memory.state import Hub, Partition
from durastream.store.protocol import Lease
from tests.differential.calls import NEVER, Call, Ranks, Ref
from tests.differential.sides import CHANNELS, PARTITIONS, ModelSide
from tests.store.conformance.values import STRANGE_IDS, ids_in

T = TypeVar("T")

WORKERS: Final = ("w1", "w2", "w3", "w 4")
QUEUES: Final = ("default", "default/pay", "{q}")
SOURCES: Final = ("0", "1", "c:a", "c:b")
INGRESS_LEASE: Final = -1


def _ids(partition: int) -> tuple[str, ...]:
    strange = [one for one in STRANGE_IDS if partition_of(one, PARTITIONS) == partition and len(one) < 20]
    return (*ids_in(partition, 3, partitions=PARTITIONS), *strange[:2])


def _entities(partition: int) -> tuple[str, ...]:
    plain = ids_in(partition, 3, prefix="@Counter@e", partitions=PARTITIONS)
    return (*plain, *ids_in(partition, 1, prefix="@N{ä}@a@b*", partitions=PARTITIONS))


INSTANCES: Final = tuple(_ids(partition) for partition in range(PARTITIONS))
ENTITIES: Final = tuple(_entities(partition) for partition in range(PARTITIONS))


class World:
    def __init__(self, model: ModelSide) -> None:
        self._model = model
        self._given: dict[int, list[Lease]] = {}  # by partition: every lease there ever was
        self.recent: list[Call] = []

    @property
    def hub(self) -> Hub:
        return self._model.hub

    @property
    def now(self) -> int:
        return self._model.clock()

    @property
    def ranks(self) -> Ranks:
        return self._model.ranks

    def note(self, call: Call, reply: object) -> None:
        """What came of a call, for those that follow."""
        self.recent = [*self.recent[-5:], call]
        if isinstance(reply, Lease):
            self._given.setdefault(reply.partition, []).append(reply)

    # -- choices

    def partition(self, rng: Random) -> Partition:
        return self.hub.partitions[rng.randrange(PARTITIONS)]

    def owned(self, rng: Random) -> Partition:
        """One that somebody owns, if there is any; now and then any."""
        held = [one for one in self.hub.partitions if one.lease.owner is not None]
        return rng.choice(held) if held and rng.random() < 0.95 else self.partition(rng)

    def lease(self, rng: Random, partition: int) -> Lease:
        """Mostly the present one; sometimes that of a zombie, or one that was never given."""
        held, kind = self.hub.lease(partition), rng.random()
        earlier = self._given.get(partition, [])
        if kind < 0.88 and held.owner is not None:
            return Lease(partition, held.epoch, held.nonce)
        if kind < 0.94 and earlier:
            return rng.choice(earlier)
        return Lease(partition, max(held.epoch + rng.choice((-1, 0, 0, 1)), 0), rng.choice(("", "forged", held.nonce)))

    def moment(self, rng: Random) -> int:
        return self.now + rng.choice((-1_000, -1, 0, 1, 5, 100, 5_000))

    def moments(self) -> list[int]:
        """When leases end and timers are due."""
        leases = [self.hub.lease(one).until for one in range(INGRESS_LEASE, PARTITIONS)]
        return [*leases, *(due for place in self.hub.partitions for due in place.timers.values())]

    def entry(self, rng: Random, stream: str, present: Sequence[str]) -> Ref:
        """Mostly one that is there; sometimes one that is gone, or that never was."""
        kind = rng.random()
        if kind < 0.8 and present:
            return self.ranks.ref(stream, rng.choice(present))
        if kind < 0.95 and self.ranks.count(stream):
            return Ref(stream, rng.randrange(self.ranks.count(stream)))
        return Ref(stream, NEVER)

    def cursor(self, rng: Random, stream: str) -> Ref:
        return Ref(stream, rng.randrange(-1, self.ranks.count(stream)) if rng.random() < 0.5 else -1)


def some(rng: Random, items: Sequence[T], most: int) -> list[T]:
    """From none to `most` of them, each once."""
    return rng.sample(items, min(rng.randint(0, most), len(items)))


def blob(rng: Random, what: str) -> bytes:
    """A message like no other (of this run, most likely)."""
    return f"{what} {rng.randrange(1_000_000)}".encode()


def channel(rng: Random) -> str:
    return rng.choice(CHANNELS)
