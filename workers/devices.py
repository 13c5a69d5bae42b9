"""A registry of devices that report when they like: one entity for each, found by its id, and one for the fleet.

    durastream dev workers.devices:app

    durastream entity signal Device sensor-7 report --input '{"celsius": 21.5}'
    durastream entity show Device sensor-7
    durastream entity show Fleet all
    durastream start simulate --input '{"devices": 100, "reports": 5}' --wait
    durastream entity list Device --prefix simulated-

A device reports from anywhere: `client.signal_entity` in Python, and in every other language one command to Redis:

    XADD ds:{default}:in * op signal entity Device key sensor-7 operation report input '{"celsius": 21.5}'

A device that has been silent for 30 s (`patience_s`) is marked offline. Nothing polls for that: a device that is online has one
signal to itself under way, due when its patience ends. Redis keeps it, and any worker delivers it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import durastream as ds

app = ds.App()

FLEET = ds.EntityId("Fleet", "all")


@app.entity
@dataclass
class Device:
    online: bool = False
    reports: int = 0
    last_seen: datetime | None = None
    last_report: dict[str, float] = field(default_factory=dict)
    patience_s: float = 30.0

    def set_patience(self, seconds: float) -> None:
        """Holds from the next report on."""
        self.patience_s = seconds

    def report(self, report: dict[str, float], ctx: ds.EntityContext) -> None:
        """The device is there and has measured something."""
        self.reports += 1
        self.last_seen = ctx.current_utc_datetime
        self.last_report = report
        if not self.online:
            ctx.signal_entity(FLEET, "came_back" if self.reports > 1 else "appeared")
            self.online = True
            self._look_later(ctx)

    def look(self, reports: int, ctx: ds.EntityContext) -> None:
        """Has it reported since there were so many? Counted, not timed: a signal may come late, but not before its time."""
        if self.reports > reports:
            self._look_later(ctx)
        else:
            self.online = False
            ctx.signal_entity(FLEET, "fell_silent")

    def _look_later(self, ctx: ds.EntityContext) -> None:
        assert self.last_seen is not None
        at = self.last_seen + timedelta(seconds=self.patience_s)
        ctx.signal_entity(ctx.entity_id, "look", self.reports, at=at)


@app.entity
class Fleet:
    """How many devices there are; `durastream entity list Device` says which."""

    online: int = 0
    offline: int = 0

    def appeared(self) -> None:
        self.online += 1

    def came_back(self) -> None:
        self.online += 1
        self.offline -= 1

    def fell_silent(self) -> None:
        self.online -= 1
        self.offline += 1

    def get(self) -> dict[str, int]:
        return {"online": self.online, "offline": self.offline}


@dataclass(frozen=True)
class Simulation:
    devices: int
    reports: int = 3
    every_s: float = 1.0
    patience_s: float = 5.0


@app.orchestrator
async def simulate(ctx: ds.OrchestrationContext, plan: Simulation) -> dict[str, int]:
    """Devices that report a few times and fall silent: all is sent now, for then. The fleet after the last report."""
    for number in range(plan.devices):
        device = ds.EntityId("Device", f"simulated-{number}")
        ctx.signal_entity(device, "set_patience", plan.patience_s)
        for k in range(plan.reports):
            ctx.signal_entity(device, "report", {"celsius": 20.0 + k}, at=k * plan.every_s)
    await ctx.create_timer(plan.reports * plan.every_s)
    return await ctx.call_entity(FLEET, "get", return_type=dict[str, int])
