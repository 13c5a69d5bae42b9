"""Looking at any subjects, and looking again at those that seem to be wrong."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, TypeAlias

from durastream.inspect.fsck.carriers import Carriers
from durastream.inspect.fsck.entities import Entities
from durastream.inspect.fsck.instances import Instances
from durastream.inspect.fsck.layout import Layout
from durastream.inspect.fsck.others import Others
from durastream.inspect.fsck.subjects import (
    ClaimsOf,
    EntityAt,
    EntryAt,
    Hub,
    InstanceAt,
    KeyAt,
    LeaseAt,
    Look,
    MarksOf,
    StreamAt,
    Subject,
    TimerAt,
)
from durastream.inspect.fsck.timers import Timers
from durastream.inspect.invariants.needs import Need
from durastream.inspect.invariants.violation import Violation
from durastream.store.redis.fsck import RawHub

_PAGE = 100  # subjects in one go

Looker: TypeAlias = Callable[[Sequence[Any], AbstractSet[Need] | None], Awaitable[Mapping[Any, Look]]]


@dataclass(frozen=True, slots=True)
class Patience:
    """How often something is looked at before it is reported, and how long is waited before each of these looks."""

    looks: int = 3
    pause_s: float = 0.4


class Looks:
    """All kinds of subjects."""

    def __init__(self, hub: RawHub, layout: Layout, carriers: Carriers, patience: Patience) -> None:
        self._carriers = carriers
        self._patience = patience
        instances = Instances(hub)
        others = Others(hub, layout)
        self._lookers: dict[type, Looker] = {
            InstanceAt: instances.look,
            EntityAt: Entities(hub, instances).look,
            TimerAt: _without(Timers(hub).look),
            StreamAt: _without(others.streams),
            EntryAt: _without(others.entries),
            ClaimsOf: _without(others.claims),
            MarksOf: _without(others.marks),
            LeaseAt: _without(others.leases),
            KeyAt: _without(others.keys),
            Hub: _without(others.hub),
        }

    async def at(self, subjects: Iterable[Subject], carried: AbstractSet[Need] | None = None) -> dict[Subject, Look]:
        """One look at each."""
        kinds: defaultdict[type, list[Subject]] = defaultdict(list)
        for one in subjects:
            kinds[type(one)].append(one)
        found: dict[Subject, Look] = {}
        for kind, some in kinds.items():
            for first in range(0, len(some), _PAGE):
                found |= await self._lookers[kind](some[first : first + _PAGE], carried)
        return found

    async def confirmed(self, suspects: Iterable[Subject]) -> list[Violation]:
        """What is wrong with them at each of several looks, and the same each time."""
        lasting: dict[Subject, list[Violation]] = {}
        left = list(suspects)
        for count in range(self._patience.looks):
            await asyncio.sleep(self._patience.pause_s)
            found = await self._closely(left)
            for one in left:
                before = {_same(violation) for violation in (lasting[one] if count else found[one])}
                lasting[one] = [violation for violation in found[one] if _same(violation) in before]
            left = [one for one in left if lasting[one]]
        return [violation for one in left for violation in lasting[one]]

    async def _closely(self, subjects: Sequence[Subject]) -> dict[Subject, list[Violation]]:
        """With a search for what they need. Of one that changes meanwhile nothing is said that rests on the search."""
        before = await self.at(subjects)
        wanted = {need: places for look in before.values() for need, places in look.needs.items()}
        carried = await self._carriers.find(wanted) if wanted else set()
        after = await self.at(subjects, carried)
        moved = [one for one in subjects if one in after and before[one].version != after[one].version]
        again = await self.at(moved)
        return {one: list((again.get(one) or after.get(one) or Look()).violations) for one in subjects}


def _same(violation: Violation) -> tuple[str, str, str]:
    """What makes two of them one: not the repair, which holds what it was based on."""
    return violation.invariant, violation.key, violation.text


def _without(look: Callable[[Sequence[Any]], Awaitable[Mapping[Any, Look]]]) -> Looker:
    """For kinds that need nothing under way."""

    async def looked(subjects: Sequence[Any], _carried: AbstractSet[Need] | None) -> Mapping[Any, Look]:
        return await look(subjects)

    return looked
