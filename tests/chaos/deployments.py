"""All deployments by name."""

from __future__ import annotations

from typing import Any, Final

from tests.chaos.deployment import Always, Single, Wiped
from tests.chaos.topologies import BySentinel, OnCluster, Shards, ShardsStrict, Strict

DEPLOYMENTS: Final[dict[str, Any]] = {
    one.name: one for one in (Single, Always, BySentinel, Strict, OnCluster, Shards, ShardsStrict, Wiped)
}
