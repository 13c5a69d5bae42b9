"""The table of all that the test does: verb → generator, how often, and the named errors that must occur in the end."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final, NamedTuple, TypeAlias

from durastream.errors import DurastreamError, Fenced, HubMismatch, Refused, StoreUnavailable
from durastream.store.protocol import WorkerStore
from tests.differential import makers
from tests.differential.calls import Call
from tests.differential.commits import commit
from tests.differential.world import World

Make: TypeAlias = Callable[[Random, World], Call]


class Verb(NamedTuple):
    make: Make
    weight: int  # of about 170
    errors: tuple[type[DurastreamError], ...] = ()
    succeeds: bool = True
    reads: bool = False  # changes nothing: whether that is so shows after the next call that may


VERBS: Final[dict[str, Verb]] = {
    # the world around
    "pass_time": Verb(makers.pass_time, 8),
    "ingress": Verb(makers.ingress, 4),
    "open": Verb(makers.opened, 1, (HubMismatch,)),
    "closed": Verb(makers.closed, 1, (StoreUnavailable,), succeeds=False),
    # clients
    "now": Verb(makers.plain("now"), 1, reads=True),
    "start": Verb(makers.start, 8),
    "deliver": Verb(makers.deliver, 5),
    "records": Verb(makers.records, 2, reads=True),
    "history": Verb(makers.history, 2, reads=True),
    "watch": Verb(makers.watch, 4),
    "page": Verb(makers.page, 2, reads=True),
    "counts": Verb(makers.plain("counts"), 1, reads=True),
    "workers": Verb(makers.plain("workers"), 1, reads=True),
    "leases": Verb(makers.plain("leases"), 1, reads=True),
    "queues": Verb(makers.of_partition("queues"), 1, reads=True),
    "parked": Verb(makers.of_partition("parked"), 1, reads=True),
    "scan_ids": Verb(makers.scan_ids, 1, reads=True),
    "loads": Verb(makers.plain("loads"), 1, reads=True),
    "timers_set": Verb(makers.timers_set, 1, reads=True),
    "server_info": Verb(makers.plain("server_info"), 1, reads=True),
    "entities": Verb(makers.entities, 1, reads=True),
    "entity_page": Verb(makers.entity_page, 1, reads=True),
    "entity_queue": Verb(makers.entity_queue, 1, reads=True),
    "locks": Verb(makers.of_partition("locks"), 1, reads=True),
    "stalled": Verb(makers.of_partition("stalled"), 1, reads=True),
    # membership and ownership
    "heartbeat": Verb(makers.heartbeat, 3),
    "leave": Verb(makers.leave, 1),
    "acquire": Verb(makers.acquire, 10),
    "renew": Verb(makers.renew, 3),
    "release": Verb(makers.release, 3),
    # the owner's work
    "read_inboxes": Verb(makers.read_inboxes, 3, reads=True),
    "load": Verb(makers.load, 2, reads=True),
    "load_entities": Verb(makers.load_entities, 2, reads=True),
    "commit": Verb(commit, 30, (Fenced, Refused)),
    "deaths": Verb(makers.deaths, 1, reads=True),
    "mend": Verb(makers.mend, 1, (Fenced,)),
    "tried": Verb(makers.tried, 1, reads=True),
    "attempt": Verb(makers.attempt, 7, (Fenced,)),
    "due": Verb(makers.due, 3, (Fenced,), reads=True),
    "outbox": Verb(makers.outbox, 2, reads=True),
    "deliver_all": Verb(makers.deliver_all, 4),
    "forget": Verb(makers.forget, 3, (Fenced,)),
    "dead_letter": Verb(makers.dead_letter, 1),
    "reply": Verb(makers.reply, 2),
    "tidy": Verb(makers.tidy, 3, (Fenced,)),
    # activities
    "claim_activities": Verb(makers.claim_activities, 14),
    "claimed": Verb(makers.claimed, 2),
    "complete": Verb(makers.complete, 4),
    "put_back": Verb(makers.put_back, 3),
    "claimants": Verb(makers.of_partition("claimants"), 1),
    "begin": Verb(makers.begin, 4),
    "reclaim": Verb(makers.reclaim, 10, (Fenced,)),
    # the ingress stream
    "acquire_ingress": Verb(makers.acquire_ingress, 3),
    "read_ingress": Verb(makers.read_ingress, 2, reads=True),
    "route": Verb(makers.route, 6, (Fenced,)),
    "drop_ingress": Verb(makers.drop_ingress, 2),
}

AGAIN: Final = "again"
"""Not a verb: one of the last calls once more, as after a lost reply."""

WEIGHTS: Final = {AGAIN: 10, **{name: verb.weight for name, verb in VERBS.items()}}

UNTRIED: Final = {"close", "interrupt", "notifications"}
"""Verbs without a reply or a state of their own; what is published is compared with each commit."""


def call_of(name: str, salt: int, world: World) -> Call:
    """The call of one step: what its generator makes of the salt and of the world as it is."""
    rng = Random(salt)
    if name == AGAIN:
        return rng.choice(world.recent) if world.recent else call_of("pass_time", salt, world)
    return VERBS[name].make(rng, world)


def protocol_verbs() -> set[str]:
    """Every verb that a store has."""
    return {
        name for one in WorkerStore.__mro__ for name, value in vars(one).items() if callable(value) and name[0] != "_"
    }
