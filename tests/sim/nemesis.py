"""Faults at a time: one function for each kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tests.sim.faults import Timed
from tests.sim.processes import Running

if TYPE_CHECKING:
    from tests.sim.world import World


def strike(world: World, fault: Timed) -> None:
    """Let it happen, unless it is left out, or there is nobody it could happen to."""
    if world.plan.wants(fault) and _STRIKES[fault.kind](world, fault):
        world.plan.note(fault.fault_id, fault.kind)
        world.trace("nemesis", fault.kind, "")


def calm(world: World) -> None:
    """Everything goes on from here as it should: nobody is left out."""
    for slot, running in [*world.workers.items(), *world.clients.items()]:
        if not running.process.alive and not running.leaving:
            world.launch(running.kind, slot)


def _victim(fault: Timed, among: list[Running]) -> Running | None:
    alive = [one for one in among if one.process.alive and not one.leaving]
    return alive[int(fault.victim * len(alive))] if alive else None


def _lease(world: World, fault: Timed, low: float, high: float) -> float:
    return world.knobs.lease_s * (low + (high - low) * fault.share)


def _kill(world: World, fault: Timed) -> bool:
    victim = _victim(fault, list(world.workers.values()))
    if victim is not None:
        world.crash(victim)
    return victim is not None


def _kill_client(world: World, fault: Timed) -> bool:
    victim = _victim(fault, list(world.clients.values()))
    if victim is not None:
        world.crash(victim)
    return victim is not None


def _leave(world: World, fault: Timed) -> bool:
    victim = _victim(fault, list(world.workers.values()))
    if victim is not None:
        world.leave(victim)
    return victim is not None


def _join(world: World, fault: Timed) -> bool:
    slot = 100 + len(world.workers)
    world.launch("w", slot)
    return True


def _isolate(world: World, fault: Timed) -> bool:
    victim = _victim(fault, world.running())
    if victim is not None:
        victim.link.isolated_until = world.loop.time() + _lease(world, fault, 0.2, 3.0)
        victim.link.cut()
    return victim is not None


def _deaf(world: World, fault: Timed) -> bool:
    victim = _victim(fault, world.running())
    if victim is not None:
        victim.link.deaf_until = world.loop.time() + _lease(world, fault, 0.2, 3.0)
    return victim is not None


def _outage(world: World, fault: Timed) -> bool:
    world.server.down_until = world.loop.time() + _lease(world, fault, 0.1, 2.5)
    if fault.share > 0.5:
        world.server.restart()
    for running in world.running():
        running.link.cut()
    return True


def _expire(world: World, fault: Timed) -> bool:
    world.server.expire_leases()
    return True


def _clock_forward(world: World, fault: Timed) -> bool:
    world.server.offset_ms += int(1_000 * 60 * fault.share**3) + 1
    return True


def _clock_back(world: World, fault: Timed) -> bool:
    world.server.offset_ms -= int(3_000 * fault.share) + 1
    return True


def _wall_jump(world: World, fault: Timed) -> bool:
    for running in world.running():
        running.environment.wall_offset_ms += int((fault.share - 0.5) * 2 * 86_400_000)
    return True


def _touch(world: World, fault: Timed) -> bool:
    live = [
        (name, held)
        for place in world.server.hub.partitions
        for name, held in sorted(place.instances.items())
        if held.fields.get("status") == "Running"
    ]
    if not live:
        return False
    name, held = live[int(fault.victim * len(live))]
    held.revision += 1
    world.watch.touched(name)
    return True


def _rollback(world: World, fault: Timed) -> bool:
    """The state as it was a moment ago comes back: the snapshot was taken then (see `Watch`)."""
    snapshot = world.watch.snapshot_before(world.loop.time() - 0.05 - 1.5 * fault.share)
    if snapshot is None:
        return False
    world.server.restore(snapshot)
    world.watch.rolled_back()
    world.server.down_until = world.loop.time() + 0.05
    for running in world.running():
        running.link.cut()
    return True


_STRIKES: Final[dict[str, Callable[[World, Timed], bool]]] = {
    "kill": _kill,
    "kill-client": _kill_client,
    "leave": _leave,
    "join": _join,
    "isolate": _isolate,
    "deaf": _deaf,
    "outage": _outage,
    "expire": _expire,
    "clock-forward": _clock_forward,
    "clock-back": _clock_back,
    "wall-jump": _wall_jump,
    "touch": _touch,
    "rollback": _rollback,
}
