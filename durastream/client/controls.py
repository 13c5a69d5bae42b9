"""What operators do to instances. All of it travels as messages to the partition's owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from durastream import errors
from durastream.client.base import Base
from durastream.client.ending import token_of
from durastream.client.session import Session
from durastream.core.ids import check_instance_id, check_name, check_reason
from durastream.core.messages import Message, Purge, RaiseEvent, Restart, Resume, Rewind, Suspend, Terminate
from durastream.core.status import ALL, FAILED, TERMINAL, Status
from durastream.errors import Conflict, InstanceNotFound
from durastream.notices import Ack
from durastream.store.protocol import Record

ACK_TIMEOUT_S: Final = 30.0
_LOOK_S: Final = 5.0  # an acknowledgement can be lost: look at the record this often

_LIVE: Final = frozenset(ALL) - TERMINAL


class _Change(NamedTuple):
    """A change that is acknowledged. `done(before, now, token)` tells from the record that it has happened."""

    verb: str
    needs: frozenset[Status]
    done: Callable[[Record, Record | None, str], bool]


_REWIND: Final = _Change(
    "rewind", frozenset((FAILED,)), lambda before, now, _: now is not None and now.revision != before.revision
)
_RESTART: Final = _Change(
    "restart", TERMINAL, lambda _, now, token: now is not None and token_of(now.execution_id) == token
)
_PURGE: Final = _Change(
    "purge", TERMINAL, lambda before, now, _: now is None or now.execution_id != before.execution_id
)


class Controls(Base):
    async def raise_event(self, instance_id: str, name: str, data: Any = None, *, check: bool = True) -> None:
        """Raise an external event for an instance; stored for good when this returns, and kept until it is waited for.

        check=False leaves out the look at the instance (one round trip): an event for one that does not exist or has
        ended is then dropped without a word. Raises InstanceNotFound, Conflict, InvalidId, PayloadError,
        StoreUnavailable.
        """
        check_name(name, "event")
        message = RaiseEvent(instance_id, name, self._session.payloads.encode(data, "data"))
        await self._tell("raise an event for", message, check)

    async def suspend(self, instance_id: str, reason: str | None = None, *, check: bool = True) -> None:
        """Pause an instance: it takes in events and results, but runs no code until resumed. See `raise_event`.

        reason: at most 8,192 bytes of UTF-8, kept in the history; InvalidId for another.
        """
        await self._tell("suspend", Suspend(instance_id, check_reason(reason)), check)

    async def resume(self, instance_id: str, reason: str | None = None, *, check: bool = True) -> None:
        """Let a suspended instance go on. Otherwise like `raise_event`."""
        await self._tell("resume", Resume(instance_id, check_reason(reason)), check)

    async def terminate(
        self, instance_id: str, reason: str | None = None, *, recursive: bool = True, check: bool = True
    ) -> None:
        """End an instance without running any more of its code; with `recursive` its sub-orchestrations too.

        Returns when the order is stored for good, not when it has been carried out: `handle.wait()` waits for that.
        Otherwise like `raise_event`.
        """
        await self._tell("terminate", Terminate(instance_id, check_reason(reason), recursive, None), check)

    async def rewind(self, instance_id: str, reason: str | None = None, *, timeout: float = ACK_TIMEOUT_S) -> None:
        """Run again what failed in a failed instance, keeping what has been done. Returns when a worker has done so.

        timeout: seconds to wait for that; TimeoutError means that the order is queued and may still be carried out.
        Raises InstanceNotFound; Conflict for an instance that is not Failed, or cannot be rewound.
        """
        check_reason(reason)
        await self._change(_REWIND, instance_id, lambda ack, _: Rewind(instance_id, reason, ack, None), timeout)

    async def restart(self, instance_id: str, *, timeout: float = ACK_TIMEOUT_S) -> None:
        """Run an ended instance again from the beginning, with the same input. Its history is lost. See `rewind`."""
        before, token = await self._change(
            _RESTART, instance_id, lambda ack, token: Restart(instance_id, f"{token}.0", ack), timeout
        )
        ending = self._session.waits.ending(instance_id)
        ending.put_aside(before.execution_id)
        ending.execution_id = f"{token}.0"

    async def purge(self, instance_id: str, *, timeout: float = ACK_TIMEOUT_S) -> None:
        """Delete an ended instance with its history. See `rewind`."""
        await self._change(_PURGE, instance_id, lambda ack, _: Purge(instance_id, ack), timeout)

    async def _tell(self, verb: str, message: RaiseEvent | Suspend | Resume | Terminate, check: bool) -> None:
        check_instance_id(message.instance_id)
        if check:
            _require(await self._session.record(message.instance_id), verb, _LIVE)
        await self._session.post(message)

    async def _change(
        self, change: _Change, instance_id: str, make: Callable[[str, str], Message], timeout: float
    ) -> tuple[Record, str]:
        """Order the change and wait for it. Returns the record before, and the token that `make` was given."""
        check_instance_id(instance_id)
        session, deadline = self._session, asyncio.get_running_loop().time() + timeout
        before = await session.record(instance_id)
        _require(before, change.verb, change.needs)
        token = session.token()
        try:
            acknowledged = session.waits.expect(token)
            await session.post(make(f"{session.waits.channel} {token}", token))
            while not await _seen(session, change, before, token, acknowledged, deadline):
                if asyncio.get_running_loop().time() >= deadline:
                    raise errors.TimeoutError(_not_yet(change.verb, instance_id, timeout))
        finally:
            session.waits.forget(token)
        session.waits.ending(instance_id).put_aside(None)
        return before, token


async def _seen(
    session: Session, change: _Change, before: Record, token: str, acknowledged: asyncio.Future[Ack], deadline: float
) -> bool:
    """Wait a while; whether the change has been acknowledged by then, or has happened. Raises Conflict when refused."""
    left_s = deadline - asyncio.get_running_loop().time()
    await asyncio.wait((acknowledged,), timeout=max(0.0, min(left_s, _LOOK_S)))
    if not acknowledged.done():
        now = await session.find(before.instance_id)
        return change.done(before, now, token)
    ack = acknowledged.result()
    if ack.ok:
        return True
    if await session.find(before.instance_id) is None:
        raise InstanceNotFound(f"instance {before.instance_id!r} is gone: it was purged meanwhile")
    raise Conflict(ack.text or f"instance {before.instance_id!r}: {change.verb} was refused")


def _require(record: Record, verb: str, needs: frozenset[Status]) -> None:
    if record.status not in needs:
        wanted = " or ".join(status for status in ALL if status in needs)
        raise Conflict(f"cannot {verb} instance {record.instance_id!r}: it is {record.status}, not {wanted}")


def _not_yet(verb: str, instance_id: str, timeout: float) -> str:
    return (
        f"{verb} of instance {instance_id!r} is queued, but no worker has carried it out within {timeout:g} s. "
        f"It will be as soon as one owns the partition: is a worker running? (`durastream workers`)"
    )
