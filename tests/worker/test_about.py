"""What a worker tells the others of itself."""

from __future__ import annotations

import json
from typing import Any

import durastream as ds
from durastream.store.protocol import WorkerInfo
from durastream.worker.about import About, split_queues
from durastream.worker.host import Options
from durastream.worker.sharing import known_as


class FakePartition:
    def __init__(self, parked: dict[str, str], running: set[str]) -> None:
        self.parked = parked
        self.turns = 5
        self._running = running

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
    return app


def describe(others: list[list[str]]) -> dict[str, Any]:
    about = About(app_with("plain", "priced@1", "priced@2"), Options("me"))
    owned: Any = {
        3: FakePartition({"i": known_as("gone", "7"), "j": ""}, {"plain", known_as("priced", "1")}),
        4: FakePartition({"k": ""}, {"plain"}),
    }
    activities: Any = FakeActivities()
    mine = WorkerInfo("me", 0, {})
    live = [WorkerInfo(str(n), 0, {"runs": runs}) for n, runs in enumerate(others)]
    first = about.describe(owned, activities, [])
    return about.describe(owned, activities, [mine._replace(about=first), *live])


def test_it_is_json_and_tells_names_and_versions() -> None:
    told = describe([])
    json.dumps(told)
    assert told["orchestrators"] == ["plain", "priced"]
    assert set(told["runs"]) == {"plain", "priced", known_as("priced", "1"), known_as("priced", "2")}
    assert (told["owned"], told["turns"], told["activities_done"]) == ([3, 4], 10, 3)


def test_it_tells_what_its_instances_wait_for() -> None:
    assert describe([])["parked"] == {"3": [known_as("gone", "7")]}


def test_it_keeps_partitions_only_for_what_others_lack() -> None:
    everything = describe([])["runs"]
    assert describe([everything])["kept"] == {}
    without_version = [one for one in everything if one != known_as("priced", "1")]
    assert describe([without_version])["kept"] == {"3": [known_as("priced", "1")]}


def test_split_queues_of_all_workers_are_read_together() -> None:
    workers = [WorkerInfo("a", 0, {"split": ["x/1"]}), WorkerInfo("b", 0, {"split": ["x/2"]}), WorkerInfo("c", 0, {})]
    assert split_queues(workers) == {"x/1", "x/2"}
