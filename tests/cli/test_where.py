from __future__ import annotations

import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from durastream.cli import next_steps, where


def test_how_to_call_names_a_command_that_runs() -> None:
    words = shlex.split(where.how_to_call())
    subprocess.run([*words, "--help"], check=True, capture_output=True, timeout=60)


def test_a_taken_port_is_not_free() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert not where.port_is_free(taken.getsockname()[1])
    assert 0 < where.free_port() < 65_536


def test_importable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flows_y").mkdir()
    (tmp_path / "flows_y" / "shop.py").write_text("raise SystemExit('must not be imported')")
    assert where.importable("flows_y.shop")
    assert not where.importable("flows_y.other")
    assert not where.importable("no_such_package_z.other")


def test_next_steps_name_another_port_when_the_default_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(where, "free_port", lambda: 7001)
    text = next_steps.after_demo()
    assert "--port 7001" in text
    assert text.count("--redis redis://127.0.0.1:7001") == 3
    monkeypatch.setattr(where, "free_port", lambda: 6379)
    assert "--redis" not in next_steps.after_demo()


def test_next_steps_in_dev_know_server_and_hub() -> None:
    text = next_steps.in_dev("redis://localhost:6379", "default", ["hello"])
    assert "start hello --input '\"world\"' --wait" in text
    assert "--redis" not in text
    assert "--redis redis://h:1 --hub shop" in next_steps.in_dev("redis://h:1", "shop", ["hello"])
