"""Who should own which partition."""

from __future__ import annotations

from collections import Counter
from typing import Any

from durastream.store.protocol import WorkerInfo
from durastream.worker.sharing import desired_owners, known_as, told


def worker(name: str, **about: Any) -> WorkerInfo:
    return WorkerInfo(name, 0, about)


def test_nobody_owns_anything_without_workers() -> None:
    assert desired_owners([], 3) == [None, None, None]


def test_everybody_computes_the_same_whatever_the_order() -> None:
    workers = [worker(name) for name in "abcd"]
    assert desired_owners(workers, 64) == desired_owners(workers[::-1], 64)


def test_shares_differ_by_little() -> None:
    for count in (2, 3, 5, 16):
        shares = Counter(desired_owners([worker(f"w{n}") for n in range(count)], 16))
        assert max(shares.values()) == -(-16 // count)


def test_who_joins_or_leaves_moves_little_besides_its_own_share() -> None:
    three = [worker(name) for name in "abc"]
    before, after = desired_owners(three, 256), desired_owners([*three, worker("d")], 256)
    moved = [new for old, new in zip(before, after, strict=True) if new != old]
    assert moved.count("d") == 64
    assert len(moved) < 64 + 40
    left = desired_owners(three[:2], 256)
    assert sum(new != old for old, new in zip(before, left, strict=True) if old != "c") < 40


def test_a_partition_that_waits_for_an_orchestrator_goes_to_one_that_has_it() -> None:
    plain = desired_owners([worker("a"), worker("b")], 16)
    mine = plain.index("a")
    lacking = worker("a", runs=["x"], parked={str(mine): ["y"]})
    assert desired_owners([lacking, worker("b", runs=["y"])], 16)[mine] == "b"


def test_it_stays_there_while_such_instances_run_unless_others_wait() -> None:
    a = worker("a", runs=["x"])
    b = worker("b", runs=["y"], kept={str(n): ["y"] for n in range(16)})
    assert set(desired_owners([a, b], 16)) == {"b"}
    waiting = worker("b", runs=["y"], kept={str(n): ["y"] for n in range(16)}, parked={"5": ["x"]})
    assert desired_owners([a, waiting], 16)[5] == "a"


def test_what_no_worker_has_changes_nothing() -> None:
    plain = [worker("a", runs=["x"]), worker("b", runs=["x"])]
    waiting = [worker("a", runs=["x"], parked={"1": ["nobody"]}), plain[1]]
    assert desired_owners(waiting, 16) == desired_owners(plain, 16)


def test_versions_are_other_orchestrators() -> None:
    assert known_as("x", None) == "x"
    assert known_as("x", "2") != known_as("x", "3")
    one = worker("a", runs=["x", known_as("x", "1")], parked={"0": [known_as("x", "2")]})
    two = worker("b", runs=["x", known_as("x", "2")])
    assert desired_owners([one, two], 1) == ["b"]


def test_rubbish_that_a_worker_tells_counts_for_nothing() -> None:
    assert told(worker("a", runs="text"), "runs") == []
    assert desired_owners([worker("a", parked=7, runs=None)], 1) == ["a"]
