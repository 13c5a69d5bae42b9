"""The server in memory: all hubs, users' reply lists, and what wakes whom. Handles share it as processes share a Redis.

One event loop only: nothing here is safe between threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from durastream.core.limits import PAYLOAD_BYTES_MAX
from durastream.errors import HubMismatch
from durastream.store.memory.state import Hub, Partition
from durastream.store.memory.store import MemoryStore
from durastream.store.memory.waiting import Channels, Doorbell
from durastream.store.protocol import HubInfo

PARTITIONS: Final = 16
RETENTION_MS: Final = 72 * 3_600_000
SCHEMA: Final = 1


class ReplyList(NamedTuple):
    expires_at: int
    answers: list[bytes]


class MemoryServer:
    """All state. `clock` gives milliseconds since the epoch; nothing else tells the time here.

    >>> MemoryServer(clock=lambda: 1_700_000_000_000).store("tests", partitions=2).hub.partitions
    2
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.hubs: dict[str, Hub] = {}
        self.bell = Doorbell()
        self.channels = Channels()
        self.lists: dict[str, ReplyList] = {}

    def store(
        self, hub: str = "default", *, partitions: int | None = None, retention_ms: int | None = None
    ) -> MemoryStore:
        """A handle on a hub, which is created with these settings, or the defaults, when it is new.

        Raises HubMismatch when it exists with other settings than the ones given.
        """
        wanted = {"partitions": partitions, "retention_ms": retention_ms}
        held = self.hubs.get(hub) or self._create(hub, partitions or PARTITIONS, retention_ms or RETENTION_MS)
        for field, value in wanted.items():
            if value is not None and getattr(held.info, field) != value:
                raise HubMismatch(
                    f"hub {hub!r} exists with {field}={getattr(held.info, field)}, not {value}:"
                    f" leave {field} out, or use another hub"
                )
        return MemoryStore(self, held)

    def _create(self, name: str, partitions: int, retention_ms: int) -> Hub:
        info = HubInfo(name, partitions, retention_ms, PAYLOAD_BYTES_MAX, self.clock(), SCHEMA)
        self.hubs[name] = Hub(info, [Partition(number) for number in range(partitions)])
        return self.hubs[name]

    # -- what any client of the server may do besides

    def ingress(self, hub: str, fields: dict[bytes, bytes]) -> str:
        """Write an entry into the hub's ingress stream; returns its id."""
        entry_id = self.hubs[hub].ingress.append(dict(fields))
        self.bell.ring()
        return entry_id

    def push_reply(self, key: str, answer: bytes, ttl_ms: int) -> None:
        self.lists[key] = ReplyList(self.clock() + ttl_ms, [*self.replies(key), answer])

    def replies(self, key: str) -> list[bytes]:
        """The answers on a reply list, oldest first; [] once it has expired."""
        held = self.lists.get(key)
        return list(held.answers) if held is not None and held.expires_at > self.clock() else []
