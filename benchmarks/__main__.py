"""Run benchmarks by name: `python -m benchmarks [--quick] [--list] [NAME…]`; all of them without a name."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

from rich.console import Console

from benchmarks import engine, entities, entity_floor, floor, scale, shards, terminal
from benchmarks.harness import Bench, Figure, Measurement, alone, bench, figures, table

BENCHMARKS: dict[str, Callable[[Bench], Sequence[Measurement | Figure]]] = {
    "floor": floor.one_step,
    "bulk": engine.bulk,
    "single": engine.single,
    "floor-sequence": floor.five_steps,
    "sequence": engine.five_steps,
    "latency": scale.latency,
    "long-sequence": scale.long_sequence,
    "fan-out": scale.wide_fan_out,
    "waiting": scale.waiting,
    "entity-floor": entity_floor.signals,
    "entity-hot": entities.hot,
    "entity-many": entities.many,
    "entity-call": entities.call,
    "transfers": entities.transfers,
    "entity-memory": entities.memory,
    "shards": shards.shards,
    "terminal": terminal.terminal,
}
"""Each gets a fresh server. A function's docstring says what it measures."""


WIDTH_MIN = 120  # columns: the table stays readable in a file


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*BENCHMARKS, []], help=", ".join(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: to see whether it runs")
    parser.add_argument("--list", action="store_true", help="say what there is")
    parser.add_argument(
        "--server", metavar="BINARY", help="a redis-server or valkey-server; the best there is without it"
    )
    flags = parser.parse_args()
    console = Console()
    console.width = max(console.width, WIDTH_MIN)
    if flags.list:
        for name, function in BENCHMARKS.items():
            console.print(f"{name:20} {(function.__doc__ or '').splitlines()[0]}", highlight=False, soft_wrap=True)
        return
    found: list[Measurement | Figure] = []
    with alone():
        for name in flags.names or BENCHMARKS:
            with bench(flags.server, quick=flags.quick) as one:
                found += BENCHMARKS[name](one)
    rates = [one for one in found if isinstance(one, Measurement)]
    others = [one for one in found if isinstance(one, Figure)]
    if rates:
        console.print(table(rates))
    if others:
        console.print(figures(others))


if __name__ == "__main__":
    main()
