"""Lua scripts: one atomic verb per file in `lua/`, shared parts (`_name.lua`) put in where a file says `--@include _name`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from durastream.store.connection import Caller, ReplyError
from durastream.store.uses import guarded

_INCLUDE = "--@include "


class Script:
    """One script: its text with includes resolved, and the SHA-1 by which the server knows it."""

    __slots__ = ("name", "sha", "text")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = guarded(name, source(name))
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


def part(name: str) -> str:
    """The text of `lua/NAME.lua`. All that scripts are made of comes through here: a differential test puts a clock of its own in
    the place of `_clock`, and mutants in the place of the rest."""
    return (files("durastream.store") / "lua" / f"{name}.lua").read_text("utf-8")


def source(name: str) -> str:
    """The text of a script, with what it includes, as it is written."""
    lines = part(name).splitlines()
    return "\n".join(
        source(line.removeprefix(_INCLUDE).strip()) if line.startswith(_INCLUDE) else line for line in lines
    )


@cache
def script(name: str) -> Script:
    return Script(name)


def unknown(error: ReplyError) -> bool:
    """Whether the server has no such command."""
    return error.code == "ERR" and error.message.startswith("unknown command")


async def run(connection: Caller, name: str, keys: Sequence[str], args: Sequence[Any], *, reading: bool = False) -> Any:
    """Run a script. A server that does not know it (restart, failover, SCRIPT FLUSH) is taught it.

    `reading`: one that writes nothing, for users who may write nothing.
    """
    one = script(name)
    evalsha, evaluate = ("EVALSHA_RO", "EVAL_RO") if reading else ("EVALSHA", "EVAL")
    command = (evalsha, one.sha, len(keys), *keys, *args)
    try:
        return await connection.call(*command)
    except ReplyError as error:
        if error.code != "NOSCRIPT":
            raise
    # By its text it runs even if the server forgets it again meanwhile; loaded, it is there for the next time.
    loaded = connection.call("SCRIPT", "LOAD", one.text)
    reply = await connection.call(evaluate, one.text, len(keys), *keys, *args)
    await loaded
    return reply
