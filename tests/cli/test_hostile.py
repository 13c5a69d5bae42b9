"""What comes from outside may hold anything: no command may send it to the terminal as it is, or hang over it.

Each text of the corpus stands wherever a text can stand: ids, names, payloads, tags, errors, problems, events, entities.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from durastream import errors
from durastream.core import events as ev
from durastream.core.entity_id import EntityId
from durastream.core.events import Failure
from durastream.store.protocol import HubInfo, LeaseInfo, PartitionLoad, QueueLoad, WorkerInfo
from durastream.store.redis import hubs
from tests.cli.fakes import Cli, FakeClient, completed, entity, instance
from tests.fuzz.engine import deadline

AT = 1_935_403_200_000
MIB = 1_048_576

CORPUS = {
    "window title": "\x1b]0;owned\x07",
    "clear screen": "\x1b[2J\x1b[H",
    "C1 escape": "\x9b2J",
    "OSC 8 link": "\x1b]8;;http://evil\x1b\\text\x1b]8;;\x1b\\",
    "backspaces": "good\x08\x08\x08\x08evil",
    "carriage return": "harmless\rforged: everything is fine",
    "forged lines": "a\n✔ nothing was found\nerror: b",
    "bidi override": "\u202egnp.exe\u202c",
    "bidi isolate": "\u2066abc\u2069\u200f",
    "tag characters": "a\U000e0041\U000e0042",
    "line separators": "a\u2028b\u2029c\x85d",
    "nul and del": "\x00\x7f",
    "markup": "[red]x[/red] [link=http://evil]y[/link] :bomb:",
    "format": "%s %n {0} {x.__class__}",
    "wide": "書類" * 50,
    "combining": "e\u0301" * 100,
    "long": "x" * MIB,
    "long escapes": "\x1b[31m" * 100_000,
    "JSON": '{"a": "\\u001b[31m"}',
}
FORBIDDEN = {
    chr(code) for code in (*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F))
} | {chr(code) for code in (*range(0x2066, 0x206A), *range(0xE0000, 0xE0080))}
ALLOWED = {"\n", "\t"}


def _payload(text: str) -> bytes:
    return json.dumps({text[:200]: text, "nested": [[text[:1_000]]]}).encode()


def everything_is(text: str, client: FakeClient) -> None:
    """Fill the client with it."""
    client.record(
        instance(
            "x-1", name=text, input={text[:200]: text}, custom_status=text, tags={text[:200]: text}, parent_id=text,
            version=text, problem={"kind": text, "message": text}, execution_id=text,
        ),
        [
            ev.ExecutionStarted(AT, text, None, _payload(text), None, 0),
            ev.TaskScheduled(AT, text, _payload(text), text, None, 1),
            ev.TaskFailed(AT + 1, 1, Failure(text, text, text)),
            ev.EventRaised(AT + 1, text, _payload(text)),
            ev.SubOrchestrationCreated(AT + 1, text, text, None, None),
            ev.TaskScheduled(AT + 1, text, None, text, None, 1),
            ev.ExecutionSuspended(AT + 1, text),
        ],
    )  # fmt: skip
    client.record(
        completed("x-2", name=text, runtime_status="Failed", output=text, failure=Failure(text, text, text)),
        [ev.ExecutionStarted(AT, text, None, _payload(text), None, 0)],
    )
    client.add_entities(entity("Counter", "a", state={text[:200]: text}, locked_by=text, locked_at=None))
    client.problems[EntityId("Counter", "a")] = {"message": text}
    about = {name: [text] for name in ("orchestrators", "activities", "entities", "queues", "runs")} | {"host": text}
    client.live = [WorkerInfo(text, round(time.time() * 1_000), about)]
    client.leases = [LeaseInfo(number, text, 1, 0, 0, 0, 0, 0) for number in range(16)]
    client.load = [PartitionLoad(number, 0, 1, 1, (QueueLoad(text, 1, 0, 0),)) for number in range(16)]


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch, client: FakeClient) -> None:
    async def hub_info(url: str, name: str) -> HubInfo:
        return client.hub

    monkeypatch.setattr(hubs, "hub_info", hub_info)


COMMANDS = (
    ("list",),
    ("show", "x-1"),
    ("show", "x-2"),
    ("show", "x-1", "--graph", "mermaid"),
    ("show", "x-1", "--graph", "dot"),
    ("history", "x-1"),
    ("wait", "x-2"),
    ("export", "x-1"),
    ("workers",),
    ("partitions",),
    ("doctor",),
    ("entity", "list"),
    ("entity", "show", "Counter", "a"),
)


def check(output: str, what: str) -> None:
    assert not (set(output) & FORBIDDEN - ALLOWED), what


@pytest.mark.parametrize("name", CORPUS)
def test_nothing_gets_through(cli: Cli, client: FakeClient, name: str) -> None:
    everything_is(CORPUS[name], client)
    for command in COMMANDS:
        for form in ("text", "json", *(["jsonl"] if command in (("list",), ("history", "x-1")) else [])):
            with deadline():
                result = cli(*command, "-o", form)
            check(result.output, f"{command} as {form}")
            if form == "json":
                json.loads(result.stdout or "null")


@pytest.mark.parametrize("name", CORPUS)
def test_text_stays_on_a_few_lines(cli: Cli, client: FakeClient, name: str) -> None:
    """Nothing forges a line of a table, and nothing floods the screen."""
    everything_is(CORPUS[name], client)
    assert len(cli("list").stdout.splitlines()) == 3
    assert len(cli("history", "x-1").stdout.splitlines()) == 8
    assert len(cli("show", "x-1").output) < 30_000
    assert "\n✔ nothing was found" not in cli("doctor").stdout


@pytest.mark.parametrize("name", CORPUS)
def test_errors_are_clean_too(cli: Cli, client: FakeClient, tmp_path: Path, name: str) -> None:
    text = CORPUS[name]
    short = text[:100_000]
    client.refuse["x-1"] = errors.Conflict(text)
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps({"orchestrator": text, "history": [{"kind": text}]}))
    unknown = tmp_path / "unknown.json"
    unknown.write_text(json.dumps({"orchestrator": text, "history": []}))
    for command in (
        ("show", short),
        ("list", "--filter", f"status:{short}"),
        ("list", f"{short}:x status:nonsense"),
        ("list", "--status", short),
        ("list", "--since", short),
        ("suspend", "x-1", short),
        ("purge", "--name", short),
        ("start", "flow", "--input", short),
        ("start", "flow", "--tag", short),
        ("replay", str(bad), "tests.histories.programs:app"),
        ("replay", str(unknown), "tests.histories.programs:app"),
        ("export", short),
    ):
        with deadline():
            shown = cli(*command).output
        check(shown, f"{command[0]} {command[1][:20]!r}")


def test_ten_thousand_keys(cli: Cli, client: FakeClient) -> None:
    many: dict[str, Any] = {f"key {number} \x1b[31m": "\x9b" * 10 for number in range(10_000)}
    client.record(instance("x-1", input=many, custom_status=many, tags=many), [])
    with deadline():
        shown = cli("show", "x-1")
    check(shown.output, "show")
    assert len(shown.stdout) < 10_000
    assert json.loads(cli("show", "x-1", "-o", "json").stdout)["input"] == many


@pytest.mark.parametrize("make", [lambda text: text, lambda text: text + text], ids=["once", "twice"])
def test_json_holds_the_very_text(cli: Cli, client: FakeClient, make: Callable[[str], str]) -> None:
    for text in map(make, CORPUS.values()):
        client.record(instance("x-1", input=text), [])
        assert json.loads(cli("show", "x-1", "-o", "json").stdout)["input"] == text
