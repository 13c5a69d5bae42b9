"""commit: everything of a batch of turns, once, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from durastream.core.ids import partition_of
from durastream.core.status import ALL, COMPLETED, FAILED, PENDING, RUNNING, TERMINATED
from durastream.errors import Fenced, Refused
from durastream.store.protocol import Commit, InstanceChange, Outbound, WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import AT, STRANGE_IDS, Owner, blobs, change, creation, ids_in, inbox, new, own

pytestmark = pytest.mark.anyio

I1, I2, I3 = ids_in(0, 3)


async def history(store: WorkerStore, instance_id: str) -> list[bytes]:
    return await store.history(instance_id, 0, 1_000)


# ---------------------------------------------------------------- what it does


async def test_a_turn_of_a_started_instance(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    before = await owner.record(I1)
    await owner.commit(change(before, RUNNING, (b"e0", b"e1"), updated_at=AT, custom_status=b'"half"'))
    after = await owner.record(I1)
    assert after == before._replace(status=RUNNING, revision=1, events=2, updated_at=AT, custom_status=b'"half"')
    assert await history(owner.store, I1) == [b"e0", b"e1"]


async def test_events_are_appended(owner: Owner) -> None:
    await owner.commit(creation(I1))
    await owner.commit(change(await owner.record(I1), events=(b"event 1", b"event 2")))
    await owner.commit(change(await owner.record(I1), events=(b"event 3",)))
    assert await history(owner.store, I1) == [b"event 0", b"event 1", b"event 2", b"event 3"]
    record = await owner.record(I1)
    assert (record.revision, record.events) == (2, 4)


async def test_a_commit_may_create_a_record(owner: Owner) -> None:
    await owner.commit(creation(I1, parent="p\ne\n3"))
    record = await owner.record(I1)
    assert (record.revision, record.events, record.status, record.created_at) == (0, 1, RUNNING, AT)
    assert (record.name, record.parent, record.input) == ("order", "p\ne\n3", None)


async def test_every_field_is_kept_in_its_type(owner: Owner) -> None:
    fields: dict[str, Any] = {
        "completed_at": 5, "start_at": 6, "version": "v", "input": b"1", "output": b'"\xc3\xa4"', "failure": b"{}",
        "custom_status": b"null", "tags": b'{"a":"b"}', "parent": "p\ne\n0", "notify": "c", "reply": "r",
        "problem": b"[]",
    }  # fmt: skip
    await owner.commit(creation(I1, **fields))
    assert {name: getattr(await owner.record(I1), name) for name in fields} == fields


async def test_a_field_of_none_is_deleted(owner: Owner) -> None:
    await owner.commit(creation(I1, output=b"1", problem=b"{}", reply="list"))
    await owner.commit(change(await owner.record(I1), problem=None, reply=None, failure=None))
    record = await owner.record(I1)
    assert (record.output, record.problem, record.reply, record.failure) == (b"1", None, None, None)


async def test_a_turn_without_events_still_counts(owner: Owner) -> None:
    await owner.commit(creation(I1))
    await owner.commit(change(await owner.record(I1), custom_status=b"1"))
    record = await owner.record(I1)
    assert (record.revision, record.events) == (1, 1)


async def test_a_turn_without_events_leaves_the_length_of_the_history(owner: Owner) -> None:
    (instance_id,) = ids_in(0)
    await owner.commit(creation(instance_id))
    silent = replace(change(await owner.record(instance_id)), first_event=7)
    await owner.commit(silent)
    assert (await owner.record(instance_id)).events == 1
    await owner.commit(change(await owner.record(instance_id), None, (b"event 1",)))
    assert await history(owner.store, instance_id) == [b"event 0", b"event 1"]


async def test_history_may_be_replaced(owner: Owner) -> None:
    await owner.commit(creation(I1))
    await owner.commit(change(await owner.record(I1), events=(b"old 1", b"old 2")))
    fresh = replace(change(await owner.record(I1), events=(b"new 0",)), first_event=0, replace_history=True)
    await owner.commit(fresh)
    record = await owner.record(I1)
    assert await history(owner.store, I1) == [b"new 0"]
    assert (record.revision, record.events) == (2, 1)
    await owner.commit(change(record, events=(b"new 1",)))
    assert await history(owner.store, I1) == [b"new 0", b"new 1"]


async def test_events_may_be_overwritten(owner: Owner) -> None:
    await owner.commit(creation(I1))
    await owner.commit(change(await owner.record(I1), FAILED, (b"one", b"two")))
    rewound = replace(change(await owner.record(I1), RUNNING, (b"three",)), overwrite={1: b"rewound"})
    await owner.commit(rewound)
    assert await history(owner.store, I1) == [b"event 0", b"rewound", b"two", b"three"]
    assert (await owner.record(I1)).events == 4


async def test_the_index_follows_the_status(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    for status in (RUNNING, RUNNING, COMPLETED):
        await owner.commit(change(await owner.record(I1), status))
        assert await owner.store.counts() == {one: int(one == status) for one in ALL}
        for one in ALL:
            page = await owner.store.page([one], cursor=None, limit=5)
            assert [record.instance_id for record in page.records] == ([I1] if one == status else [])


async def test_messages_and_activities_are_appended_in_order(owner: Owner) -> None:
    await owner.commit(inbox=[b"a", b"b"], activities=[("default", b"1"), ("gpu", b"2"), ("default", b"3")])
    await owner.commit(inbox=[b"c"])
    assert await owner.inbox() == [b"a", b"b", b"c"]
    found = await owner.store.claim_activities("w", ["default"], 9, 0)
    assert blobs(found) == [b"1", b"3"]
    assert [(one.partition, one.queue, one.died) for one in found] == [(0, "default", ())] * 2
    assert sorted(await owner.store.queues(0)) == ["default", "gpu"]
    assert await owner.store.queues(1) == []


async def test_entries_it_appended_have_no_time_of_creation(owner: Owner) -> None:
    await owner.commit(inbox=[b"a"])
    assert [one.created_at for _, entries in await owner.store.read_inboxes({0: "0"}, 9, 0) for one in entries] == [0]


async def test_consuming_what_is_gone_is_no_error(owner: Owner) -> None:
    await owner.commit(inbox=[b"a", b"b"])
    ((_, entries),) = await owner.store.read_inboxes({0: "0"}, 9, 0)
    await owner.commit(consumed=[entries[0].entry_id])
    await owner.commit(consumed=[one.entry_id for one in entries])
    assert await owner.inbox() == []


async def test_outbox_entries_are_numbered_within_the_lease(owner: Owner) -> None:
    epoch = owner.lease.epoch
    await owner.commit(outbox=[(1, b"a"), ("dead", b"b")])
    await owner.commit(outbox=[("reply", b"c")])
    assert await owner.store.outbox(owner.lease, (0, 0), 10) == [
        Outbound((epoch, 1), 1, b"a"),
        Outbound((epoch, 2), "dead", b"b"),
        Outbound((epoch, 3), "reply", b"c"),
    ]


async def test_parked_instances_are_listed_with_their_reason(owner: Owner) -> None:
    await owner.commit(parked={I1: b'{"kind":"a"}', I2: b'{"kind":"b"}'})
    assert await owner.store.parked(0) == {I1: b'{"kind":"a"}', I2: b'{"kind":"b"}'}
    await owner.commit(parked={I1: None, I2: b"{}", I3: None})
    assert await owner.store.parked(0) == {I2: b"{}"}
    assert await owner.store.parked(1) == {}


async def test_a_purge_leaves_nothing(rig: Rig, owner: Owner) -> None:
    await owner.commit(creation(I2))  # whatever the store makes with its first instance is there from now on
    before = await rig.snapshot()
    await owner.store.start(0, [new(I1)])
    await owner.store.watch(0, "channel", [I1])
    ((_, entries),) = await owner.store.read_inboxes({0: "0"}, 9, 0)
    await owner.commit(
        change(await owner.record(I1), TERMINATED, (b"e0", b"e1")), consumed=[entries[0].entry_id], parked={I1: b"{}"}
    )
    await owner.commit(purged=[(I1, TERMINATED)], parked={I1: None})
    assert await owner.store.records([I1]) == [None]
    assert await history(owner.store, I1) == []
    assert (await owner.store.counts())[TERMINATED] == 0
    assert I1 not in repr(await rig.snapshot())
    assert set(await rig.snapshot()) <= {*before, "ds:{default:0}:inbox"}  # an emptied stream keeps its last id
    assert (await owner.store.start(0, [new(I1, "again.0")]))[0].created


async def test_all_effects_of_one_commit(owner: Owner) -> None:
    await owner.store.start(0, [new(I1)])
    ((_, entries),) = await owner.store.read_inboxes({0: "0"}, 9, 0)
    await owner.commit(
        change(await owner.record(I1), RUNNING, (b"e0",)),
        creation(I2),
        consumed=[entries[0].entry_id],
        timers_add=[(AT, "t1"), (AT + 1, "t2")],
        activities=[("default", b"act")],
        inbox=[b"msg"],
        outbox=[(3, b"out")],
        parked={I2: b"{}"},
    )
    store, lease = owner.store, owner.lease
    assert [one and one.status for one in await store.records([I1, I2])] == [RUNNING, RUNNING]
    assert await owner.inbox() == [b"msg"]
    assert (await store.due(lease, 9))[0] == ["t1", "t2"]
    assert [one.blob for one in await store.outbox(lease, (0, 0), 9)] == [b"out"]
    assert blobs(await store.claim_activities("w", ["default"], 9, 0)) == [b"act"]
    assert await store.parked(0) == {I2: b"{}"}


async def test_a_large_commit(owner: Owner) -> None:
    ids = ids_in(0, 400)
    await owner.commit(
        *(creation(one) for one in ids),
        inbox=[b"m"] * 2_000,
        timers_add=[(AT + k, f"t{k}") for k in range(2_000)],
        activities=[("default", b"a")] * 2_000,
        outbox=[(1, b"o")] * 2_000,
    )
    info = (await owner.store.leases())[0]
    assert (info.backlog, info.timers, info.outbox, info.activities) == (2_000,) * 4
    assert (await owner.store.counts())[RUNNING] == 400
    await owner.commit(
        timers_remove=[f"t{k}" for k in range(2_000)], purged=[(one, RUNNING) for one in ids],
        consumed=[one.entry_id for _, entries in await owner.store.read_inboxes({0: "0"}, 2_000, 0) for one in entries],
    )  # fmt: skip
    info = (await owner.store.leases())[0]
    assert (info.backlog, info.timers) == (0, 0)
    assert (await owner.store.counts())[RUNNING] == 0


async def test_a_long_history_in_one_turn(owner: Owner) -> None:
    events = [b"%d" % k for k in range(5_000)]
    await owner.commit(replace(creation(I1), events=events))
    (loaded,) = await owner.store.load(owner.lease, [I1])
    assert loaded is not None
    assert loaded[0].events == 5_000
    assert loaded[1] == events


@pytest.mark.parametrize("instance_id", STRANGE_IDS)
async def test_strange_ids(rig: Rig, instance_id: str) -> None:
    store = await rig.open()
    owner = await own(store, partition_of(instance_id, PARTITIONS))
    await owner.commit(creation(instance_id), parked={instance_id: b"{}"})
    await owner.commit(change(await owner.record(instance_id), COMPLETED, (b"event 1",)))
    assert await history(store, instance_id) == [b"event 0", b"event 1"]
    assert await store.parked(owner.lease.partition) == {instance_id: b"{}"}
    await owner.commit(purged=[(instance_id, COMPLETED)], parked={instance_id: None})
    assert await store.records([instance_id]) == [None]
    assert instance_id not in (await store.parked(owner.lease.partition))
    assert not any((await store.counts()).values())


@pytest.mark.parametrize("text", STRANGE_IDS)
async def test_strange_queues_and_timers(rig: Rig, text: str) -> None:
    store = await rig.open()
    owner = await own(store, 0)
    member = f"T\n0\n{text}"
    await owner.commit(activities=[(text, b"x")], timers_add=[(1, member)])
    (claimed,) = await store.claim_activities("w", [text], 1, 0)
    assert (claimed.queue, claimed.blob) == (text, b"x")
    assert await store.queues(0) == [text]
    assert await store.due(owner.lease, 5) == ([member], None)


# ---------------------------------------------------------------- once


async def test_a_repeated_commit_does_nothing(rig: Rig, owner: Owner) -> None:
    commit = Commit(
        [creation(I1)], inbox=[b"m"], activities=[("default", b"a")], outbox=[(1, b"o")], timers_add=[(1, "t")]
    )
    await owner.store.commit(owner.lease, 1, commit)
    before = await rig.snapshot()
    await owner.store.commit(owner.lease, 1, commit)
    assert await rig.snapshot() == before


async def test_an_older_number_does_nothing_whatever_it_holds(rig: Rig, owner: Owner) -> None:
    await owner.commit(inbox=[b"1"])
    await owner.commit(inbox=[b"2"])
    before = await rig.snapshot()
    await owner.store.commit(owner.lease, 1, Commit(inbox=[b"other"]))
    assert await rig.snapshot() == before


@pytest.mark.parametrize("number", [2, 3, 100])
async def test_a_number_ahead_is_fenced(rig: Rig, owner: Owner, number: int) -> None:
    """The store has forgotten what came between: everything that its owner has in memory is void."""
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await owner.store.commit(owner.lease, number, Commit(inbox=[b"m"]))
    assert await rig.snapshot() == before
    await owner.store.commit(owner.lease, 1, Commit(inbox=[b"m"]))


async def test_numbers_beyond_nine(owner: Owner) -> None:
    for number in range(12):
        await owner.commit(inbox=[b"%d" % number])
    assert await owner.inbox() == [b"%d" % number for number in range(12)]


async def test_numbers_begin_anew_with_each_lease(owner: Owner) -> None:
    await owner.commit(inbox=[b"1"])
    await owner.commit(outbox=[(1, b"first")])
    await owner.store.release(owner.lease)
    following = await own(owner.store, 0, "w2", "n2")
    await following.commit(inbox=[b"2"], outbox=[(1, b"second")])
    assert await inbox(owner.store, 0) == [b"1", b"2"]
    numbers = [one.number for one in await following.store.outbox(following.lease, (0, 0), 9)]
    assert numbers == [(owner.lease.epoch, 1), (following.lease.epoch, 1)]


async def test_a_refused_commit_may_be_followed_by_a_right_one_of_the_same_number(owner: Owner) -> None:
    await owner.commit(creation(I1))
    with pytest.raises(Refused):
        await owner.commit(creation(I1), inbox=[b"wrong"])
    await owner.commit(inbox=[b"right"])
    assert await owner.inbox() == [b"right"]


# ---------------------------------------------------------------- whole or not at all

WRONG: dict[str, InstanceChange] = {
    "it exists": creation(I2),
    "it does not exist": replace(creation(I3), revision=0),
    "older revision": replace(creation(I2), revision=0, first_event=2),
    "newer revision": replace(creation(I2), revision=2, first_event=2),
    "shorter history": replace(creation(I2), revision=1, first_event=1),
    "longer history": replace(creation(I2), revision=1, first_event=3),
    "no history": replace(creation(I2), revision=1, first_event=0),
    "absent, but with a history": replace(creation(I3), first_event=1),
    "replaced, of a wrong revision": replace(creation(I2), revision=0, first_event=0, replace_history=True),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("place", ["first", "last"])
async def test_a_refusal_leaves_everything_as_it_was(rig: Rig, wrong: InstanceChange, place: str) -> None:
    """Instance 1 fits, instance 2 (revision 1, two events) or 3 (absent) does not: nothing at all may happen."""
    store = await rig.open()
    owner = await own(store, 0)
    await store.start(0, [new(I1)])
    await owner.commit(creation(I2), outbox=[(1, b"o")], timers_add=[(1, "t")], parked={I2: b"{}"})
    await owner.commit(change(await owner.record(I2), RUNNING, (b"event 1",)))
    await store.watch(0, "channel", [I1, I2])
    ((_, entries),) = await store.read_inboxes({0: "0"}, 9, 0)
    right = change(await owner.record(I1), COMPLETED, (b"e",))
    before = await rig.snapshot()
    with pytest.raises(Refused):
        await owner.commit(
            *((wrong, right) if place == "first" else (right, wrong)),
            consumed=[entries[0].entry_id],
            timers_add=[(2, "new")],
            timers_remove=["t"],
            activities=[("default", b"a")],
            inbox=[b"m"],
            outbox=[(1, b"x")],
            notices=[(I1, "client", b"n")],
            parked={I2: None, I1: b"{}"},
            purged=[(I2, PENDING)],
        )
    assert await rig.snapshot() == before


async def test_a_queue_of_a_refused_commit_is_known_once_another_uses_it(owner: Owner) -> None:
    with pytest.raises(Refused):
        await owner.commit(replace(creation(I1), revision=3), activities=[("gpu", b"a")])
    await owner.commit(activities=[("gpu", b"a")])
    assert await owner.store.queues(0) == ["gpu"]


async def test_nothing_is_published_by_a_refused_commit(rig: Rig, owner: Owner) -> None:
    heard = owner.store.notifications("channel")
    assert await anext(heard) is None
    with pytest.raises(Refused):
        await owner.commit(replace(creation(I1), revision=3), notices=[(I1, "channel", b"wrong")])
    await owner.commit(creation(I1), notices=[(I1, "channel", b"right")])
    assert await anext(heard) == b"right"
