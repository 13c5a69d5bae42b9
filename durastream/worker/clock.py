"""The server's time as this process knows it: measured with each heartbeat, carried on by the local monotonic clock."""

from __future__ import annotations

from durastream import environment


class ServerClock:
    """Milliseconds since the epoch by the server's clock. Never goes back, whatever either clock does.

    Between heartbeats it may be off by the drift of the local clock plus half a round trip. Nothing that decides ownership or
    fires timers uses it: scripts read TIME themselves.
    """

    __slots__ = ("_last", "_offset_ms", "skew_ms")

    def __init__(self) -> None:
        self._offset_ms = environment.wall_ms() - environment.monotonic_ns() // 1_000_000
        self._last = 0
        self.skew_ms = 0

    def observe(self, server_ms: int, sent_ns: int, received_ns: int) -> None:
        """A reply said `server_ms`; it was asked for and arrived at these readings of `environment.monotonic_ns`."""
        middle_ms = (sent_ns + received_ns) // 2_000_000
        self._offset_ms = server_ms - middle_ms
        self.skew_ms = server_ms - (environment.wall_ms() - (received_ns - sent_ns) // 2_000_000)

    def now(self) -> int:
        now = environment.monotonic_ns() // 1_000_000 + self._offset_ms
        if now > self._last:
            self._last = now
        return self._last
