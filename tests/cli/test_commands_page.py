"""The page of commands names each of them, in a block that shows how it is used."""

from __future__ import annotations

from tests.test_docs import ROOT, blocks_of, commands_in, subcommands

PAGE = ROOT / "docs" / "commands.md"


def test_every_command_has_an_example() -> None:
    shown = {
        " ".join(words[1:][:count])
        for block in blocks_of(PAGE)
        if block.language in ("sh", "console")
        for _, words in commands_in(block)
        if words[:1] == ["durastream"]
        for count in (1, 2)
    }
    wanted = {name for name, command in subcommands().items() if not hasattr(command, "commands")}
    assert not wanted - shown, "add them to docs/commands.md"
