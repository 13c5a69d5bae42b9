"""Pictures of `durastream top` as SVG: starts a server and workers, brings about something to look at, presses keys.

Ids, names and numbers are the same in each run; times are those of the run, and numbers in the SVG that stand for them.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from textual.pilot import Pilot

import durastream as ds
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.store.embedded import EmbeddedServer
from durastream.tui.app import TopApp
from durastream.tui.client_source import ClientSource
from workers import approval, bank, order_saga

ROOT = Path(__file__).parents[1]
SMALL, LARGE = (100, 28), (160, 40)
WORKERS = ("worker-1", "worker-2", "worker-3")
PATIENCE_S = 20.0


class Picture(NamedTuple):
    """`keys` are pressed one after the other; `wanted`: what must be seen before the picture is taken."""

    name: str
    keys: Sequence[str]
    wanted: Sequence[str]
    size: tuple[int, int] = SMALL


def typed(text: str) -> list[str]:
    """Keys that write this."""
    names = {":": "colon", "-": "minus", " ": "space", "*": "asterisk"}
    return [names.get(char, char) for char in text]


PICTURES = (
    Picture("instances", ["down", "down"], ["transfer-9", "✘ Failed", "leave-12"]),
    Picture("wrong-filter", ["slash", *typed("name:approve stats:failed")], ["no field stats"]),
    Picture("bulk", ["slash", *typed("id:leave-"), "enter", "a", "P"], ["Suspend 12 instances?"]),
    Picture("failed", ["f", "enter"], ["failed:", "ExecutionFailed"], LARGE),
    Picture("timeline", ["slash", *typed("id:order-4"), "enter", "enter"], ["✘ failed", "release"]),
    Picture("stuck", ["slash", *typed("id:report"), "enter", "enter"], ["no live worker has the orchestrator"]),
    Picture("waiting", ["slash", *typed("id:leave-12"), "enter", "enter"], ["waits for", "a timer"]),
    Picture("entities", ["2"], ["@Account@ann", "balance"]),
    Picture("entity", ["2", "enter"], ["@Account@ann", "revision"]),
    Picture("partitions", ["3"], ["16 of 16"]),
    Picture("workers", ["4"], ["worker-3"]),
)


async def happen(client: ds.Client) -> None:
    """Something of everything."""
    for owner in ("ann", "ben", "cleo"):
        await client.signal_entity(ds.EntityId("Account", owner), "deposit", 100)
    for number in range(1, 7):
        order = {"sku": "piano" if number == 4 else "book", "amount": 20 * number}
        await client.start("place_order", order, instance_id=f"order-{number}", tags={"env": "prod"})
    for number in range(1, 4):
        given = {"source": "ann", "target": "ben", "amount": number}
        await client.start("transfer", given, instance_id=f"transfer-{number}")
    for number in range(1, 13):
        request = {"request": "two weeks off", "patience_s": 86_400}
        await client.start("approve", request, instance_id=f"leave-{number}")
    await client.start("transfer", {"source": "ann", "target": "ann", "amount": 5}, instance_id="transfer-9")
    await client.start("monthly_report", {"month": 5}, instance_id="report-5")
    await client.suspend("leave-3", "on holiday")
    await client.terminate("leave-4", "withdrawn")


@asynccontextmanager
async def a_hub() -> AsyncIterator[ds.Client]:
    with EmbeddedServer.start() as server:
        async with AsyncExitStack() as stack:
            app = ds.App()
            for sample in (approval.app, bank.app, order_saga.app):
                app.include(sample)
            for name in WORKERS:
                await stack.enter_async_context(ds.Worker(app, server.url, name=name, lease=2.0, grace=0.5))
            client = await stack.enter_async_context(ds.Client(server.url))
            await happen(client)
            await until_calm(client)
            yield client


async def until_calm(client: ds.Client) -> None:
    """All has come to its end but what waits on purpose."""
    ends = time.monotonic() + PATIENCE_S
    while time.monotonic() < ends:
        counts = await client.counts()
        owned = all(one.owner for one in await client.partitions())
        if owned and counts["Running"] == 10 and counts["Pending"] == 1 and counts["Failed"] == 1:
            return
        await asyncio.sleep(0.1)
    raise TimeoutError(f"not calm: {await client.counts()}")


class Homeless(ClientSource):
    """Says nothing of where the repository lies on this machine."""

    async def instance(self, instance_id: str, hub: HubFacts) -> InstanceFacts:
        facts = await super().instance(instance_id, hub)
        failure = facts.status.failure
        if failure is None:
            return facts
        stack = failure.stack.replace(f"{ROOT}/", "")
        return replace(facts, status=replace(facts.status, failure=failure._replace(stack=stack, causes=())))


async def take(client: ds.Client, picture: Picture) -> str:
    """The picture as SVG."""
    app = TopApp(Homeless(client, "localhost:6379"), period_s=0.3)
    async with app.run_test(size=picture.size) as pilot:
        await settled(app, pilot, ["default"])
        for key in picture.keys:
            await pilot.press(key)
            if key in ("enter", "f", "a", "2", "3", "4"):
                await settled(app, pilot, [])
        await settled(app, pilot, picture.wanted)
        return plain(app.export_screenshot(title="durastream top"), picture.name)


async def settled(app: TopApp, pilot: Pilot[Any], wanted: Sequence[str]) -> None:
    """Two refreshes, and these texts on the screen."""
    target, ends = app.rounds + 2, time.monotonic() + PATIENCE_S
    while app.rounds < target or not all(one in shown(app) for one in wanted):
        if time.monotonic() > ends:
            raise TimeoutError(f"{wanted} is not on the screen:\n{shown(app)}")
        await asyncio.sleep(0.05)
    await pilot.pause()


def shown(app: TopApp) -> str:
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def plain(svg: str, name: str) -> str:
    """Names inside the file that are the same in each run."""
    return re.sub(r"terminal-\d+", f"top-{name}", svg)


async def main(directory: Path) -> None:
    async with a_hub() as client:
        for picture in PICTURES:
            (directory / f"top-{picture.name}.svg").write_text(await take(client, picture), "utf-8")
            sys.stderr.write(f"{directory / f'top-{picture.name}.svg'}\n")


if __name__ == "__main__":
    os.environ["TZ"] = "UTC"
    time.tzset()
    Path(sys.argv[1]).mkdir(parents=True, exist_ok=True)
    asyncio.run(main(Path(sys.argv[1])))
