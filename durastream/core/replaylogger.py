"""The logger of an orchestrator: silent while replaying."""

from __future__ import annotations

import logging
from typing import Any

from durastream.core.agenda import Agenda


class ReplayLogger(logging.LoggerAdapter[logging.Logger]):
    """Logs as `durastream.orchestrator.NAME`, with instance and execution id as extra fields."""

    def __init__(self, agenda: Agenda, name: str) -> None:
        ids = {"instance_id": agenda.instance_id, "execution_id": agenda.execution_id}
        super().__init__(logging.getLogger(f"durastream.orchestrator.{name}"), ids)
        self._agenda = agenda

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        return not self._agenda.replaying and super().isEnabledFor(level)

    def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **kwargs.get("extra", {})}}
