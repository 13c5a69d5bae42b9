"""Exit codes, in one table from the exception classes. Part of the public face: scripts rely on them."""

from __future__ import annotations

from durastream import errors
from durastream.inspect.filter_tokens import FilterError
from durastream.store.connect import BadUrl

OK = 0
FAILED = 1
USAGE = 2
NOT_FOUND = 3
CONFLICT = 4
UNREACHABLE = 5
TIMED_OUT = 6
UNCHECKED = 7


class UsageError(errors.DurastreamError):
    """A flag or argument that cannot be used as given; the message says what would do."""


class CouldNotCheck(errors.DurastreamError):
    """A check was broken off: it tells nothing of what it was to look at."""


EXIT_CODES: dict[type[BaseException], int] = {
    errors.DurastreamError: FAILED,
    errors.OrchestrationFailed: FAILED,
    errors.InvalidId: USAGE,
    errors.PayloadError: USAGE,
    errors.NotRegistered: USAGE,
    UsageError: USAGE,
    BadUrl: USAGE,
    FilterError: USAGE,
    errors.InstanceNotFound: NOT_FOUND,
    errors.EntityNotFound: NOT_FOUND,
    errors.HubNotFound: NOT_FOUND,
    errors.InstanceExists: CONFLICT,
    errors.Conflict: CONFLICT,
    errors.HubMismatch: CONFLICT,
    errors.StoreUnavailable: UNREACHABLE,
    errors.ServerUnsuitable: UNREACHABLE,
    errors.TimeoutError: TIMED_OUT,
    CouldNotCheck: UNCHECKED,
}


def exit_code(error: BaseException) -> int:
    """Code of the closest class in the table; 1 for anything else."""
    return next((EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES), FAILED)
