from __future__ import annotations

import pytest

from durastream import errors
from durastream.cli.exits import CouldNotCheck, UsageError, exit_code
from durastream.core.events import Failure
from durastream.store.connect import BadUrl


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.OrchestrationFailed("x", Failure("T", "m")), 1),
        (errors.OrchestrationTerminated("x", Failure("T", "m")), 1),
        (UsageError("x"), 2),
        (BadUrl("x"), 2),
        (errors.PayloadTooLarge("x"), 2),
        (errors.InvalidId("x"), 2),
        (errors.InstanceNotFound("x"), 3),
        (errors.HubNotFound("x"), 3),
        (errors.InstanceExists("x"), 4),
        (errors.Conflict("x"), 4),
        (errors.StoreUnavailable("x"), 5),
        (errors.TimeoutError("x"), 6),
        (CouldNotCheck("x"), 7),
        (RuntimeError("x"), 1),
    ],
)
def test_code_is_that_of_the_closest_class(error: Exception, code: int) -> None:
    assert exit_code(error) == code
