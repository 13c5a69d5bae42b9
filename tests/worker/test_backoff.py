"""Trying again until the store serves."""

from __future__ import annotations

import asyncio

import pytest

from durastream.errors import Fenced, StoreUnavailable
from durastream.worker import backoff

pytestmark = pytest.mark.anyio


async def test_it_goes_on_until_the_store_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "_FIRST_S", 0.0001)
    answers: list[object] = [StoreUnavailable("away"), StoreUnavailable("away"), "here"]

    async def ask() -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert await backoff.persist(ask) == "here"


async def test_other_errors_pass() -> None:
    async def ask() -> None:
        raise Fenced("not ours")

    with pytest.raises(Fenced):
        await backoff.persist(ask)


async def test_pauses_grow_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    pauses = backoff.Backoff()
    for _ in range(12):
        await pauses.pause()
    assert 0.01 <= slept[0] <= 0.02
    assert max(slept) <= 1.0
    assert slept[-1] >= 0.5
    pauses.reset()
    await pauses.pause()
    assert slept[-1] <= 0.02
