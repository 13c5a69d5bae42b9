"""Faults of the network: what the proxy does to connections of workers and clients."""

from __future__ import annotations

from typing import ClassVar

from tests.chaos.deployment import RESPONSE_TIMEOUT_S, Single
from tests.chaos.nemeses.base import Nemesis
from tests.chaos.proxy import Weather


class _OfNetwork(Nemesis[Single]):
    lane = "network"
    weather: ClassVar[Weather]

    async def strike(self) -> str:
        assert self.weather.fault is not None
        self._before = self.place.proxy.hit[self.weather.fault]
        self.place.proxy.begin(self.weather)
        return f"{self.weather.chance:.0%} of the pieces" if self.weather.chance < 1 else "all connections"

    async def heal(self) -> int:
        assert self.weather.fault is not None
        self.place.proxy.end()
        return self.place.proxy.hit[self.weather.fault] - self._before


class CutRequest(_OfNetwork):
    """N7: the connection is cut before a request has passed."""

    kind, span, weather = "cut_request", (0.4, 1.0), Weather("cut_request", 0.05)
    expects = "it is sent again; it takes effect once"


class CutReply(_OfNetwork):
    """N7: the server has done it, and its answer is swallowed."""

    kind, span, weather = "cut_reply", (0.4, 1.0), Weather("cut_reply", 0.05)
    expects = "it is sent again; it takes effect once"


class CutFrame(_OfNetwork):
    """N7: cut in the middle of an answer."""

    kind, span, weather = "cut_frame", (0.4, 1.0), Weather("cut_frame", 0.05)
    expects = "as for cut_reply"


class HalfOpen(_OfNetwork):
    """N7: connections stand, and nothing passes any more."""

    kind, span, weather = "half_open", (0.3, RESPONSE_TIMEOUT_S + 0.7), Weather("half_open", 1)
    expects = "they are given up after the response timeout"


class Delay(_OfNetwork):
    """N8: every piece is late, by another time each."""

    kind, span, weather = "delay", (0.6, 1.5), Weather("delay", 1, delay_s=0.3)
    expects = "everything is slow"


class Trickle(_OfNetwork):
    """N8: single bytes."""

    kind, span, weather = "trickle", (0.5, 1.2), Weather("trickle", 0.3)
    expects = "everything is slow"


class DuplicateReply(_OfNetwork):
    """N8: an answer comes twice. The connection cannot be trusted any more: it must be dropped."""

    kind, span, weather = "duplicate_reply", (0.4, 1.0), Weather("duplicate", 0.2)
    expects = "no answer is taken for another's"
