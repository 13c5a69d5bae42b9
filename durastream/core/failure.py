"""Exceptions as data: what is stored, sent and shown of them. Bounded in every direction, and always valid UTF-8."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Final

from durastream.core.events import Failure
from durastream.errors import NonRetryableError, RemoteError

TEXT_CHARS_MAX: Final = 8_192
"""Of a message, and of a stack: as much as a screen or two."""

FRAMES_MAX: Final = 50
LEVELS_MAX: Final = 10
"""Nesting of causes, those that came from elsewhere included; `limits.CAUSES_DEPTH_MAX` is what can be stored."""

CAUSES_WIDTH_MAX: Final = 10
"""Members of an exception group that are kept."""


def failure_of(error: BaseException, *, skip: int = 0) -> Failure:
    """What is kept of an exception: type name, message, stack, causes.

    `skip`: outermost frames that are the engine's own. Causes are what `raise … from` names, else what was being
    handled, and the members of an exception group; of a failed activity or sub-orchestration, what failed there.
    """
    return _failure(error, skip, LEVELS_MAX)


def _failure(error: BaseException, skip: int, depth: int) -> Failure:
    return Failure(
        type=type(error).__name__,
        message=_message(error),
        stack=_stack(error.__traceback__, skip),
        causes=_causes(error, depth - 1) if depth > 0 else (),
        non_retryable=isinstance(error, NonRetryableError),
    )


def _causes(error: BaseException, depth: int) -> tuple[Failure, ...]:
    if isinstance(error, RemoteError):
        return (_cut(error.failure, depth),)
    found: list[BaseException] = []
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None:
        found.append(cause)
    if isinstance(error, BaseExceptionGroup):
        found += error.exceptions[:CAUSES_WIDTH_MAX]
    return tuple(_failure(one, 0, depth) for one in found)


def _cut(failure: Failure, depth: int) -> Failure:
    if not failure.causes:
        return failure
    return failure._replace(causes=tuple(_cut(one, depth - 1) for one in failure.causes) if depth > 0 else ())


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as problem:  # user code runs here
        text = f"(its message cannot be shown: {type(problem).__name__})"
    return _clean(text[:TEXT_CHARS_MAX])


def _stack(frames: TracebackType | None, skip: int) -> str:
    while skip and frames is not None:
        frames, skip = frames.tb_next, skip - 1
    text = "".join(traceback.format_tb(frames, limit=-FRAMES_MAX))
    return _clean(text[-TEXT_CHARS_MAX:])  # the innermost frames say most


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
