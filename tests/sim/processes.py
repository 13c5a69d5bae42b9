"""What runs in a simulated process: a worker, or a client that goes through its scenarios."""

from __future__ import annotations

import asyncio
import json
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import durastream as ds
from durastream import environment
from durastream.errors import StoreUnavailable
from durastream.worker.host import Host
from tests.sim.clocks import SimEnvironment
from tests.sim.loop import Process, pause
from tests.sim.wire import Link

if TYPE_CHECKING:
    from tests.sim.scenario import Scenario
    from tests.sim.world import World


@dataclass(eq=False)
class Running:
    """A process with its connections. `slot`: which place of the deployment it fills."""

    name: str
    kind: str
    slot: int
    process: Process
    environment: SimEnvironment
    link: Any = None  # a Link, which stands for any store object
    worker_id: str = ""
    worker: ds.Worker | None = None
    host: Host | None = None
    leaving: bool = False


def launch(world: World, kind: str, slot: int, incarnation: int) -> Running:
    """A new process that begins to work at once."""
    name = f"{kind}{slot}.{incarnation}"
    process = world.loop.process(name)
    process.world = world
    made = SimEnvironment(world.loop, world.chance.generator(f"environment {name}"))
    running = Running(name, kind, slot, process, made)
    running.link = Link(world, running)
    process.context = process.context.run(_inside, made)
    main = work(world, running) if kind == "w" else drive(world, running)
    process.context.run(world.loop.create_task, main)
    return running


def _inside(made: SimEnvironment) -> Context:
    """A context in which the process has its own clocks and its own chance."""
    with environment.using(made):
        return copy_context()


async def work(world: World, running: Running) -> None:
    knobs = world.knobs
    while True:
        worker = ds.Worker(
            world.app,
            running.link,
            name=f"w{running.slot}" if knobs.same_names else running.name,
            lease=knobs.lease_s,
            concurrency=knobs.concurrency,
            live_max=0,
            grace=1.0,
        )
        running.worker_id = worker.worker_id
        try:
            await worker.start()
        except StoreUnavailable:
            await pause(0.1)
            continue
        break
    running.worker, running.host = worker, worker.host
    error = await worker.host.wait_failed()
    world.violated("X1", f"a role of worker {running.name} failed: {type(error).__name__}: {error}")


async def leave(world: World, running: Running) -> None:
    """Stop a worker as SIGTERM does; the process ends with it."""
    if running.worker is not None:
        await running.worker.stop()
        world.ledger.did("worker stop")
    world.ended(running)


async def drive(world: World, running: Running) -> None:
    async with ds.Client(running.link, retry_for_s=world.knobs.patience_s) as client:
        mine = [one for one in world.scenarios if one.slot == running.slot and not one.done]
        if running.slot == 0:
            operator = asyncio.ensure_future(_operate(world, client))
        await asyncio.gather(*(_drive(world, client, one, running) for one in mine))
        if running.slot == 0:
            await operator


async def _operate(world: World, client: ds.Client) -> None:
    """Somebody looks after what was given up because owner after owner had died of it, as it seemed: it was not to blame."""
    while True:
        await pause(1.0)
        for place in world.server.hub.partitions:
            for instance_id, reason in list(place.parked.items()):
                problem = json.loads(reason)
                if problem["kind"] not in world.watch.may_park():
                    world.violated("S23", f"{instance_id} was parked: {problem['kind']}: {problem['message']}")
                    return
                try:
                    with world.ledger.op("resume parked"):
                        await client.resume(instance_id)
                except ds.DurastreamError:
                    continue


async def _drive(world: World, client: ds.Client, scenario: Scenario, running: Running) -> None:
    await pause(max(0.0, scenario.begins_at - world.loop.time()))
    while not scenario.done:
        try:
            await scenario.run(client, running.name)
        except StoreUnavailable:
            continue
        except Exception as error:
            if not world.watch.lossy and not world.watch.given_up(error):  # else what it did may be among what was lost
                world.violated("S7", f"{scenario.name}: {type(error).__name__}: {error}", error)
        scenario.done = True
    world.scenario_done()
