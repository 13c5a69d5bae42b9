"""One change for many instances: a few at once, with progress, going on past those that refuse."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import ProgressBar, Static

from durastream.errors import DurastreamError, StoreUnavailable
from durastream.tui.dialogs import box_css
from durastream.tui.text import BAD, plain

AT_ONCE: Final = 32
_SHOWN: Final = 6


class Bulk(ModalScreen["list[str]"]):
    """Gives the ids that were changed. Esc stops before the next one; what was sent is not taken back."""

    DEFAULT_CSS = box_css("Bulk") + "Bulk ProgressBar { margin: 1 0; width: 1fr; } Bulk Bar { width: 1fr; }"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter", "leave")]

    def __init__(self, what: str, ids: Sequence[str], change: Callable[[str], Awaitable[None]]) -> None:
        super().__init__()
        self._what = what
        self._ids = ids
        self._change = change
        self._done: list[str] = []
        self._failures: dict[str, str] = {}
        self._stopped = ""
        self.over = False

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(plain(f"{self._what}: {len(self._ids):,} instances", style="bold"), markup=False)
            yield ProgressBar(total=len(self._ids), show_eta=False)
            yield Static("", id="said", markup=False)

    def on_mount(self) -> None:
        self.run_worker(self._run(), exit_on_error=False)

    async def _run(self) -> None:
        waiting = iter(self._ids)
        self._say()
        await asyncio.gather(*(self._work(waiting) for _ in range(min(AT_ONCE, len(self._ids)))))
        self.over = True
        if self._failures or self._stopped:
            self._say()
        else:
            self.dismiss(self._done)

    async def _work(self, waiting: Iterator[str]) -> None:
        for one in waiting:
            if self._stopped:
                return
            try:
                await self._change(one)
                self._done.append(one)
            except StoreUnavailable as error:
                self._stopped = str(error)  # it would fail for all the others too
            except DurastreamError as error:
                self._failures[one] = str(error)
            self._say()

    def _say(self) -> None:
        self.query_one(ProgressBar).update(progress=len(self._done) + len(self._failures))
        lines = [Text(f"{len(self._done):,} done, {len(self._failures):,} refused")]
        lines += [plain(f"{one}: {why}", 150, BAD) for one, why in list(self._failures.items())[:_SHOWN]]
        if len(self._failures) > _SHOWN:
            lines.append(Text(f"… and {len(self._failures) - _SHOWN:,} more", BAD))
        if self._stopped:
            lines.append(plain(self._stopped, 300, BAD))
        lines.append(Text("esc closes" if self.over else "esc stops", "dim"))
        self.query_one("#said", Static).update(Text("\n").join(lines))

    def action_leave(self) -> None:
        if self.over:
            self.dismiss(self._done)
        else:
            self._stopped = "stopped; those that were sent are not taken back"
