"""What the cluster layer does with answers that a real cluster gives for a moment only, on nodes that say them on demand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from durastream.errors import ServerUnsuitable, StoreUnavailable
from durastream.store import scripts
from durastream.store.cluster import Cluster, NotSent, Range, promoted, ranges, redirection
from durastream.store.connect import Endpoint
from durastream.store.connection import ServerNotReady
from durastream.store.place import Place
from durastream.store.slots import SLOTS, slot
from tests.servers.fake_node import HANG_UP, Command, FakeNode, resp, slots
from tests.support import eventually

pytestmark = pytest.mark.anyio

HERE = "127.0.0.1"
LAST = SLOTS - 1


class Pair:
    """Two nodes. `owner`: the one that serves all slots, by what both say; `special(node, command)`: an answer of its own, or ""
    for none."""

    def __init__(self) -> None:
        self.first = FakeNode(lambda command: self._answer(self.first, command))
        self.second = FakeNode(lambda command: self._answer(self.second, command))
        self.owner = self.first
        self.looks = 0
        self.special: Callable[[FakeNode, Command], bytes | str | None] = lambda _node, _command: ""

    def _answer(self, node: FakeNode, command: Command) -> bytes | None:
        if command[0] == "CLUSTER":
            self.looks += 1
            return slots((0, LAST, HERE, self.owner.port))
        found = self.special(node, command)
        return resp(" ".join(command)) if found == "" else found  # type: ignore[return-value]

    def moved(self, command: Command, to: FakeNode, word: str = "MOVED") -> bytes:
        return f"-{word} {slot(command[1])} {HERE}:{to.port}\r\n".encode()


@asynccontextmanager
async def pair() -> AsyncIterator[tuple[Pair, Cluster]]:
    nodes = Pair()
    async with nodes.first, nodes.second:
        url = f"redis+cluster://{HERE}:{nodes.first.port},{HERE}:{nodes.second.port}"
        cluster = Cluster(Place.parse(url), client_name="test", open_timeout_s=0)
        try:
            await cluster.get()
            yield nodes, cluster
        finally:
            await cluster.close()


async def called(*futures: Awaitable[Any]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*futures), 5)


async def test_moved_is_sent_on_in_order_and_the_map_is_read_again() -> None:
    async with pair() as (nodes, cluster):
        assert await called(cluster.call("GET", "before")) == [b"GET before"]
        looks = nodes.looks
        nodes.owner = nodes.second
        nodes.special = lambda node, command: nodes.moved(command, nodes.second) if node is nodes.first else ""
        replies = await called(*(cluster.call("SET", "k", n) for n in range(50)))
        assert replies == [b"SET k %d" % n for n in range(50)]
        assert nodes.second.heard == [("SET", "k", str(n)) for n in range(50)]
        await eventually(lambda: nodes.looks > looks)
        nodes.first.heard.clear()
        assert await called(cluster.call("GET", "other")) == [b"GET other"]
        assert nodes.first.heard == []


async def test_ask_is_sent_on_behind_asking_and_changes_nothing() -> None:
    async with pair() as (nodes, cluster):
        nodes.special = lambda node, command: nodes.moved(command, nodes.second, "ASK") if node is nodes.first else ""
        assert await called(cluster.call("GET", "a"), cluster.call("GET", "b")) == [b"GET a", b"GET b"]
        assert nodes.second.heard == [("ASKING",), ("GET", "a"), ("ASKING",), ("GET", "b")]
        nodes.special = lambda _node, _command: ""
        nodes.second.heard.clear()
        assert await called(cluster.call("GET", "a")) == [b"GET a"]
        assert nodes.second.heard == []


@pytest.mark.parametrize("code", ["TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "LOADING", "READONLY"])
async def test_what_passes_with_time_is_for_the_caller_to_repeat(code: str) -> None:
    async with pair() as (nodes, cluster):
        nodes.special = lambda _node, _command: f"-{code} for now\r\n".encode()
        with pytest.raises(ServerNotReady) as caught:
            await called(cluster.call("SET", "k", 1))
        assert caught.value.code == code
        assert nodes.first.heard == [("SET", "k", "1")]
        nodes.special = lambda _node, _command: ""
        assert await called(cluster.call("GET", "k")) == [b"GET k"]


async def test_a_command_whose_answer_is_lost_is_never_sent_again() -> None:
    async with pair() as (nodes, cluster):
        nodes.special = lambda _node, command: HANG_UP if command[0] == "SET" else ""
        with pytest.raises(StoreUnavailable, match="may or may not have taken effect") as caught:
            await called(cluster.call("SET", "k", 1))
        assert not isinstance(caught.value, NotSent)
        assert await called(cluster.call("GET", "k")) == [b"GET k"]
        assert [one for one in nodes.first.heard + nodes.second.heard if one[0] == "SET"] == [("SET", "k", "1")]


async def test_another_node_takes_over() -> None:
    async with pair() as (nodes, cluster):
        assert await called(cluster.call("GET", "k")) == [b"GET k"]
        nodes.first.stop()
        nodes.owner = nodes.second
        await eventually(lambda: nodes.first.port and not cluster.link_of(0).live)  # type: ignore[union-attr]
        assert await called(cluster.call("GET", "k")) == [b"GET k"]
        assert nodes.second.heard == [("GET", "k")]


async def test_a_node_that_is_down_costs_a_second_and_nothing_was_sent() -> None:
    async with pair() as (nodes, cluster):
        nodes.first.stop()
        await eventually(lambda: not cluster.link_of(0).live)  # type: ignore[union-attr]
        with pytest.raises(NotSent, match=f"{nodes.first.port}"):
            await called(cluster.call("SET", "k", 1))


async def test_nodes_that_send_each_other_round_are_left() -> None:
    async with pair() as (nodes, cluster):
        others = {nodes.first: nodes.second, nodes.second: nodes.first}
        nodes.special = lambda node, command: nodes.moved(command, others[node])
        with pytest.raises(StoreUnavailable, match="do not agree"):
            await called(cluster.call("SET", "k", 1))


async def test_a_script_that_is_unknown_is_taught_to_all() -> None:
    async with pair() as (nodes, cluster):
        nodes.special = lambda _node, command: b"-NOSCRIPT No matching script\r\n" if command[0] == "EVALSHA" else ""
        assert (await asyncio.wait_for(scripts.run(cluster, "release", ["k"], [1, "n"]), 5)).startswith(b"EVAL ")
        assert [one[0] for one in nodes.first.heard if one[0] != "SCRIPT"] == ["EVALSHA", "EVAL"]
        assert ("SCRIPT", "LOAD", scripts.script("release").text) in nodes.first.heard


async def test_a_server_that_is_no_cluster() -> None:
    async with FakeNode(lambda _command: b"-ERR This instance has cluster support disabled\r\n") as node:
        cluster = Cluster(Place.parse(f"redis+cluster://{HERE}:{node.port}"), client_name="test", open_timeout_s=0)
        with pytest.raises(ServerUnsuitable, match=r"no Cluster.*disabled"):
            await cluster.get()
        await cluster.close()


async def test_calls_end_when_it_is_closed() -> None:
    async with pair() as (nodes, cluster):
        nodes.first.stop()
        await eventually(lambda: not cluster.link_of(0).live)  # type: ignore[union-attr]
        waiting = cluster.call("GET", "k")
        await cluster.close()
        with pytest.raises(StoreUnavailable, match="is closed"):
            await asyncio.wait_for(waiting, 2)


def test_a_node_that_does_not_know_its_address_is_where_it_was_asked() -> None:
    asked = Endpoint.parse("redis://db.example:7000")
    reply = [[0, 9, [b"", 7001]], [10, 19, [None, 7002]], [20, LAST, [b"10.0.0.3", 7003], [b"replica", 1]]]
    assert ranges(reply, asked) == [
        Range(0, 9, "db.example", 7001),
        Range(10, 19, "db.example", 7002),
        Range(20, LAST, "10.0.0.3", 7003, (("replica", 1),)),
    ]
    assert redirection("3999 :7001", asked) == ("db.example", 7001)
    assert redirection("3999 10.0.0.3:7001", asked) == ("10.0.0.3", 7001)
    assert redirection("3999 ::1:7001", asked) == ("::1", 7001)


def test_a_promoted_replica_is_told_from_slots_that_were_moved() -> None:
    before = [Range(0, 99, "a", 1, (("c", 3),)), Range(100, LAST, "b", 2, (("d", 4),))]
    assert promoted(before, [Range(0, 99, "c", 3, (("a", 1),)), before[1]])
    assert promoted(before, [Range(0, 49, "c", 3), Range(50, 99, "b", 2), before[1]])
    assert not promoted(before, [Range(0, 49, "a", 1), Range(50, LAST, "b", 2)])
    assert not promoted(before, [Range(0, 99, "d", 4), before[1]])  # slots that it had no copy of were moved to it
    assert not promoted(before, before)


async def test_what_a_promoted_replica_may_lack_is_void_in_memory() -> None:
    async with pair() as (nodes, _):
        first, second = ([0, LAST, [HERE, one.port, "id"]] for one in (nodes.first, nodes.second))
        told = [[*first, second[2]]]
        nodes.first.answer = nodes.second.answer = lambda command: resp(told if command[0] == "CLUSTER" else "ok")
        cluster = Cluster(
            Place.parse(f"redis+cluster://{HERE}:{nodes.first.port}"), client_name="test", open_timeout_s=0
        )
        restarts: list[int] = []
        cluster.on_other_server = lambda: restarts.append(1)
        try:
            await cluster.get()
            assert restarts == []
            told = [[*second, first[2]]]
            await cluster.refresh()
            assert restarts == [1]
        finally:
            await cluster.close()
