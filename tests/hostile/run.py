"""Storms of hostile entries from the command line: `python -m tests.hostile.run --entries 10000`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

from durastream.store.embedded import EmbeddedServer, available_servers
from tests.evidence.report import Report, finish
from tests.hostile.ground import scene
from tests.hostile.keys import PLANTS
from tests.hostile.storm import storm

_AT_ONCE = 1_000
_KINDS = ("inbox", "activities", "ingress", "timers")


async def hand_made(url: str, report: Report) -> None:
    """Everything of `keys`."""
    async with scene(url) as at:
        for plant in (one for group in PLANTS.values() for one in group):
            try:
                await at.endure(plant)
            except AssertionError as error:
                report.violations.append(f"S23 {plant.name}: {error}")
                return
            report.faults["by hand"] += 1


async def generated(url: str, report: Report, seed: int, count: int) -> None:
    for first in range(0, count, _AT_ONCE):
        report.seeds.append(seed + first // _AT_ONCE)
        try:
            async with scene(url) as at:
                planted = await storm(at, report.seeds[-1], min(_AT_ONCE, count - first))
        except AssertionError as error:
            report.violations.append(f"S23 seed {report.seeds[-1]}: {error}")
            return
        report.faults.update(planted)


async def _run(url: str, report: Report, options: argparse.Namespace) -> None:
    await hand_made(url, report)
    await generated(url, report, options.seed, options.entries)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.hostile.run", description=__doc__)
    parser.add_argument("--entries", type=int, default=10_000, help="generated ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the report there too")
    options = parser.parse_args()
    servers = available_servers()
    if not servers:
        sys.exit("there is no server on this machine")
    report = Report(
        "hostile input to a real server",
        f"python -m tests.hostile.run --entries {options.entries} --seed {options.seed}",
        wanted_faults=("by hand", *_KINDS),
    )
    name, path = servers[0]
    began = time.monotonic()
    with EmbeddedServer.start(path) as server:
        report.redis["server"] = name
        asyncio.run(_run(server.url, report, options))
    report.wall_s = time.monotonic() - began
    return finish(report, json_to=options.json)


if __name__ == "__main__":
    sys.exit(main())
