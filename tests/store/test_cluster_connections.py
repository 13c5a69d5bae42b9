"""Connections of a Cluster that nobody waits for any more, and nodes that do not answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from durastream.errors import AccessDenied, ServerUnsuitable, StoreUnavailable
from durastream.store.cluster import Cluster, NotSent
from durastream.store.connection import Connection
from durastream.store.place import Place
from durastream.store.replicated import Replicated
from durastream.store.slots import SLOTS, slot
from tests.servers.fake_node import Command, FakeNode, resp, slots
from tests.support import eventually

pytestmark = pytest.mark.anyio

HERE = "127.0.0.1"
HALF = SLOTS // 2
LAST = SLOTS - 1
KEY = "b"  # of the first half
OPENS = pytest.mark.parametrize("opens", [Connection, Replicated])


class Halves:
    """Two nodes with half of the slots each, which answer a command with their names; `moved`: from the first to the second."""

    def __init__(self) -> None:
        self.first = FakeNode(lambda command: self._answer("first", command))
        self.second = FakeNode(lambda command: self._answer("second", command))
        self.moved = False
        self.refusing: dict[str, bytes] = {}  # name → reply to everything but the map

    def _answer(self, name: str, command: Command) -> bytes:
        if command[0] == "CLUSTER":
            owner = self.second if self.moved else self.first
            return slots((0, HALF - 1, HERE, owner.port), (HALF, LAST, HERE, self.second.port))
        if name in self.refusing:
            return self.refusing[name]
        if self.moved and name == "first" and command[0] == "GET":
            return f"-MOVED {slot(command[1])} {HERE}:{self.second.port}\r\n".encode()
        return resp(name)


@asynccontextmanager
async def halves(opens: type[Connection] = Connection) -> AsyncIterator[tuple[Halves, Cluster]]:
    nodes = Halves()
    async with nodes.first, nodes.second, asyncio.timeout(20):
        place = Place.parse(f"redis+cluster://{HERE}:{nodes.first.port},{HERE}:{nodes.second.port}")
        cluster = Cluster(place, client_name="test", open_timeout_s=0, opens=opens)
        try:
            yield nodes, cluster
        finally:
            nodes.first.thaw()
            await cluster.close()


# ---------------------------------------------------------------- nobody waits any more


@OPENS
async def test_a_connection_that_comes_up_once_nobody_waits_for_it_is_heard(opens: type[Connection]) -> None:
    """Found by chaos (a master frozen for longer than a command waits): what it refused reached callers as MOVED, again and
    again, since the connection lived."""
    assert slot(KEY) < HALF
    async with halves(opens) as (nodes, cluster):
        assert await cluster.call("GET", KEY) == b"first"
        link = cluster.link_of(slot(KEY))
        assert link is not None
        nodes.first.freeze()
        link.drop()
        with pytest.raises(NotSent, match=f"{nodes.first.port} within"):
            await cluster.connection_of(slot(KEY), 0.01)
        nodes.first.thaw()
        await eventually(lambda: link.live, what="the connection comes up")
        nodes.moved = True
        assert [await cluster.call("GET", KEY) for _ in range(3)] == [b"second"] * 3


async def test_tls_to_a_plain_port_is_thought_of_before_the_wait_ends() -> None:
    async with FakeNode(lambda _command: resp("never")) as node:
        node.freeze()  # a plain server waits for the end of what it takes for a command
        for scheme, said in (("rediss", True), ("redis", False)):
            place = Place.parse(f"{scheme}+cluster://{HERE}:{node.port}")
            cluster = Cluster(place, client_name="test", open_timeout_s=0)
            with pytest.raises(StoreUnavailable, match=rf"cannot reach redis at {HERE}:{node.port}") as caught:
                await cluster.get()
            assert ("does it speak TLS on this port?" in str(caught.value)) is said
            await cluster.close()


# ---------------------------------------------------------------- masters that answer


async def test_masters_are_all_or_none() -> None:
    async with halves() as (nodes, cluster):
        assert [one.endpoint.port for one in await cluster.masters()] == [nodes.first.port, nodes.second.port]
        nodes.first.stop()
        await eventually(lambda: not cluster.link_of(0).live)  # type: ignore[union-attr]
        with pytest.raises(NotSent, match=f"{nodes.first.port}"):
            await cluster.masters()


@pytest.mark.parametrize("how", ["stopped", "frozen"])
async def test_those_that_answer_are_gone_on_with_and_the_others_named(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with halves() as (nodes, cluster):
        assert len(await cluster.reachable()) == 2
        assert caplog.record_tuples == []
        if how == "stopped":
            nodes.first.stop()
        else:
            nodes.first.freeze()
            cluster.link_of(0).drop()  # type: ignore[union-attr]
        await eventually(lambda: not cluster.link_of(0).live)  # type: ignore[union-attr]
        with caplog.at_level(logging.WARNING, "durastream.store"):
            assert [one.endpoint.port for one in await cluster.reachable()] == [nodes.second.port]
        assert [text for _, _, text in caplog.record_tuples if f"the master at {HERE}:{nodes.first.port}" in text]


async def test_if_no_master_answers_it_is_said_as_ever() -> None:
    async with halves() as (nodes, cluster):
        await cluster.get()
        nodes.first.stop()
        nodes.second.stop()
        await eventually(lambda: not any(cluster.link_of(n).live for n in (0, LAST)))  # type: ignore[union-attr]
        with pytest.raises(NotSent, match="connection refused: is it running"):
            await cluster.reachable()


async def test_a_master_that_refuses_us_is_none_that_is_down() -> None:
    async with halves() as (nodes, cluster):
        nodes.first.stop()
        place = Place.parse(f"redis+cluster://me:wrong@{HERE}:{nodes.second.port}")
        refused = Cluster(place, client_name="test", open_timeout_s=0)
        nodes.refusing = {"second": b"-WRONGPASS invalid username-password pair or user is disabled.\r\n"}
        try:
            with pytest.raises(ServerUnsuitable, match="refuses the user or password") as caught:
                await refused.reachable()
            assert not isinstance(caught.value, AccessDenied)
        finally:
            await refused.close()
        del cluster
