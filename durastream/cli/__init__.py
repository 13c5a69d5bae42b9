"""The command line. One file for each group of commands; `main` is the entry point."""

from __future__ import annotations

import typer

from durastream.cli import control, demo, dev, hubs, looking, serving, starting
from durastream.cli.flags import root


def build() -> typer.Typer:
    """The application with all its commands, in the order the help lists them."""
    app = typer.Typer(
        name="durastream",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"auto_envvar_prefix": "DURASTREAM", "help_option_names": ["-h", "--help"]},
    )
    app.callback()(root)
    for group in (demo, dev, serving, starting, looking, control, hubs):
        group.register(app)
    return app


def main() -> None:
    """Run the command line; exits with the codes of `durastream.cli.exits`."""
    build()(prog_name="durastream")
