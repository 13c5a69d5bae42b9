"""The command palette: every key by its name, and any instance by its id."""

from __future__ import annotations

from functools import partial
from typing import Final

from textual.command import DiscoveryHit, Hit, Hits, Provider

from durastream.core.ids import check_instance_id
from durastream.errors import InvalidId
from durastream.tui.host import host
from durastream.tui.keys import for_help
from durastream.tui.text import plain

_NEVER: Final = frozenset(("command_palette", "up", "down", "page_up", "page_down", "first", "last"))


class Commands(Provider):
    """What can be done on the screen below, and going to an instance."""

    async def discover(self) -> Hits:
        for label, action in self._commands():
            yield DiscoveryHit(plain(label), partial(self._run, action))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for label, action in self._commands():
            score = matcher.match(label)
            if score > 0:
                yield Hit(score, plain(label), partial(self._run, action), text=label)
        if _is_id(query):
            yield Hit(0.05, plain(f"open instance {query}"), partial(self._open, query), text=query)

    def _commands(self) -> list[tuple[str, str]]:
        keys = for_help(read_only=host_of(self).read_only)
        return [(f"{key.help}  ({key.shown})", key.action) for key in keys if key.action not in _NEVER]

    async def _run(self, action: str) -> None:
        focused = self.screen.focused or self.screen
        for node in focused.ancestors_with_self:
            if await self.app.run_action(action, node):
                return

    def _open(self, instance_id: str) -> None:
        host_of(self).open_instance(instance_id)


def host_of(provider: Provider):  # type: ignore[no-untyped-def]
    """The application, as screens see it."""
    return host(provider.screen)


def _is_id(text: str) -> bool:
    try:
        check_instance_id(text)
    except InvalidId:
        return False
    return True
