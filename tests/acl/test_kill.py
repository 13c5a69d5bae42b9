"""kill -9 of a worker in the middle, where workers and client are users of their roles: what a takeover needs is granted."""

from __future__ import annotations

import asyncio

import pytest

import durastream as ds
from durastream.inspect.fsck import fsck
from durastream.store.redis.repairs import Repairs
from tests.acceptance import kill_app, oracle
from tests.acceptance.processes import fleet
from tests.acl.users import add_user, denied
from tests.support import eventually

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server]

COUNT = 300
TARGET = "tests.acceptance.kill_app:app"


async def test_a_worker_is_killed_and_another_goes_on(each_url: str) -> None:
    worker, client_url = add_user(each_url, "worker"), add_user(each_url, "client")
    denied(each_url)
    with fleet(worker, TARGET, count=2) as workers:
        for one in workers:
            await one.until_serving()
        async with ds.Client(client_url) as client:
            handles = await client.start_many(kill_app.work, range(COUNT))

            async def under_way() -> bool:
                ended = (await client.counts())["Completed"]
                assert ended < 2 * COUNT, "all was done before a worker was killed"
                return ended > COUNT // 10

            await eventually(under_way, 30)
            workers[0].kill()
            results = await oracle.finish(client, each_url, handles, timeout=60)
            assert results == [kill_app.expected(number) for number in range(COUNT)]
            await oracle.quiet(each_url)
            assert await oracle.check_all(client, (handle.id for handle in handles)) == []
        assert workers[1].alive and not [line for line in workers[1].complaints().splitlines() if "access" in line]
    hub = await Repairs.open(add_user(each_url, "fsck"), "default")
    try:
        assert (await fsck(hub)).violations == []
    finally:
        await hub.close()
    refused = await asyncio.to_thread(denied, each_url)
    assert [one for one in refused if one["object"] not in ("config|get", "eval")] == []
