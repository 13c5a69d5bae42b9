"""redis-py clients for any server URL, for tests that look at the keys themselves.

redis-py reads `redis://`, `rediss://` and `unix://` by itself; a Cluster has a client of its own, with the same methods.
"""

from __future__ import annotations

from typing import Any

import redis
import redis.asyncio as redis_asyncio
import redis.asyncio.cluster as redis_asyncio_cluster
from redis.cluster import ClusterNode

from durastream.store.place import Place


def connect(url: str, **options: Any) -> Any:
    """A blocking client: `redis.Redis`, or `redis.RedisCluster`. Replies are bytes unless `decode_responses` is given."""
    place = Place.parse(url)
    options = {"protocol": 2} | options
    if place.kind == "cluster":
        nodes = [ClusterNode(seed.host, seed.port) for seed in place.seeds]  # type: ignore[no-untyped-call]
        return redis.RedisCluster(startup_nodes=nodes, **_user(place), **options)
    if place.kind == "sentinel":
        return _sentinel(redis.Sentinel, place, options)
    return redis.Redis.from_url(url, **options)


def connect_async(url: str, **options: Any) -> Any:
    """The same for asyncio; close it with `aclose`, or use it with `async with`."""
    place = Place.parse(url)
    options = {"protocol": 2} | options
    if place.kind == "cluster":
        nodes = [redis_asyncio_cluster.ClusterNode(seed.host, seed.port) for seed in place.seeds]
        return redis_asyncio.RedisCluster(startup_nodes=nodes, **_user(place), **options)
    if place.kind == "sentinel":
        return _sentinel(redis_asyncio.Sentinel, place, options)
    return redis_asyncio.Redis.from_url(url, **options)


def _user(place: Place) -> dict[str, Any]:
    return {"username": place.server.username, "password": place.server.password}


def _sentinel(kind: Any, place: Place, options: dict[str, Any]) -> Any:
    places = [(seed.host, seed.port) for seed in place.seeds]
    return kind(places).master_for(place.service, db=place.server.db, **_user(place), **options)
