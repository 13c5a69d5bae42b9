from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from durastream.cli import target
from durastream.cli.exits import UsageError

SHOP = """
import durastream as ds
app = ds.App()
other = ds.App()
number = 3
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "flows_x").mkdir()
    (tmp_path / "flows_x" / "shop.py").write_text(SHOP)
    (tmp_path / "flows_x" / "broken.py").write_text("import not_installed_anywhere")
    (tmp_path / "flows_x" / "empty.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    for name in [name for name in sys.modules if name.startswith("flows_x")]:
        del sys.modules[name]


def test_app_in_the_current_directory() -> None:
    import durastream as ds

    assert isinstance(target.load("flows_x.shop:app"), ds.App)
    assert target.load("flows_x.shop") is target.load("flows_x.shop:app")
    assert target.load("flows_x.shop:other") is not target.load("flows_x.shop:app")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flows_x.shpo:app", "found flows_x.broken, flows_x.empty, flows_x.shop"),
        ("nowhere_x:app", "no module 'nowhere_x'"),
        ("flows_x.shop:ap", "flows_x.shop:ap is missing; apps found there: app, other"),
        ("flows_x.shop:number", "is a int, not a durastream.App; apps found there: app, other"),
        ("flows_x.empty:app", "no durastream.App at all"),
        ("flows_x/shop.py:app", "write module:app"),
        (":app", "write module:app"),
    ],
)
def test_wrong_targets_say_what_was_found(text: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        target.load(text)
    assert words in str(caught.value)


def test_an_error_inside_the_module_is_not_hidden() -> None:
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        target.load("flows_x.broken:app")
