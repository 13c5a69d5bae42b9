"""The help page, and the page of findings."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from durastream.inspect.filter_fields import FIELDS
from durastream.inspect.finding import Finding
from durastream.tui.keys import for_help
from durastream.tui.text import GOOD, PENDING, finding_text, plain


def help_text(*, read_only: bool) -> Text:
    """Keys, and the filter language."""
    text = Text()
    for key in for_help(read_only=read_only):
        text.append(f"  {key.shown:<8}", "bold cyan").append(key.help)
        text.append(" (asks first)" if key.changes else "", "dim").append("\n")
    if read_only:
        text.append("\n  read-only: keys that change things are refused\n", PENDING)
    text.append("\nFilter of instances", "bold").append(
        "  terms side by side must all fit; - before one turns it round\n"
    )
    for name, field in FIELDS.items():
        text.append(f"  {name + ':':<11}", "bold cyan").append(f"{field.help}  ").append(f"{field.example}\n", "dim")
    text.append("  word       ", "bold cyan").append("Anything in the id.\n")
    text.append("\nFilter of entities", "bold").append("  Name, Name key-prefix, @Name@key-prefix")
    return text


def findings_text(findings: Sequence[Finding]) -> Text:
    """Everything that was found, with what to do."""
    if not findings:
        return Text("nothing is wrong", GOOD)
    text = Text()
    for finding in findings:
        text.append_text(finding_text(finding, 2_000)).append("  ").append_text(plain(finding.rule, 60, "dim")).append(
            "\n\n"
        )
    return text
