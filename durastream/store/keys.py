"""Every Redis key of the project, in one place. The tag in braces puts all keys of a partition into one Cluster slot.

ds:hubs                     set of hub names
ds:{hub}:hub                hash: settings of the hub
ds:{hub}:workers            zset: worker id by time last seen
ds:{hub}:about              hash: worker id → JSON about it
ds:{hub}:in                 stream: ingress for any Redis client
ds:{hub}:lease              hash: who reads the ingress
ds:{hub}:dead               stream: dead letters (reason, blob)
ds:{hub}:marks              hash: a mark of nobody, where replicas are waited for (`replicated.py`)
ds:{hub}:c:<client>         channel: endings and acknowledgements for one client
ds:{hub:p}:lease            hash: owner, nonce, epoch, until, seq
ds:{hub:p}:inbox            stream: messages for the owner (m = blob, t = ms of creation for starts)
ds:{hub:p}:timers           zset: timer members by due time
ds:{hub:p}:outbox           stream, ids <epoch>-<sequence>: messages for other partitions (to, m)
ds:{hub:p}:marks            hash: source → epoch:nonce:sequence:ms, the last message taken from it
ds:{hub:p}:watch            hash: instance id → channels, one a line
ds:{hub:p}:parked           hash: instance id → why it cannot move (JSON)
ds:{hub:p}:routed           hash: ingress entries taken and not yet dropped; `epoch` and `turn`, the last router's
ds:{hub:p}:queues           set: activity queues used in this partition
ds:{hub:p}:stats            hash: counters that only grow
ds:{hub:p}:s:<status>       zset: instance id by creation time
ds:{hub:p}:a:<queue>        stream with group "workers": activities (m = blob, d = workers that had it and fell silent)
ds:{hub:p}:i:<id>           hash: the instance
ds:{hub:p}:h:<id>           hash: event number → msgpack event
ds:{hub:p}:entities         zset: entity as text, all scores 0: in the order of the texts
ds:{hub:p}:locks            hash: locked entity → holder, "instance\nexecution\ntask"
ds:{hub:p}:stalled          hash: entity → why its operations wait (JSON)
ds:{hub:p}:e:<entity>       hash: the entity (state, revision, created_at, updated_at, lock, locked_at)
ds:{hub:p}:q:<entity>       hash: number → msgpack message that waits for the entity's lock or for its time
"""

from __future__ import annotations

from durastream.core.status import ALL

SCHEMA = 1
PREFIX = "ds:"
HUBS = "ds:hubs"
GROUP = "workers"


class PartitionKeys:
    """Keys of one partition. Attributes are ready-made strings: no formatting on the hot path but for ids."""

    __slots__ = (
        "entities", "inbox", "lease", "locks", "marks", "outbox", "parked", "queues", "routed", "stalled", "stats",
        "status", "tag", "timers", "watch",
    )  # fmt: skip

    def __init__(self, hub: str, partition: int) -> None:
        tag = f"ds:{{{hub}:{partition}}}:"
        self.tag = tag
        self.lease = tag + "lease"
        self.inbox = tag + "inbox"
        self.timers = tag + "timers"
        self.outbox = tag + "outbox"
        self.marks = tag + "marks"
        self.watch = tag + "watch"
        self.parked = tag + "parked"
        self.routed = tag + "routed"
        self.queues = tag + "queues"
        self.stats = tag + "stats"
        self.entities = tag + "entities"
        self.locks = tag + "locks"
        self.stalled = tag + "stalled"
        self.status = {status: f"{tag}s:{status}" for status in ALL}

    def instance(self, instance_id: str) -> str:
        return self.tag + "i:" + instance_id

    def history(self, instance_id: str) -> str:
        return self.tag + "h:" + instance_id

    def activities(self, queue: str) -> str:
        return self.tag + "a:" + queue

    def entity(self, entity: str) -> str:
        return self.tag + "e:" + entity

    def queue_of(self, entity: str) -> str:
        """What waits for this entity; `activities` are the queues of activities."""
        return self.tag + "q:" + entity


class HubKeys:
    """Keys of a hub and of its partitions."""

    def __init__(self, hub: str, partitions: int) -> None:
        tag = f"ds:{{{hub}}}:"
        self.tag = tag
        self.partitions_prefix = f"ds:{{{hub}:"  # what the tags of its partitions have in common
        self.settings = tag + "hub"
        self.workers = tag + "workers"
        self.about = tag + "about"
        self.ingress = tag + "in"
        self.lease = tag + "lease"
        self.dead = tag + "dead"
        self.marks = tag + "marks"
        self.partitions = [PartitionKeys(hub, p) for p in range(partitions)]

    def channel(self, client_id: str) -> str:
        return f"{self.tag}c:{client_id}"
