"""What a diagnosis is made from: plain values, gathered by `fetch` or made up by a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from durastream.client.views import InstanceStatus
from durastream.core.events import Event
from durastream.inspect.hub import Overview
from durastream.inspect.waiting import Wait
from durastream.store.protocol import ServerInfo


@dataclass(frozen=True, slots=True)
class HubFacts:
    """The hub and its server at a moment.

    skew_ms: the server's clock minus that of the machine that asks. latency_ms: of one small round trip.
    """

    overview: Overview
    server: ServerInfo | None = None
    skew_ms: int | None = None
    latency_ms: float | None = None


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """One instance, the end of its history, what it waits for, and the hub it lives in.

    `first`: number of `history[0]`; `status.events` says how many there are.
    """

    status: InstanceStatus
    hub: HubFacts
    history: Sequence[Event] = ()
    first: int = 0
    waits: Sequence[Wait] = field(default_factory=tuple)
    awaited: Sequence[str] | None = None  # names of the events its code waits for, where the owner told
    unreadable: str | None = None  # why the history cannot be read
