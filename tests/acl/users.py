"""Users of a real server with the rules that `durastream acl` prints, and everything of this process as the right one of them."""

from __future__ import annotations

import shlex
import subprocess
import sys
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis

from durastream.store.redis import RedisStore

ROLES = ("worker", "client", "readonly", "operator", "fsck", "producer")
REPLIES = ("my:*", "good:*", "bad:*", "f:*", "t:*")


def secret(user: str) -> str:
    return f"canary-{user}"


@cache
def printed(role: str, hub: str, *more: str) -> tuple[str, ...]:
    """The words of the line that the command prints."""
    command = [sys.executable, "-m", "durastream.cli", "acl", "--role", role, "--hub", hub, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return tuple(shlex.split(done.stdout))


def add_user(
    url: str,
    role: str,
    hub: str = "default",
    *rules: str,
    replies: tuple[str, ...] = ("my:*",),
    cluster: bool = False,
) -> str:
    """A user of this role, changed by further `rules`. The URL it connects with."""
    more = [word for one in replies for word in ("--replies", one)]
    words = printed(role, hub, *more, *(["--cluster"] if cluster else []))
    user = words[2]
    with redis.Redis.from_url(url, protocol=2) as server:
        server.execute_command(*words)
        server.execute_command("ACL", "SETUSER", user, "on", "resetpass", f">{secret(user)}", *rules)
    return url_of(url, user)


def url_of(url: str, user: str) -> str:
    return url.replace("://", f"://{user}:{secret(user)}@")


def denied(url: str) -> list[dict[str, Any]]:
    """What the server has refused since it was asked last."""
    with redis.Redis.from_url(url, protocol=2, decode_responses=True) as server:
        found = [dict(one) for one in server.acl_log()]
        server.execute_command("ACL", "LOG", "RESET")
    return found


def under_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on every store of this process that is opened with the URL of nobody is opened by the user of its role."""
    opened, known = RedisStore.open, set[tuple[str, str, str]]()

    async def open_as(url: str, hub: str = "default", *, role: str = "client", **more: Any) -> RedisStore:
        if urlsplit(url).username is None:
            if (url, role, hub) not in known:
                add_user(url, role, hub, replies=REPLIES)
                known.add((url, role, hub))
            url = url_of(url, f"{hub}-{role}")
        return await opened(url, hub, role=role, **more)

    monkeypatch.setattr(RedisStore, "open", open_as)
