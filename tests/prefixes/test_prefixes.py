"""Every prefix of a log is a legal state; and the test would notice if one were not.

What runs here is the small tier. `python -m tests.prefixes.run` does more of everything.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import redis

from durastream.inspect.invariants import CATALOGUE
from durastream.inspect.invariants.log import UNIT, LeaseChange, RecordChange, Removed, UnitSnapshot
from durastream.inspect.invariants.violation import check
from durastream.store.embedded import EmbeddedServer
from tests.acceptance.processes import seeded
from tests.conftest import NO_SERVER, REAL_SERVERS
from tests.evidence.report import Report, finish
from tests.prefixes import aof
from tests.prefixes.ahead import outlive
from tests.prefixes.campaign import NO_LOG, Campaign, Size, wanted
from tests.prefixes.mutants import MUTANTS, Mutant, bad_prefixes

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

BINARIES: list[Any] = [*REAL_SERVERS.values()] or [NO_SERVER]
SMALL = Size(prefixes=1_000, recover=10, cuts=9, ahead=2, every=3)
KILLED_HERE = MUTANTS[:6]
"""A sample that takes seconds; the command runs all."""


@pytest.mark.slow
@pytest.mark.parametrize("binary", BINARIES[-1:])
async def test_every_prefix_is_a_legal_state(binary: str, tmp_path: Path) -> None:
    faults, ops = wanted(SMALL)
    report = Report("prefixes of the log", "pytest tests/prefixes", wanted_faults=faults, wanted_ops=ops)
    await Campaign(report, binary, tmp_path, seeded()).run(SMALL)
    assert finish(report) == 0, report.render()


@pytest.mark.slow
@pytest.mark.parametrize("binary", BINARIES[:1])
async def test_workers_ahead_of_the_store_write_nothing_back(binary: str, tmp_path: Path) -> None:
    """What was acknowledged after the cut may be lost; nothing else is, nothing is done twice, and nobody gets stuck."""
    assert await outlive(binary, tmp_path, seeded(), rounds=3) == []


@pytest.mark.slow
@pytest.mark.parametrize("mutant", KILLED_HERE, ids=[one.name for one in KILLED_HERE])
@pytest.mark.parametrize("binary", BINARIES[:1])
async def test_a_fault_yields_bad_prefixes(binary: str, mutant: Mutant, tmp_path: Path) -> None:
    with EmbeddedServer.start(binary, extra_args=NO_LOG) as scratch:
        bad, looked_at = await bad_prefixes(mutant, binary, scratch.url, tmp_path)
    assert looked_at > 20
    assert bad


# ---------------------------------------------------------------- its parts


def _resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


SET = (b"SET", b"k", b"v\r\n*1")
FILE = b"".join(
    (
        _resp(b"SELECT", b"0"),
        b"#TS:1700000000\r\n",
        _resp(*SET),
        _resp(b"MULTI"),
        _resp(*SET),
        _resp(*SET),
        _resp(b"EXEC"),
    )
)


def test_units_of_a_file() -> None:
    single, several = aof.units(FILE)
    assert (single.commands, several.commands) == ((SET,), (SET, SET))
    assert FILE[several.begin : several.end].startswith(_resp(b"MULTI"))
    assert several.end == len(FILE)


@pytest.mark.parametrize("end", range(len(FILE)))
def test_a_torn_unit_is_none(end: int) -> None:
    whole = aof.units(FILE)
    assert aof.units(FILE[:end]) == [unit for unit in whole if unit.end <= end]


def test_what_is_no_file_is_refused() -> None:
    with pytest.raises(ValueError, match="no append-only file"):
        aof.units(b"REDIS0011\xfa\r\n")


async def test_a_server_writes_what_is_read(tmp_path: Path) -> None:
    """On each server: one unit for each script, and the whole of it."""
    for number, binary in enumerate(REAL_SERVERS.values()):
        directory = tmp_path / f"{number}"
        with (
            EmbeddedServer.start(binary, directory, extra_args=aof.OPTIONS) as server,
            redis.Redis.from_url(server.url, protocol=2) as connection,
        ):
            connection.eval("redis.call('SET', 'a', 1) redis.call('SET', 'b', 2)", 0)
            connection.set("c", 3)
        assert [[words[1] for words in unit.commands] for unit in aof.units(aof.read(directory))] == [
            [b"a", b"b"],
            [b"c"],
        ]


RECORD = MappingProxyType({"execution_id": b"t.0", "status": b"Running", "revision": b"3", "events": b"2"})
EVENTS = MappingProxyType({0: b"a", 1: b"b"})
MORE = {**EVENTS, 2: b"c"}


def _unit(after: dict[str, bytes], events: dict[int, bytes], **more: object) -> UnitSnapshot:
    values: dict[str, object] = {"before": RECORD, "history_before": EVENTS, "revisions": 1, "committed": True} | more
    change = RecordChange("i", "i:i", after={**RECORD, **after}, history_after=events, **values)  # type: ignore[arg-type]
    return UnitSnapshot("unit 7", (change,))


def _lease(**after: bytes) -> UnitSnapshot:
    before = {"epoch": b"5", "seq": b"2"}
    return UnitSnapshot("unit 7", leases=(LeaseChange("lease", before, before | after),))


NEXT = {"revision": b"4", "events": b"3"}
ENDED = {**RECORD, "status": b"Completed"}


@pytest.mark.parametrize(
    ("invariant", "unit"),
    [
        ("S1", _unit(NEXT, {0: b"x", 1: b"b", 2: b"c"})),
        ("S1", _unit({**NEXT, "events": b"1"}, {0: b"a"})),
        ("S1", _unit({**NEXT, "execution_id": b"t.1"}, MORE)),
        ("S2", _unit({**NEXT, "revision": b"5"}, MORE)),
        ("S2", _unit(NEXT, MORE, revisions=2)),
        ("S3", _unit({**NEXT, "events": b"2"}, MORE)),
        ("S3", _unit(NEXT, MORE, committed=False)),
        ("S8", _unit({**NEXT, "status": b"Completed"}, MORE, before=ENDED)),
        ("S12", _unit({**NEXT, "execution_id": b"t.2", "events": b"1"}, {0: b"z"})),
        ("S12", _unit({**NEXT, "execution_id": b"u.1", "events": b"1"}, {0: b"z"})),
        ("S20", UnitSnapshot("unit 7", strangers=("ds:{other}:hub",))),
        ("S21", _lease(seq=b"4")),
        ("S21", _lease(epoch=b"4", seq=b"0")),
        ("S21", _lease(epoch=b"6", seq=b"3")),
        ("S22", UnitSnapshot("unit 7", removed=(Removed("inbox", "inbox", "1-0", False),))),
    ],
)
def test_each_step_that_breaks_an_invariant_is_named(invariant: str, unit: UnitSnapshot) -> None:
    assert invariant in {one.invariant for one in check(unit, UNIT)}


@pytest.mark.parametrize(
    "unit",
    [
        _unit(NEXT, MORE),
        _unit({**NEXT, "execution_id": b"t.1", "events": b"1"}, {0: b"z"}),
        _unit({**NEXT, "events": b"2"}, {0: b"a", 1: b"R"}, before=ENDED, rewound=True),
        _lease(seq=b"3"),
        _lease(epoch=b"6", seq=b"0"),
        UnitSnapshot("unit 7", removed=(Removed("inbox", "inbox", "1-0", True),)),
    ],
)
def test_honest_steps_break_nothing(unit: UnitSnapshot) -> None:
    assert check(unit, UNIT) == []


def test_each_function_belongs_to_an_invariant_that_the_log_shows() -> None:
    assert all("commit log" in CATALOGUE[one.id].seen_by for one in UNIT)
    assert {one.id for one in UNIT} == {entry.id for entry in CATALOGUE.values() if entry.steps}
    assert len({one.name for one in UNIT}) == len(UNIT)
