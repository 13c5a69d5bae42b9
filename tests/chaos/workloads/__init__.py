"""What goes on while nemeses strike. Each keeps books of what it asked for, and can tell afterwards whether it adds up."""

from __future__ import annotations

from typing import Final

from tests.chaos.workloads.bank import Bank
from tests.chaos.workloads.base import Workload
from tests.chaos.workloads.controls import Controls
from tests.chaos.workloads.counters import Counters
from tests.chaos.workloads.events import Loops, PingPong
from tests.chaos.workloads.ingress import AnyClient
from tests.chaos.workloads.sums import FanOut, Sagas, Trees
from tests.chaos.workloads.timers import Storms
from tests.chaos.workloads.versions import Versions

WORKLOADS: Final[dict[str, type[Workload]]] = {
    one.name: one
    for one in (Bank, Counters, Sagas, FanOut, Trees, Loops, Storms, PingPong, AnyClient, Controls, Versions)
}

__all__ = ["WORKLOADS", "Workload"]
