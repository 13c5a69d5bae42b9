"""Changing entities from a screen."""

from __future__ import annotations

from collections.abc import Coroutine

from textual.widget import Widget

from durastream.core.entity_id import EntityId
from durastream.tui.acting import may_change
from durastream.tui.dialogs import Confirm, Filled, Form
from durastream.tui.host import copy, host


class EntityActing(Widget):
    """For a widget that says which entity is meant."""

    def entity(self) -> EntityId | None:
        raise NotImplementedError

    def action_copy(self) -> None:
        entity = self.entity()
        if entity is not None:
            copy(self, str(entity))
            host(self).tell(f"copied {entity}")

    def action_signal(self) -> None:
        entity = self.entity()
        if entity is not None and may_change(self):
            form = Form("Signal an entity", [str(entity)], name="operation")
            self.app.push_screen(form, lambda filled: self._begin(filled and self._signal(entity, filled)))

    def action_clean(self) -> None:
        if may_change(self):
            why = (
                "Locks whose holder has ended or is gone are opened, of all entities of the hub; others are left alone."
            )
            asking = Confirm("Open locks that were left behind?", [why])
            self.app.push_screen(asking, lambda yes: self._begin(self._clean() if yes else None))

    def _begin(self, work: Coroutine[object, object, None] | None) -> None:
        if work is not None:
            self.run_worker(work, exit_on_error=False)

    async def _signal(self, entity: EntityId, filled: Filled) -> None:
        asked = host(self)
        if await asked.succeeded(asked.source.signal(entity, filled.name, filled.data)):
            asked.tell(f"sent {filled.name} to {entity}")
            asked.look_now()

    async def _clean(self) -> None:
        asked = host(self)
        count = await asked.attempt(asked.source.clean())
        if count is not None:
            asked.tell(f"{count:,} locks were told to open")
            asked.look_now()
