"""A handle on one instance: the client's calls about it, without its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from durastream.client.views import InstanceStatus, failure_of
from durastream.core.events import Event

if TYPE_CHECKING:
    from durastream.client.client import Client
    from durastream.client.ending import Ending
    from durastream.notices import End

R = TypeVar("R")


class Handle(Generic[R]):
    """One instance, as `Client.start` and `Client.handle` give it. R is the orchestrator's result type.

    Cheap to keep, also by the hundred thousand: it has no task and no connection. The end of an instance that was
    started here is noted even before anybody waits, as long as the handle lives.
    """

    __slots__ = ("_client", "_ending", "_type")

    def __init__(self, client: Client, ending: Ending, result_type: Any) -> None:
        self._client = client
        self._ending = ending
        self._type = result_type

    def __repr__(self) -> str:
        return f"Handle({self.id!r})"

    @property
    def id(self) -> str:
        """The instance id."""
        return self._ending.instance_id

    @property
    def execution_id(self) -> str | None:
        """The last execution this client heard of; None where it has heard nothing yet."""
        return self._ending.execution_id

    async def result(self, timeout: float | None = None) -> R:
        """Wait until the instance has ended; its output, as the orchestrator's annotated return type.

        timeout: seconds. Raises OrchestrationFailed (type, message, stack, causes), OrchestrationTerminated,
        TimeoutError, InstanceNotFound; PayloadError where the output does not fit the type.
        """
        return self._outcome(await self._client._session.waits.wait(self._ending, timeout))

    async def wait(self, timeout: float | None = None) -> InstanceStatus:
        """Wait until the instance has ended, however it did; its status then. Raises TimeoutError, InstanceNotFound."""
        await self._client._session.waits.wait(self._ending, timeout)
        return await self.status()

    async def status(self) -> InstanceStatus:
        """See `Client.status`."""
        return await self._client.status(self.id)

    async def history(self) -> list[Event]:
        """See `Client.history`."""
        return await self._client.history(self.id)

    async def raise_event(self, name: str, data: Any = None, *, check: bool = True) -> None:
        """See `Client.raise_event`."""
        await self._client.raise_event(self.id, name, data, check=check)

    async def suspend(self, reason: str | None = None, *, check: bool = True) -> None:
        """See `Client.suspend`."""
        await self._client.suspend(self.id, reason, check=check)

    async def resume(self, reason: str | None = None, *, check: bool = True) -> None:
        """See `Client.resume`."""
        await self._client.resume(self.id, reason, check=check)

    async def terminate(self, reason: str | None = None, *, recursive: bool = True, check: bool = True) -> None:
        """See `Client.terminate`."""
        await self._client.terminate(self.id, reason, recursive=recursive, check=check)

    async def rewind(self, reason: str | None = None, *, timeout: float = 30.0) -> None:
        """See `Client.rewind`."""
        await self._client.rewind(self.id, reason, timeout=timeout)

    async def restart(self, *, timeout: float = 30.0) -> None:
        """See `Client.restart`."""
        await self._client.restart(self.id, timeout=timeout)

    async def purge(self, *, timeout: float = 30.0) -> None:
        """See `Client.purge`."""
        await self._client.purge(self.id, timeout=timeout)

    def _outcome(self, end: End) -> R:
        payloads = self._client._session.payloads
        if end.status != "Completed":
            raise failure_of(end, payloads)
        return cast(R, payloads.decode(end.output, self._type, "output"))
