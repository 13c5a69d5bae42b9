"""Edges lead from what the code had learnt to what it decided then."""

from __future__ import annotations

import json
from pathlib import Path

from durastream import wire
from durastream.core import events as ev
from durastream.inspect.diagrams import to_dot, to_mermaid
from durastream.inspect.graph import Graph, graph
from tests.inspect.made import at, begun, done, failed, fired, scheduled, timer

HISTORIES = Path(__file__).parents[1] / "histories"


def edges(found: Graph) -> set[str]:
    names = {node.id: node.label or node.kind for node in found.nodes}
    return {f"{names[edge.source]} → {names[edge.target]}" for edge in found.edges}


def test_a_sequence() -> None:
    history: list[ev.Event] = [
        begun(9),
        scheduled(9, "a"),
        done(8, 1),
        scheduled(8, "b"),
        done(7, 3),
        ev.ExecutionCompleted(at(7), None),
    ]
    found = graph(history)
    assert [node.kind for node in found.nodes] == ["start", "activity", "activity", "end"]
    assert edges(found) == {"place_order → a", "a → b", "b → completed"}
    assert not found.partial


def test_fan_out_and_fan_in() -> None:
    history: list[ev.Event] = [
        begun(9), scheduled(9, "a"), scheduled(9, "b"), scheduled(9, "c"),
        done(8, 2), done(7, 1), done(6, 3), scheduled(6, "sum"),
    ]  # fmt: skip
    assert edges(graph(history)) == {
        "place_order → a", "place_order → b", "place_order → c", "a → sum", "b → sum", "c → sum",
    }  # fmt: skip


def test_chains_side_by_side_stay_apart() -> None:
    history: list[ev.Event] = [
        begun(9), scheduled(9, "a1"), scheduled(9, "b1"), done(8, 1), scheduled(8, "a2"), done(7, 2), scheduled(7, "b2"),
    ]  # fmt: skip
    assert edges(graph(history)) == {"place_order → a1", "place_order → b1", "a1 → a2", "b1 → b2"}


def test_many_to_many_meet_in_one_point() -> None:
    history: list[ev.Event] = [
        begun(9), scheduled(9, "a"), scheduled(9, "b"), done(8, 1), done(8, 2), scheduled(8, "c"), scheduled(8, "d"),
    ]  # fmt: skip
    found = graph(history)
    assert edges(found) == {"place_order → a", "place_order → b", "a → join", "b → join", "join → c", "join → d"}


def test_attempts_are_one_node_and_failures_that_are_repeated_lead_nowhere() -> None:
    history: list[ev.Event] = [
        begun(9), scheduled(9, "a"), scheduled(9, "b"), failed(8, 1), timer(8, 6), done(7, 2), scheduled(7, "c"),
        fired(6, 4), scheduled(6, "a", 2), done(5, 8), scheduled(5, "d"),
    ]  # fmt: skip
    found = graph(history)
    assert edges(found) == {"place_order → a", "place_order → b", "b → c", "a → d"}
    assert next(node for node in found.nodes if node.label == "a").attempts == 2


def test_events_signals_messages_children_and_entities() -> None:
    history: list[ev.Event] = [
        ev.ExecutionStarted(at(9), "flow", None, None, ev.Parent("above", "t.0", 3), 0),
        ev.EntityLockRequested(at(9), ("@a@1",)),
        ev.EntityLockGranted(at(8), 1),
        ev.EntityOperationCalled(at(8), "@a@1", "add", None),
        ev.EntityOperationCompleted(at(7), 3, None),
        ev.EntityUnlockSent(at(7), 1),
        ev.EntityOperationSignaled(at(7), "@b@1", "note", None, None),
        ev.EventRaised(at(6), "go", None),
        ev.SubOrchestrationCreated(at(6), "flow:0.8", "stage", None, None),
        ev.EventSent(at(6), "other", "hello", None),
        ev.SubOrchestrationFailed(at(5), 8, ev.Failure("E", "x")),
        ev.ExecutionFailed(at(5), ev.Failure("E", "x")),
    ]
    found = graph(history)
    assert edges(found) == {
        "flow → @a@1",
        "@a@1 → @a@1 add",
        "@a@1 add → note → @b@1",
        "go → stage",
        "go → hello → other",
        "stage → failed: E: x",
    }
    targets = {node.label: node.target for node in found.nodes}
    assert (targets["flow"], targets["stage"], targets["hello → other"]) == ("above", "flow:0.8", "other")
    assert [node.outcome for node in found.nodes if node.kind in ("end", "sub-orchestration")] == ["failed", "failed"]


def test_a_large_fan_out_is_drawn_as_one() -> None:
    history: list[ev.Event] = [begun(9), *(scheduled(9, "a") for _ in range(5_000)), scheduled(9, "b")]
    history += [failed(8, 1), *(done(7, k) for k in range(2, 4_001)), done(6, 5_001), scheduled(6, "c")]
    found = graph(history)
    many = found.nodes[1]
    assert (many.label, many.count, many.outcome) == ("a", 5_000, "failed")
    assert many.detail == "1 failed, 1,000 waiting, 3,999 done"
    assert len(found.nodes) == 4
    assert edges(found) == {"place_order → a", "place_order → b", "a → c", "b → c"}
    assert len(graph(history, fold=0).nodes) == 5_003


def test_a_split_turn_is_one_fan_out() -> None:
    recorded = json.loads((HISTORIES / "wide_in_three_turns.json").read_text())
    history: list[ev.Event] = [wire.event_from_json(event) for event in recorded["history"]]
    found = graph(history, fold=2)
    assert [node.count for node in found.nodes][:2] == [1, 7]


def test_a_part_of_a_history() -> None:
    found = graph([done(8, 3), scheduled(8, "b")], first=10)
    assert found.partial
    assert [node.id for node in found.nodes] == ["11"] and not found.edges


def test_graphs_of_all_recorded_histories_are_sound() -> None:
    for path in sorted(HISTORIES.glob("*.json")):
        history: list[ev.Event] = [wire.event_from_json(event) for event in json.loads(path.read_text())["history"]]
        found = graph(history)
        ids = [node.id for node in found.nodes]
        assert len(ids) == len(set(ids)), path.stem
        assert all({edge.source, edge.target} <= set(ids) for edge in found.edges), path.stem
        assert to_mermaid(found).count("-->") == len(found.edges)


# ---------------------------------------------------------------- diagrams

HOSTILE = 'x"]; click n0 "javascript:alert(1)"\n\x1b[2J\\" ` <b>'


def test_diagrams_name_nodes_and_edges() -> None:
    history: list[ev.Event] = [begun(9), scheduled(9, "a"), done(8, 1), scheduled(8, "b")]
    assert to_mermaid(graph(history)).splitlines()[:6] == [
        "flowchart TD",
        '  n0["place_order"]:::done',
        '  n1["a"]:::done',
        '  n3["b"]:::waiting',
        "  n0 --> n1",
        "  n1 --> n3",
    ]
    assert '"1" -> "3"' in to_dot(graph(history))


def test_names_cannot_break_out_of_a_diagram() -> None:
    found = graph([begun(9, HOSTILE)])
    (_, label, *_) = to_mermaid(found).splitlines()
    inside = label.removeprefix('  n0["').removesuffix('"]:::done')
    assert not set('"[]();<>`\\\x1b') & set(inside.replace("#", "").replace(";", "")), inside
    dot = to_dot(found).splitlines()[2]
    assert "\x1b" not in dot and dot.count('"') - dot.count('\\"') == 6
