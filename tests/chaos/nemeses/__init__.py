"""What can go wrong, one class for each kind of fault. The numbers (N1 …) are those of the fault campaign's table."""

from __future__ import annotations

from typing import Any, Final

from tests.chaos.nemeses import clients, deploys, network, server, shards, topologies, wipe, workers
from tests.chaos.nemeses.base import Nemesis

OF_WORKERS: Final = (
    workers.WorkerKill,
    workers.WorkerFreeze,
    workers.WorkerHiccup,
    workers.WorkerStop,
    workers.Starvation,
    deploys.OtherCode,
    deploys.CodeMissing,
    deploys.ClockStep,
)
OF_CLIENTS: Final = (clients.ClientStorm,)
OF_SERVER: Final = (
    server.ServerKill,
    server.ServerRestart,
    server.ScriptFlush,
    server.ClientKill,
    server.ClientPause,
    server.Readonly,
    server.Busy,
    server.MemoryFull,
    server.DiskFull,
    server.GroupsLost,
)
OF_NETWORK: Final = (
    network.CutRequest,
    network.CutReply,
    network.CutFrame,
    network.HalfOpen,
    network.Delay,
    network.Trickle,
    network.DuplicateReply,
)
BY_SENTINEL: Final = (
    topologies.FailoverInSync,
    topologies.FailoverCutOff,
    topologies.FailoverAsked,
    topologies.PrimaryFreeze,
    topologies.ScriptFlushAtPrimary,
    topologies.ClientKillAtPrimary,
)
ON_CLUSTER: Final = (
    topologies.MasterKill,
    topologies.MasterFreeze,
    topologies.SlotsMove,
    topologies.GroupsLostAtMasters,
    topologies.ScriptFlushAtMasters,
    topologies.ClientKillAtMasters,
    shards.ReplicaPromoted,
    shards.MasterReplaced,
)
OF_SHARDS: Final = (
    shards.ShardCutOff,
    shards.ShardRolledBack,
)
OF_HUB: Final = (
    wipe.HubFlushed,
    wipe.HubDeleted,
)
NEMESES: Final[dict[str, type[Nemesis[Any]]]] = {
    one.kind: one
    for one in (*OF_WORKERS, *OF_CLIENTS, *OF_SERVER, *OF_NETWORK, *BY_SENTINEL, *ON_CLUSTER, *OF_SHARDS, *OF_HUB)
}

__all__ = ["NEMESES", "Nemesis"]
