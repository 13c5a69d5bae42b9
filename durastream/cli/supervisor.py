"""Several worker processes under one parent: start them, start crashed ones again, stop them all.

Each child runs in a process group of its own, so that Ctrl-C reaches it once, through the parent. It holds the reading
end of a pipe as its stdin: should the parent die without a word, the pipe closes and the child stops by itself
(`stop_with_parent`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from durastream.cli.exits import FAILED, OK, USAGE

Report = Callable[[str], None]

_ORPHAN_SECONDS = 30.0


@dataclass(frozen=True)
class Backoff:
    """Pause before a crashed child is started again: doubled with each crash, forgotten after a calm while."""

    first_s: float = 0.5
    most_s: float = 30.0
    calm_s: float = 60.0

    def pause(self, crashes: int) -> float:
        return float(min(self.first_s * 2 ** min(crashes - 1, 16), self.most_s))


class Child:
    """One worker process."""

    def __init__(
        self, command: Sequence[str], *, environment: Mapping[str, str] | None = None, log: Path | None = None
    ) -> None:
        self._command = list(command)
        self._log = log
        self._environment = dict(os.environ) | dict(environment or {})
        self._process: asyncio.subprocess.Process | None = None
        self._lifeline = -1  # writing end of the child's stdin
        self.started_at = 0.0

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        self.started_at = time.monotonic()
        # A pipe of our own: with stdin=PIPE it depends on the event loop whether the child gets one that it can wait on.
        stdin, self._lifeline = os.pipe()
        try:
            with self._log.open("ab") if self._log else nullcontext() as output:
                self._process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=stdin,
                    stdout=output,
                    stderr=output,
                    env=self._environment,
                    start_new_session=True,
                )
        finally:
            os.close(stdin)

    async def wait(self) -> int:
        """Exit code; negative = number of the signal that ended it."""
        if self._process is None:
            raise RuntimeError("wait() before start()")
        code = await self._process.wait()
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1
        return code

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; a child that has ended already is no error."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


class Supervisor:
    """Keeps `children` running until told to stop, or until they have all ended by themselves with code 0."""

    def __init__(self, children: Sequence[Child], report: Report, *, backoff: Backoff = Backoff()) -> None:
        self._children = list(children)
        self._report = report
        self._backoff = backoff
        self._stopping = asyncio.Event()
        self._reloading: set[Child] = set()
        self._codes: dict[Child, int] = {}

    async def run(self) -> int:
        """0 after a clean stop, else the code of a child that did not end well."""
        await asyncio.gather(*(self._keep(child) for child in self._children))
        return next((code if code > 0 else FAILED for code in self._codes.values() if code != OK), OK)

    def stop(self) -> None:
        """First call: children finish what they are doing. Second call: kill them."""
        hard = self._stopping.is_set()
        self._stopping.set()
        for child in self._children:
            child.signal(signal.SIGKILL if hard else signal.SIGTERM)

    def reload(self) -> None:
        """Stop each child and start it again at once."""
        for child in self._children:
            if child.running:
                self._reloading.add(child)
                child.signal(signal.SIGTERM)

    async def _keep(self, child: Child) -> None:
        crashes = 0
        while not self._stopping.is_set():
            await child.start()
            if self._stopping.is_set():  # told so while the process was being made
                child.signal(signal.SIGTERM)
            code = await child.wait()
            if self._ended(child, code):
                return
            lived_s = time.monotonic() - child.started_at
            crashes = 1 if lived_s > self._backoff.calm_s else crashes + 1
            await self._before_restart(child, code, crashes)

    def _ended(self, child: Child, code: int) -> bool:
        """Whether that was its end: it was told to stop, had nothing left to do, or can never start."""
        if child in self._reloading:
            return self._stopping.is_set()
        if code == USAGE:
            self.stop()
        stopped = self._stopping.is_set()
        # A child that had no handlers yet ends by the signal itself: that too is a clean stop.
        self._codes[child] = OK if stopped and code == -signal.SIGTERM else code
        return stopped or code in (OK, USAGE)

    async def _before_restart(self, child: Child, code: int, crashes: int) -> None:
        if child in self._reloading:
            self._reloading.discard(child)
            return
        pause_s = self._backoff.pause(crashes)
        self._report(f"worker process {child.pid} ended with {describe(code)}; starting another in {pause_s:g} s")
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)


def describe(code: int) -> str:
    """`exit code 3`, or the name of the signal."""
    return f"exit code {code}" if code >= 0 else signal.Signals(-code).name


def worker_command(arguments: Sequence[str]) -> list[str]:
    """Command that runs `durastream worker …` with this interpreter."""
    return [sys.executable, "-m", "durastream.cli", "worker", "--supervised", *arguments]


def stop_with_parent() -> None:
    """In a child: end this process as SIGTERM would, once the parent's end of stdin is closed; after 30 s at once.

    Nobody is left to send a second signal to a child whose clean stop waits for a server that went with the parent.
    """

    def watch() -> None:
        while os.read(0, 4096):
            continue
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_ORPHAN_SECONDS)
        os._exit(FAILED)

    threading.Thread(target=watch, name="parent-watch", daemon=True).start()
