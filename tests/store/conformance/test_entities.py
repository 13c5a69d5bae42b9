"""Entities: what a commit does to them, and what owners, clients and inspectors read of them."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product

import pytest

from durastream.core.ids import partition_of
from durastream.errors import Fenced, Refused
from durastream.store.protocol import Commit, EntityChange, EntityPage, EntityRecord, WorkerStore
from tests.store.conformance.rigs import PARTITIONS, Rig
from tests.store.conformance.values import (
    AT,
    STRANGE_IDS,
    Owner,
    birth,
    change,
    creation,
    entities_in,
    ids_in,
    inbox,
    own,
    step,
)

pytestmark = pytest.mark.anyio

E1, E2, E3 = entities_in(0, 3)
(I1,) = ids_in(0)
HOLDER = "orchestration\ntoken.0\n3"


async def everything(owner: Owner, prefix: str = "") -> list[str]:
    """The texts of all entities that the index of the hub holds."""
    page = await owner.store.entity_page(prefix, cursor=None, limit=1_000)
    assert page.cursor is None
    return [one.entity for one in page.records]


# ---------------------------------------------------------------- what a commit does


async def test_a_commit_creates_an_entity(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1)])
    assert await owner.store.entities([E1]) == [EntityRecord(E1, 0, b"1", AT, AT, None, None, 0)]
    assert await everything(owner) == [E1]


async def test_each_change_counts_and_keeps_what_it_does_not_name(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1)])
    for number in range(1, 12):
        before = await owner.entity(E1)
        await owner.commit(entities=[step(before, fields={"state": b"%d" % number, "updated_at": AT + number})])
        assert await owner.entity(E1) == EntityRecord(E1, number, b"%d" % number, AT, AT + number, None, None, 0)
    await owner.commit(entities=[step(await owner.entity(E1))])
    assert (await owner.entity(E1)).revision == 12


async def test_a_field_of_none_is_deleted(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1, fields={"state": b"1", "lock": HOLDER, "locked_at": AT, "created_at": AT})])
    await owner.commit(entities=[step(await owner.entity(E1), fields={"state": None, "locked_at": None})])
    assert await owner.entity(E1) == EntityRecord(E1, 1, None, AT, 0, HOLDER, None, 0)


async def test_a_state_may_be_any_json(owner: Owner) -> None:
    for state in (b"null", b"0", '"ä"'.encode(), b"{}", b"[" + b"1," * 50_000 + b"1]"):
        await owner.commit(entities=[birth(E1, fields={"state": state})])
        assert (await owner.entity(E1)).state == state
        await owner.commit(entities=[step(await owner.entity(E1), gone=True)])


async def test_a_queue_grows_and_shrinks(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1, queue_add={9: b"i", 10: b"j", 2: b"b"})])
    assert await owner.store.entity_queue(E1, 10) == [(2, b"b"), (9, b"i"), (10, b"j")]
    await owner.commit(entities=[step(await owner.entity(E1), queue_add={100: b"z"}, queue_remove=[9, 2])])
    assert await owner.store.entity_queue(E1, 10) == [(10, b"j"), (100, b"z")]
    assert (await owner.entity(E1)).queued == 2
    await owner.commit(entities=[step(await owner.entity(E1), queue_remove=[10, 100])])
    assert await owner.store.entity_queue(E1, 10) == []
    assert (await owner.entity(E1)).queued == 0


async def test_a_removed_number_may_be_used_again(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1, queue_add={1: b"a", 2: b"b"})])
    await owner.commit(entities=[step(await owner.entity(E1), queue_remove=[1, 7], queue_add={1: b"c"})])
    assert await owner.store.entity_queue(E1, 10) == [(1, b"c"), (2, b"b")]


async def test_locks_follow_the_field(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1), birth(E2, fields={"lock": HOLDER, "locked_at": AT}), birth(E3)])
    assert await owner.store.locks(0) == {E2: HOLDER}
    await owner.commit(
        entities=[
            step(await owner.entity(E1), fields={"lock": "a\nb\n1", "locked_at": AT}),
            step(await owner.entity(E2), fields={"lock": None, "locked_at": None}),
            step(await owner.entity(E3), fields={"state": b"3"}),
        ]
    )
    assert await owner.store.locks(0) == {E1: "a\nb\n1"}
    await owner.commit(entities=[step(await owner.entity(E1), fields={"state": b"4"})])
    assert await owner.store.locks(0) == {E1: "a\nb\n1"}
    assert await owner.store.locks(1) == {}


async def test_gone_leaves_nothing(rig: Rig, owner: Owner) -> None:
    await owner.commit(entities=[birth(E2)])
    before = await rig.snapshot()
    locked = birth(E1, fields={"state": b"1", "lock": HOLDER}, queue_add={1: b"a", 2: b"b"})
    await owner.commit(entities=[locked], stalled={E1: b"{}"})
    whole = step(await owner.entity(E1), gone=True, fields={"lock": HOLDER, "state": b"2"})
    await owner.commit(entities=[whole], stalled={E1: None})
    assert await owner.store.entities([E1]) == [None]
    assert await owner.store.entity_queue(E1, 10) == []
    assert await owner.store.locks(0) == {}
    assert await everything(owner) == [E2]
    assert E1 not in repr(await rig.snapshot())
    assert set(await rig.snapshot()) == set(before)
    await owner.commit(entities=[birth(E1)])
    assert (await owner.entity(E1)).revision == 0


async def test_many_fates_in_one_commit(owner: Owner) -> None:
    await owner.commit(
        creation(I1), entities=[birth(E1, queue_add={1: b"a"}), birth(E2, fields={"lock": HOLDER})], inbox=[b"m"]
    )
    await owner.commit(
        change(await owner.record(I1), events=(b"event 1",)),
        entities=[
            step(await owner.entity(E1), fields={"lock": HOLDER}, queue_add={2: b"b"}, queue_remove=[1]),
            step(await owner.entity(E2), gone=True),
            birth(E3, fields={"state": b"3", "lock": "x\ny\n1"}),
        ],
        timers_add=[(AT, f"D\n1\n{AT}\n{E1}")],
        outbox=[(1, b"o")],
        stalled={E3: b"{}"},
    )
    assert [one and one.revision for one in await owner.store.entities([E1, E2, E3])] == [1, None, 0]
    assert await everything(owner) == [E1, E3]
    assert await owner.store.locks(0) == {E1: HOLDER, E3: "x\ny\n1"}
    assert await owner.store.stalled(0) == {E3: b"{}"}
    assert await owner.store.entity_queue(E1, 10) == [(2, b"b")]
    assert (await owner.store.due(owner.lease, 9))[0] == [f"D\n1\n{AT}\n{E1}"]
    assert (await owner.record(I1)).events == 2


async def test_stalled_entities_are_listed_with_their_reason(owner: Owner) -> None:
    await owner.commit(stalled={E1: b'{"kind":"a"}', E2: b"{}"}, parked={I1: b"{}"})
    assert await owner.store.stalled(0) == {E1: b'{"kind":"a"}', E2: b"{}"}
    await owner.commit(stalled={E1: None, E2: b'{"kind":"b"}', E3: None})
    assert await owner.store.stalled(0) == {E2: b'{"kind":"b"}'}
    assert await owner.store.stalled(1) == {}
    assert await owner.store.parked(0) == {I1: b"{}"}


async def test_a_large_commit(owner: Owner) -> None:
    texts = entities_in(0, 2_000)
    await owner.commit(entities=[birth(one, fields={"state": b"1", "lock": HOLDER}) for one in texts])
    long = step(await owner.entity(texts[0]), queue_add={k: b"%d" % k for k in range(10_000)})
    await owner.commit(entities=[long])
    assert await owner.store.entity_queue(texts[0], 1_000) == [(k, b"%d" % k) for k in range(1_000)]
    assert len(await owner.store.locks(0)) == 2_000
    await owner.commit(entities=[step(await owner.entity(texts[0]), queue_remove=list(range(10_000)))])
    records = [one for one in await owner.store.entities(texts) if one is not None]
    await owner.commit(entities=[step(one, gone=True) for one in records])
    assert await owner.store.locks(0) == {}
    assert await everything(owner) == []


@pytest.mark.parametrize("key", STRANGE_IDS)
async def test_strange_keys(rig: Rig, key: str) -> None:
    entity = f"@{'🐙' * 64}@{key}"
    owner = await own(await rig.open(), partition_of(entity, PARTITIONS))
    made = birth(entity, fields={"state": b"1", "lock": HOLDER}, queue_add={1: b"a"})
    await owner.commit(entities=[made], stalled={entity: b"{}"})
    loaded = await owner.store.load_entities(owner.lease, [entity])
    assert loaded == [(EntityRecord(entity, 0, b"1", 0, 0, HOLDER, None, 1), [(1, b"a")])]
    assert await everything(owner, entity) == [entity]
    assert await owner.store.locks(owner.lease.partition) == {entity: HOLDER}
    assert await owner.store.stalled(owner.lease.partition) == {entity: b"{}"}
    await owner.commit(entities=[step(await owner.entity(entity), gone=True)], stalled={entity: None})
    assert await owner.store.locks(owner.lease.partition) == {}
    assert await owner.store.stalled(owner.lease.partition) == {}
    assert await everything(owner) == []


async def test_an_entity_and_an_instance_of_the_same_text_are_two(owner: Owner) -> None:
    await owner.commit(creation(E1), entities=[birth(E1)])
    assert (await owner.record(E1)).name == "order"
    assert (await owner.entity(E1)).state == b"1"


# ---------------------------------------------------------------- once


async def test_a_repeated_commit_does_nothing(rig: Rig, owner: Owner) -> None:
    commit = Commit(entities=[birth(E1, queue_add={1: b"a"}, fields={"lock": HOLDER})], stalled={E2: b"{}"})
    await owner.store.commit(owner.lease, 1, commit)
    before = await rig.snapshot()
    await owner.store.commit(owner.lease, 1, commit)
    assert await rig.snapshot() == before


async def test_another_owner_is_fenced_off(rig: Rig, owner: Owner) -> None:
    await owner.commit(entities=[birth(E1)])
    await owner.store.release(owner.lease)
    following = await own(await rig.open(), 0, "w2", "n2")
    before = await rig.snapshot()
    with pytest.raises(Fenced):
        await owner.commit(entities=[step(await owner.entity(E1), fields={"state": b"2"})])
    assert await rig.snapshot() == before
    await following.commit(entities=[step(await following.entity(E1), fields={"state": b"3"})])
    assert (await following.entity(E1)).state == b"3"


# ---------------------------------------------------------------- whole or not at all

WRONG: dict[str, EntityChange] = {
    "it exists": birth(E2),
    "it does not exist": EntityChange(E3, 0, 0),
    "older revision": EntityChange(E2, 0, 2),
    "newer revision": EntityChange(E2, 2, 2),
    "older revision, gone": EntityChange(E2, 0, 2, gone=True),
    "shorter queue, added": EntityChange(E2, 1, 1, queue_add={9: b"x"}),
    "longer queue, added": EntityChange(E2, 1, 3, queue_add={9: b"x"}),
    "shorter queue, removed": EntityChange(E2, 1, 0, queue_remove=[1]),
    "shorter queue, gone": EntityChange(E2, 1, 0, gone=True),
    "longer queue, gone": EntityChange(E2, 1, 3, gone=True),
    "absent, but with a queue": replace(birth(E3), queue_length=1, queue_add={9: b"x"}),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("place", ["first", "last"])
async def test_a_refusal_leaves_everything_as_it_was(rig: Rig, wrong: EntityChange, place: str) -> None:
    """Entity 1 and the instance fit, entity 2 (revision 1, two in its queue) or 3 (absent) does not."""
    owner = await own(await rig.open(), 0)
    await owner.commit(creation(I1), entities=[birth(E1, queue_add={1: b"a"}), birth(E2)], stalled={E2: b"{}"})
    await owner.commit(
        entities=[step(await owner.entity(E2), fields={"lock": HOLDER}, queue_add={1: b"a", 2: b"b"})], inbox=[b"m"]
    )
    right = step(await owner.entity(E1), fields={"state": b"5", "lock": "x\ny\n1"}, queue_remove=[1])
    turn = change(await owner.record(I1), events=(b"e",))
    before = await rig.snapshot()
    with pytest.raises(Refused):
        await owner.commit(
            turn,
            entities=[wrong, right] if place == "first" else [right, wrong],
            inbox=[b"n"],
            outbox=[(1, b"o")],
            timers_add=[(1, "t")],
            stalled={E2: None, E3: b"{}"},
        )
    assert await rig.snapshot() == before


async def test_a_wrong_instance_refuses_the_entities(rig: Rig, owner: Owner) -> None:
    await owner.commit(entities=[birth(E1)])
    right = step(await owner.entity(E1), fields={"state": b"2"})
    before = await rig.snapshot()
    with pytest.raises(Refused):
        await owner.commit(replace(creation(I1), revision=4), entities=[right])
    assert await rig.snapshot() == before


async def test_a_queue_that_is_not_touched_is_not_compared(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1, queue_add={1: b"a"})])
    await owner.commit(entities=[EntityChange(E1, 0, 0, {"state": b"2"})])
    assert await owner.entity(E1) == EntityRecord(E1, 1, b"2", AT, AT, None, None, 1)


# ---------------------------------------------------------------- reading


async def test_entities_come_in_the_order_asked_over_all_partitions(store: WorkerStore) -> None:
    texts = [entities_in(partition)[0] for partition in range(PARTITIONS)]
    for partition, one in enumerate(texts):
        await (await own(store, partition)).commit(entities=[birth(one, queue_add={1: b"a"})])
    asked = [texts[3], "@Counter@nobody", texts[0], texts[2], texts[0], texts[1]]
    found = await store.entities(asked)
    assert [one and (one.entity, one.queued) for one in found] == [(one, 1) if one in texts else None for one in asked]
    assert await store.entities([]) == []


async def test_load_gives_record_and_whole_queue(owner: Owner) -> None:
    queue = {number: b"%d" % number for number in range(1, 2_501)}
    await owner.commit(entities=[birth(E1), birth(E2, queue_add=queue)])
    first, second = await owner.store.entities([E1, E2])
    loaded = await owner.store.load_entities(owner.lease, [E2, E3, E1])
    assert loaded == [(second, list(queue.items())), None, (first, [])]
    assert await owner.store.load_entities(owner.lease, []) == []


async def test_a_queue_is_read_up_to_a_number(owner: Owner) -> None:
    await owner.commit(entities=[birth(E1, queue_add={number: b"%d" % number for number in range(8, 13)})])
    assert await owner.store.entity_queue(E1, 3) == [(8, b"8"), (9, b"9"), (10, b"10")]
    assert len(await owner.store.entity_queue(E1, 1_000)) == 5
    assert await owner.store.entity_queue("@Counter@nobody", 10) == []


# ---------------------------------------------------------------- pages

KEYS = (
    *STRANGE_IDS,
    "a",
    "aa",
    "ab",
    "b",
    "a@b",
    "@",
    "@@",
    "é",
    "e\u0301",
    "\U0010ffff",
    "\ud7ff",
    "\uffff",
    "z" * 64,
)
NAMES = ("Counter", "Counters", "*", "é", "n" * 256)
TEXTS = sorted(f"@{name}@{key}" for name, key in product(NAMES, KEYS))


async def populate(store: WorkerStore, texts: list[str]) -> None:
    for partition in range(PARTITIONS):
        mine = [one for one in texts if partition_of(one, PARTITIONS) == partition]
        await (await own(store, partition)).commit(entities=[birth(one) for one in mine])


async def read_all(store: WorkerStore, prefix: str, limit: int) -> list[str]:
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = await store.entity_page(prefix, cursor=cursor, limit=limit)
        assert len(page.records) <= limit
        found += [one.entity for one in page.records]
        if page.cursor is None:
            return found
        assert len(page.records) == limit
        cursor = page.cursor


async def test_pages_are_in_the_order_of_the_texts_without_gap_or_repeat(store: WorkerStore) -> None:
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    await populate(store, TEXTS)
    for limit in (40, len(TEXTS) - 1, len(TEXTS)):
        assert await read_all(store, "", limit) == TEXTS
    for name in NAMES:
        assert await read_all(store, f"@{name}@", 9) == [one for one in TEXTS if one.startswith(f"@{name}@")]
    for one in rng.sample(TEXTS, 15):
        prefix = one[: rng.randint(0, len(one))]
        assert await read_all(store, prefix, rng.randint(15, 60)) == [one for one in TEXTS if one.startswith(prefix)]
    assert await read_all(store, "@Counter@ab!", 3) == await read_all(store, "Counter", 3) == []


async def test_a_page_holds_records(store: WorkerStore) -> None:
    await populate(store, TEXTS)
    page = await store.entity_page("@Counter@a", cursor=None, limit=3)
    assert page.records == await store.entities([one for one in TEXTS if one.startswith("@Counter@a")][:3])


async def test_an_empty_hub_has_one_empty_page(store: WorkerStore) -> None:
    assert await store.entity_page("", cursor=None, limit=10) == EntityPage([], None)


async def test_what_comes_and_goes_while_paging_does_not_disturb(owner: Owner) -> None:
    texts = sorted(entities_in(0, 8))
    await owner.commit(entities=[birth(one) for one in texts[1:7]])
    page = await owner.store.entity_page("@", cursor=None, limit=3)
    going = [step(await owner.entity(one), gone=True) for one in (texts[3], texts[5])]
    await owner.commit(entities=[birth(texts[0]), birth(texts[7]), *going])
    rest = await owner.store.entity_page("@", cursor=page.cursor, limit=10)
    assert [one.entity for one in page.records] == texts[1:4]
    assert [one.entity for one in rest.records] == [texts[4], texts[6], texts[7]]


async def test_a_cursor_is_of_use_with_another_prefix(store: WorkerStore) -> None:
    await populate(store, ["@a@1", "@a@2", "@b@1", "@b@2"])
    page = await store.entity_page("@a", cursor=None, limit=1)
    following = await store.entity_page("@b", cursor=page.cursor, limit=5)
    assert [one.entity for one in following.records] == ["@b@1", "@b@2"]


# ---------------------------------------------------------------- messages


async def test_entities_take_part_in_a_commit_that_consumes(owner: Owner) -> None:
    await owner.commit(inbox=[b"operation"])
    ((_, entries),) = await owner.store.read_inboxes({0: "0"}, 9, 0)
    await owner.commit(consumed=[entries[0].entry_id], entities=[birth(E1)], inbox=[b"result"])
    assert await inbox(owner.store, 0) == [b"result"]
