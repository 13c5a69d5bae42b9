"""`acl`: the access rules of the server that a role needs, and no more; or whether a user has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from durastream.cli.exits import FAILED, OK, UsageError
from durastream.cli.flags import command
from durastream.cli.session import Session

_USER = re.compile(r"[A-Za-z0-9_.@-]{1,64}")


@dataclass(frozen=True)
class AclFlags:
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help="worker, client, readonly, operator, fsck or producer.")
    ]
    user: Annotated[
        str | None, typer.Option("--user", metavar="NAME", help="Name of the user. [default: HUB-ROLE]")
    ] = None
    replies: Annotated[
        list[str] | None,
        typer.Option("--replies", metavar="PATTERN", help="Lists that callers of the ingress name for answers: shop:*"),
    ] = None
    cluster: Annotated[bool, typer.Option("--cluster", help="For the servers of a Redis Cluster.")] = False
    aclfile: Annotated[bool, typer.Option("--aclfile", help="As a line of an ACL file, not as a command.")] = False
    check: Annotated[
        bool, typer.Option("--check", help="Do not print rules: say what the user of the --redis URL lacks of them.")
    ] = False


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    command(
        app,
        "acl",
        body=acl,
        flags=AclFlags,
        examples=[
            "durastream acl --role worker --hub orders | redis-cli",
            "durastream acl --role producer --hub orders --replies 'shop:answers:*' --aclfile",
            "durastream acl --role client --hub orders --check",
        ],
    )


async def acl(session: Session, flags: AclFlags) -> int:
    """Print the least access rules of the server that a role of a hub needs, ready for redis-cli or for an ACL file.

    Password and state of the user are not touched; a user that is new is off, and has no password, until it is given both.
    With --check nothing is printed but what the user of the server URL lacks. Exit code 0: nothing, 1: something.
    """
    return await _check(session, flags) if flags.check else _print(session, flags)


# ---------------------------------------------------------------- rules


def _print(session: Session, flags: AclFlags) -> int:
    from durastream.store.rights import ROLES, rules

    found = rules(flags.role, session.hub, replies=flags.replies or (), cluster=flags.cluster)
    user = flags.user or f"{session.hub}-{flags.role}"
    if not _USER.fullmatch(user):
        raise UsageError(f"{user!r} cannot be the name of a user: 1 to 64 of A-Z a-z 0-9 _ . @ -")
    line, file_line = f"ACL SETUSER {user} {' '.join(found)}", f"user {user} off {' '.join(found)}"
    record = {
        "role": flags.role,
        "does": ROLES[flags.role].does,
        "hub": session.hub,
        "user": user,
        "rules": found,
        "command": line,
        "aclfile": file_line,
    }
    session.printer.text(record, f"{file_line if flags.aclfile else line}\n")
    for note in _notes(user, flags):
        session.printer.note(note)
    return OK


def _notes(user: str, flags: AclFlags) -> Sequence[str]:
    """What is left to do by hand. Goes to stderr: what is printed can be sent to the server as it is."""
    notes = [
        "in place of `off` it needs `on #HASH`, where HASH is the SHA-256 of the password in hex; then ACL LOAD"
        if flags.aclfile
        else f"a new user has no password and is off: ACL SETUSER {user} on >PASSWORD. To keep it: ACL SAVE, or CONFIG REWRITE"
    ]
    if flags.role in ("worker", "producer") and not flags.replies:
        notes.append("without --replies no answers go to reply lists: see docs/security.md")
    if flags.cluster:
        notes.append("access rules belong to each server: give them to every one of the cluster, replicas too")
    return notes


# ---------------------------------------------------------------- check


async def _check(session: Session, flags: AclFlags) -> int:
    from durastream.store.redis.hubs import lacking_rights
    from durastream.store.rights import described

    lacking = await lacking_rights(session.url, session.hub, flags.role)
    record: dict[str, Any] = {
        "role": flags.role,
        "hub": session.hub,
        "url": session.where,
        "ok": not lacking,
        "lacking": [described(one) for one in lacking],
    }
    words = [f"{session.where} lacks {len(lacking)} rights of a {flags.role} of hub {session.hub}:"]
    words += [f"  {described(one)}" for one in lacking]
    if not lacking:
        words = [f"{session.where} has all rights of a {flags.role} of hub {session.hub}"]
    session.printer.text(record, "".join(f"{line}\n" for line in words))
    return FAILED if lacking else OK
