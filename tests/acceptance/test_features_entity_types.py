"""Inputs, results and state of entities keep their types, also when they are read back by another worker or by a client."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

import durastream as ds
from tests.acceptance.serving import serving

pytestmark = pytest.mark.anyio


@dataclass
class Part:
    name: str
    price: Decimal
    since: datetime | None = None


@dataclass
class Basket:
    parts: list[Part] = field(default_factory=list)
    notes: dict[str, set[int]] = field(default_factory=dict)


def shop() -> ds.App:
    app = ds.App()

    @app.entity(name="Basket")
    class BasketEntity(Basket):
        def put(self, part: Part) -> Part:
            assert isinstance(part, Part) and all(isinstance(one, Part) for one in self.parts)
            self.parts.append(part)
            self.notes.setdefault(part.name, set()).add(len(self.parts))
            return max(self.parts, key=lambda one: one.price)

        def total(self) -> Decimal:
            return sum((one.price for one in self.parts), Decimal())

    @app.orchestrator
    async def buys(ctx: ds.OrchestrationContext, parts: list[Part]) -> Decimal:
        basket = ds.EntityId("Basket", "b")
        for part in parts:
            most = await ctx.call_entity(basket, "put", part)
            assert isinstance(most, Part), type(most)
        as_dict = await ctx.call_entity(basket, "put", parts[0], return_type=dict[str, Any])
        assert isinstance(as_dict, dict)
        total: Decimal = await ctx.call_entity(basket, "total")
        assert isinstance(total, Decimal)
        return total

    return app


async def test_inputs_results_and_state_have_their_types(server_url: str) -> None:
    parts = [Part("a", Decimal("1.10"), datetime(2030, 1, 2, tzinfo=UTC)), Part("b", Decimal("2.20"))]
    app = shop()
    async with ds.Client(server_url) as client:
        async with ds.Worker(app, server_url, lease=1):
            handle = await client.start("buys", parts)
            assert Decimal(await handle.result(timeout=10)) == Decimal("4.40")
        async with ds.Worker(shop(), server_url, lease=1):  # the state is read back by another
            handle = await client.start("buys", parts)
            assert Decimal(await handle.result(timeout=10)) == Decimal("8.80")
        state = await client.read_entity(ds.EntityId("Basket", "b"), type=Basket)
        assert isinstance(state, Basket)
        assert state.parts == [*parts, parts[0]] * 2
        assert state.notes == {"a": {1, 3, 4, 6}, "b": {2, 5}}


async def test_pydantic_models(server_url: str) -> None:
    pydantic = pytest.importorskip("pydantic")
    app = ds.App()
    size = pydantic.create_model("Size", width=(int, pydantic.Field(ge=0)), height=(int, 1))

    @app.entity(name="box")
    def box(ctx: ds.EntityContext) -> int:
        asked = ctx.get_input(size)
        kept = ctx.get_state(size, asked)
        ctx.set_state(size(width=kept.width + asked.width, height=asked.height))
        return int(ctx.get_state(size).width)

    @app.orchestrator
    async def boxes(ctx: ds.OrchestrationContext, n: int) -> list[Any]:
        entity = ds.EntityId("box", "1")
        results = [await ctx.call_entity(entity, "grow", size(width=2, height=3)) for _ in range(2)]
        try:
            await ctx.call_entity(entity, "grow", {"width": -1})
        except ds.EntityFailed as error:
            results.append(error.type)
        return results

    async with serving(app, server_url) as client:
        assert await (await client.start("boxes", 1)).result(timeout=10) == [4, 6, "PayloadError"]
        kept = await client.read_entity(ds.EntityId("box", "1"), type=size)
        assert (kept.width, kept.height) == (6, 3)
