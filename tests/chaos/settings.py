"""What a run is to be, and how to say so again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """`seconds`: of phase 1. Empty `nemeses` and `workloads` mean all that fit. `server`: path of a binary."""

    seconds: float
    seed: int
    deployment: str
    server: str
    kind: str  # of server, as it is asked for: "redis" or "valkey"
    workers: int = 3
    nemeses: tuple[str, ...] = ()
    workloads: tuple[str, ...] = ()
    mutant: str = ""  # deliberate damage to the engine: the run must end red
    stall_s: float = 40.0  # L1 is B = 8 s on a machine that has nothing else to do; this is for any
    keep: Path | None = None  # where logs stay; else only those of a run that is not green, in a temporary directory

    @property
    def command(self) -> str:
        """That repeats the run."""
        words = ["python", "-m", "tests.chaos", "--seconds", f"{self.seconds:g}", "--seed", str(self.seed)]
        words += ["--deployment", self.deployment, "--server", self.kind, "--workers", str(self.workers)]
        for flag, chosen in (("--nemeses", self.nemeses), ("--workloads", self.workloads)):
            words += [flag, ",".join(chosen)] if chosen else []
        return shlex.join([*words, "--mutant", self.mutant] if self.mutant else words)
