"""How an orchestration is to be started: what the arguments of `start` mean, checked, and the record they make."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict, TypeVar, get_args

import orjson

from durastream.client.views import from_ms, to_ms
from durastream.core.definitions import OrchestratorDefinition, definition_of
from durastream.core.events import Json
from durastream.core.ids import check_name, check_tags, check_version
from durastream.core.messages import Start
from durastream.store.protocol import ClientStore, NewInstance
from durastream.wire import pack_message

R = TypeVar("R")

Steps: TypeAlias = Coroutine[Any, Any, R] | Generator[Any, Any, R]
"""What an orchestrator returns when it is called: `async def` or a generator function, with the result type R."""

IfExists: TypeAlias = Literal["error", "ignore", "replace"]
Moment: TypeAlias = datetime | timedelta | float


class StartOptions(TypedDict, total=False):
    """Keyword arguments of `start` and `start_many`; None is the same as left out.

    `start_at`: when to start; a datetime (naive = UTC), or a timedelta or seconds from now.
    `tags`: names and values, at most 256 bytes each. `version`: kept with the instance and shown to the orchestrator; 1 to 256
    bytes without control characters.
    `if_exists`: what to do when the id is taken: "error" raises InstanceExists, "ignore" gives a handle of the instance
    there is, "replace" ends that one and starts anew in its place.
    """

    start_at: Moment | None
    tags: Mapping[str, str] | None
    version: str | None
    if_exists: IfExists


class Template(NamedTuple):
    """What all instances of one call of `start_many` have in common."""

    name: str
    result_type: Any
    version: str | None
    tags: Json | None
    start_at: int | None  # ms
    if_exists: IfExists


def template(orchestrator: Callable[..., Any] | str, options: StartOptions) -> Template:
    """Check the arguments of `start`. Raises InvalidId, ValueError, TypeError."""
    name, result_type, version = described(orchestrator)
    if not options:
        return Template(name, result_type, version, None, None, "error")
    unknown = options.keys() - StartOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"start() has no option {min(unknown)!r}; known: {', '.join(StartOptions.__annotations__)}")
    if_exists, start_at = options.get("if_exists") or "error", options.get("start_at")
    if if_exists not in _IF_EXISTS:
        raise ValueError(f"if_exists={if_exists!r}: one of {', '.join(_IF_EXISTS)}")
    if if_exists == "replace" and start_at is not None:
        raise ValueError('if_exists="replace" starts at once: it cannot be combined with start_at')
    if start_at is not None and not isinstance(start_at, datetime):
        raise TypeError("a relative start_at is made absolute by `anchored` first")
    at = None if start_at is None else to_ms(start_at)
    version = check_version(options.get("version") or version)
    return Template(name, result_type, version, _tags_json(options.get("tags")), at, if_exists)


_IF_EXISTS: Final = get_args(IfExists)


def described(orchestrator: Callable[..., Any] | str) -> tuple[str, Any, str | None]:
    """Name, result type (None: untyped) and version of an orchestrator. A name alone tells no type and no version."""
    if isinstance(orchestrator, str):
        return check_name(orchestrator, "orchestrator"), None, None
    definition = definition_of(orchestrator, OrchestratorDefinition)
    return definition.name, definition.return_type, definition.version


async def anchored(options: StartOptions, store: ClientStore) -> StartOptions:
    """The same options, with a relative `start_at` counted from the server's time."""
    start_at = options.get("start_at")
    if start_at is None or isinstance(start_at, datetime):
        return options
    delay = start_at if isinstance(start_at, timedelta) else timedelta(seconds=start_at)
    return {**options, "start_at": from_ms(await store.now()) + delay}


def _tags_json(tags: Mapping[str, str] | None) -> Json | None:
    if not tags:
        return None
    check_tags(tags, 0)
    data = orjson.dumps(dict(tags))
    check_tags(tags, len(data))
    return data


class Identity(NamedTuple):
    """The names of a new instance."""

    instance_id: str
    execution_id: str
    notify: str


def start_message(made: Template, who: Identity, data: Json | None, *, created: bool) -> Start:
    instance_id, execution_id, notify = who
    return Start(
        instance_id, execution_id, made.name, made.version, data, None, made.tags, notify, None, made.if_exists, created
    )


def new_instance(made: Template, who: Identity, data: Json | None) -> NewInstance:
    instance_id, execution_id, notify = who
    blob = pack_message(start_message(made, who, data, created=True))
    return NewInstance(
        instance_id, execution_id, made.name, made.version, data, made.tags, made.start_at, notify, None, blob
    )
