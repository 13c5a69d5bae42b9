"""What all benchmarks share: one at a time on a machine, a server, processes, who used how much CPU, a table with ratios.

A benchmark is a function of a `Bench` that returns measurements. Its client is a process of its own, as in real life. That
process calls `begin` and `end` around what is measured; the harness reads the CPU times of all processes at these moments.

    server        EmbeddedServer, append-only file with fsync every second; CPU from INFO
    workers       any processes; CPU from /proc (elsewhere than on Linux: unknown)
    client        says how many items it did in how many seconds
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import redis
from rich.console import Console
from rich.table import Table

from durastream.store.embedded import EmbeddedServer

LOCK = Path(tempfile.gettempdir()) / "durastream-bench.lock"
STOP_TIMEOUT_S = 20.0

console = Console(stderr=True, soft_wrap=True)


class Cpu(NamedTuple):
    """CPU seconds; NaN where unknown."""

    server_s: float
    workers_s: float
    client_s: float

    def since(self, earlier: Cpu) -> Cpu:
        return Cpu(*(now - then for now, then in zip(self, earlier, strict=True)))


class Measurement(NamedTuple):
    """`items` of `unit` in `seconds`. `base` names the measurement that the ratio is taken of."""

    name: str
    unit: str
    items: int
    seconds: float
    cpu: Cpu
    base: str | None = None

    @property
    def rate(self) -> float:
        """Items a second."""
        return self.items / self.seconds


class Figure(NamedTuple):
    """A figure that is no rate: what it is, what was measured, what it should be."""

    name: str
    value: float
    unit: str
    target: str = ""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Hold the lock that lets only one benchmark run on this machine; wait for it and say so."""
    with LOCK.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print("waiting: another benchmark is running on this machine")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Child:
    """A process of a benchmark that talks in lines. It ends when its standard input is closed."""

    def __init__(self, *arguments: str) -> None:
        command = [sys.executable, *arguments]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self._process.pid

    def line(self) -> str:
        """The next line it says. RuntimeError when it has ended."""
        assert self._process.stdout is not None
        text = self._process.stdout.readline()
        if not text:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}; what went wrong is above")
        return text.strip()

    def say(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(text + "\n")
        self._process.stdin.flush()

    def stop(self) -> None:
        """Close its input, wait for its end; kill it if that takes too long."""
        with contextlib.suppress(BrokenPipeError):  # it has ended already
            assert self._process.stdin is not None
            self._process.stdin.close()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class Bench:
    """One benchmark's server and processes; `python` starts more of them, `measure` takes the times."""

    def __init__(self, server: EmbeddedServer, *, quick: bool, binary: str | None = None) -> None:
        self.server = server
        self.binary = binary  # of the server, None: the best there is
        self.url = server.url
        self.quick = quick  # a tenth of the work: to see whether it runs
        self._children = contextlib.ExitStack()

    def count(self, full: int) -> int:
        return full // 10 if self.quick else full

    def redis(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, protocol=2)

    def python(self, *arguments: str) -> Child:
        """Start `python ARGUMENTS`, stopped at the end of the benchmark at the latest."""
        child = Child(*arguments)
        self._children.callback(child.stop)
        return child

    def measure(
        self, name: str, unit: str, client: Child, workers: Sequence[int], *, base: str | None = None
    ) -> Measurement:
        """Let the client, which has called `begin`, do its work. `workers`: process ids."""
        assert client.line() == "begin"
        before = self._cpu(client.pid, workers)
        client.say("go")
        told = json.loads(client.line())
        used = self._cpu(client.pid, workers).since(before)
        client.stop()
        return Measurement(name, unit, told["count"], told["seconds"], used, base)

    def ask(self, module: str, mode: str, scale: int) -> dict[str, float]:
        """What `python -m MODULE MODE URL SCALE` has found out and `tell`s."""
        client = self.python("-m", module, mode, self.url, str(scale))
        told: dict[str, float] = json.loads(client.line())
        client.stop()
        return told

    def _cpu(self, client: int, workers: Sequence[int]) -> Cpu:
        with self.redis() as connected:
            info = connected.info("cpu")
        server = float(info["used_cpu_user"]) + float(info["used_cpu_sys"])
        return Cpu(server, sum(process_cpu_s(pid) for pid in workers), process_cpu_s(client))

    def close(self) -> None:
        self._children.close()


@contextlib.contextmanager
def bench(binary: str | None = None, *, quick: bool = False) -> Iterator[Bench]:
    """A fresh server and what belongs to it."""
    with EmbeddedServer.start(binary, appendfsync="everysec") as server:
        console.print(f"{server.kind} {server.version}: {server.durability}", highlight=False)
        opened = Bench(server, quick=quick, binary=binary)
        try:
            yield opened
        finally:
            opened.close()


def process_cpu_s(pid: int) -> float:
    """CPU time of a running process so far, in seconds, all threads; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def process_memory_bytes(pid: int) -> float:
    """What a running process has in memory now; NaN where there is no /proc, or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/status").read_text().split("VmRSS:")
    except FileNotFoundError:
        return float("nan")
    return int(fields[1].split()[0]) * 1_024 if len(fields) > 1 else float("nan")


# ---------------------------------------------------------------- in the client's process


def begin() -> float:
    """Everything is prepared: wait until the harness has read the CPU times. Returns the time to give to `end`."""
    print("begin", flush=True)
    sys.stdin.readline()
    return time.perf_counter()


def end(began: float, count: int) -> None:
    """`count` items are done. Waits until the harness has read the CPU times."""
    print(json.dumps({"count": count, "seconds": time.perf_counter() - began}), flush=True)
    sys.stdin.read()


def tell(found: dict[str, float]) -> None:
    """The answer to `Bench.ask`. Waits until it has been read."""
    print(json.dumps(found), flush=True)
    sys.stdin.read()


# ---------------------------------------------------------------- the table

_HEADINGS = ("benchmark", "items", "seconds", "per second", "of base", "server", "workers", "client")


def table(measurements: Sequence[Measurement]) -> Table:
    """One row each. CPU is in µs per item: what is left of two cores' 2,000,000 µs a second is idle."""
    made = Table(*_HEADINGS, title="CPU in µs per item", title_justify="right")
    for column in made.columns[1:]:
        column.justify = "right"
    rates = {one.name: one.rate for one in measurements}
    for one in measurements:
        ratio = f"{one.rate / rates[one.base]:.2f}" if one.base in rates else ""
        cpu = (f"{1e6 * seconds / one.items:.1f}" for seconds in one.cpu)
        made.add_row(one.name, f"{one.items:,} {one.unit}", f"{one.seconds:.2f}", f"{one.rate:,.0f}", ratio, *cpu)
    return made


def figures(found: Sequence[Figure]) -> Table:
    """Latencies, memory, and whether cost stays flat."""
    made = Table("figure", "measured", "target", title="other figures", title_justify="right")
    made.columns[1].justify = "right"
    for one in found:
        made.add_row(one.name, f"{one.value:,.2f} {one.unit}".rstrip(), one.target)
    return made
