"""The lines on top: hub, server, throughput, counts, lag, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.text import Text
from textual.widgets import Static

from durastream.core.status import ALL
from durastream.inspect.finding import Finding
from durastream.inspect.hub import Overview
from durastream.inspect.plural import plural
from durastream.inspect.rows import SYMBOLS
from durastream.inspect.throughput import Throughput
from durastream.tui.text import BAD, BUSY, STATUS_STYLES, finding_text, number, plain

_BLOCKS: Final = " ▁▂▃▄▅▆▇█"
_SPARK_CELLS: Final = 16


def sparkline(values: Sequence[float], cells: int) -> str:
    """The last so many values, the highest as a whole block; what is above nothing is seen."""
    shown = list(values)[-cells:]
    most = max([*shown, 0.001])
    return "".join(_BLOCKS[-int(-(len(_BLOCKS) - 1) * value / most // 1)] for value in shown).rjust(cells)


def counts_text(overview: Overview, *, words: bool) -> Text:
    """Each status with its symbol, word (where there is room) and count."""
    parts = [
        Text(
            f"{SYMBOLS[status]} {overview.counts.get(status, 0):,}" + (f" {status}" if words else ""),
            STATUS_STYLES[status],
        )
        for status in ALL
    ]
    return Text("  ").join(parts)


class Header(Static):
    """Two lines, and a third while something is wrong."""

    DEFAULT_CSS = """
    Header { height: auto; max-height: 3; background: $panel; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, hub: str, where: str) -> None:
        super().__init__("", markup=False)
        self._hub = hub
        self._where = where

    def on_mount(self) -> None:
        self.update(self._first(None, ()))

    def tell(self, overview: Overview, rates: Sequence[Throughput], findings: Sequence[Finding]) -> None:
        """Show the hub as it is now."""
        lines = [self._first(overview, rates), self._second(overview)]
        if findings:
            more = f" (and {len(findings) - 1} more: !)" if len(findings) > 1 else ""
            lines.append(finding_text(findings[0]))
            if more:
                lines[-1] = Text.assemble(Text(more.strip() + " ", "dim"), lines[-1])
        self.update(Text("\n", no_wrap=True, overflow="ellipsis").join(lines))

    def _first(self, overview: Overview | None, rates: Sequence[Throughput]) -> Text:
        line = Text.assemble(("durastream ", "bold"), plain(self._hub, 30, "bold"), " @ ", plain(self._where, 40))
        if overview is None:
            return line.append("   connecting …", "dim")
        rate = rates[-1] if rates else Throughput()
        spark = sparkline([one.turns + one.operations for one in rates], _SPARK_CELLS)
        return line.append_text(
            Text.assemble(
                "  ", (spark, BUSY), f" {rate.turns + rate.operations:,.0f} turns/s  {rate.activities:,.0f} act/s"
            )
        )

    def _second(self, overview: Overview) -> Text:
        lag = overview.lag
        behind = f"  lag {number(lag.messages)} msg, {number(lag.activities)} act {max(lag.messages_s, lag.activities_s):.0f} s"
        words = self.size.width >= 110
        live = len(overview.live_workers)
        tail = f"  {plural(live, 'worker')}"
        return counts_text(overview, words=words).append(behind, "dim").append(tail, "dim" if live else BAD)
