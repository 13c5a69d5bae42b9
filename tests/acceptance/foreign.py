"""F8: a digest of everything on a server that does not belong to a hub, to be taken before and after (S20)."""

from __future__ import annotations

import hashlib
from typing import Any

from durastream.store.keys import HUBS, HubKeys


def foreign(server: Any, keys: HubKeys) -> dict[bytes, bytes]:
    """Name → digest of content and time to live, of each key outside the hub. The list of hubs belongs to all of them."""
    ours = (keys.tag.encode(), keys.partitions_prefix.encode())
    names = [name for name in server.scan_iter(count=1_000) if not name.startswith(ours) and name != HUBS.encode()]
    return {name: _digest(server, name) for name in sorted(names)}


def _digest(server: Any, name: bytes) -> bytes:
    content = b"%r %r" % (server.dump(name), server.pttl(name))
    return hashlib.blake2b(content, digest_size=16).digest()
