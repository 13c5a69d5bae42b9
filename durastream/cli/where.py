"""Where things are on this machine: what to type for `durastream`, and a port that is free."""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import socket
import sys
from pathlib import Path

from durastream.store import embedded

DEFAULT_PORT = 6379


def how_to_call() -> str:
    """What a person types to run this very installation: `durastream`, or a path where it is not on the PATH."""
    beside = Path(sys.executable).parent / "durastream"
    found = shutil.which("durastream")
    if found is not None and (not beside.exists() or Path(found).samefile(beside)):
        return "durastream"
    if beside.exists():
        return shlex.quote(_short(beside))
    return f"{shlex.quote(_short(Path(sys.executable)))} -m durastream.cli"


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def port_is_free(port: int) -> bool:
    """Whether a server could listen there on the loopback interface now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def free_port() -> int:
    """6379 if nobody has it, else any."""
    return DEFAULT_PORT if port_is_free(DEFAULT_PORT) else embedded.free_port()


def importable(module: str) -> bool:
    """Whether `module` can be imported from the current directory or the path, without importing it."""
    parent, _, name = module.rpartition(".")
    if parent and Path(parent.replace(".", "/"), f"{name}.py").is_file():
        return True
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
