"""What the shell is told when somebody presses TAB: ids, names, statuses, words of a filter.

It looks at the live hub, for a second at most, and says nothing where it cannot: a server that is away must not spoil the
line somebody types. A hub that does not exist yet is not created.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import typer

from durastream.inspect import sanitize

if TYPE_CHECKING:
    from durastream.client import Client

_SECONDS = 1.0
_IDS_MAX = 50

STATUSES: Final = ("Pending", "Running", "Suspended", "Completed", "Failed", "Terminated", "active", "ended")


def statuses(incomplete: str) -> list[str]:
    """Status words, in the case that was typed, since the shell compares; also the last one of several."""
    before, comma, word = incomplete.rpartition(",")
    known = [*STATUSES, *(map(str.lower, STATUSES) if word[:1].islower() else ())]
    return list(dict.fromkeys(f"{before}{comma}{status}" for status in known if status.startswith(word)))


def ids(ctx: typer.Context, incomplete: str) -> list[str]:
    """Ids of instances that begin so; the newest where nothing was typed yet."""
    return _asked(ctx, lambda client: _ids(client, incomplete))


def orchestrators(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names that live workers registered."""
    return _asked(ctx, lambda client: _names(client, "orchestrators", incomplete))


def entities(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names that live workers registered."""
    return _asked(ctx, lambda client: _names(client, "entities", incomplete))


def queues(ctx: typer.Context, incomplete: str) -> list[str]:
    """Activity queues that live workers read; the last one of several."""
    before, comma, word = incomplete.rpartition(",")
    return [before + comma + name for name in _asked(ctx, lambda client: _names(client, "queues", word))]


def filters(ctx: typer.Context, incomplete: str) -> list[str]:
    """Words of the filter language; names and ids from the live hub."""
    from durastream.inspect.filter import suggestions

    before, space, word = incomplete.rpartition(" ")
    field, _, value = word.partition(":")
    live = {"name:": orchestrators, "id:": ids}.get(f"{field}:" if value or word.endswith(":") else "")
    found = [f"{field}:{name}" for name in live(ctx, value)] if live else suggestions(incomplete, len(incomplete))
    return [before + space + one for one in found]


def _asked(ctx: typer.Context, ask: Callable[[Client], AsyncIterator[str]]) -> list[str]:
    found: list[str] = []
    logging.disable(logging.CRITICAL)
    with suppress(Exception):  # nobody can be told here, and nothing was done; what was found in time is good
        asyncio.run(_within_time(ctx, ask, found))
    return [one for one in found if sanitize.line(one, 1_024) == one]


async def _within_time(ctx: typer.Context, ask: Callable[[Client], AsyncIterator[str]], found: list[str]) -> None:
    from durastream.cli.session import DEFAULT_HUB, DEFAULT_URL, open_client
    from durastream.store.redis.hubs import hub_info

    far = ctx.find_root().params
    url = ctx.params.get("redis") or far.get("redis") or DEFAULT_URL
    hub = ctx.params.get("hub") or far.get("hub") or DEFAULT_HUB
    async with asyncio.timeout(_SECONDS):
        await hub_info(url, hub)
        async with open_client(url, hub) as client:
            async for one in ask(client):
                found.append(one)  # noqa: PERF401 -- one by one, so that what came in time is kept


async def _ids(client: Client, prefix: str) -> AsyncIterator[str]:
    async for status in (
        client.find(prefix, limit=_IDS_MAX, payloads=False) if prefix else client.list(limit=_IDS_MAX, payloads=False)
    ):
        yield status.id


async def _names(client: Client, kind: str, prefix: str) -> AsyncIterator[str]:
    found: set[str] = set()
    for worker in await client.workers():
        told = worker.about.get(kind)
        found.update(map(str, told) if isinstance(told, list) else ())
    for name in sorted(found):
        if name.startswith(prefix):
            yield name
