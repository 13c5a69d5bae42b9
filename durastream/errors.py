"""Every error a user can meet. All derive from `DurastreamError`; each message says what happened, where, and what to do."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durastream.core.events import Failure


class DurastreamError(Exception):
    """Base of all errors of this package."""


# ---- seen by callers of the client


class InstanceNotFound(DurastreamError):
    """No instance has this id in this hub."""


class EntityNotFound(DurastreamError):
    """No entity with this id has a state, a lock or a queue in this hub."""


class InstanceExists(DurastreamError):
    """An instance with this id exists already (start with if_exists="error")."""


class Conflict(DurastreamError):
    """The instance is not in a state that allows this (rewind of a running one, purge of a running one, …)."""


class PayloadError(DurastreamError):
    """A value cannot be stored: names the path inside the value and the rule it breaks."""


class PayloadTooLarge(PayloadError):
    """A payload is over the limit: names what it is, its size and the limit."""


class InvalidId(DurastreamError):
    """An instance or entity id, hub, activity, event or queue name breaks the rules; the message quotes the rule."""


class TimeoutError(DurastreamError, builtins.TimeoutError):  # noqa: A001 - the public name is ds.TimeoutError
    """A wait ended before what it waited for. Also raised inside orchestrators by waits with a timeout."""


class HubNotFound(DurastreamError):
    """No hub has this name on this server."""


class HubMismatch(DurastreamError):
    """The hub exists with other settings than the ones asked for."""


# ---- failures of user code, as data


class RemoteError(DurastreamError):
    """A failure that happened elsewhere. `type`, `message`, `stack` and `causes` come from there."""

    def __init__(self, what: str, failure: Failure) -> None:
        super().__init__(f"{what}: {failure.type}: {failure.message}")
        self.failure = failure

    @property
    def type(self) -> str:
        return self.failure.type

    @property
    def message(self) -> str:
        return self.failure.message

    @property
    def stack(self) -> str:
        return self.failure.stack

    @property
    def causes(self) -> tuple[Failure, ...]:
        return self.failure.causes


class OrchestrationFailed(RemoteError):
    """Raised by `handle.result()` for an instance that failed."""


class OrchestrationTerminated(OrchestrationFailed):
    """Raised by `handle.result()` for an instance that was terminated; `message` is the reason."""


class ActivityFailed(RemoteError):
    """An activity failed, after all its retries."""


class SubOrchestrationFailed(RemoteError):
    """A sub-orchestration failed or was terminated."""


class EntityFailed(RemoteError):
    """An entity operation failed."""


class NonRetryableError(DurastreamError):
    """Raise it (or a subclass) in an activity to fail without further retries."""


class ActivityCancelled(DurastreamError):
    """Raised by `ActivityContext.heartbeat()` when the instance no longer needs the result."""


class TaskCancelled(DurastreamError):
    """A durable task was cancelled by `Task.cancel()`."""


# ---- wrong code or wrong deployment


class OrchestratorError(DurastreamError):
    """An orchestrator did what orchestrators must not do (awaited a foreign awaitable, used a closed context, …)."""


class NonDeterminismError(DurastreamError):
    """The code does not fit the recorded history. Names the event number, what history says and what the code did."""


class NotRegistered(DurastreamError):
    """A name that this app does not have: lists the registered names and the closest one."""


# ---- store


class StoreError(DurastreamError):
    """Base of errors of the store layer."""


class StoreUnavailable(StoreError):
    """The server cannot be reached or cannot serve now. The command may or may not have taken effect; verbs can be repeated."""


class Fenced(StoreError):
    """Someone else owns the partition now: nothing of this command took effect."""


class Refused(StoreError):
    """The store's state is not what the caller believed (version, sequence or type): nothing took effect; load afresh."""


class ServerUnsuitable(StoreUnavailable):
    """The server cannot serve us as it stands: it is too old, or refuses our user. Waiting alone does not help."""


class AccessDenied(ServerUnsuitable):
    """The server's access rules keep something from our user; the message names it. Nothing of this call took effect."""


class WireError(DurastreamError):
    """Bytes that are no valid event or message."""
