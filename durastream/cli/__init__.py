"""The command line. One file for each group of commands; `main` is the entry point."""

from __future__ import annotations

import typer

from durastream.cli import (
    acl,
    control,
    demo,
    dev,
    doctor,
    entities,
    export,
    fsck,
    histories,
    hubs,
    listing,
    replay,
    serving,
    showing,
    starting,
    top,
)
from durastream.cli.flags import root

_GROUPS = (
    demo,
    dev,
    serving,
    starting,
    listing,
    showing,
    histories,
    control,
    entities,
    hubs,
    top,
    doctor,
    fsck,
    acl,
    export,
    replay,
)
"""In the order the help lists them."""


def build() -> typer.Typer:
    """The application with all its commands."""
    app = typer.Typer(
        name="durastream",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"auto_envvar_prefix": "DURASTREAM", "help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for group in _GROUPS:
        group.register(app)
    return app


def main() -> None:
    """Run the command line; exits with the codes of `durastream.cli.exits`."""
    build()(prog_name="durastream")
