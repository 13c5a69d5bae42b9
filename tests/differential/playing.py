"""Play the steps of a seed against both stores, compare after each, and shrink what differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Any, NamedTuple

from tests.differential.calls import PLAIN, Call, resolved
from tests.differential.coverage import Coverage
from tests.differential.following import FOLLOWING
from tests.differential.sides import Failure, ModelSide, RedisSide, Side
from tests.differential.verbs import VERBS, WEIGHTS, call_of
from tests.differential.world import World

SHRINK_TRIES = 400
NEEDED = {"acquire", "commit", "start"}
"""Without much of these nothing else has anything to do."""

SWARM = ((0.3, 1, 1, 4), (1, 2))
"""Factors of the weights in a seed: of most verbs, of those that are needed."""


class Step(NamedTuple):
    """One call to come. What it is in detail follows from the state that it meets, so that others can be left out before it."""

    verb: str
    salt: int


class Difference(NamedTuple):
    """Where the two parted: what each answered, or holds in a place, or told on a channel."""

    step: int
    call: Call
    what: str
    model: Any
    server: Any

    def __str__(self) -> str:
        return f"{self.call}\n  {self.what}\n    model   {self.model!r}\n    server  {self.server!r}"


def steps_of(seed: int, count: int) -> list[Step]:
    """Each seed has weights of its own: what comes seldom in one comes often in another, and so do pairs of such."""
    rng = Random(seed)
    weights = [weight * rng.choice(SWARM[name in NEEDED]) for name, weight in WEIGHTS.items()]
    verbs = rng.choices([*WEIGHTS], weights, k=count)
    return [Step(verb, rng.randrange(1 << 32)) for verb in verbs]


class Play:
    """Two fresh stores, and the steps played so far."""

    def __init__(self, model: ModelSide, server: RedisSide, coverage: Coverage) -> None:
        self._model = model
        self._server = server
        self._coverage = coverage
        self._world = World(model)
        self.calls: list[tuple[Call, Any]] = []

    async def step(self, number: int, step: Step) -> Difference | None:
        call = call_of(*step, self._world)
        theirs = await self._server.do(call)
        ours = await (self._follow(call, theirs) if _is_choice(call, theirs) else self._model.do(call))
        states = ({}, {}) if VERBS[call.verb].reads else (await self._model.state(), await self._server.state())
        answers = _plain(self._model, call, ours), _plain(self._server, call, theirs)
        self._coverage.note(call.verb, answers[0])
        self._world.note(call, ours)
        self.calls.append((call, answers[0]))
        if answers[0] != answers[1] or _unnamed(answers[0]):
            return Difference(number, call, "answers", *answers)
        for place in sorted({*states[0], *states[1]}) if states[0] != states[1] else ():
            if states[0].get(place) != states[1].get(place):
                return Difference(number, call, f"holds in {place!r}", states[0].get(place), states[1].get(place))
        return await self._told(number, call) if call.verb == "commit" else None

    async def _follow(self, call: Call, theirs: Any) -> Any:
        """The model makes the server's choice, if it may."""
        plain = _plain(self._server, call, theirs)
        return self._model.follow(call, resolved(plain, self._model.ranks))

    async def _told(self, number: int, call: Call) -> Difference | None:
        ours, theirs = await self._model.heard(), await self._server.heard()
        return None if ours == theirs else Difference(number, call, "tells", ours, theirs)


def _is_choice(call: Call, reply: Any) -> bool:
    return call.verb in FOLLOWING and not isinstance(reply, Failure)


def _plain(side: Side, call: Call, reply: Any) -> Any:
    plain = PLAIN.get(call.verb)
    return reply if plain is None or isinstance(reply, Failure) else plain(reply, side.ranks)


def _unnamed(reply: Any) -> bool:
    """An error that the protocol does not name is a fault even where both raise it."""
    return isinstance(reply, Failure) and not reply.named


async def play(url: str, steps: Sequence[Step], coverage: Coverage | None = None) -> tuple[Difference | None, Play]:
    """Both stores from empty, through these steps. Stops at the first difference."""
    model, server = await ModelSide.start(), await RedisSide.start(url)
    played = Play(model, server, coverage if coverage is not None else Coverage())
    try:
        for number, step in enumerate(steps):
            difference = await played.step(number, step)
            if difference is not None:
                return difference, played
        return None, played
    finally:
        await server.close()
        await model.close()


# ---------------------------------------------------------------- shrinking

Differs = Callable[[Sequence[Step]], Awaitable[Difference | None]]


async def shrunk(steps: Sequence[Step], differs: Differs) -> list[Step]:
    """The fewest steps found that still differ: chunks are left out, ever smaller ones, until not one more step can go."""
    kept, tries = list(steps), SHRINK_TRIES
    size = max(len(kept) // 2, 1)
    while tries > 0:
        before, at = len(kept), 0
        while at < len(kept) and tries > 0:
            tries -= 1
            less = kept[:at] + kept[at + size :]
            difference = await differs(less)
            if difference is None:
                at += size
            else:
                kept = less[: difference.step + 1]
        if size == 1 and len(kept) == before:
            break
        size = max(size // 2, 1)
    return kept
