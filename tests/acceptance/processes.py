"""Worker processes that tests start, kill, freeze and look at."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support import eventually

ROOT = Path(__file__).parents[2]


def seeded() -> random.Random:
    """Randomness of one test. Its seed is printed; DURASTREAM_SEED repeats it."""
    seed = int(os.environ.get("DURASTREAM_SEED") or random.randrange(2**32))
    print(f"DURASTREAM_SEED={seed}")
    return random.Random(seed)


class WorkerProcess:
    """`python -m durastream.cli worker …` as a child process; what it logs is kept."""

    def __init__(
        self,
        url: str,
        target: str,
        *,
        hub: str = "default",
        lease_s: float = 1.0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._command = [
            sys.executable, "-m", "durastream.cli", "--redis", url, "--hub", hub, "worker", target, "--lease", str(lease_s),
        ]  # fmt: skip
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0  # of its present life
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as this object
        self.kills = 0
        self.starts = 0

    def start(self) -> WorkerProcess:
        self.starts += 1
        self._log_begins = os.fstat(self._log.fileno()).st_size
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **self._environment}
        self._process = subprocess.Popen(self._command, cwd=ROOT, env=environment, stderr=self._log)
        return self

    async def until_serving(self) -> None:
        """Return once it has told that it works."""
        await eventually(
            lambda: self.log().count("serves hub") == self.starts, 20, pause_s=0.02, what="a worker serves"
        )

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def serves(self) -> bool:
        """Whether it has told in its present life that it works."""
        size = os.fstat(self._log.fileno()).st_size
        return b"serves hub" in os.pread(self._log.fileno(), size - self._log_begins, self._log_begins)

    def log(self) -> str:
        """Everything it has logged, over all its lives."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def complaints(self) -> str:
        """What it has logged that is worse than INFO."""
        return "\n".join(line for line in self.log().splitlines() if " INFO " not in line)

    def kill(self) -> None:
        """SIGKILL, as if the power had gone."""
        self.process.kill()
        self.process.wait()
        self.kills += 1

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


@contextmanager
def fleet(url: str, target: str, count: int = 3, *, lease_s: float = 1.0) -> Iterator[list[WorkerProcess]]:
    """Workers that are killed in the end, whatever happened to them."""
    workers = [WorkerProcess(url, target, lease_s=lease_s) for _ in range(count)]
    try:
        for worker in workers:
            worker.start()
        yield workers
    except BaseException:
        for number, worker in enumerate(workers):
            print(f"--- log of worker {number}:\n{worker.complaints()[-8_000:]}")
        raise
    finally:
        for worker in workers:
            worker.kill()
