"""From a place to what carries commands there: the one switch between a single server, Sentinels and a Cluster."""

from __future__ import annotations

from typing import Any

from durastream.store.cluster import Cluster
from durastream.store.connect import Endpoint
from durastream.store.connection import Commands, Connection, Link
from durastream.store.place import Place
from durastream.store.replicated import Replicated
from durastream.store.sentinel import SentinelLink, primary


def commands(place: Place, *, client_name: str, home: int = 0, patient: bool = True) -> Commands:
    """Not connected yet. `home`: the slot for commands about no key; `patient`: whether to try again for some seconds when
    nobody answers at first."""
    if place.kind == "cluster":
        return Cluster(place, client_name=client_name, home=home, **_patience(patient))
    return link(place, client_name=client_name, patient=patient)


def replicated(place: Place, beside: Commands, *, client_name: str) -> Commands:
    """Connections of their own to the same place as `beside`, on which scripts are answered once replicas have what they
    wrote; `beside` itself where the URL asks for no replicas."""
    if not place.server.replicas:
        return beside
    if isinstance(beside, Cluster):
        return Cluster(place, client_name=client_name, home=beside.home, opens=Replicated)
    return link(place, client_name=client_name, beside=beside, opens=Replicated)


def link(
    place: Place,
    *,
    client_name: str,
    patient: bool = True,
    beside: Commands | None = None,
    opens: type[Connection] = Connection,
) -> Link:
    """One connection to the server, or to the primary of the moment. `beside`: commands to the same place, to share a watch."""
    options = {"client_name": client_name, "opens": opens, **_patience(patient)}
    if place.kind == "sentinel":
        watch = beside.watch if isinstance(beside, SentinelLink) else None
        return SentinelLink(place, watch=watch, **options)
    return Link(place.server, **options)


def _patience(patient: bool) -> dict[str, Any]:
    return {} if patient else {"open_timeout_s": 0.0}


async def somewhere(place: Place, commands: Commands) -> Endpoint:
    """A server that hears what is published."""
    if isinstance(commands, Cluster):
        return await commands.any_node()
    return await primary(place) if place.kind == "sentinel" else place.server
