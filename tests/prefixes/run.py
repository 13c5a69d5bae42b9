"""Explore prefixes from the command line: `python -m tests.prefixes.run --help`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import random
import sys
import tempfile
from pathlib import Path

from durastream.store.embedded import available_servers
from tests.evidence.report import Report, finish
from tests.prefixes.campaign import Campaign, Size, wanted


def _binary(name: str) -> str:
    known = available_servers()
    path = next((path for label, path in known if label.startswith(name)), None)
    if path is None:
        sys.exit(f"no {name!r} on this machine; there is {', '.join(label for label, _ in known) or 'none'}")
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.prefixes.run", description=__doc__)
    parser.add_argument("--server", default="redis", help="redis or valkey")
    parser.add_argument("--prefixes", type=int, default=1_000, help="looked through with fsck, at least")
    parser.add_argument("--recover", type=int, default=10, help="of these, brought to completion by a worker")
    parser.add_argument("--cuts", type=int, default=10, help="power losses: the end of the file is cut off")
    parser.add_argument("--ahead", type=int, default=4, help="times that workers outlive what the store forgets")
    parser.add_argument("--mutants", action="store_true", help="prove that deliberate faults are seen")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32), help="of the samples and cuts")
    parser.add_argument("--json", type=Path, help="write the report there as well")
    return parser.parse_args()


def main() -> int:
    options = _options()
    size = Size(
        prefixes=options.prefixes,
        recover=options.recover,
        cuts=options.cuts,
        ahead=options.ahead,
        mutants=options.mutants,
    )
    faults, ops = wanted(size)
    counts = f"--prefixes {size.prefixes} --recover {size.recover} --cuts {size.cuts} --ahead {size.ahead}"
    flags = f"--server {options.server} {counts}"
    report = Report(
        "prefixes of the log",
        f"python -m tests.prefixes.run {flags} --seed {options.seed}{' --mutants' if size.mutants else ''}",
        seeds=[options.seed],
        wanted_faults=faults,
        wanted_ops=ops,
        redis={"aof": "yes", "fsync": "everysec"},
    )
    logging.basicConfig(level=logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="prefixes-") as directory:
        campaign = Campaign(report, _binary(options.server), Path(directory), random.Random(options.seed))
        asyncio.run(campaign.run(size))
    return finish(report, json_to=options.json)


if __name__ == "__main__":
    sys.exit(main())
