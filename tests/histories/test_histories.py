"""Every recorded history is replayed with today's code: it must end where it ended then, or be refused as it says.

A file holds `orchestrator`, `history` (readable form of `durastream.wire`), and either `waiting_on`, what the code waits
for at the end (an ended one waits for nothing), or `refused`, a text that the NonDeterminismError must contain.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from durastream import wire
from durastream.core.execution import Orchestration
from durastream.errors import NonDeterminismError
from durastream.payload import Payloads
from tests.histories.programs import app

FILES = sorted(Path(__file__).parent.glob("*.json"))


def load(path: Path) -> tuple[dict[str, Any], list[Any], Orchestration]:
    recorded = json.loads(path.read_text())
    history = [wire.event_from_json(shown) for shown in recorded["history"]]
    definition = app.find_orchestrator(recorded["orchestrator"])
    assert definition is not None
    return recorded, history, Orchestration(definition, "recorded-1", "tok.0", codec=Payloads())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_recorded_history(path: Path) -> None:
    recorded, history, execution = load(path)
    try:
        if "refused" in recorded:
            with pytest.raises(NonDeterminismError) as caught:
                execution.replay(history)
            assert recorded["refused"] in str(caught.value)
        else:
            execution.replay(history)
            assert execution.waiting_on() == recorded["waiting_on"]
            assert execution.length == len(history)
    finally:
        execution.close()


def test_there_are_histories_of_both_kinds() -> None:
    refused = [path for path in FILES if "refused" in json.loads(path.read_text())]
    assert len(refused) >= 4 and len(FILES) - len(refused) >= 8
