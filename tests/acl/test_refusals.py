"""What users of a role must not do: asked of the server for everything (ACL DRYRUN), and really tried."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.exceptions import NoPermissionError, ResponseError

from durastream.store.keys import HubKeys
from durastream.store.rights import FORMS, rights_of
from durastream.store.uses import WRITES
from tests.acl.users import ROLES, add_user

HUB = "h1"
FOREIGN = ("h10", "h1-x", "h1_", "h", "h2", "H1")
"""Names that begin like ours, and one that does not."""

STRANGE = ("ds:h1:x", "ds:{h1", "ds:{h1}", "{h1}:x", "x", "ds:{h1x}:hub", "ds:{h1-x:0}:inbox", "ds:{h10:0}:lease")

DANGEROUS = """
ACL LIST | ACL SETUSER default off | ACL WHOAMI | BGREWRITEAOF | CLIENT KILL ID 1 | CLIENT LIST | CLIENT PAUSE 1 | CONFIG GET *
CONFIG SET maxmemory 1 | COPY KEY other | DEBUG SLEEP 0 | DUMP KEY | FCALL f 0 | FLUSHALL | FLUSHDB | FUNCTION FLUSH
FUNCTION LOAD x | GET KEY | KEYS * | LATENCY RESET | MIGRATE 127.0.0.1 1 KEY 0 1 | MODULE LIST | MONITOR | MOVE KEY 1
OBJECT ENCODING KEY | PSUBSCRIBE * | RENAME KEY other | REPLICAOF no one | RESTORE KEY 0 x | SAVE | SCRIPT FLUSH | SCRIPT KILL
SELECT 1 | SET KEY x | SHUTDOWN NOSAVE | SLOWLOG GET | SORT KEY | SUBSCRIBE __keyspace@0__:KEY | SWAPDB 0 1 | SYNC
XAUTOCLAIM KEY workers w 0 0 | XGROUP DESTROY KEY workers | XGROUP SETID KEY workers 0 | XSETID KEY 1-1 | XTRIM KEY MAXLEN 0
SUBSCRIBE ds:{h10}:c:x | SUBSCRIBE ds:{h1:0}:c:x | PUBLISH ds:{h10}:c:x y | PUBLISH other y | SPUBLISH ds:{h1}:c:x y
HGETALL ds:hubs | DEL ds:hubs | UNLINK ds:hubs | TYPE ds:hubs | ZADD ds:hubs 0 m | XADD ds:hubs * f v
"""

ONLY_SOME = {
    "SCAN 0": {"operator", "fsck"},
    "DBSIZE": {"operator", "fsck"},
    "SMEMBERS ds:hubs": {"operator"},
    "SREM ds:hubs h1": {"operator"},
    "SADD ds:hubs h1": {"worker", "client", "operator"},
    "EVAL text 1 KEY": {"worker", "client", "operator"},
    "EVALSHA sha 1 KEY": {"worker", "client", "operator"},
    "WAIT 0 0": {"worker", "client", "operator"},
    "XREADGROUP GROUP workers w STREAMS KEY >": {"worker"},
    "XCLAIM KEY workers w 0 1-1": {"worker"},
    "DEL KEY": {"worker", "operator"},
    "PERSIST KEY": {"operator"},
    "PUBLISH ds:{h1}:c:x y": {"worker"},
    "SUBSCRIBE ds:{h1}:c:x": {"worker", "client", "readonly", "operator"},
    "XADD KEY * f v": {"worker", "client", "operator"},
    "XADD ds:{h1}:in * f v": {"worker", "client", "operator", "producer"},
    "HGETALL KEY": {"worker", "client", "readonly", "operator", "fsck"},
    "BLPOP my:list 0": {"producer"},
    "RPUSH my:list x": {"worker"},
    "EXPIRE my:list 1": {"worker"},
    "DEL my:list": set[str](),
    "LRANGE my:list 0 -1": set[str](),
    "RPUSH other x": set[str](),
}
"""What some roles may, and all others must not."""


@pytest.fixture
def url(each_url: str) -> str:
    for role in ROLES:
        add_user(each_url, role, HUB)
    return each_url


@pytest.fixture
def server(url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(url, protocol=2, decode_responses=True) as connected:
        yield connected


def allowed(server: Any, role: str, words: list[str]) -> bool:
    try:
        answer = server.execute_command("ACL", "DRYRUN", f"{HUB}-{role}", *words)
    except ResponseError as error:
        if "not found" not in str(error):
            raise
        return False  # this server has no such command
    return bool(answer == "OK")


def written(text: str, key: str) -> list[str]:
    return [key if word == "KEY" else word.replace("KEY", key) for word in text.split()]


def dangerous() -> list[str]:
    return [one.strip() for line in DANGEROUS.strip().splitlines() for one in line.split("|")]


@pytest.mark.parametrize("role", ROLES)
def test_nothing_outside_the_hub(server: redis.Redis, role: str) -> None:
    places = [place for hub in FOREIGN for place in (HubKeys(hub, 1).settings, HubKeys(hub, 1).partitions[0].inbox)]
    for right in rights_of(role):
        if right.about == "KEY":
            for place in (*places, *STRANGE):
                words = [*right.command.split(), *written(FORMS[right.command], place)]
                assert not allowed(server, role, words), words


@pytest.mark.parametrize("role", ROLES)
def test_nothing_dangerous(server: redis.Redis, role: str) -> None:
    for text in dangerous():
        for place in ("ds:{h1}:hub", "ds:{h1:0}:inbox"):
            assert not allowed(server, role, written(text, place)), text


@pytest.mark.parametrize("text", ONLY_SOME)
def test_only_those_who_need_it(server: redis.Redis, text: str) -> None:
    may = {role for role in ROLES if allowed(server, role, written(text, "ds:{h1:0}:inbox"))}
    assert may == ONLY_SOME[text]


@pytest.mark.parametrize("role", ["readonly", "fsck"])
def test_who_may_only_read_writes_nothing(server: redis.Redis, role: str) -> None:
    for command in sorted(WRITES):
        for place in ("ds:{h1}:hub", "ds:{h1:0}:inbox", "ds:hubs"):
            words = [*command.split(), *written(FORMS[command], place)]
            assert not allowed(server, role, words), words


@pytest.mark.parametrize("role", ROLES)
def test_it_is_really_refused(url: str, server: redis.Redis, role: str) -> None:
    """Connected as the user, and inside scripts too: what stands in another hub is the same afterwards."""
    server.hset("ds:{h10}:hub", "partitions", "16")
    server.xadd("ds:{h10:0}:inbox", {"m": "x"})
    server.sadd("ds:hubs", "h1", "h10")
    before = _state(url)
    with redis.Redis.from_url(add_user(url, role, HUB), protocol=2, driver_info=None) as user:
        for text in dangerous():
            with pytest.raises(ResponseError):
                user.execute_command(*written(text, "ds:{h1:0}:inbox"))
        for command in ("HGETALL", "DEL", "HSET", "XADD", "XRANGE", "UNLINK", "TYPE"):
            words = [*command.split(), *written(FORMS[command], "ds:{h10:0}:inbox")]
            with pytest.raises(NoPermissionError):
                user.execute_command(*words)
            inner = "return redis.call(unpack(ARGV))"
            for evaluate in ("EVAL", "EVAL_RO"):
                with pytest.raises(ResponseError, match=r"permission|can't"):
                    user.execute_command(evaluate, inner, 0, *words)
    assert _state(url) == before


def _state(url: str) -> dict[bytes, bytes]:
    with redis.Redis.from_url(url, protocol=2) as raw:
        return {key: raw.dump(key) for key in raw.scan_iter()}
