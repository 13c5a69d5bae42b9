"""Roles: who needs which rights at a Redis or Valkey server, as rules for its access lists, and the proof of them at start.

The commands of scripts are read from the scripts. Those that the verbs send themselves stand in the tables here, and
`tests/acl/test_tables.py` holds the tables to the source of the verbs: nothing lacks, and nothing is too much.

Rights on a hub's keys are power over that hub: who may write to its inboxes can start, terminate and purge anything in it. What
the rules keep apart is hubs, and readers from writers. See docs/security.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from durastream.core.ids import check_hub
from durastream.errors import AccessDenied, InvalidId
from durastream.store import scripts
from durastream.store.connection import Caller, ReplyError
from durastream.store.keys import HUBS, PREFIX, HubKeys
from durastream.store.uses import WRITES, commands_of

FORMS: Final[dict[str, str]] = {
    "CLIENT ID": "", "CLIENT SETNAME": "me", "CLIENT UNBLOCK": "1", "DBSIZE": "", "INFO": "", "PING": "",
    "EVAL": "text 1 KEY", "EVAL_RO": "text 1 KEY", "EVALSHA": "sha 1 KEY", "EVALSHA_RO": "sha 1 KEY", "SCRIPT LOAD": "text",
    "PUBLISH": "CHANNEL x", "SUBSCRIBE": "CHANNEL", "SCAN": "0", "TIME": "", "WAIT": "0 0",
    "BLPOP": "KEY 0", "DEL": "KEY", "EXISTS": "KEY", "EXPIRE": "KEY 1", "PERSIST": "KEY", "PTTL": "KEY", "RPUSH": "KEY x",
    "TYPE": "KEY", "UNLINK": "KEY",
    "HDEL": "KEY f", "HEXISTS": "KEY f", "HGET": "KEY f", "HGETALL": "KEY", "HINCRBY": "KEY f 1", "HKEYS": "KEY",
    "HLEN": "KEY", "HMGET": "KEY f", "HSCAN": "KEY 0", "HSET": "KEY f v", "HSTRLEN": "KEY f",
    "SADD": "KEY m", "SISMEMBER": "KEY m", "SMEMBERS": "KEY", "SREM": "KEY m", "SSCAN": "KEY 0",
    "XACK": "KEY workers 1-1", "XADD": "KEY * f v", "XCLAIM": "KEY workers w 0 1-1", "XDEL": "KEY 1-1",
    "XGROUP CREATE": "KEY workers 0", "XGROUP DELCONSUMER": "KEY workers w", "XINFO CONSUMERS": "KEY workers",
    "XINFO GROUPS": "KEY", "XINFO STREAM": "KEY", "XLEN": "KEY", "XPENDING": "KEY workers", "XRANGE": "KEY - +",
    "XREAD": "STREAMS KEY 0", "XREADGROUP": "GROUP workers w STREAMS KEY >",
    "ZADD": "KEY 0 m", "ZCARD": "KEY", "ZCOUNT": "KEY 0 1", "ZMSCORE": "KEY m", "ZRANGE": "KEY 0 1",
    "ZRANGEBYLEX": "KEY - +", "ZRANGEBYSCORE": "KEY 0 1", "ZREM": "KEY m", "ZREVRANGEBYSCORE": "KEY 1 0", "ZSCAN": "KEY 0",
    "ZSCORE": "KEY m",
}  # fmt: skip
"""How each command is asked for: its arguments, with what they are about in capitals."""

_ABOUT_A_KEY: Final = "KEY"
"""The form of any other command, which only scripts with parts of a test use."""

OPTIONAL: Final = frozenset({"CLIENT ID", "CLIENT UNBLOCK", "INFO", "WAIT"})
"""Granted, but not demanded: without INFO nobody warns of unfit settings, without WAIT there is no
`?replicas` in the URL (`replicated` asks for it there), without the others stopping takes a little longer."""

_CONNECTED: Final = ("CLIENT ID", "CLIENT SETNAME", "INFO", "PING", "SCRIPT LOAD", "TIME")
_ASKING: Final = ("EVALSHA_RO", "EVAL_RO")  # scripts that only read, and the proof itself
_SCRIPTED: Final = ("EVALSHA", "EVAL")

_READS: Final = (
    "HGETALL", "HKEYS", "HLEN", "HMGET", "SMEMBERS", "XLEN", "ZCARD", "ZMSCORE", "ZRANGE", "ZRANGEBYLEX", "ZREVRANGEBYSCORE",
    "ZSCAN",
)  # fmt: skip
_WORKS: Final = (
    "HDEL", "HGET", "TYPE", "XADD", "XCLAIM", "XGROUP CREATE", "XINFO CONSUMERS", "XINFO GROUPS", "XRANGE", "XREAD",
    "XREADGROUP", "ZREM",
)  # fmt: skip
_CHECKS: Final = (
    "EXISTS", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET", "HSCAN", "HSTRLEN", "PTTL", "SMEMBERS", "SSCAN", "TYPE",
    "XINFO STREAM", "XLEN", "XPENDING", "XRANGE", "ZRANGE", "ZSCAN", "ZSCORE",
)  # fmt: skip
_CLIENT_SCRIPTS: Final = ("deliver", "hub", "loads", "start", "watch")
_WORKER_SCRIPTS: Final = (
    "acquire", "attempt", "commit", "complete", "drop", "due", "forget", "heartbeat", "mend", "put_back", "reclaim", "release",
    "renew", "route", "tidy",
)  # fmt: skip
_REPAIR_SCRIPTS: Final = ("acquire", "mend", "release", "repair")


class Role(NamedTuple):
    """What one kind of process sends. Commands by what they are about."""

    does: str
    plain: tuple[str, ...]  # about no key
    keys: tuple[str, ...]  # about keys of the hub, beside those of the scripts
    scripts: tuple[str, ...]
    hubs: tuple[str, ...] = ()  # about the server's list of hubs
    channels: tuple[str, ...] = ()
    replies: tuple[str, ...] = ()  # about the lists that callers of the ingress name for answers


ROLES: Final[dict[str, Role]] = {
    "worker": Role(
        "runs orchestrations, entities and activities",
        plain=(*_CONNECTED, "CLIENT UNBLOCK", "WAIT"),
        keys=(*_READS, *_WORKS, *_ASKING, *_SCRIPTED),
        scripts=(*_CLIENT_SCRIPTS, *_WORKER_SCRIPTS),
        hubs=("SADD",),
        channels=("PUBLISH", "SUBSCRIBE"),
        replies=("EXPIRE", "RPUSH"),
    ),
    "client": Role(
        "starts, signals, waits, terminates, purges, looks",
        plain=(*_CONNECTED, "WAIT"),
        keys=(*_READS, *_ASKING, *_SCRIPTED),
        scripts=_CLIENT_SCRIPTS,
        hubs=("SADD",),
        channels=("SUBSCRIBE",),
    ),
    "readonly": Role(
        "looks: list, show, history, top --read-only, doctor",
        plain=_CONNECTED,
        keys=(*_READS, *_ASKING),
        scripts=("loads",),
        channels=("SUBSCRIBE",),
    ),
    "operator": Role(
        "all of the client, creates and deletes the hub, fsck --repair",
        plain=(*_CONNECTED, "DBSIZE", "SCAN", "WAIT"),
        keys=(*_READS, *_CHECKS, *_ASKING, *_SCRIPTED, "UNLINK", "XADD", "ZCOUNT"),
        scripts=(*_CLIENT_SCRIPTS, *_REPAIR_SCRIPTS),
        hubs=("SADD", "SISMEMBER", "SMEMBERS", "SREM"),
        channels=("SUBSCRIBE",),
    ),
    "fsck": Role(
        "checks the hub; sees the names of all keys on the server",
        plain=(*_CONNECTED, "DBSIZE", "SCAN"),
        keys=(*_CHECKS, *_ASKING),
        scripts=(),
        hubs=("SISMEMBER",),
    ),
    "producer": Role(
        "any program that adds to the ingress stream and waits for answers",
        plain=("PING",),
        keys=("XADD",),
        scripts=(),
        replies=("BLPOP",),
    ),
}


class Right(NamedTuple):
    """One command, and what it is about: KEY of the hub, HUBS (the list of hubs), CHANNEL, REPLIES (lists), or nothing ("")."""

    command: str
    about: str


def rights_of(name: str) -> list[Right]:
    """All rights of a role, sorted. Raises InvalidId for a name that is no role."""
    role = _role(name)
    inner = {command for one in role.scripts for command in commands_of(one, scripts.source(one))}
    about = {
        "": {*role.plain, *(inner & {"TIME"})},
        "KEY": {*role.keys, *(inner - {"TIME", "PUBLISH"})},
        "HUBS": set(role.hubs),
        "CHANNEL": set(role.channels),
        "REPLIES": set(role.replies),
    }
    return sorted(Right(command, what) for what, commands in about.items() for command in commands)


def _role(name: str) -> Role:
    if name not in ROLES:
        raise InvalidId(f"there is no role {name!r}; roles: {', '.join(ROLES)}")
    return ROLES[name]


# ---------------------------------------------------------------- rules

_CLUSTER: Final = ("+asking", "+cluster|slots")
_SPECIAL: Final = re.compile(r"[*?\[\\]")
_PLAIN: Final = re.compile(r"[\x21-\x7e]+")  # one word of an access list
_QUOTES: Final = re.compile(r"[\"'()~%+&]")


def rules(name: str, hub: str, *, replies: Sequence[str] = (), cluster: bool = False) -> list[str]:
    """What `ACL SETUSER user …` needs to give exactly this role of this hub, and take everything else away.

    `replies`: key patterns of the lists on which callers of the ingress want their answers. `cluster`: for servers of a Cluster.
    Password and `on` are not touched: a user that is new stays off until it is given both. Raises InvalidId.

    >>> rules("producer", "orders")
    ['resetkeys', 'resetchannels', 'clearselectors', '-@all', '%W~ds:{orders}:in', '+ping', '+xadd']
    """
    check_hub(hub)
    for pattern in replies:
        _check_replies(pattern)
    granted = rights_of(name)
    found = ["resetkeys", "resetchannels", "clearselectors", "-@all", *_patterns(name, granted, hub)]
    if any(one.about == "CHANNEL" for one in granted):
        found.append(f"&{HubKeys(hub, 0).channel('*')}")
    found += [_plus(one) for one in granted if one.about in ("", "KEY", "CHANNEL")]
    found += _CLUSTER if cluster else ()
    for about, patterns in (("HUBS", [HUBS]), ("REPLIES", list(replies))):
        commands = [one for one in granted if one.about == about]
        if commands and patterns:
            words = [*(_plus(one) for one in commands), *(f"{_mode(commands)}~{pattern}" for pattern in patterns)]
            found.append(f"({' '.join(words)})")
    return found


def _patterns(name: str, granted: Iterable[Right], hub: str) -> list[str]:
    """The hub's own keys and those of its partitions: a shorter pattern would open hubs whose names begin alike."""
    keys = HubKeys(hub, 0)
    if name == "producer":
        return [f"%W~{keys.ingress}"]
    mode = _mode([one for one in granted if one.about == "KEY"])
    return [f"{mode}~{keys.tag}*", f"{mode}~{keys.partitions_prefix}*"]


def _mode(granted: Iterable[Right]) -> str:
    """`%R` for those that only read, `%W` for those that only write, else nothing: both."""
    commands = {one.command for one in granted}
    if not commands & (WRITES | {"BLPOP", "EVAL", "EVALSHA"}):
        return "%R"
    return "%W" if commands <= {"SADD", "XADD", "RPUSH", "EXPIRE"} else ""


def _plus(right: Right) -> str:
    return "+" + right.command.lower().replace(" ", "|")


def _check_replies(pattern: str) -> None:
    literal = _SPECIAL.split(pattern)[0]
    if (
        not _PLAIN.fullmatch(pattern)
        or _QUOTES.search(pattern)
        or PREFIX.startswith(literal)
        or literal.startswith(PREFIX)
    ):
        raise InvalidId(
            f"{pattern!r} cannot be the pattern of reply lists: it begins with the text that they have in common, which is not"
            f" {PREFIX!r} or a part of it, and is one word without quotes, as in shop:answers:*"
        )


# ---------------------------------------------------------------- proof


async def missing_rights(connection: Caller, name: str, hub: str) -> list[Right]:
    """What the user of this connection lacks for a role: asked in one round trip, and nothing is run or written.

    Rules belong to a server: in a Cluster each one is asked. Empty where a server cannot be asked (fakeredis). Raises
    AccessDenied where not even the question is allowed.
    """
    asked = [
        (right, words) for right in rights_of(name) if right.command not in OPTIONAL for words in _probes(right, hub)
    ]
    arguments = [word for _, words in asked for word in (len(words), *words)]
    try:
        forbidden = await scripts.run(connection, "rights", (), arguments, reading=True)
    except ReplyError as error:
        if not scripts.unknown(error):
            raise
        return []
    return sorted({asked[place - 1][0] for place in forbidden or ()})


def _probes(right: Right, hub: str) -> list[list[str]]:
    """The command, about a key of the hub itself and one of a partition. No lists for replies: callers name them."""
    if right.about == "REPLIES":
        return []
    keys = HubKeys(hub, 1)
    places = {"KEY": [keys.settings, keys.partitions[0].lease], "HUBS": [HUBS], "CHANNEL": [keys.channel("x")]}
    words = [*right.command.split(), *FORMS.get(right.command, _ABOUT_A_KEY).split()]
    marks = {"HUBS": "KEY"}
    mark = marks.get(right.about, right.about)
    return [[place if word == mark else word for word in words] for place in places.get(right.about, [""])]


async def prove(connection: Caller, name: str, hub: str) -> None:
    """Raises AccessDenied, with all that lacks, unless the user of this connection may do what a role does."""
    refuse(await missing_rights(connection, name, hub), name, hub)


async def prove_client(connection: Caller, hub: str) -> bool:
    """Whether the user may write as a client; else it must be one who may read, and write nothing at all: with half of the
    rights, half of a call could be written. Raises AccessDenied."""
    lacking = await missing_rights(connection, "client", hub)
    if not lacking:
        return True
    writes = {one for one in rights_of("client") if one.about == "KEY" and one.command in WRITES}
    refuse(await missing_rights(connection, "readonly", hub) if writes <= set(lacking) else lacking, "client", hub)
    return False


def refuse(lacking: Sequence[Right], name: str, hub: str) -> None:
    """Raises AccessDenied if anything lacks."""
    if lacking:
        raise AccessDenied(
            f"the user of the server URL lacks rights of a {name} of hub {hub!r}: {'; '.join(map(described, lacking))}. Nothing"
            f" was written. `durastream acl --role {name} --hub {hub}` prints the rules that it needs"
        )


def described(right: Right) -> str:
    """`+xinfo|stream on keys of the hub`."""
    where = {"KEY": " on keys of the hub", "HUBS": f" on {HUBS}", "CHANNEL": " on channels of the hub"}
    return _plus(right) + where.get(right.about, "")
