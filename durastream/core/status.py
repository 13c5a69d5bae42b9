"""Runtime status words of an instance, and which of them are final."""

from __future__ import annotations

from typing import Literal, TypeAlias

Status: TypeAlias = Literal["Pending", "Running", "Completed", "Failed", "Terminated", "Suspended"]

PENDING: Status = "Pending"
RUNNING: Status = "Running"
COMPLETED: Status = "Completed"
FAILED: Status = "Failed"
TERMINATED: Status = "Terminated"
SUSPENDED: Status = "Suspended"

ALL: tuple[Status, ...] = (PENDING, RUNNING, COMPLETED, FAILED, TERMINATED, SUSPENDED)
TERMINAL: frozenset[Status] = frozenset((COMPLETED, FAILED, TERMINATED))
