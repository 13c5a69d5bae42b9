"""What a worker tells the others of itself."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import durastream as ds
from durastream.store.protocol import WorkerInfo
from durastream.worker.about import About, split_queues
from durastream.worker.clock import ServerClock
from durastream.worker.host import Options
from durastream.worker.sharing import entity_known_as, known_as


class FakePartition:
    def __init__(self, lacking: set[str], running: set[str]) -> None:
        self.turns = 5
        self.entities = SimpleNamespace(operations=2)
        self._lacking = lacking
        self._running = running

    def lacking(self) -> set[str]:
        return self._lacking

    def runs(self, among: set[str]) -> list[str]:
        return sorted(self._running & among)


class FakeActivities:
    def __init__(self) -> None:
        self.running: dict[Any, Any] = {}
        self.done = 3
        self.split = {"default/rare"}


def app_with(*names: str) -> ds.App:
    app = ds.App()
    for name in names:
        name, _, version = name.partition("@")

        def function(ctx: ds.OrchestrationContext) -> Any:
            yield

        app.orchestrator(name=name, version=version or None)(function)

    @app.entity(name="counter")
    def counter(ctx: ds.EntityContext) -> None: ...

    return app


def describe(others: list[list[str]]) -> dict[str, Any]:
    about = About(app_with("plain", "priced@1", "priced@2"), Options("me"), ServerClock())
    owned: Any = {
        3: FakePartition({known_as("gone", "7"), entity_known_as("Lost")}, {"plain", known_as("priced", "1")}),
        4: FakePartition(set(), {"plain"}),
    }
    activities: Any = FakeActivities()
    mine = WorkerInfo("me", 0, {})
    live = [WorkerInfo(str(n), 0, {"runs": runs}) for n, runs in enumerate(others)]
    first = about.describe(owned, activities, [])
    return about.describe(owned, activities, [mine._replace(about=first), *live])


def test_it_is_json_and_tells_names_and_versions() -> None:
    told = describe([])
    json.dumps(told)
    assert (told["orchestrators"], told["entities"]) == (["plain", "priced"], ["counter"])
    names = {"plain", "priced", known_as("priced", "1"), known_as("priced", "2"), entity_known_as("counter")}
    assert set(told["runs"]) == names
    assert (told["owned"], told["turns"], told["operations"], told["activities_done"]) == ([3, 4], 10, 4, 3)


def test_it_tells_what_its_instances_wait_for() -> None:
    assert describe([])["parked"] == {"3": [entity_known_as("Lost"), known_as("gone", "7")]}


def test_it_keeps_partitions_only_for_what_others_lack() -> None:
    everything = describe([])["runs"]
    assert describe([everything])["kept"] == {}
    without_version = [one for one in everything if one != known_as("priced", "1")]
    assert describe([without_version])["kept"] == {"3": [known_as("priced", "1")]}


def test_split_queues_of_all_workers_are_read_together() -> None:
    workers = [WorkerInfo("a", 0, {"split": ["x/1"]}), WorkerInfo("b", 0, {"split": ["x/2"]}), WorkerInfo("c", 0, {})]
    assert split_queues(workers) == {"x/1", "x/2"}
