"""What is done to both stores: calls whose arguments name stream entries by rank, and replies brought to that same form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple, TypeAlias

from durastream.store.protocol import Activity, PartitionLoad

NEVER = 1_000_000
"""Rank of an entry that there never was."""


class Ref(NamedTuple):
    """An entry of a stream by rank: 0 is the first that was ever seen there, -1 stands before all."""

    stream: str
    rank: int


def inbox_of(partition: int) -> str:
    return f"inbox {partition}"


def queue_of(partition: int, queue: str) -> str:
    return f"queue {partition} {queue}"


INGRESS = "ingress"


class Ranks:
    """Entry ids of one store, as they were seen."""

    def __init__(self, never: str) -> None:
        self._never = never  # an id in the store's form that it never gives
        self._ids: dict[str, list[str]] = {}
        self._known: dict[tuple[str, str], int] = {}

    def learn(self, stream: str, entry_id: str) -> int:
        """The rank of an entry. New ones are to be shown in their order."""
        rank = self._known.get((stream, entry_id))
        if rank is None:
            ids = self._ids.setdefault(stream, [])
            rank = self._known[stream, entry_id] = len(ids)
            ids.append(entry_id)
        return rank

    def count(self, stream: str) -> int:
        return len(self._ids.get(stream, ()))

    def id_of(self, ref: Ref) -> str:
        if ref.rank < 0:
            return "0"
        ids = self._ids.get(ref.stream, ())
        return ids[ref.rank] if ref.rank < len(ids) else self._never

    def ref(self, stream: str, entry_id: str) -> Ref:
        return Ref(stream, self._known.get((stream, entry_id), NEVER))


@dataclass(frozen=True, slots=True)
class Call:
    """A call of one verb by one of the two handles (which stand for processes)."""

    verb: str
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    handle: int = 0

    def __str__(self) -> str:
        given = [shown(one) for one in self.args] + [f"{name}={value!r}" for name, value in self.options.items()]
        return f"{self.verb}({', '.join(given)})"


def shown(value: Any) -> str:
    """As repr, without what a dataclass says by default."""
    if isinstance(value, list):
        return f"[{', '.join(map(shown, value))}]"
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    told = ((one.name, getattr(value, one.name)) for one in fields(value))
    parts = (f"{name}={shown(part)}" for name, part in told if part is not False and part != [] and part != {})
    return f"{type(value).__name__}({', '.join(parts)})"


def resolved(value: Any, ranks: Ranks) -> Any:
    """The value with entry ids of one store in the place of ranks."""
    if isinstance(value, Ref):
        return ranks.id_of(value)
    if isinstance(value, tuple):
        parts = [resolved(one, ranks) for one in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    if isinstance(value, list):
        return [resolved(one, ranks) for one in value]
    if isinstance(value, dict):
        return {name: resolved(one, ranks) for name, one in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: resolved(getattr(value, one.name), ranks) for one in fields(value)})
    return value


# ---------------------------------------------------------------- replies

Plain: TypeAlias = Callable[[Any, Ranks], Any]


def _activities(reply: list[Activity], ranks: Ranks) -> list[Activity]:
    """By stream, each in its own order: between streams there is none."""
    found = [
        one._replace(entry_id=ranks.ref(queue_of(one.partition, one.queue), one.entry_id))  # type: ignore[arg-type]
        for one in reply
    ]
    return sorted(found, key=lambda one: (one.partition, one.queue))


def _inboxes(reply: list[Any], ranks: Ranks) -> list[Any]:
    return [(p, [(ranks.ref(inbox_of(p), one.entry_id), *one[1:]) for one in entries]) for p, entries in reply]


def _ingress(reply: list[Any], ranks: Ranks) -> list[Any]:
    return [(ranks.ref(INGRESS, entry_id), fields_) for entry_id, fields_ in reply]


def _loads(reply: list[PartitionLoad], ranks: Ranks) -> list[PartitionLoad]:
    return [
        one._replace(oldest=None, queues=tuple(queue._replace(oldest=None) for queue in one.queues)) for one in reply
    ]


def _by_type(reply: Any, ranks: Ranks) -> str:
    return type(reply).__name__


def _sorted(reply: list[Any], ranks: Ranks) -> list[Any]:
    return sorted(reply)


PLAIN: Mapping[str, Plain] = {
    "claim_activities": _activities,
    "claimed": _activities,
    "reclaim": _activities,
    "read_inboxes": _inboxes,
    "read_ingress": _ingress,
    "loads": _loads,
    "now": _by_type,
    "server_info": _by_type,
    "queues": _sorted,
}
"""Verb → its reply in a form that both stores can agree on; others agree as they are."""
