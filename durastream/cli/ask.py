"""Asking before anything that cannot be undone."""

from __future__ import annotations

import sys

import typer

from durastream.cli.exits import UsageError
from durastream.inspect import sanitize


class Declined(UsageError):
    """The user said no."""


def confirm(question: str, *, yes: bool) -> None:
    """Return if the answer is yes. Without a terminal nobody can answer: refuse, and name the flag."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} Nobody can be asked here: add --yes to go ahead.")
    if not typer.confirm(sanitize.line(question, 500), err=True):
        raise Declined("nothing was done")
