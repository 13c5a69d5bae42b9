from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.fakes import Cli

HISTORIES = Path(__file__).parent.parent / "histories"
APP = "tests.histories.programs:app"
FILES = sorted(HISTORIES.glob("*.json"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_histories_of_the_tests(cli: Cli, path: Path) -> None:
    recorded = json.loads(path.read_text())
    result = cli("replay", str(path), APP, "-o", "jsonl")
    verdict = json.loads(result.stdout)
    if "refused" in recorded:
        assert (result.exit_code, verdict["result"]) == (1, "differs")
        assert recorded["refused"] in verdict["message"]
        assert verdict["event"] is not None
    else:
        assert (result.exit_code, verdict["result"]) == (0, "fits")
        assert verdict["waits_for"] == recorded["waiting_on"]


def test_the_difference_is_shown_in_its_place(cli: Cli) -> None:
    result = cli("replay", str(HISTORIES / "refused_renamed_activity.json"), APP)
    assert result.exit_code == 1
    assert "does not fit from event 3 of 4 on" in result.stdout
    assert "history has activity 'ship_express', but the code now decided activity 'ship'" in result.stdout
    assert "▸    3  TaskScheduled  ship_express" in result.stdout


def test_several_files_and_the_worst_of_them_counts(cli: Cli, tmp_path: Path) -> None:
    fits, differs = str(HISTORIES / "order_started.json"), str(HISTORIES / "refused_renamed_activity.json")
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_text("{")
    assert cli("replay", fits, fits, APP).exit_code == 0
    assert cli("replay", fits, differs, APP).exit_code == 1
    result = cli("replay", str(rubbish), differs, fits, APP, "-o", "json")
    assert result.exit_code == 2
    assert [each["result"] for each in json.loads(result.stdout)] == ["unreadable", "differs", "fits"]


def test_an_orchestrator_that_is_gone_does_not_fit(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "gone.json"
    path.write_text(json.dumps({"orchestrator": "ordr", "history": []}))
    result = cli("replay", str(path), APP)
    assert result.exit_code == 1
    assert "order" in result.stdout


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "JSON object"),
        ("{}", "needs `orchestrator`"),
        ({"orchestrator": 5, "history": []}, "orchestrator is no text"),
        ({"orchestrator": "order", "history": {}}, "needs `orchestrator`"),
        ({"orchestrator": "order", "history": [5]}, "event 0: no event has the kind"),
        ({"orchestrator": "order", "history": [{"kind": "Nonsense"}]}, "event 0: no event has the kind"),
        ({"orchestrator": "order", "history": [{"kind": "TimerFired", "at": "x"}]}, "event 0"),
        ({"format": 2, "orchestrator": "order", "history": []}, "format 2 is not 1"),
        ("\x00", "is not JSON"),
    ],
)
def test_rubbish(cli: Cli, tmp_path: Path, content: Any, words: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    result = cli("replay", str(path), APP)
    assert result.exit_code == 2, result.output
    assert words in result.stdout


def test_what_is_not_there(cli: Cli, tmp_path: Path) -> None:
    assert cli("replay", str(tmp_path / "nowhere.json"), APP).exit_code == 2
    assert cli("replay", str(HISTORIES / "order_started.json"), "no.such.module:app").exit_code == 2
    assert cli("replay", APP).exit_code == 2
