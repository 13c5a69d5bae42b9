"""What the pages say must be so: code compiles or runs, commands exist, links resolve, limits are the code's."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main
from typer.testing import CliRunner

from durastream.cli import build
from durastream.core import limits

ROOT = Path(__file__).parent.parent
PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "AGENTS.md", "CHANGELOG.md")),
    *ROOT.glob("docs/*.md"),
]
RUN_TIMEOUT_S = 60


class Block(NamedTuple):
    """A fenced block: where its text begins, its language, whether `<!-- run -->` stands above it."""

    page: Path
    line: int
    language: str
    run: bool
    text: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


_FENCE = re.compile(
    r"^(?P<run><!-- run -->\s*\n)?(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)$", re.M | re.S
)


def blocks(*languages: str) -> list[Block]:
    """All blocks of these languages, in all pages."""
    return [block for page in PAGES if page.exists() for block in blocks_of(page) if block.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        yield Block(page, line, match["language"], match["run"] is not None, match["text"])


def by_place(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", found, ids=[block.where for block in found])


# ---------------------------------------------------------------- code


@by_place(blocks("python"))
def test_python_compiles(block: Block) -> None:
    """Line numbers in the error are the page's. `await` at the top level is fine: it stands for code in a coroutine."""
    source = "\n" * (block.line - 1) + block.text
    compile(source, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.slow
@by_place([block for block in blocks("python") if block.run])
def test_python_runs(block: Block, tmp_path: Path) -> None:
    """As a program of its own, from the root of the repository."""
    program = tmp_path / "block.py"
    program.write_text(block.text, "utf-8")
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=ROOT,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
    )
    assert done.returncode == 0, f"{block.where} ends with {done.returncode}:\n{done.stdout}\n{done.stderr}"


def _environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(ROOT)}


# ---------------------------------------------------------------- commands


@cache
def subcommands() -> dict[str, Any]:
    """Commands of the command line, with those of groups as `hub create`."""
    return dict(_walk(typer.main.get_command(build()), ""))


def _walk(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, one in group.commands.items():
        yield prefix + name, one
        if hasattr(one, "commands"):
            yield from _walk(one, f"{prefix}{name} ")


def commands_in(block: Block) -> Iterator[tuple[int, list[str]]]:
    """(line, words) of each command of a block. In a console block they follow a `$`; continued lines are joined."""
    text = re.sub(r"\\\n\s*", " ", block.text)
    for offset, line in enumerate(text.splitlines()):
        if block.language == "console":
            if not line.startswith("$ "):
                continue
            line = line.removeprefix("$ ")
        for part in re.split(r"\s(?:&&|\|\|?|;|&)(?:\s|$)", line):
            yield block.line + offset, _words(part)


def _words(text: str) -> list[str]:
    """Words of a simple command, without settings of variables before it and comments."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # a quote that goes on in the next line
        words = text.split()
    while words and re.fullmatch(r"\w+=.*", words[0]):
        words = words[1:]
    return words


def offence(words: list[str]) -> str | None:
    """What is wrong with a command that the pages name."""
    if not words:
        return None
    name = words[0].removeprefix("./")
    if name.startswith(("scripts/", ".ci/")) and not (ROOT / name).is_file():
        return f"there is no {name}"
    if name == "durastream":
        return durastream_offence(words[1:])
    return None


_GLOBAL = {"--redis", "--hub", "-o", "--output"}


def durastream_offence(words: list[str]) -> str | None:
    """The command and each of its flags must exist."""
    while words and words[0].split("=")[0] in _GLOBAL:
        words = words[1 if "=" in words[0] else 2 :]
    if not words or words[0] in ("-h", "--help"):
        return None
    known = subcommands()
    name = next((" ".join(words[:count]) for count in (2, 1) if " ".join(words[:count]) in known), None)
    if name is None:
        return f"durastream has no command {words[0]!r}; it has: {', '.join(known)}"
    flags = (
        {flag for one in known[name].params for flag in (*one.opts, *one.secondary_opts)} | {"--help", "-h"} | _GLOBAL
    )
    unknown = [word for word in words if re.match(r"--?[a-z]", word) and word.split("=")[0] not in flags]
    return f"durastream {name} has no flag {unknown[0]}" if unknown else None


def test_commands_in_the_pages_exist() -> None:
    found = [
        f"{block.page.relative_to(ROOT)}:{line}: {wrong}"
        for block in blocks("sh", "bash", "console")
        for line, words in commands_in(block)
        if (wrong := offence(words))
    ]
    assert not found, "\n".join(found)


def test_named_scripts_exist() -> None:
    """Those in running text too: `./scripts/test`."""
    found = [
        f"{page.relative_to(ROOT)}: there is no {name}"
        for page in PAGES
        if page.exists()
        for name in set(re.findall(r"(?<![\w/.])(?:\./)?((?:scripts|\.ci)/[\w.]+\w)", page.read_text("utf-8")))
        if not (ROOT / name).is_file()
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", sorted(subcommands()))
def test_every_command_has_help(name: str) -> None:
    result = CliRunner().invoke(build(), [*name.split(), "--help"])
    assert result.exit_code == 0, result.output


# ---------------------------------------------------------------- links


def prose(page: Path) -> str:
    """The page without its code."""
    return re.sub(r"`[^`\n]*`", "", _FENCE.sub("", page.read_text("utf-8")))


def anchors(page: Path) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", _FENCE.sub("", page.read_text("utf-8")), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def link_offences(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists():
            yield f"{page.relative_to(ROOT)}: the link {link} leads nowhere"
        elif anchor and target.suffix == ".md" and anchor not in anchors(target):
            yield f"{page.relative_to(ROOT)}: {target.name} has no heading for #{anchor}"


def test_links_lead_somewhere() -> None:
    found = [wrong for page in PAGES if page.exists() for wrong in link_offences(page)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "docs/limits.md", "docs/durability.md", "LICENSE"])
def test_the_page_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_no_page_tells_of_a_machine() -> None:
    found = [
        f"{page.relative_to(ROOT)}: {match[0]}"
        for page in PAGES
        if page.exists()
        for match in re.finditer(r"/(?:work|root|home|Users)/\w+", page.read_text("utf-8"))
    ]
    assert not found, "\n".join(found)


# ---------------------------------------------------------------- limits


def listed_limits() -> dict[str, str]:
    """Dotted name of a constant → its value as the page has it, without commas."""
    rows = re.findall(r"^\|[^|]*\|([^|]*)\| `([\w.]+)` \|$", (ROOT / "docs/limits.md").read_text("utf-8"), re.M)
    return {name: (re.match(r"\s*(-?[\d,]+)", value) or [""])[0].strip().replace(",", "") for value, name in rows}


def test_every_limit_is_in_the_page() -> None:
    wanted = {f"core.limits.{name}" for name in vars(limits) if name.isupper()}
    assert not wanted - listed_limits().keys(), "add them to docs/limits.md"


@pytest.mark.parametrize(("name", "value"), listed_limits().items())
def test_the_page_has_the_value_of_the_code(name: str, value: str) -> None:
    module, _, constant = f"durastream.{name}".rpartition(".")
    assert value == str(getattr(importlib.import_module(module), constant)), "docs/limits.md differs from the code"
