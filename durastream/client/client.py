"""The client: starts orchestrations, waits for them, looks at them and controls them; signals and reads entities."""

from __future__ import annotations

from durastream.client.asking import Asking
from durastream.client.controls import Controls
from durastream.client.entities import Entities
from durastream.client.looking import Looking
from durastream.client.starting import Starting


class Client(Starting, Controls, Looking, Entities, Asking):
    """A connection to one hub, to be used inside `async with`, by any number of tasks of one event loop.

    What a call acknowledges by returning is stored, and is not lost or doubled by any failure of this process, of
    workers or of the connection: calls go on through short outages (`retry_for_s`), and repeat themselves without a
    second effect.

        async with Client("redis://localhost:6379", hub="default") as client:
            handle = await client.start(place_order, order, instance_id="order-7")
            receipt_id = await handle.result(timeout=60)
    """
