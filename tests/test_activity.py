from __future__ import annotations

import logging
from typing import Any

import pytest

from durastream.activity import ActivityContext
from durastream.errors import ActivityCancelled


def test_heartbeats_reach_the_worker_until_it_is_cancelled() -> None:
    beats: list[object] = []
    context = ActivityContext("order-7", "tok.0", 3, "charge", 2, beats.append)
    context.heartbeat()
    context.heartbeat({"row": 5})
    assert beats == [None, {"row": 5}] and not context.cancelled
    context.cancel()
    assert context.cancelled
    with pytest.raises(ActivityCancelled, match="activity 'charge' for 'order-7' is no longer needed"):
        context.heartbeat()


def test_its_logger_names_the_instance(caplog: pytest.LogCaptureFixture) -> None:
    context = ActivityContext("order-7", "tok.0", 3, "charge", 2)
    context.heartbeat()
    with caplog.at_level(logging.INFO):
        context.logger.info("charged", extra={"amount": 5})
    record: Any = caplog.records[0]
    assert record.name == "durastream.activity.charge"
    assert (record.instance_id, record.task, record.attempt, record.amount) == ("order-7", 3, 2, 5)
