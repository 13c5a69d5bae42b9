"""Asking the owner of an instance what only its memory knows."""

from __future__ import annotations

import asyncio
import json

from durastream.client.base import Base
from durastream.core.ids import check_instance_id
from durastream.core.messages import Describe


class Asking(Base):
    async def awaited_events(self, instance_id: str, *, timeout: float = 1.0) -> list[str] | None:
        """Names of the external events that the code of an instance waits for; None if no worker has answered in time.

        The history does not tell: waiting for an event decides nothing. The question is a message to the owner of the
        instance's partition, which brings the instance into its memory. Raises InvalidId, StoreUnavailable.
        """
        check_instance_id(instance_id)
        session = self._session
        token = session.token()
        answer = session.waits.expect(token)
        try:
            await session.post(Describe(instance_id, f"{session.waits.channel} {token}"))
            await asyncio.wait((answer,), timeout=timeout)
            return json.loads(answer.result().text) if answer.done() and answer.result().ok else None
        finally:
            session.waits.forget(token)
