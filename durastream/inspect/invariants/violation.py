"""What breaks an invariant, what could be done about it, and how an invariant becomes a function with a name and an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar


class Repair(NamedTuple):
    """A step that makes it hold again. Carried out by the verb of `store.redis.repairs` with this name, and only while what it
    is based on has not changed: the arguments hold it."""

    verb: str
    arguments: tuple[object, ...]
    does: str
    loses: str = ""  # what is given up by it; empty: nothing


@dataclass(frozen=True, slots=True)
class Violation:
    """`key`: where it was found. `text` holds ids as they are: pass it through `sanitize` before it goes to a screen.

    Not `certain`: it may be sound after all, which cannot be told without running the code.
    """

    invariant: str
    key: str
    text: str
    repair: Repair | None = None
    certain: bool = True


class Found(NamedTuple):
    """What a check yields: its own id and the key of what it looked at are added to it."""

    text: str
    repair: Repair | None = None
    key: str | None = None  # another one than that of the snapshot
    certain: bool = True


class Keyed(Protocol):
    """A snapshot that says under which key it was found."""

    @property
    def key(self) -> str: ...


S = TypeVar("S", bound=Keyed)


@dataclass(frozen=True, slots=True)
class Check(Generic[S]):
    """An invariant as a function of a snapshot. Empty result: it holds."""

    id: str
    look: Callable[[S], Iterator[Found]]

    @property
    def name(self) -> str:
        return self.look.__name__

    @property
    def says(self) -> str:
        """What must hold."""
        return (self.look.__doc__ or "").strip()

    def __call__(self, snapshot: S) -> list[Violation]:
        return [
            Violation(self.id, snapshot.key if one.key is None else one.key, one.text, one.repair, one.certain)
            for one in self.look(snapshot)
        ]


def invariant(id: str) -> Callable[[Callable[[S], Iterator[Found]]], Check[S]]:
    """Make a generator of findings the check of this invariant."""

    def made(look: Callable[[S], Iterator[Found]]) -> Check[S]:
        return Check(id, look)

    return made


def check(snapshot: S, checks: Iterable[Check[S]]) -> list[Violation]:
    """What breaks any of these."""
    return [violation for one in checks for violation in one(snapshot)]
