"""Starting orchestrations, one or many, and waiting for many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from durastream.client.base import Base
from durastream.client.bulk import Bulk, paired
from durastream.client.handles import Handle
from durastream.client.options import StartOptions, Steps, anchored, template
from durastream.client.starts import is_created, meet_existing, send
from durastream.core.ids import check_instance_id
from durastream.errors import DurastreamError

if TYPE_CHECKING:
    from durastream.client.client import Client

I = TypeVar("I")  # noqa: E741 - input
R = TypeVar("R")


class Starting(Base):
    @overload
    async def start(
        self, orchestrator: str, input: Any = None, *, instance_id: str | None = None, **options: Unpack[StartOptions]
    ) -> Handle[Any]: ...
    @overload
    async def start(
        self,
        orchestrator: Callable[[Any], Steps[R]],
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Handle[R]: ...
    @overload
    async def start(
        self,
        orchestrator: Callable[[Any, I], Steps[R]],
        input: I,
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Handle[R]: ...
    async def start(
        self,
        orchestrator: Callable[..., Steps[Any]] | str,
        input: Any = None,
        *,
        instance_id: str | None = None,
        **options: Unpack[StartOptions],
    ) -> Handle[Any]:
        """Start an orchestration, by function or by name; it is stored for good when this returns.

        instance_id: 1 to 256 bytes of UTF-8 without control characters; random if left out. Other options:
        `StartOptions`. Raises InstanceExists, InvalidId, PayloadError, PayloadTooLarge; StoreUnavailable when its fate
        is unknown: a second start with the same instance id and if_exists="ignore" settles it.

            handle = await client.start(place_order, order, instance_id="order-7")
            receipt = await handle.result(timeout=60)
        """
        session = self._session
        made = template(orchestrator, await anchored(options, session.store))
        sent = send(session, made, instance_id, session.payloads.encode(input, "input"))
        try:
            if not await is_created(sent):
                await meet_existing(session, made, sent)
        except BaseException:
            session.waits.nothing_stale(sent.ending)
            raise
        return Handle(cast("Client", self), sent.ending, made.result_type)

    @overload
    async def start_many(
        self,
        orchestrator: str,
        inputs: Iterable[Any],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> list[Handle[Any]]: ...
    @overload
    async def start_many(
        self,
        orchestrator: Callable[[Any, I], Steps[R]],
        inputs: Iterable[I],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> list[Handle[R]]: ...
    async def start_many(
        self,
        orchestrator: Callable[..., Steps[Any]] | str,
        inputs: Iterable[Any],
        *,
        instance_ids: Sequence[str] | None = None,
        **options: Unpack[StartOptions],
    ) -> list[Handle[Any]]:
        """Start one instance for each input, in few round trips however many; handles come in the order of the inputs.

        Not atomic: when it raises, some may have been started. InstanceExists is raised after all others were started.
        """
        made = template(orchestrator, await anchored(options, self._session.store))
        endings = await Bulk(self._session, made).start(paired(inputs, instance_ids))
        return [Handle(cast("Client", self), ending, made.result_type) for ending in endings]

    async def wait_all(self, handles: Sequence[Handle[R]], timeout: float | None = None) -> list[R]:
        """Wait until all have ended; their results in the order of the handles.

        timeout: seconds, for all together. Raises the first failure in that order, once all have ended or time is up.
        """
        ends = await self._session.waits.wait_all([handle._ending for handle in handles], timeout)
        for end in ends:
            if isinstance(end, DurastreamError):
                raise end
        return [handle._outcome(cast(Any, end)) for handle, end in zip(handles, ends, strict=True)]

    @overload
    def handle(self, instance_id: str) -> Handle[Any]: ...
    @overload
    def handle(self, instance_id: str, *, type: type[R]) -> Handle[R]: ...
    def handle(self, instance_id: str, *, type: Any = None) -> Handle[Any]:
        """A handle on any instance, which need not exist. `type`: what `result` decodes the output to."""
        check_instance_id(instance_id)
        return Handle(cast("Client", self), self._session.waits.ending(instance_id), type)
