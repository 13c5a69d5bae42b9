"""Every sample does what its docstring says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import durastream as ds
from durastream.cli import target
from tests.support import eventually
from tests.workers.conftest import Running
from workers import (
    approval,
    bank,
    counters,
    devices,
    fan_out,
    monitor,
    order_saga,
    pipeline,
    quickstart,
    semaphore,
)

pytestmark = pytest.mark.anyio

SAMPLES = sorted(Path(quickstart.__file__).parent.glob("[!_]*.py"))
OPERATIONS_OF_TALLY = ("add", "get", "reset", "delete")  # a function entity cannot be asked for them


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_docstring_names_commands_that_fit(path: Path) -> None:
    app, text = target.load(f"workers.{path.stem}:app"), path.read_text()
    assert f"durastream dev workers.{path.stem}:app" in text
    started = re.findall(r"durastream start (\w+)", text)
    assert started
    assert set(started) <= set(app.orchestrator_names())
    for name, operation in re.findall(
        r"(?:entity signal|op signal entity) (\w+) (?:key )?\S+ (?:operation )?(\w+)", text
    ):
        definition = app.find_entity(name)
        assert definition is not None
        assert operation in ([*definition.operations(), "delete"] if definition.operations() else OPERATIONS_OF_TALLY)
    for name in re.findall(r"entity (?:show|list) (\w+)", text):
        assert app.find_entity(name) is not None


async def test_quickstart(running: Running) -> None:
    async with running(quickstart.app) as client:
        hello = await client.start(quickstart.hello, "world")
        assert await hello.result(timeout=20) == "Hello, world!"
        sequence = await client.start(quickstart.sequence, ["Tokyo", "Seattle", "London"])
        assert await sequence.result(timeout=20) == ["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"]


@pytest.mark.parametrize(
    ("order", "outcome"),
    [
        (order_saga.Order("book", 20), "shipped: parcel with book"),
        (
            order_saga.Order("piano", 9_000),
            "cancelled: 9000 is over the limit of 1000; released reservation of piano",
        ),
        (
            order_saga.Order("piano", 500),
            "cancelled: nobody carries a piano; refunded payment of 500, released reservation of piano",
        ),
    ],
)
async def test_order_saga_undoes_backwards(running: Running, order: order_saga.Order, outcome: str) -> None:
    async with running(order_saga.app) as client:
        handle = await client.start(order_saga.place_order, order)
        assert await handle.result(timeout=20) == outcome


async def test_approval_by_the_first(running: Running) -> None:
    async with running(approval.app) as client:
        handle = await client.start(approval.approve, approval.Request("two weeks off"))
        await handle.raise_event("decision", True)
        assert await handle.result(timeout=20) == "approved by team lead"


async def _custom_status(handle: ds.Handle[str], expected: object) -> Any:
    return (await handle.status()).custom_status == expected


async def test_approval_is_escalated_when_nobody_answers(running: Running) -> None:
    async with running(approval.app) as client:
        request = approval.Request("two weeks off", patience_s=1.0, approvers=("team lead", "manager"))
        handle = await client.start(approval.approve, request)
        await eventually(lambda: _custom_status(handle, {"waiting_for": "manager"}))
        await handle.raise_event("decision", False)
        assert await handle.result(timeout=20) == "rejected by manager"


async def test_approval_runs_out_of_approvers(running: Running) -> None:
    async with running(approval.app) as client:
        request = approval.Request("two weeks off", patience_s=0.05)
        handle = await client.start(approval.approve, request)
        assert await handle.result(timeout=20) == "rejected: nobody answered"


async def test_fan_out(running: Running) -> None:
    async with running(fan_out.app) as client:
        handle = await client.start(fan_out.sum_of_squares, 100)
        assert await handle.result(timeout=20) == 338_350


async def test_monitor_keeps_its_history_short(running: Running) -> None:
    async with running(monitor.app) as client:
        handle = await client.start(monitor.watch, monitor.Watch("backup", every_s=0.02, rounds=10))
        assert await handle.result(timeout=20) == "backup is ready after 10 checks"
        assert len(await handle.history()) < 10


async def test_pipeline_stages_are_instances_of_their_own(running: Running) -> None:
    async with running(pipeline.app) as client:
        texts = ["to be or not to be", "that is the question"]
        handle = await client.start(pipeline.digest, pipeline.Batch(texts), instance_id="digest-1")
        assert await handle.result(timeout=20) == "10 words, most frequent: be, to, is"
        stages = [status.id async for status in client.list(prefix="digest-1/")]
        assert sorted(stages) == ["digest-1/rank", "digest-1/tokenize"]


async def test_every_sample_is_tested() -> None:
    here = (approval, fan_out, monitor, order_saga, pipeline, quickstart)
    modules = (*here, bank, counters, devices, semaphore)  # in test_entities.py
    assert {path.stem for path in SAMPLES} == {module.__name__.rpartition(".")[2] for module in modules}
    assert all(isinstance(module.app, ds.App) for module in modules)
