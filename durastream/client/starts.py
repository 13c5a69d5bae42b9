"""One start on its way: sending it, and what to do when the id is taken."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from durastream.client.ending import Ending
from durastream.client.options import Identity, Template, new_instance, start_message
from durastream.client.session import Session
from durastream.core.events import Json
from durastream.core.ids import check_instance_id
from durastream.errors import InstanceExists
from durastream.store.protocol import Started


class Sent(NamedTuple):
    ending: Ending
    who: Identity
    data: Json | None
    answer: asyncio.Future[Started]


def send(session: Session, made: Template, instance_id: str | None, data: Json | None, hold: int = 0) -> Sent:
    """Queue the start. Its ending is known from now on: it may come before the answer to the start."""
    waits, (invented, token) = session.waits, session.names()
    if instance_id is not None:
        check_instance_id(instance_id)
    who = Identity(instance_id or invented, token + ".0", waits.channel)
    new = new_instance(made, who, data)
    answer = session.starts[session.partition(who.instance_id)].put(new, len(new.message), hold)
    if instance_id is None:
        ending = waits.begin(invented, who.execution_id)
    else:
        ending = waits.ending(instance_id)
        ending.put_aside(ending.execution_id)
    ending.covered = waits.cover()
    return Sent(ending, who, data, answer)


async def is_created(sent: Sent) -> bool:
    """Wait for the answer. False: the id was taken."""
    started = await sent.answer
    if started.created:
        sent.ending.execution_id = sent.who.execution_id
    return started.created


async def meet_existing(session: Session, made: Template, sent: Sent) -> None:
    """The id was taken: do what `if_exists` says."""
    ending, started = sent.ending, sent.answer.result()
    ending.execution_id = started.execution_id
    if made.if_exists == "replace":
        ending.put_aside(started.execution_id)
        ending.covered = session.waits.cover()
        await session.post(start_message(made, sent.who, sent.data, created=False))
        ending.execution_id = sent.who.execution_id
        return
    session.waits.nothing_stale(ending)
    if made.if_exists == "error":
        raise InstanceExists(
            f"instance {started.instance_id!r} exists already and is {started.status}: choose another id, purge it, "
            f'or say if_exists="ignore" or "replace"'
        )
