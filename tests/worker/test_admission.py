"""Messages that must not create or open anything."""

from __future__ import annotations

import pytest

from durastream.core.events import Parent
from durastream.core.ids import partition_of
from durastream.core.messages import Message, RaiseEvent, Restart, Start
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
