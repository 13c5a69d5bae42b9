"""docs/operating.md names all keys, findings and pictures there are."""

from __future__ import annotations

import re

from durastream.core.status import ALL
from durastream.inspect import rules_instance
from durastream.inspect.filter_fields import FIELDS
from durastream.inspect.rows import SYMBOLS
from durastream.tui.keys import KEYS
from tests.acceptance.processes import ROOT

PAGE = (ROOT / "docs/operating.md").read_text("utf-8")
CODE = set(re.findall(r"`([^`\n]+)`", PAGE))


def test_all_keys() -> None:
    missing = [key.shown for key in KEYS if not set(key.shown.split()) <= CODE]
    assert not missing


def test_all_fields_of_the_filter() -> None:
    assert [name for name in FIELDS if f"`{name}:" not in PAGE] == []


def test_all_statuses() -> None:
    assert [word for word in ALL if f"| {SYMBOLS[word]} | {word} |" not in PAGE] == []


def test_all_findings() -> None:
    named = {f"parked-{kind}" for kind in rules_instance._PROBLEMS}
    for path in (ROOT / "durastream/inspect").glob("rules_*.py"):
        named |= set(re.findall(r'Finding\(\s*"([a-z-]+)"', path.read_text("utf-8")))
    assert len(named) > 20
    assert sorted(named - CODE) == []


def test_all_pictures() -> None:
    shown = set(re.findall(r"images/(top-[\w-]+\.svg)", PAGE))
    there = {path.name for path in (ROOT / "docs/images").glob("top-*.svg")}
    assert shown == there
    assert all(
        "/" + name not in (ROOT / "docs/images" / one).read_text("utf-8") for one in there for name in ("root", "home")
    )
