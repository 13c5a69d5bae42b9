"""A primary that is replaced while it is being connected to: the link never comes up at the old one, whose word it is no more.

Found by chaos (a primary frozen until the Sentinels had put another in its place): for five seconds a client was at the old one,
and what that acknowledged was lost. The servers here say what such ones say, at the moment that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from durastream.store.place import Place
from durastream.store.sentinel import SentinelLink
from tests.servers.fake_node import HANG_UP, Command, FakeNode, resp
from tests.support import eventually

pytestmark = pytest.mark.anyio

HERE = "127.0.0.1"
SERVICE = "mymaster"
ASKED = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)
BOUND_S = 10


class Deployment:
    """Two servers, each of which calls itself a primary, and two Sentinels. `link` and `beside` share what they hear."""

    def __init__(self) -> None:
        self.old = FakeNode(lambda command: self._serve("old", command))
        self.new = FakeNode(lambda command: self._serve("new", command))
        self.sentinels = [FakeNode(lambda command, k=k: self._name(k, command)) for k in range(2)]  # type: ignore[misc]
        self.named: list[FakeNode | None] = [self.old, self.old]  # by each Sentinel; None: it hangs up
        self.freeze_after: Command = ()  # this command the old one still answers

    def _serve(self, run_id: str, command: Command) -> bytes:
        if run_id == "old" and command == self.freeze_after:
            self.old.freeze()
        return resp(
            {"INFO replication": "role:master", "INFO server": f"run_id:{run_id}"}.get(" ".join(command), run_id)
        )

    def _name(self, number: int, command: Command) -> bytes | None:
        if command[0] == "SUBSCRIBE":
            return resp(["subscribe", command[1], 1])
        if command[0] == "PING":
            return resp(["pong", ""])
        named = self.named[number]
        return HANG_UP if named is None else resp([HERE, str(named.port)])

    def connect(self) -> None:
        place = Place.parse(
            f"redis+sentinel://{HERE}:{self.sentinels[0].port},{HERE}:{self.sentinels[1].port}/{SERVICE}"
        )
        self.link = SentinelLink(place, client_name="test")
        self.beside = SentinelLink(place, watch=self.link.watch, client_name="test")

    async def told(self) -> FakeNode:
        """The Sentinel that is listened to, once it is."""

        def heard() -> FakeNode | None:
            for one in self.sentinels:
                words = [command[0] for command in one.heard]
                if "SUBSCRIBE" in words and "SENTINEL" in words[words.index("SUBSCRIBE") :]:
                    return one
            return None

        found: FakeNode = await eventually(heard, what="a Sentinel is listened to")
        return found

    async def switch(self, teller: FakeNode) -> None:
        """Have this Sentinel tell of the new primary; return when it has been heard."""
        text = f"{SERVICE} {HERE} {self.old.port} {HERE} {self.new.port}"
        teller.publish(resp(["message", "+switch-master", text]))
        await eventually(lambda: self.beside.live is None, what="the switch is heard")


@asynccontextmanager
async def deployment() -> AsyncIterator[Deployment]:
    """With both links at the old primary."""
    made = Deployment()
    async with made.old, made.new, made.sentinels[0], made.sentinels[1]:
        made.connect()
        try:
            async with asyncio.timeout(BOUND_S):
                await made.link.get()
                await made.beside.get()
                yield made
        finally:
            made.old.thaw()
            await made.link.close()
            await made.beside.close()


async def arrived(task: asyncio.Task[object], place: Deployment) -> None:
    """At the new primary, and the old one was told nothing."""
    await task
    assert place.link.endpoint.port == place.new.port
    connection = place.link.live
    assert connection is not None
    assert await connection.call("SET", "k", 1) == b"new"


async def test_an_old_primary_that_stood_still_while_it_was_connected_to_is_left() -> None:
    async with deployment() as place:
        teller = await place.told()
        before = place.old.connections
        place.old.freeze()
        place.link.drop()
        task: asyncio.Task[object] = asyncio.create_task(place.link.get())
        await eventually(lambda: place.old.connections > before, what="the frozen one is connected to")
        await place.switch(teller)
        place.named = [place.new, place.new]
        place.old.thaw()
        await arrived(task, place)


async def test_an_old_primary_that_stood_still_while_it_was_asked_who_it_is_is_left() -> None:
    """It has called itself the primary already; then it is asked which process it is."""
    async with deployment() as place:
        teller = await place.told()
        place.link.on_other_server = lambda: None  # so that it is asked
        place.link.drop()
        place.freeze_after = ("INFO", "replication")
        asked = place.old.heard.count(place.freeze_after)
        task: asyncio.Task[object] = asyncio.create_task(place.link.get())
        await eventually(lambda: place.old.heard.count(place.freeze_after) > asked, what="it says that it is a primary")
        await place.switch(teller)
        place.named = [place.new, place.new]
        place.old.thaw()
        await arrived(task, place)


async def test_a_sentinel_that_has_not_heard_of_it_yet_leads_nobody_back() -> None:
    """They tell each other every two seconds; until then an old primary that lives is a primary by its own word and theirs."""
    async with deployment() as place:
        teller = await place.told()
        number = place.sentinels.index(teller)
        lagging = place.sentinels[1 - number]
        place.named[number] = None  # so that the other one has to be asked
        await place.switch(teller)
        asked = lagging.heard.count(ASKED)
        task: asyncio.Task[object] = asyncio.create_task(place.link.get())
        await eventually(
            lambda: task.done() or lagging.heard.count(ASKED) > asked + 1, what="the lagging one was asked twice"
        )
        assert not task.done()
        place.named[1 - number] = place.new
        await arrived(task, place)


async def test_one_that_has_not_heard_of_it_yet_moves_nobody_who_is_right() -> None:
    """The Sentinel that told of it ends; the next one that is listened to still names the old primary."""
    async with deployment() as place:
        teller = await place.told()
        number = place.sentinels.index(teller)
        lagging = place.sentinels[1 - number]
        place.named[number] = place.new
        await place.switch(teller)
        place.named[1 - number] = None
        await place.link.get()
        assert place.link.endpoint.port == place.new.port
        place.named[1 - number] = place.old
        asked = lagging.heard.count(ASKED)
        teller.stop()
        await eventually(
            lambda: ("SUBSCRIBE", "+switch-master") in lagging.heard and lagging.heard.count(ASKED) > asked,
            what="the lagging one is listened to, and asked",
        )
        connection = place.link.live
        assert connection is not None
        assert await connection.call("SET", "k", 1) == b"new"


async def test_a_primary_that_comes_back_into_its_place_is_taken() -> None:
    async with deployment() as place:
        teller = await place.told()
        place.named = [place.new, place.new]
        await place.switch(teller)
        await place.link.get()
        back = f"{SERVICE} {HERE} {place.new.port} {HERE} {place.old.port}"
        place.named = [place.old, place.old]
        teller.publish(resp(["message", "+switch-master", back]))
        await eventually(lambda: place.link.live is None, what="the switch back is heard")
        await place.link.get()
        assert place.link.endpoint.port == place.old.port
