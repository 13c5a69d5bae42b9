"""Changing instances from a screen: ask first, then do it, for one or for many."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import TypeVar

from textual.widget import Widget

from durastream.core.status import Status
from durastream.tui.actions import VERBS, Verb, question, refusal
from durastream.tui.bulk import Bulk
from durastream.tui.dialogs import Confirm, Filled, Form
from durastream.tui.export import export
from durastream.tui.host import copy, host

A = TypeVar("A", Verb, Filled)


def may_change(widget: Widget) -> bool:
    """Whether this session may change things; where not, that is said."""
    if host(widget).read_only:
        host(widget).tell("this session is read-only (--read-only): nothing was changed", bad=True)
    return not host(widget).read_only


class Acting(Widget):
    """For a widget that says which instances are meant."""

    def chosen(self) -> Sequence[tuple[str, Status | None]]:
        """(id, status where it is known) of what an action is for."""
        raise NotImplementedError

    def acted(self) -> None:
        """Something was done to them."""

    # -- keys

    def action_change(self, name: str) -> None:
        verb, chosen = VERBS[name], self.chosen()
        refused = refusal(verb, chosen[0][1]) if len(chosen) == 1 and chosen[0][1] else None
        if refused and not host(self).read_only:
            host(self).tell(refused, bad=True)
        elif chosen and may_change(self):
            self._ask(verb, [one for one, _ in chosen])

    def action_raise_event(self) -> None:
        ids = [one for one, _ in self.chosen()]
        if ids and may_change(self):
            form = Form("Raise an event", ids, name="name of the event")
            self.app.push_screen(form, lambda filled: self._begin(self._send_event, ids, filled))

    def action_copy(self) -> None:
        ids = [one for one, _ in self.chosen()]
        if ids:
            copy(self, "\n".join(ids))
            host(self).tell(f"copied {ids[0]}" if len(ids) == 1 else f"copied {len(ids):,} ids")

    def action_export(self) -> None:
        for one, _ in self.chosen()[:1]:
            self.run_worker(self._export(one), exit_on_error=False)

    # -- what they do

    # Dialogs are opened at once, not in a worker: the key that comes next is theirs.

    def _ask(self, verb: Verb, ids: list[str]) -> None:
        asking = Confirm(question(verb, ids), ids, warning=verb.lost)
        self.app.push_screen(asking, lambda yes: self._begin(self._do, ids, verb if yes else None))

    def _begin(
        self, work: Callable[[list[str], A], Coroutine[object, object, None]], ids: list[str], what: A | None
    ) -> None:
        if what is not None:
            self.run_worker(work(ids, what), exit_on_error=False)

    async def _do(self, ids: list[str], verb: Verb) -> None:
        source = host(self).source
        if len(ids) == 1:
            await self._tell_done(source.change(verb.name, ids[0]), f"{verb.done}: {ids[0]}")
            return
        done = await self.app.push_screen_wait(Bulk(verb.name, ids, lambda one: source.change(verb.name, one)))
        self._finished(f"{verb.done}: {len(done or ()):,} of {len(ids):,}")

    async def _tell_done(self, asked: Awaitable[None], said: str) -> None:
        if await host(self).succeeded(asked):
            self._finished(said)

    def _finished(self, said: str) -> None:
        host(self).tell(said)
        self.acted()
        host(self).look_now()

    async def _send_event(self, ids: list[str], filled: Filled) -> None:
        source, name = host(self).source, filled.name
        if len(ids) == 1:
            await self._tell_done(source.raise_event(ids[0], name, filled.data), f"raised {name} for {ids[0]}")
            return
        many = Bulk(f"event {name}", ids, lambda one: source.raise_event(one, name, filled.data))
        done = await self.app.push_screen_wait(many)
        self._finished(f"raised {name} for {len(done or ()):,} of {len(ids):,}")

    async def _export(self, instance_id: str) -> None:
        asked = host(self)
        path = await asked.attempt(export(asked.source, instance_id, Path.cwd()))
        if path is not None:
            asked.tell(f"history of {instance_id} in {path}")
