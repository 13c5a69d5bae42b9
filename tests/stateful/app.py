"""What the instances and entities of the state machine do: little, but everything that leaves a trace in the model."""

from __future__ import annotations

import durastream as ds

app = ds.App()
mended: set[str] = set()
"""Instances whose activity `breaks` no longer raises."""


@app.activity
async def echo(token: str) -> str:
    return token


@app.activity
async def breaks(key: str) -> str:
    if key not in mended:
        raise ValueError(f"{key} is broken")
    return "mended"


@app.entity
class Log:
    """Keeps each token that it is told."""

    tokens: list[str] = []  # noqa: RUF012 - a default, copied for each entity

    def add(self, token: str) -> int:
        self.tokens.append(token)
        return len(self.tokens)

    def spoil(self, token: str) -> None:
        """Changes the state, then raises: nothing of that may be seen."""
        self.tokens.append(token)
        raise ValueError(token)


@app.orchestrator
async def collects(ctx: ds.OrchestrationContext, every: int) -> list[str]:
    """Tokens until "stop", each through an activity; "breaks" fails it unless it was mended; continues as new after `every`."""
    found: list[str] = []
    while True:
        token = await ctx.wait_for_external_event("token", type=str)
        if token == "stop":
            return found
        if token == "breaks":
            token = await ctx.call_activity(breaks, ctx.instance_id)
        found.append(await ctx.call_activity(echo, token))
        if every and len(found) == every:
            ctx.continue_as_new(every)
            return found


@app.orchestrator
async def asks(ctx: ds.OrchestrationContext, asked: tuple[str, str]) -> int:
    """Calls the entity with this key; waits for "go" inside of its critical section."""
    key, token = asked
    entity = ds.EntityId("Log", key)
    async with ctx.lock_entities(entity):
        number = await ctx.call_entity(entity, "add", token)
        await ctx.wait_for_external_event("go")
    return int(number)


@app.orchestrator
async def sleeps(ctx: ds.OrchestrationContext, seconds: float) -> float:
    """How long it slept, by its own clock, and at least that."""
    begun = ctx.current_utc_datetime
    await ctx.create_timer(seconds)
    return (ctx.current_utc_datetime - begun).total_seconds()
