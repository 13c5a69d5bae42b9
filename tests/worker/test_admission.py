"""Messages that must not create or open anything."""

from __future__ import annotations

import pytest

from durastream.core.events import Parent
from durastream.core.ids import partition_of
from durastream.core.messages import (
    EntityOperation,
    LockEntities,
    LockGranted,
    Message,
    RaiseEvent,
    Restart,
    Start,
    UnlockEntities,
)
from durastream.errors import InvalidId
from durastream.store.protocol import HubInfo
from durastream.worker import admission

HUB = HubInfo("h", 16, 1, 1, 0, 1)
GOOD = Start("one", "tok.0", "f", None, None, None, None, None, None, "error", False)
HOME = partition_of("one", 16)


def test_good_ones_pass() -> None:
    admission.check(GOOD, HOME, HUB)
    admission.check(GOOD._replace(parent=Parent("p", "x.4", 3)), HOME, HUB)
    admission.check(Restart("one", "tok.0", None), HOME, HUB)
    admission.check(RaiseEvent("anything\n", "e", None), 3, HUB)  # finds no instance


@pytest.mark.parametrize(
    "bad",
    [
        GOOD._replace(execution_id="tok"),
        GOOD._replace(execution_id="tok.x"),
        GOOD._replace(execution_id=".0"),
        GOOD._replace(execution_id="to\nk.0"),
        GOOD._replace(instance_id=""),
        GOOD._replace(instance_id="on\ne"),
        GOOD._replace(parent=Parent("p\n", "x.0", 0)),
        GOOD._replace(parent=Parent("p", "x\n.0", 0)),
        Restart("one", "nothing", None),
    ],
)
def test_bad_ones_are_refused(bad: Message) -> None:
    with pytest.raises(InvalidId):
        admission.check(bad, HOME, HUB)


def test_an_instance_of_another_partition_is_refused_with_where_it_lives() -> None:
    with pytest.raises(InvalidId, match=f"partition {HOME}"):
        admission.check(GOOD, (HOME + 1) % 16, HUB)


# ---------------------------------------------------------------- entities

A, B, C = "@Counter@a", "@Counter@b", "@Counter@c"
AT_A = partition_of(A, 16)
HOLDER = Parent("order-7", "tok.0", 3)
CALL = EntityOperation(A, "add", b"1", HOLDER, "order-7", None)
LOCK = LockEntities(A, (A, B, C), HOLDER)
UNLOCK = UnlockEntities(A, (B, C), HOLDER)
GRANTED = LockGranted("order-7", "tok.0", 3, (A, B))


@pytest.mark.parametrize(
    "good",
    [
        CALL,
        CALL._replace(caller=None, sender=None, due=5),
        CALL._replace(sender="@" + "n" * 256 + "@" + "k" * 256),
        LOCK,
        LockEntities(A, ("@Cou nter@a", A), HOLDER),  # in the order of texts, not of names
        LockEntities(A, tuple(sorted([A, *(f"@M@{k}" for k in range(99))])), HOLDER),
        UNLOCK,
        UNLOCK._replace(rest=()),
        GRANTED,
    ],
)
def test_sound_entity_messages_pass(good: Message) -> None:
    admission.check(good, AT_A, HUB)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (CALL._replace(entity="Counter"), "@name@key"),
        (CALL._replace(entity="@Counter"), "@name@key"),
        (CALL._replace(entity="x@Counter@a"), "@name@key"),
        (CALL._replace(entity="@@a"), "entity name"),
        (CALL._replace(entity="@Counter@"), "entity key"),
        (CALL._replace(entity="@Coun\nter@a"), "entity name"),
        (CALL._replace(entity="@Counter@a\x00"), "entity key"),
        (CALL._replace(entity="@Counter@" + "k" * 257), "entity key"),
        (CALL._replace(operation=""), "operation name"),
        (CALL._replace(operation="a\n"), "operation name"),
        (CALL._replace(sender=""), "sender"),
        (CALL._replace(sender="x" * 515), "sender"),
        (CALL._replace(caller=HOLDER._replace(instance_id="a\n")), "caller"),
        (CALL._replace(caller=HOLDER._replace(execution_id="tok")), "execution id"),
        (CALL._replace(caller=HOLDER._replace(execution_id="t\nk.0")), "control"),
        (CALL._replace(caller=HOLDER._replace(task=-1)), "event -1"),
        (LOCK._replace(entities=()), "0 entities"),
        (LOCK._replace(entities=(B, C)), "none of the entities"),
        (LOCK._replace(entities=(B, A)), "order"),
        (LOCK._replace(entities=(A, A)), "order"),
        (LOCK._replace(entities=(A, "junk")), "@name@key"),
        (LOCK._replace(entities=tuple(sorted([A, *(f"@M@{k}" for k in range(100))]))), "101 entities"),
        (LOCK._replace(holder=HOLDER._replace(instance_id="")), "holder"),
        (LOCK._replace(holder=HOLDER._replace(execution_id="t\n.0")), "control"),
        (LOCK._replace(holder=HOLDER._replace(task=-1)), "event -1"),
        (LOCK._replace(entity="@Counter"), "@name@key"),
        (UNLOCK._replace(rest=(A,)), "order"),
        (UNLOCK._replace(rest=(C, B)), "order"),
        (UNLOCK._replace(rest=("junk",)), "@name@key"),
        (UNLOCK._replace(holder=HOLDER._replace(execution_id="x")), "execution id"),
        (GRANTED._replace(entities=()), "0 entities"),
        (GRANTED._replace(entities=("junk",)), "@name@key"),
        (GRANTED._replace(execution_id="x"), "execution id"),
    ],
)
def test_forged_entity_messages_are_refused(bad: Message, said: str) -> None:
    with pytest.raises(InvalidId, match=said):
        admission.check(bad, AT_A, HUB)


@pytest.mark.parametrize("message", [CALL, LOCK, UNLOCK])
def test_an_entity_of_another_partition_is_refused_with_where_it_lives(message: Message) -> None:
    with pytest.raises(InvalidId, match=f"lives in partition {AT_A}"):
        admission.check(message, (AT_A + 1) % 16, HUB)
    admission.check(message, 0, HUB._replace(partitions=1))  # what is remembered is by number of partitions
