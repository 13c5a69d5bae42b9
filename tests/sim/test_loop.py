"""The event loop of the simulation."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from tests.sim import loop as looping
from tests.sim.loop import PROCESS, SimLoop, Spinning, pause


def run(main: Any, seed: int = 1) -> Any:
    loop = SimLoop(Random(seed))
    try:
        return loop.run_until_complete(main(loop))
    finally:
        loop.bury()
        loop.close()


def test_time_jumps_to_the_next_timer() -> None:
    async def main(loop: SimLoop) -> float:
        await pause(3_600)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await loop.create_future()
        return loop.time()

    assert run(main) == 3_660


def test_one_process_keeps_its_order_and_several_interleave() -> None:
    async def main(loop: SimLoop) -> list[str]:
        said: list[str] = []
        for name in "ab":
            process = loop.process(name)
            for k in range(5):
                process.context.run(loop.call_soon, said.append, f"{name}{k}")
        await pause(1)
        return said

    orders = {tuple(run(main, seed)) for seed in range(10)}
    assert len(orders) > 1
    for order in orders:
        for name in "ab":
            assert [one for one in order if one[0] == name] == [f"{name}{k}" for k in range(5)]


def test_a_killed_process_runs_nothing_any_more() -> None:
    said: list[str] = []

    async def work() -> None:
        try:
            await pause(1)
            said.append("went on")
        finally:
            said.append("cleaned up")

    async def main(loop: SimLoop) -> list[str]:
        process = loop.process("victim")
        process.context.run(loop.create_task, work())
        await pause(0.5)
        loop.kill(process)
        await pause(10)
        return list(said)

    assert run(main) == []


def test_a_stopped_process_goes_on_later() -> None:
    async def main(loop: SimLoop) -> list[float]:
        times: list[float] = []
        process = loop.process("stopped")
        process.context.run(loop.call_later, 1.0, lambda: times.append(loop.time()))
        loop.stop_process(process)
        loop.call_later(5.0, loop.continue_process, process)
        await pause(10)
        return times

    assert run(main) == [5.0]


def test_threads_are_simulated() -> None:
    async def main(loop: SimLoop) -> tuple[str, float]:
        name = await asyncio.to_thread(lambda: PROCESS.get().name)
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        return name, loop.time()

    name, now = run(main)
    assert name == "host" and 0 < now < 1


def test_turning_in_circles_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looping, "SPIN_MAX", 1_000)

    async def main(loop: SimLoop) -> None:
        while True:
            await pause(0)

    with pytest.raises(Spinning, match="host goes in circles"):
        run(main)


def test_an_error_that_nobody_awaits_is_noted() -> None:
    async def main(loop: SimLoop) -> list[str]:
        loop.call_soon(lambda: 1 // 0)
        await pause(1)
        return loop.errors

    (error,) = run(main)
    assert "ZeroDivisionError" in error
