from __future__ import annotations

import re

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from durastream.cli import build
from tests.cli.fakes import Cli, FakeClient


def opened(client: FakeClient) -> tuple[str, str]:
    last: tuple[str, str] = client.asked["opened"][-1]
    return last


def test_defaults(cli: Cli, client: FakeClient) -> None:
    cli("event", "x", "e")
    assert opened(client) == ("redis://localhost:6379", "default")


def test_nearest_flag_counts_then_the_far_one_then_the_environment(cli: Cli, client: FakeClient) -> None:
    env = {"DURASTREAM_REDIS_URL": "redis://env", "DURASTREAM_HUB": "env"}
    cli("event", "x", "e", env=env)
    assert opened(client) == ("redis://env", "env")
    cli("--redis", "redis://far", "--hub", "far", "event", "x", "e", env=env)
    assert opened(client) == ("redis://far", "far")
    cli(
        "--redis", "redis://far", "--hub", "far", "event", "x", "e", "--redis", "redis://near", "--hub", "near", env=env
    )
    assert opened(client) == ("redis://near", "near")


def test_output_format_from_the_environment(cli: Cli) -> None:
    assert cli("list", env={"DURASTREAM_OUTPUT": "json"}).stdout == "[]\n"


def test_every_flag_can_come_from_the_environment(cli: Cli, client: FakeClient) -> None:
    cli("start", "hello", env={"DURASTREAM_START_ID": "from-env", "DURASTREAM_START_INPUT": "5"})
    assert client.calls[0][1:4] == ("from-env", "hello", 5)


def commands() -> list[list[str]]:
    root = get_command(build())
    names: list[list[str]] = []
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        below = getattr(command, "commands", None)
        names += [[name, inner] for inner in below] if below else [[name]]
    return names


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_help_has_an_example_that_parses(words: list[str]) -> None:
    result = CliRunner().invoke(build(), [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"})
    assert result.exit_code == 0
    assert result.stderr == ""
    examples = re.findall(rf"^ +(durastream {' '.join(words)}\b.*)$", result.stdout, re.MULTILINE)
    assert examples, result.stdout
    for line in re.findall(r"--[a-z-]+", " ".join(examples)):
        assert re.search(rf"{line}\b", result.stdout.split("Examples:")[0]), f"{line} is no flag of {words}"


def test_usage_errors_have_code_2(cli: Cli) -> None:
    assert cli("start").exit_code == 2
    assert cli("nonsense").exit_code == 2


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_flag_has_a_variable(words: list[str]) -> None:
    shown = CliRunner().invoke(build(), [*words, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).stdout
    options = shown.split("Options:")[1].split("Examples:")[0]
    flags = re.split(r"^  (?=-)", options, flags=re.MULTILINE)[1:]
    lacking = [flag.split("  ")[0] for flag in flags if "--help" not in flag and "DURASTREAM_" not in flag]
    assert not lacking
