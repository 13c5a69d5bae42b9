"""Where a store lives, as a URL says it: one server, a Cluster, or the primary that Sentinels name.

redis://…  rediss://…  unix://…                                       one server: see `connect.Endpoint`
redis+cluster://[user:password@]host[:port],host[:port]…[?options]    some nodes of a Cluster; the others are found through them
redis+sentinel://[user:password@]host[:port],…/service[/db][?options]    Sentinels, and the name of the primary they watch

`rediss+…` speaks TLS to all of them. User and password are those of the servers; Sentinels that want one get
`sentinel_username` and `sentinel_password`. The other options are those of a single server.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, unquote, urlencode

from durastream.store.connect import DEFAULT_PORT, BadUrl, Endpoint, split

SENTINEL_PORT: Final = 26_379
_KINDS: Final = ("cluster", "sentinel")
_SENTINEL_OPTIONS: Final = ("sentinel_username", "sentinel_password")


@dataclass(frozen=True, slots=True)
class Place:
    """See the module. `str(place)` masks all passwords.

    >>> str(Place.parse("redis+sentinel://me:secret@a:1,b/orders/2?sentinel_password=other"))
    'redis+sentinel://me:***@a:1,b:26379/orders/2?sentinel_password=***'
    """

    kind: str  # "single", "cluster" or "sentinel"
    server: Endpoint  # the server; of several the first: what all have in common is taken from it
    seeds: tuple[Endpoint, ...]  # the server; nodes to ask for the others; or the Sentinels
    service: str = ""  # what Sentinels call the primary

    @classmethod
    def parse(cls, url: str) -> Place:
        """Raises BadUrl, which never shows a password."""
        scheme, _, kind = url.partition("://")[0].partition("+")
        if kind not in _KINDS:
            server = Endpoint.parse(url)
            return cls("single", server, (server,))
        return _PARSERS[kind](scheme, url)

    def __str__(self) -> str:
        if self.kind == "single":
            return str(self.server)
        shown = str(replace(self.server, db=0))
        places = ",".join(one.address for one in self.seeds)
        scheme, _, rest = shown.partition("://")
        user, at, _ = rest.rpartition("@")
        return f"{scheme}+{self.kind}://{user}{at}{places}{self._service_shown()}"

    def _service_shown(self) -> str:
        if self.kind == "cluster":
            return ""
        sentinel = self.seeds[0]
        db = f"/{self.server.db}" if self.server.db else ""
        user = [f"sentinel_username={quote(sentinel.username)}"] if sentinel.username else []
        secret = ["sentinel_password=***"] if sentinel.password else []
        return f"/{self.service}{db}{'?' if user or secret else ''}{'&'.join(user + secret)}"


def _cluster(scheme: str, url: str) -> Place:
    user, addresses, path, query = _parts(url)
    if path.strip("/") not in ("", "0") or dict(parse_qsl(query)).get("db", "0") != "0":
        raise BadUrl("a Cluster has one database: leave the number out of the URL")
    nodes = _endpoints(scheme, user, addresses, query, port=DEFAULT_PORT)
    return Place("cluster", nodes[0], nodes)


def _sentinel(scheme: str, url: str) -> Place:
    user, addresses, path, query = _parts(url)
    service, _, db = path.strip("/").partition("/")
    if not service:
        raise BadUrl("a Sentinel URL names what the Sentinels watch, as in redis+sentinel://host1,host2/mymaster")
    options = parse_qsl(query, keep_blank_values=True)
    own = {name: text for name, text in options if name in _SENTINEL_OPTIONS}
    rest = [(name, text) for name, text in options if name not in _SENTINEL_OPTIONS]
    query = urlencode([*rest, *([("db", db)] if db else [])])
    servers = _endpoints(scheme, user, addresses, query, port=SENTINEL_PORT)
    username, password = (own.get(name) or None for name in _SENTINEL_OPTIONS)
    sentinels = tuple(replace(one, username=username, password=password, db=0) for one in servers)
    return Place("sentinel", servers[0], sentinels, unquote(service))


_PARSERS: Final = {"cluster": _cluster, "sentinel": _sentinel}


def _parts(url: str) -> tuple[str, list[str], str, str]:
    """User with password and "@", addresses, path, query."""
    parts = split(url)
    user, at, places = parts.netloc.rpartition("@")
    addresses = places.split(",")
    if not all(addresses):
        raise BadUrl(
            "the server URL has an empty host: give hosts with commas between them, as in host1:7001,host2:7001"
        )
    return user + at, addresses, parts.path, parts.query


def _endpoints(scheme: str, user: str, addresses: list[str], query: str, *, port: int) -> tuple[Endpoint, ...]:
    """One for each address. What they share is read once: the time grows with the length of the URL, not with its square."""
    shared = Endpoint.parse(f"{scheme}://{user}h?{query}")
    found = [Endpoint.parse(f"{shared.scheme}://{_named(address, port)}") for address in addresses]
    return tuple(shared.at(one.host, one.port) for one in found)


def _named(address: str, port: int) -> str:
    """With its port."""
    host, _, given = address.rpartition(":") if address.rpartition("]")[2].count(":") else (address, "", "")
    if not host:
        raise BadUrl("the server URL has an empty host before a port")
    return f"{host}:{given or port}"
