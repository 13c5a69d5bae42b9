"""Run seeds from the command line: `python -m tests.differential.run --help`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from durastream.store.embedded import EmbeddedServer, available_servers
from tests.differential.coverage import Coverage
from tests.differential.mutants import MUTANTS, seeds_to_kill
from tests.differential.parts import parts
from tests.differential.playing import Difference, Step, play, shrunk, steps_of

STEPS = 200


async def first_difference(url: str, seeds: Sequence[int], steps: int, coverage: Coverage) -> int | None:
    """The first of these seeds that differs."""
    for seed in seeds:
        difference, _ = await play(url, steps_of(seed, steps), coverage)
        if difference is not None:
            return seed
    return None


async def explained(url: str, seed: int, steps: int) -> str:
    """A seed that differs, shrunk and told: the calls that are left with their answers, and where the two part."""

    async def differs(some: Sequence[Step]) -> Difference | None:
        return (await play(url, some))[0]

    few = await shrunk(steps_of(seed, steps), differs)
    difference, played = await play(url, few)
    told = [f"{call}\n    → {answer!r}" for call, answer in played.calls[:-1]]
    return "\n".join(
        [
            f"seed {seed}: the model and the server differ; shrunk from {steps} steps to {len(few)}:",
            *told,
            str(difference),
        ]
    )


@contextmanager
def served(name: str) -> Iterator[str]:
    """URL of a server: one that runs (it is EMPTIED), or one of this name, started for it."""
    if "://" in name:
        yield name
        return
    known = available_servers()
    path = next((path for label, path in known if label.startswith(name)), None)
    if path is None:
        there = ", ".join(label for label, _ in known) or "none"
        sys.exit(f"no {name!r} on this machine; there is {there}; or give the URL of a server")
    with EmbeddedServer.start(path) as server:
        yield server.url


async def _run(url: str, options: argparse.Namespace) -> int:
    coverage, begun = Coverage(), time.monotonic()
    seeds = range(options.seed, options.seed + options.seeds)
    with parts({}):
        differs = await first_difference(url, seeds, options.steps, coverage)
        took = time.monotonic() - begun
        if differs is not None:
            print(await explained(url, differs, options.steps))
            print(
                f"again: python -m tests.differential.run --seed {differs} --steps {options.steps} --server {options.server}"
            )
            return 1
    missing = coverage.missing()
    print(coverage)
    print(f"{len(seeds)} seeds from {options.seed}, {coverage.calls} calls, {took:.1f} s: no difference")
    if missing:
        print("INCOMPLETE, never seen:", *missing, sep="\n  ")
    return 1 if missing and len(seeds) > 1 else 0


async def _mutants(url: str, options: argparse.Namespace) -> int:
    """Seeds and calls to find each deliberate fault."""
    survivors = 0
    for mutant in MUTANTS:
        seeds, calls = await seeds_to_kill(url, mutant, options.steps)
        survivors += seeds is None
        print(f"{mutant.what:<50}{mutant.part:<10}{'SURVIVES' if seeds is None else seeds:>10}{calls:>8}", flush=True)
    print(f"{len(MUTANTS) - survivors} of {len(MUTANTS)} mutants found (columns: seeds, calls)")
    return 1 if survivors else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.run", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, one after the other")
    parser.add_argument("--steps", type=int, default=STEPS, help="calls of each seed")
    parser.add_argument("--server", default="redis", help="redis, valkey, or the URL of a server, which is EMPTIED")
    parser.add_argument("--mutants", action="store_true", help="what it takes to find each deliberate fault")
    options = parser.parse_args()
    with served(options.server) as url:
        return asyncio.run((_mutants if options.mutants else _run)(url, options))


if __name__ == "__main__":
    sys.exit(main())
