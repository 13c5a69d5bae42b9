from __future__ import annotations

import io
from pathlib import Path

import pytest

from durastream.cli.exits import UsageError
from durastream.cli.inputs import read_input, read_tags


def test_nothing_and_null_are_the_same_value() -> None:
    assert read_input(None) is None
    assert read_input("null") is None


def test_json_a_file_and_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_text('{"a": [1]}')
    monkeypatch.setattr("sys.stdin", io.StringIO("[2]"))
    assert read_input('"x"') == "x"
    assert read_input(f"@{tmp_path / 'a.json'}") == {"a": [1]}
    assert read_input("-") == [2]


@pytest.mark.parametrize("text", ["x", "", "{", "@/nowhere.json", "NaN"])
def test_what_is_no_json(text: str) -> None:
    with pytest.raises(UsageError):
        read_input(text)


def test_tags() -> None:
    assert read_tags(["a=b", "c=d=e", "f="]) == {"a": "b", "c": "d=e", "f": ""}
    for bad in ("a", "=b"):
        with pytest.raises(UsageError, match="KEY=VALUE"):
            read_tags([bad])
