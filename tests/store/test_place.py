"""URLs of a Cluster and of Sentinels."""

from __future__ import annotations

import pytest

from durastream.store.connect import BadUrl
from durastream.store.place import Place


@pytest.mark.parametrize(
    ("url", "shown", "seeds"),
    [
        ("redis://me:secret@h:1/2", "redis://me:***@h:1/2", ["h:1"]),
        ("unix:///run/redis.sock", "unix:///run/redis.sock", ["/run/redis.sock"]),
        ("redis+cluster://h", "redis+cluster://h:6379", ["h:6379"]),
        ("redis+cluster://me:secret@a:1,b,[::1]:2,[::2]/0", "redis+cluster://me:***@a:1,b:6379,[::1]:2,[::2]:6379",
         ["a:1", "b:6379", "[::1]:2", "[::2]:6379"]),
        ("rediss+cluster://:s%40cret@a?ssl_cert_reqs=none", "rediss+cluster://:***@a:6379", ["a:6379"]),
        ("redis+sentinel://a,b:1/main", "redis+sentinel://a:26379,b:1/main", ["a:26379", "b:1"]),
        ("redis+sentinel://me:secret@a/main/3?sentinel_username=you&sentinel_password=secret",
         "redis+sentinel://me:***@a:26379/main/3?sentinel_username=you&sentinel_password=***", ["a:26379"]),
    ],
)  # fmt: skip
def test_places_are_read_and_shown_without_passwords(url: str, shown: str, seeds: list[str]) -> None:
    place = Place.parse(url)
    assert str(place) == shown
    assert [one.address for one in place.seeds] == seeds
    assert "secret" not in f"{place} {place!r}"


def test_all_nodes_share_user_certificates_and_timeouts() -> None:
    place = Place.parse("rediss+cluster://me:secret@a,b?socket_timeout=2&ssl_cert_reqs=none")
    for one in (*place.seeds, place.server.at("c", 7)):
        assert (one.scheme, one.username, one.password) == ("rediss", "me", "secret")
        assert (one.response_timeout_s, dict(one.tls)) == (2, {"ssl_cert_reqs": "none"})


def test_sentinels_have_a_user_of_their_own() -> None:
    place = Place.parse("redis+sentinel://me:secret@a/main/3?sentinel_password=other&socket_timeout=2")
    (sentinel,) = place.seeds
    assert (place.service, place.server.db, place.server.password) == ("main", 3, "secret")
    assert (sentinel.username, sentinel.password, sentinel.db, sentinel.response_timeout_s) == (None, "other", 0, 2)
    bare = Place.parse("redis+sentinel://me:secret@a/main").seeds[0]
    assert (bare.username, bare.password) == (None, None)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("redis+cluster://", "empty host"),
        ("redis+cluster://a,,b", "empty host"),
        ("redis+cluster://:7001", "empty host"),
        ("redis+cluster://a/2", "one database"),
        ("redis+cluster://a?db=2", "one database"),
        ("redis+cluster://a:port", "port"),
        ("redis+cluster://[::1", "brackets"),
        ("redis+cluster://a?sentinel_password=x", "unknown option"),
        ("redis+cluster://a?ssl_cert_reqs=none", "rediss://"),
        ("redis+sentinel://a,b", "names what the Sentinels watch"),
        ("redis+sentinel:///main", "empty host"),
        ("redis+sentinel://a/main/one", "db"),
        ("redis+shards://a", "no scheme"),
        ("http+cluster://a", "no scheme"),
    ],
)
def test_places_that_cannot_be_used(url: str, why: str) -> None:
    with pytest.raises(BadUrl, match=why):
        Place.parse(url)
