"""Which commands and scripts the verbs of the Redis store really use, read from their source: what `store/rights.py` must say.

A verb is followed into everything it names: methods of `self`, functions, classes and tables of `durastream/store/redis`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

STORE = Path(__file__).parents[2] / "durastream" / "store"

CONTAINERS = frozenset({"CLIENT", "CONFIG", "SCRIPT", "XGROUP", "XINFO"})
"""Commands whose first argument is a command of its own, with a right of its own."""

NO_COMMANDS = frozenset({
    "BLOCK", "COUNT", "CREATE", "CONSUMERS", "GET", "GROUP", "GROUPS", "JUSTID", "LIMIT", "MATCH", "MAXLEN", "NOGROUP",
    "RETRYCOUNT", "STREAM", "STREAMS", "UNBLOCK", "WITHSCORES", "MKSTREAM", "WRONGTYPE", "BUSYGROUP", "FENCED", "REFUSED",
})  # fmt: skip
"""Words in capitals that stand where a command may stand."""

_CALLS = {"_call", "_calls", "_read", "_read_streams", "call", "call_blocking", "ask", "_scan"}
_HANDS_OVER = {"_op", "do", "when"}
_RUNS = {"_run", "_handed_over", "run"}


class Used(NamedTuple):
    """Commands as `rights` writes them ("XINFO STREAM"): sent as they are, sent about the list of hubs, handed to a script;
    and names of scripts."""

    commands: frozenset[str]
    hubs: frozenset[str]
    handed: frozenset[str]
    scripts: frozenset[str]


@cache
def _modules() -> tuple[ast.Module, ...]:
    return tuple(ast.parse(path.read_text("utf-8")) for path in sorted((STORE / "redis").glob("*.py")))


@cache
def _named() -> dict[str, list[ast.AST]]:
    """Functions, classes and tables of all modules, by name."""
    found: dict[str, list[ast.AST]] = {}
    for module in _modules():
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                target = node.targets[0] if isinstance(node, ast.Assign) else node.target
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
    return found


@cache
def _methods() -> dict[str, list[ast.AST]]:
    """Of the classes that make up the store, by name."""
    found: dict[str, list[ast.AST]] = {}
    for module in _modules():
        for node in module.body:
            if isinstance(node, ast.ClassDef):
                for method in node.body:
                    if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                        found.setdefault(method.name, []).append(method)
    return found


def methods_of(name: str) -> list[str]:
    """Names of the methods that a class (of the store, or of the protocol) defines itself."""
    modules = (*_modules(), ast.parse((STORE / "protocol.py").read_text("utf-8")))
    for module in modules:
        for node in module.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return [one.name for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
    raise LookupError(name)


def used_by(verbs: Iterable[str]) -> Used:
    """Everything that these verbs (methods of the store, or functions beside it) can send."""
    commands, hubs, handed, scripts = set[str](), set[str](), set[str](), set[str]()
    seen, waiting = set[tuple[str, str]](), [("method", verb) for verb in verbs]
    while waiting:
        place = waiting.pop()
        if place in seen:
            continue
        seen.add(place)
        kind, name = place
        nodes = _methods().get(name, []) + _named().get(name, []) if kind == "method" else _named().get(name, [])
        for node in nodes:
            sent = set(_commands(node))
            commands |= {command for command, about_hubs in sent if not about_hubs}
            hubs |= {command for command, about_hubs in sent if about_hubs}
            handed |= set(_handed(node))
            scripts |= set(_scripts(node))
            waiting += _mentions(node)
    return Used(frozenset(commands), frozenset(hubs), frozenset(handed), frozenset(scripts))


def _mentions(node: ast.AST) -> Iterator[tuple[str, str]]:
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute) and ast.unparse(one.value) in ("self", "self._spoilt"):
            yield "method", one.attr
        elif isinstance(one, ast.Name) and one.id in _named():
            if not (one.id[0].isupper() and isinstance(_named()[one.id][0], ast.ClassDef)):
                yield "named", one.id
        elif (
            isinstance(one, ast.Call) and isinstance(one.func, ast.Name) and one.func.id in ("_Index", "CommitBuilder")
        ):
            yield "named", one.func.id


def _words(node: ast.AST) -> list[str]:
    """Constant texts that an expression can be."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _words(node.body) + _words(node.orelse)
    return []


def _commands(node: ast.AST) -> Iterator[tuple[str, bool]]:
    """(command, whether it is about the list of hubs)."""
    for one in ast.walk(node):
        if isinstance(one, ast.Tuple) or (isinstance(one, ast.Call) and _name(one) in _CALLS):
            parts = one.elts if isinstance(one, ast.Tuple) else one.args
            about_hubs = any(isinstance(part, ast.Name) and part.id == "HUBS" for part in parts)
            yield from ((command, about_hubs) for command in _first(parts))


def _handed(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and _name(one) in _HANDS_OVER:
            yield from _first(one.args)


def _first(parts: list[ast.expr]) -> Iterator[str]:
    """The command among the first words of a call: behind a kind and a time, or a wanted reply, there may be others."""
    for place, part in enumerate(parts[:3]):
        for word in _words(part):
            if re.fullmatch("[A-Z]{3,}", word) and word not in NO_COMMANDS:
                more = _words(parts[place + 1]) if word in CONTAINERS else []
                yield f"{word} {more[0]}" if more else word


def _scripts(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call) and _name(one) in _RUNS:
            for part in one.args[:2]:
                yield from (word for word in _words(part) if (STORE / "lua" / f"{word}.lua").exists())


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
