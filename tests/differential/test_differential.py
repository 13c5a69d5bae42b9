"""Model and store agree, on each real server; and the test would notice if they did not.

SEEDS and STEPS are the budget of CI. A run that fails prints its seed, shrunk to few calls, and the command that plays it again.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import pytest

from durastream.store import scripts
from durastream.store.connect import Endpoint
from durastream.store.connection import Connection
from tests.conftest import REAL_SERVERS, Servers
from tests.differential.calls import Call, Ranks, Ref, resolved, shown
from tests.differential.coverage import Coverage
from tests.differential.mutants import MUTANTS, Mutant, seeds_to_kill
from tests.differential.parts import parts
from tests.differential.playing import Difference, Step, play, shrunk, steps_of
from tests.differential.run import STEPS, explained, first_difference
from tests.differential.sides import Failure
from tests.differential.verbs import UNTRIED, VERBS, protocol_verbs
from tests.store.conformance.values import new

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

SEEDS = 60  # of each server
MUTATED_SERVER = next(iter(REAL_SERVERS), None)


@pytest.fixture
def test_clock() -> Iterator[None]:
    with parts({}):
        yield


@pytest.fixture
def one_server(servers: Servers) -> str:
    """One is enough to see whether the test finds what it should."""
    if MUTATED_SERVER is None:
        pytest.skip("no server on this machine")
    return servers.url(MUTATED_SERVER)


@pytest.mark.usefixtures("test_clock")
async def test_the_model_and_the_store_agree(server_url: str) -> None:
    first, coverage = random.randrange(1 << 32), Coverage()
    print(f"seeds {first} to {first + SEEDS - 1}, {STEPS} steps each")
    differs = await first_difference(server_url, range(first, first + SEEDS), STEPS, coverage)
    if differs is not None:
        again = f"python -m tests.differential.run --seed {differs} --steps {STEPS} --server redis (or valkey)"
        pytest.fail(f"{await explained(server_url, differs, STEPS)}\nagain: {again}", pytrace=False)
    print(coverage)
    assert not coverage.missing(), "incomplete: these never occurred"


def test_every_verb_of_the_protocol_is_tried() -> None:
    assert protocol_verbs() - UNTRIED <= set(VERBS)


# ---------------------------------------------------------------- it finds faults


@pytest.mark.parametrize("mutant", MUTANTS, ids=[one.what for one in MUTANTS])
async def test_a_fault_in_a_script_is_found(one_server: str, mutant: Mutant) -> None:
    seeds, calls = await seeds_to_kill(one_server, mutant, STEPS)
    assert seeds is not None, f"not found in {calls} calls"


async def test_mutants_are_found_by_what_they_do_not_by_what_they_are(one_server: str) -> None:
    """Each is a script that the server takes."""
    connection = await Connection.open(Endpoint.parse(one_server), client_name="mutants")
    for mutant in MUTANTS:
        with parts({mutant.part: mutant.text()}):
            for name in ("commit", "due", "start") if mutant.part[0] == "_" else (mutant.part,):
                await connection.call("SCRIPT", "LOAD", scripts.script(name).text)
    await connection.close()


def test_a_mutant_whose_place_is_gone_says_so() -> None:
    with pytest.raises(ValueError, match="0 times, not once"):
        Mutant("nothing", "commit", "no such text", "").text()


async def test_a_seed_replays_exactly(one_server: str) -> None:
    with parts({}):
        first, second = [(await play(one_server, steps_of(7, 100)))[1].calls for _ in range(2)]
    assert [(shown(call), answer) for call, answer in first] == [(shown(call), answer) for call, answer in second]


async def test_a_difference_is_shrunk_and_told(one_server: str) -> None:
    mutant = next(one for one in MUTANTS if one.what == "a lease that is held is taken")
    with parts({mutant.part: mutant.text()}):
        told = await explained(one_server, 0, STEPS)
    assert told.startswith(f"seed 0: the model and the server differ; shrunk from {STEPS} steps to 2:\nacquire")
    assert "model   None" in told
    assert "server  Lease(" in told


async def test_shrinking_keeps_what_is_needed() -> None:
    async def differs(steps: Sequence[Step]) -> Difference | None:
        salts = [one.salt for one in steps]
        at = salts.index(17) if 3 in salts and 17 in salts else None
        return None if at is None else Difference(at, Call("now"), "answers", 1, 2)

    steps = [Step("now", salt) for salt in range(40)]
    assert [one.salt for one in await shrunk(steps, differs)] == [3, 17]


# ---------------------------------------------------------------- its parts


def test_what_never_occurred_is_missing() -> None:
    coverage = Coverage()
    coverage.note("commit", None)
    coverage.note("commit", Failure("Fenced"))
    assert [one for one in coverage.missing() if one.startswith("commit")] == ["commit: Refused"]
    assert "closed: StoreUnavailable" in coverage.missing()


def test_entries_are_named_by_rank() -> None:
    ranks = Ranks("9-9")
    assert [ranks.learn("inbox 0", one) for one in ("5-1", "6-0", "5-1")] == [0, 1, 0]
    assert ranks.ref("inbox 0", "6-0") == Ref("inbox 0", 1)
    started = new("i", message=b"m")
    value = [Ref("inbox 0", 1), {"cursor": Ref("inbox 0", -1)}, (Ref("inbox 0", 7), started)]
    assert resolved(value, ranks) == ["6-0", {"cursor": "0"}, ("9-9", started)]
