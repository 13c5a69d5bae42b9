"""`module:app` targets, as in uvicorn."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from durastream.cli.exits import UsageError

if TYPE_CHECKING:
    from durastream.app import App

DEFAULT_ATTRIBUTE = "app"


def load(target: str) -> App:
    """Import the app that `target` names; the current directory counts as a place to import from.

    Without `:name` the attribute is `app`. An error inside the module is raised as it is: its traceback is what helps.
    """
    module_name, _, attribute = target.partition(":")
    module = _module(module_name, target)
    return _app(module, attribute or DEFAULT_ATTRIBUTE)


def _module(name: str, target: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not name or name.endswith(".py") or "/" in name:
        raise UsageError(f"{target!r} is no target: write module:app, for example workers.quickstart:app")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not (name == error.name or name.startswith(error.name + ".")):
            raise  # the module is there, and imports something that is not
        raise UsageError(f"no module {name!r} in {here} or on the path: {_nearby(name)}") from None


def _nearby(name: str) -> str:
    """What could have been meant: the modules in the directory where the name was looked for."""
    package = Path(*name.split(".")[:-1])
    found = sorted(path.stem for path in package.glob("*.py") if not path.stem.startswith("_"))
    prefix = "".join(part + "." for part in package.parts)
    return "found " + ", ".join(prefix + stem for stem in found[:10]) if found else "no Python modules there"


def _app(module: ModuleType, attribute: str) -> App:
    from durastream.app import App

    value: object = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if isinstance(value, App):
        return value
    apps = sorted(name for name, each in vars(module).items() if isinstance(each, App))
    what = "is missing" if value is None else f"is a {type(value).__name__}, not a durastream.App"
    found = f"apps found there: {', '.join(apps)}" if apps else "it has no durastream.App at all: write app = ds.App()"
    raise UsageError(f"{module.__name__}:{attribute} {what}; {found}")
