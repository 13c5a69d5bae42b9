"""What can be done to instances: one table for keys, palette, questions and progress."""

from __future__ import annotations

from typing import Final, NamedTuple

from durastream.core.status import ALL, FAILED, PENDING, RUNNING, SUSPENDED, TERMINAL, Status


class Verb(NamedTuple):
    """`targets`: statuses in which it can be done. `lost`: what cannot be undone, "" where all of it can."""

    name: str
    done: str
    targets: frozenset[Status]
    lost: str = ""


VERBS: Final[dict[str, Verb]] = {
    verb.name: verb
    for verb in (
        Verb(
            "terminate",
            "told to terminate",
            frozenset(ALL) - TERMINAL,
            "It runs no more of its code, and cannot go on.",
        ),
        Verb("suspend", "suspended", frozenset((PENDING, RUNNING))),
        Verb("resume", "resumed", frozenset((SUSPENDED, PENDING, RUNNING))),
        Verb("rewind", "rewound", frozenset((FAILED,))),
        Verb("restart", "restarted", TERMINAL, "It begins again with the same input; its history is lost."),
        Verb("purge", "purged", TERMINAL, "It is deleted with its history."),
    )
}
"""resume: also of one that is parked, which makes a worker try again."""


def refusal(verb: Verb, status: Status) -> str | None:
    """Why it cannot be done to an instance in this status."""
    if status in verb.targets:
        return None
    needed = ", ".join(one for one in ALL if one in verb.targets)
    return f"{verb.name} needs an instance that is {needed}; this one is {status}"


def question(verb: Verb, ids: list[str]) -> str:
    """What is asked before it is done."""
    return f"{verb.name.capitalize()} {'this instance' if len(ids) == 1 else f'{len(ids):,} instances'}?"
