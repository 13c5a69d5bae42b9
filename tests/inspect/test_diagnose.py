"""The rules of diagnosis, each over facts made up for it. A healthy hub and a healthy instance give no finding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from durastream.core import events as ev
from durastream.inspect import rules_hub, rules_instance, rules_waiting
from durastream.inspect.diagnose import Finding, diagnose_hub, diagnose_instance
from durastream.inspect.facts import HubFacts, InstanceFacts
from durastream.inspect.hub import Overview
from durastream.inspect.waiting import Known
from durastream.store.protocol import LeaseInfo, WorkerInfo
from tests.inspect.made import (
    NOW_MS,
    at,
    before,
    begun,
    done,
    facts,
    hub,
    lease,
    load,
    queue,
    scheduled,
    server,
    status,
    worker,
)

WAITING: list[ev.Event] = [begun(), scheduled(60)]
BUSY = [load(0, queue(waiting=0, running=1))]


def rules(found: list[Finding]) -> list[str]:
    return [finding.rule for finding in found]


def one(found: list[Finding], rule: str) -> Finding:
    (finding,) = [finding for finding in found if finding.rule == rule]
    return finding


def instance(history: list[ev.Event] | None = None, view: Overview | None = None, **more: Any) -> list[Finding]:
    fields = more.pop("fields", {})
    given = WAITING if history is None else history
    return diagnose_instance(facts(status(**fields), given, view=view or hub(loads=BUSY), **more))


# ---------------------------------------------------------------- instances


def test_a_healthy_instance() -> None:
    assert instance() == []
    assert instance([begun(), ev.EntityOperationCalled(at(60), "@Counter@a", "add", None)]) == []
    assert instance([begun(), scheduled(60, "durastream.http")]) == []


@pytest.mark.parametrize("word", ["Completed", "Failed", "Terminated"])
def test_what_has_ended_is_not_stuck(word: str) -> None:
    view = hub([], [lease(0, None)])
    fields = {"runtime_status": word, "problem": {"kind": "refused"}, "events": 99_999}
    assert instance(view=view, fields=fields) == []


def test_nobody_owns_its_partition() -> None:
    finding = one(instance(view=hub([], [lease(0, "w9", left_s=-5)])), "unowned-partition")
    assert finding.severity == "error"
    assert finding.text == "nobody owns partition 0, where this instance lives; w9 had it until its lease ran out"
    assert finding.advice == "start a worker: durastream worker module:app --hub default"
    free = one(instance(view=hub(None, [lease(0, None)], BUSY)), "unowned-partition")
    assert "had it" not in free.text and "wait a few seconds" in free.advice
    assert rules(instance(view=hub(None, [lease(0), lease(1, None)], BUSY))) == []  # another one's


def test_no_worker_at_all_is_one_finding_not_one_for_each_thing_that_is_missing() -> None:
    assert rules(instance(view=hub([], [lease(0, None)]))) == ["unowned-partition"]


def test_no_live_worker_has_the_orchestrator() -> None:
    fields = {"name": "refund", "version": "2"}
    finding = one(instance([], fields=fields), "unknown-orchestrator")
    assert finding.text == "no live worker has the orchestrator refund version 2; they have: place_order"
    assert "durastream terminate order-7" in finding.advice
    other = [worker(runs=["refund", "refund\n1"]), worker("dead", silent_s=99, runs=["refund\n2"])]
    assert "unknown-orchestrator" in rules(instance([], hub(other), fields=fields))
    able = [worker(), worker("w2", runs=["refund", "refund\n2"])]
    assert instance([], hub(able), fields=fields) == []
    assert instance([], hub(able), fields={"name": "refund"}) == []


def test_one_that_is_parked_for_want_of_code_is_told_once() -> None:
    problem = {"kind": "unknown-orchestrator", "message": "the owner has none"}
    assert rules(instance([], fields={"name": "refund", "problem": problem})) == ["unknown-orchestrator"]
    moving = instance([], fields={"problem": problem})
    assert [(one.rule, one.severity) for one in moving] == [("parked-unknown-orchestrator", "info")]


KINDS = ("nondeterminism", "corrupt-history", "turn-failed", "refused", "worker-crashed")


@pytest.mark.parametrize("kind", KINDS)
def test_a_parked_one_says_why_and_what_to_do(kind: str) -> None:
    fields = {"runtime_status": "Suspended", "problem": {"kind": kind, "message": "what went wrong"}}
    finding = one(instance(fields=fields), f"parked-{kind}")
    assert finding.severity == "error" and finding.text.endswith(": what went wrong")
    assert not finding.text.startswith("it is parked")
    assert "resume" in finding.advice


def test_every_kind_of_problem_that_workers_write_is_known() -> None:
    folder = Path(rules_instance.__file__).parents[1] / "worker"
    code = "".join((folder / name).read_text() for name in ("partition.py", "recovery.py"))
    written = set(re.findall(r'return "([a-z-]+)", ', code)) | set(re.findall(r'self\.park\(live, "([a-z-]+)"', code))
    written |= set(re.findall(r'(?:item, blob|_bury\(.*), "([a-z-]+)",', code))
    assert {"nondeterminism", "corrupt-history", "turn-failed", "unknown-orchestrator", "refused"} <= written
    assert written <= {*KINDS, "unknown-orchestrator"}


def test_a_problem_written_by_hand() -> None:
    assert "odd" in one(instance(fields={"problem": "odd"}), "parked-unknown").text
    assert one(instance(fields={"problem": {"kind": "new"}}), "parked-new").text.startswith("it is parked (new)")


def test_a_history_that_cannot_be_read() -> None:
    found = diagnose_instance(InstanceFacts(status(), HubFacts(hub()), unreadable="event 3 is no event"))
    assert one(found, "unreadable-history").text == "its history cannot be read: event 3 is no event"


def test_nobody_reads_the_queue() -> None:
    finding = one(instance([begun(), scheduled(3, queue="gpu"), scheduled(3, "b", queue="gpu")]), "unserved-queue")
    assert finding.text == "no live worker reads the queue gpu, where b, charge wait; they read: default"
    assert finding.advice == "start one: durastream worker module:app --queues gpu"


def test_nobody_has_the_activity() -> None:
    people = [worker(), worker("w2", queues=["gpu"], activities=["paint"])]
    finding = one(instance([begun(), scheduled(3, "paint")], hub(people)), "unknown-activity")
    assert finding.text == (
        "no live worker that reads the queue default has the activity paint; w2 has it but reads other queues;"
        " they have: charge, ship"
    )
    assert instance([begun(), scheduled(3, "paint", queue="gpu")], hub(people)) == []


def test_nobody_has_the_entity() -> None:
    called = ev.EntityOperationCalled(at(3), "@Account@a", "add", None)
    assert one(instance([begun(), called]), "unknown-entity").text == (
        "no live worker has the entity Account; they have: Counter"
    )
    locks = ev.EntityLockRequested(at(3), ("@Account@a", "@Counter@b"))
    assert rules(instance([begun(), locks])) == ["unknown-entity"]
    assert rules(instance([begun(), called._replace(entity="written by hand")])) == ["unknown-entity"]


def test_an_activity_that_has_not_begun() -> None:
    loads = [load(0, queue(waiting=400, running=256, oldest_s=70))]
    finding = one(instance(view=hub([worker(busy=256)], loads=loads)), "queued-activity")
    assert finding.severity == "warning"
    assert finding.text == (
        "activity charge was scheduled 1 m 0 s ago and has not begun: 400 wait in queue default,"
        " 256 of 256 slots are taken"
    )
    younger = [load(0, queue(waiting=400, running=256, oldest_s=30))]
    assert instance(view=hub(loads=younger)) == []  # those that wait were put there after it
    assert instance([begun(), scheduled(9)], hub(loads=loads)) == []


def test_an_activity_that_takes_long() -> None:
    finding = one(instance([begun(), scheduled(301)]), "slow-activity")
    assert finding.text == (
        "activity charge was scheduled 5 m 1 s ago and has no outcome yet; 1 run from queue default"
    )
    limited: list[ev.Event] = [begun(), scheduled(60, timeout_ms=30_000)]
    assert "its time limit is 30.0 s" in one(instance(limited), "slow-activity").text
    assert instance([begun(), scheduled(299)]) == []
    assert instance([begun(), scheduled(999, timeout_ms=3_600_000)]) == []


def test_of_many_slow_activities_the_oldest_of_each_queue_is_told() -> None:
    history: list[ev.Event] = [begun(), *(scheduled(999 - k) for k in range(50)), scheduled(900, queue="gpu")]
    people = [worker(queues=["default", "gpu"])]
    loads = [load(0, queue(running=9), queue("gpu", running=1))]
    found = instance(history, hub(people, loads=loads))
    assert rules(found) == ["slow-activity"] * 2
    assert "16 m 39 s" in found[0].text and "gpu" in found[1].text


def test_an_activity_that_is_nowhere() -> None:
    empty = hub(loads=[load(0, queue()), load(1, queue())])
    finding = one(instance(view=empty), "lost-activity")
    assert finding.severity == "error" and "nothing waits or runs in queue default" in finding.text
    assert instance([begun(), scheduled(5)], empty) == []
    on_its_way = hub(None, [lease(0, backlog=1)], [load(0, queue())])
    assert instance(view=on_its_way) == []
    assert instance(view=empty, fields={"updated_at": before(seconds=3)}) == []
    beside = hub(loads=[load(0, queue(), queue("default/charge", waiting=1))])
    assert instance(view=beside) == []


def test_an_entity_in_anothers_section() -> None:
    history: list[ev.Event] = [begun(), ev.EntityLockRequested(at(60), ("@Counter@a",))]
    known = Known(holders={"@Counter@a": "other-1"})
    finding = one(instance(history, known=known), "held-lock")
    assert finding.text == "entity @Counter@a is held by other-1; waited for since 1 m 0 s"
    assert "durastream show other-1" in finding.advice
    assert instance([begun(), history[1]._replace(at=at(5))], known=known) == []


def test_a_large_history() -> None:
    assert instance(fields={"events": rules_instance.EVENTS_LARGE - 1}) == []
    finding = one(instance(fields={"events": 123_456}), "large-history")
    assert "123,456 events" in finding.text and "continue_as_new" in finding.advice


def test_an_event_that_nobody_waits_for() -> None:
    raised = ev.EventRaised(at(60), "aproved", None)
    history: list[ev.Event] = [begun(), raised]
    guess = one(instance(history), "unawaited-event")
    assert (guess.severity, "nothing came of it" in guess.text) == ("info", True)
    sure = one(instance(history, awaited=["Approved"]), "unawaited-event")
    assert sure.severity == "warning"
    assert sure.text == "event aproved was raised 1 m 0 s ago, and its code waits for: Approved"
    assert instance(history, awaited=["APROVED"]) == []
    assert instance([*history, scheduled(50), done(40, 2)]) == []  # something came of it
    assert instance([begun(), raised._replace(at=at(5))]) == []
    assert instance(history, fields={"runtime_status": "Suspended"}) == []


def test_one_that_never_began() -> None:
    view = hub(None, [lease(0, backlog=1_234)])
    fields = {"runtime_status": "Pending"}
    finding = one(instance([], view, fields=fields), "never-begun")
    assert "1,234 messages wait in its partition, which w1 owns" in finding.text
    assert instance([], view, fields=fields | {"created_at": before(seconds=9)}) == []
    assert instance([], view, fields=fields | {"start_at": before(hours=-1)}) == []
    assert rules(instance([], hub(None, [lease(0, None)]), fields=fields)) == ["unowned-partition"]


def test_the_worst_comes_first() -> None:
    history: list[ev.Event] = [begun(), scheduled(400), scheduled(3, queue="gpu")]
    found = instance(history, fields={"events": 20_000})
    assert [finding.severity for finding in found] == ["error", "warning", "warning"]


# ---------------------------------------------------------------- the hub and its server


def hub_findings(
    workers: list[WorkerInfo] | None = None, leases: list[LeaseInfo] | None = None, **more: Any
) -> list[Finding]:
    loads = more.pop("loads", ())
    return diagnose_hub(HubFacts(hub(workers, leases, loads), **more))


def test_a_healthy_hub() -> None:
    assert hub_findings() == []
    loads = [load(0, queue(waiting=5, running=9, oldest_s=1), oldest=NOW_MS - 900)]
    assert hub_findings(loads=loads, server=server(), skew_ms=999, latency_ms=0.4) == []


def test_no_worker() -> None:
    found = hub_findings([worker(silent_s=60)], [lease(0, None), lease(1, None)])
    assert rules(found) == ["no-worker", "silent-worker"]
    assert found[0].advice == "start one: durastream worker module:app --hub default"
    assert "w1 (1 m 0 s ago)" in found[1].text


def test_partitions_that_nobody_owns() -> None:
    leases = [lease(0), *(lease(k, None) for k in range(1, 16))]
    finding = one(hub_findings(None, leases), "unowned-partition")
    assert finding.text == "nobody owns 15 of 16 partitions: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 …"


def test_queues_that_nobody_serves() -> None:
    loads = [load(0, queue("gpu", 5), queue("default/paint", 2), queue("old"))]
    first, second = hub_findings(loads=loads)
    assert (first.rule, first.advice) == (
        "unserved-queue", "start a worker that has the activity paint and reads default",
    )  # fmt: skip
    assert second.text == "5 activities wait in queue gpu, which no live worker serves"
    assert second.advice == "start a worker with --queues gpu"


def test_lag() -> None:
    late = [load(0, queue(waiting=500, running=256, oldest_s=20), oldest=NOW_MS - 30_000)]
    activities, messages = hub_findings([worker(busy=256)], [lease(0, backlog=77), lease(1)], loads=late)
    assert activities.text == (
        "500 activities wait in queue default, the oldest was put there 20.0 s ago; 256 of 256 slots are taken"
    )
    assert messages.text == "77 messages wait in 1 partition; the oldest, in partition 0, came 30.0 s ago"
    parked = [load(0, oldest=NOW_MS - 30_000, parked=1)]  # its message stays there: that is no lag
    assert rules(hub_findings(loads=parked)) == ["parked"]


def test_parked_and_stalled() -> None:
    found = hub_findings(loads=[load(0, parked=2), load(1, parked=1, stalled=4)])
    assert rules(found) == ["parked", "stalled"]
    assert found[0].text.startswith("3 instances") and found[1].text.startswith("operations of 4 entities")


def test_clocks() -> None:
    assert (
        one(hub_findings(skew_ms=-90_000), "clock-skew").text == "this machine's clock is 90.0 s ahead of the server's"
    )
    people = [worker(skew_ms=2_500), worker("w2", skew_ms=-900)]
    assert one(hub_findings(people), "clock-skew").text == (
        "the clock of worker w1 on host-1 is 2.5 s behind the server's"
    )


@pytest.mark.parametrize(
    ("fields", "rule", "severity", "words"),
    [
        ({"policy": "allkeys-lru"}, "eviction", "error", "maxmemory-policy is allkeys-lru: the server deletes"),
        ({"policy": "volatile-ttl", "maxmemory": 0}, "eviction", "warning", "(no limit is set now)"),
        ({"aof": False}, "aof-off", "error", "the append-only file is off"),
        ({"aof_failing": True}, "aof-failing", "error", "the last write of the append-only file failed"),
        ({"appendfsync": "no"}, "fsync-off", "warning", "appendfsync is no"),
        ({"used_memory": 950 << 20}, "memory", "warning", "uses 95% of its memory limit (950 of 1,000 MiB)"),
        ({"used_memory": 1_001 << 20}, "memory", "error", "100% of its memory limit"),
        ({"version": "6.2.14"}, "old-server", "error", "the server is version 6.2.14"),
        (
            {"kind": "redis", "version": "7.0.15"},
            "unmended-server",
            "info",
            "the Lua engine of version 7.0.15 has known",
        ),
        ({"scripts": False}, "no-scripts", "error", "may not run Lua scripts"),
        ({"version": None, "kind": None}, "no-info", "info", "does not tell its version"),
        ({"role": "slave"}, "replica", "error", "is a replica"),
    ],
)
def test_the_server(fields: dict[str, Any], rule: str, severity: str, words: str) -> None:
    (finding,) = hub_findings(server=server(**fields))
    assert (finding.rule, finding.severity) == (rule, severity)
    assert words in finding.text and finding.advice


def test_a_server_that_tells_nothing_is_not_accused() -> None:
    silent = server(**dict.fromkeys(server()._fields[1:]))
    assert rules(hub_findings(server=silent)) == ["no-info"]
    assert hub_findings(server=server(maxmemory=0, used_memory=1 << 40)) == []


def test_a_slow_connection() -> None:
    assert "takes 45.0 ms" in one(hub_findings(latency_ms=45.0), "latency").text


def test_every_rule_is_in_a_table() -> None:
    for module in (rules_hub, rules_instance, rules_waiting):
        named = {
            rule
            for name, rule in vars(module).items()
            if callable(rule) and getattr(rule, "__annotations__", {}).get("return") == "Iterator[Finding]"
        }
        assert named <= {*rules_hub.RULES, *rules_instance.RULES}, module.__name__
