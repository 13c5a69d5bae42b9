"""The gate of an entity, and the lock protocol as a whole: random orchestrations over gates joined by in-order channels."""

from __future__ import annotations

import random
from collections import defaultdict, deque
from dataclasses import dataclass, field

import pytest

from durastream.core.events import Parent
from durastream.core.gate import Effects, Fired, Gate, Work
from durastream.core.messages import EntityMessage, EntityOperation, LockEntities, LockGranted, UnlockEntities
from durastream.core.sections import give_up, unlock_each

HOLDER = Parent("one", "x.0", 3)
OTHER = Parent("two", "y.0", 1)


def call(name: str, caller: Parent | None = None, due: int | None = None) -> EntityOperation:
    return EntityOperation("@E@a", name, None, caller, None, due)


def run(gate: Gate, now: int = 0) -> list[str]:
    """Names of the operations that ran."""
    ran = []
    while (work := gate.next(now)) is not None:
        assert isinstance(work.message, EntityOperation)
        ran.append(work.message.operation)
        gate.finish(work, [])
    return ran


def lock(holder: Parent, *entities: str) -> LockEntities:
    return LockEntities("@E@a", entities or ("@E@a",), holder)


# ---------------------------------------------------------------- one gate


def test_operations_run_in_the_order_they_came_and_leave_the_inbox() -> None:
    gate = Gate()
    gate.arrive(call("a"), 1)
    gate.arrive(call("b"), 2)
    assert run(gate) == ["a", "b"]
    assert gate.take_effects() == Effects(taken=[1, 2])
    assert gate.empty


def test_an_operation_is_not_taken_before_its_outcome_is_known() -> None:
    gate = Gate()
    gate.arrive(call("a"), 1)
    work = gate.next(0)
    assert work is not None
    assert gate.take_effects() == Effects()
    gate.finish(work, [call("answer")])
    assert gate.take_effects() == Effects(taken=[1], sends=[call("answer")])


def test_a_lock_of_one_entity_is_granted_at_once() -> None:
    gate = Gate()
    gate.arrive(lock(HOLDER), 1)
    assert run(gate) == []
    effects = gate.take_effects()
    assert effects.sends == [LockGranted("one", "x.0", 3, ("@E@a",))]
    assert effects.lock_changed
    assert effects.taken == [1]
    assert gate.holder == HOLDER


def test_a_lock_goes_on_to_the_next_entity() -> None:
    gate = Gate()
    gate.arrive(lock(HOLDER, "@D@z", "@E@a", "@E@b"), 1)
    run(gate)
    assert gate.take_effects().sends == [LockEntities("@E@b", ("@D@z", "@E@a", "@E@b"), HOLDER)]


def test_while_locked_only_the_holder_passes() -> None:
    gate = Gate()
    messages: list[EntityMessage] = [lock(HOLDER), call("other", OTHER), call("signal"), call("mine", HOLDER)]
    for source, message in enumerate(messages):
        gate.arrive(message, source)
    assert run(gate) == ["mine"]
    effects = gate.take_effects()
    assert effects.stored == {0: call("other", OTHER), 1: call("signal")}
    assert sorted(effects.taken) == [0, 1, 2, 3]


def test_another_execution_of_the_holder_does_not_pass() -> None:
    gate = Gate(HOLDER)
    gate.arrive(call("later", HOLDER._replace(execution_id="x.1")), 1)
    assert run(gate) == []


def test_a_release_lets_through_what_waited_in_order() -> None:
    queue: list[tuple[int, EntityMessage]] = [(4, call("a")), (7, lock(OTHER)), (9, call("b"))]
    gate = Gate(HOLDER, queue)
    gate.arrive(call("new"), 1)
    gate.arrive(UnlockEntities("@E@a", (), HOLDER), 2)
    assert run(gate) == ["a"]
    effects = gate.take_effects()
    assert gate.holder == OTHER
    assert effects.removed == [4, 7]
    assert effects.stored == {10: call("new")}
    assert effects.taken == [1, 2]


def test_a_release_stays_in_the_inbox_until_the_queue_behind_it_is_empty() -> None:
    gate = Gate(HOLDER, [(0, call("a")), (1, call("b"))])
    gate.arrive(UnlockEntities("@E@a", (), HOLDER), "release")
    work = gate.next(0)
    assert work is not None
    assert gate.take_effects().taken == []
    gate.finish(work, [])
    assert gate.take_effects() == Effects(removed=[0])
    assert run(gate) == ["b"]
    assert gate.take_effects().taken == ["release"]


def test_a_release_of_somebody_else_changes_nothing_but_is_passed_on() -> None:
    gate = Gate(HOLDER)
    gate.arrive(UnlockEntities("@E@a", ("@E@b", "@E@c"), OTHER), 1)
    run(gate)
    assert gate.take_effects() == Effects(taken=[1], sends=[UnlockEntities("@E@b", ("@E@c",), OTHER)])
    assert gate.holder == HOLDER


def test_a_request_that_is_given_up_while_it_waits_went_no_further() -> None:
    gate = Gate(HOLDER, [(0, lock(OTHER)), (1, call("a"))])
    gate.arrive(UnlockEntities("@E@a", ("@E@b",), OTHER), 1)
    run(gate)
    assert gate.take_effects() == Effects(taken=[1], removed=[0])


def test_a_second_request_of_the_holder_is_void() -> None:
    gate = Gate(HOLDER)
    gate.arrive(lock(HOLDER), 1)
    assert run(gate) == []
    assert gate.take_effects() == Effects(taken=[1])


def test_the_queue_can_be_left_for_later() -> None:
    gate = Gate(None, [(3, call("a"))])
    gate.arrive(call("b"), 1)
    assert gate.first == (3, call("a"))
    assert gate.next(0, queued=False) is None
    assert run(gate) == ["a", "b"]
    assert gate.first is None


def test_a_signal_for_later_waits_for_its_time() -> None:
    gate = Gate()
    gate.arrive(call("later", due=500), 1)
    assert run(gate, now=100) == []
    effects = gate.take_effects()
    assert effects.timers == [(500, 0)]
    assert effects.stored == {0: call("later", due=500)}
    assert not gate.empty
    gate.arrive(Fired(0), 2)
    assert run(gate, now=499) == ["later"]  # the server's clock decides what is due
    assert gate.take_effects() == Effects(taken=[2], removed=[0])
    assert gate.empty


def test_a_signal_whose_time_has_passed_runs_at_once() -> None:
    gate = Gate()
    gate.arrive(call("late", due=500), 1)
    assert run(gate, now=500) == ["late"]


def test_a_signal_whose_time_comes_while_locked_goes_to_the_end_of_the_queue() -> None:
    gate = Gate(HOLDER, [(0, call("later", due=500)), (1, call("a"))])
    gate.arrive(Fired(0), 1)
    assert run(gate, now=600) == []
    effects = gate.take_effects()
    assert effects.removed == [0]
    assert effects.stored == {2: call("later")}
    gate.arrive(UnlockEntities("@E@a", (), HOLDER), 2)
    assert run(gate) == ["a", "later"]


def test_a_timer_of_nothing_is_void() -> None:
    gate = Gate()
    gate.arrive(Fired(5), 1)
    assert run(gate) == []
    assert gate.take_effects() == Effects(taken=[1])


def test_what_cannot_be_read_is_removed_and_its_number_not_used_again() -> None:
    gate = Gate(HOLDER)
    gate.drop(8)
    gate.arrive(call("a"), 1)
    run(gate)
    assert gate.take_effects() == Effects(taken=[1], removed=[8], stored={9: call("a")})


# ---------------------------------------------------------------- the protocol


@dataclass
class Entity:
    gate: Gate = field(default_factory=Gate)
    stored: dict[int, object] = field(default_factory=dict)
    holder: Parent | None = None  # as the store has it
    ran: list[tuple[Parent | None, Parent | None]] = field(default_factory=list)  # (who held it, who called)


@dataclass
class Section:
    """An orchestration that asks for locks, works, and leaves; or gives up at any time."""

    holder: Parent
    entities: tuple[str, ...]
    gives_up: bool  # while it waits: it is terminated, say
    state: str = "new"  # asked, held, left
    calls: int = 0

    @property
    def may_act(self) -> bool:
        return self.state in ("new", "held") or (self.state == "asked" and self.gives_up)


class World:
    """Entities, orchestrations, and a channel that keeps order between each two of them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.entities = {f"@E@{k}": Entity() for k in range(rng.randint(1, 5))}
        self.sections = {}
        for k in range(rng.randint(1, 8)):
            some = rng.sample(sorted(self.entities), rng.randint(1, len(self.entities)))
            holder = Parent(f"o{k}", "x.0", 1)
            self.sections[holder.instance_id] = Section(holder, tuple(sorted(some)), rng.random() < 0.2)
        self.channels: defaultdict[tuple[str, str], deque[object]] = defaultdict(deque)
        self.granted: set[str] = set()

    def send(self, source: str, message: object) -> None:
        self.channels[source, message[0]].append(message)  # type: ignore[index]

    def step(self) -> bool:
        """One random thing that can happen; False when nothing can."""
        moves: list[tuple[str, str] | Section] = [key for key, queue in self.channels.items() if queue]
        moves += [section for section in self.sections.values() if section.may_act]
        if not moves:
            return False
        what = self.rng.choice(moves)
        if isinstance(what, Section):
            self.act(what)
        else:
            self.deliver(what, self.channels[what].popleft())
        return True

    def act(self, section: Section) -> None:
        name, holder = section.holder.instance_id, section.holder
        if section.state == "new":
            section.state = "asked"
            self.send(name, LockEntities(section.entities[0], section.entities, holder))
        elif section.state == "asked":
            section.state = "left"
            self.send(name, give_up(section.entities, holder))
        elif section.calls < 3 and self.rng.random() < 0.7:
            section.calls += 1
            entity = self.rng.choice(section.entities)
            self.send(name, EntityOperation(entity, "work", None, holder, name, None))
        else:
            section.state = "left"
            for message in unlock_each(section.entities, holder):
                self.send(name, message)

    def deliver(self, channel: tuple[str, str], message: object) -> None:
        if isinstance(message, LockGranted):
            self.grant(message)
            return
        entity = self.entities[channel[1]]
        entity.gate.arrive(message, "inbox")  # type: ignore[arg-type]
        while (work := entity.gate.next(0)) is not None:
            self.run(entity, work)
        if self.rng.random() < 0.2:  # forgotten, and read from the store again
            self.record(channel[1], entity)
            entity.gate = Gate(entity.holder, sorted(entity.stored.items()))  # type: ignore[arg-type]
        self.record(channel[1], entity)

    def run(self, entity: Entity, work: Work) -> None:
        assert isinstance(work.message, EntityOperation)
        entity.ran.append((entity.gate.holder, work.message.caller))
        entity.gate.finish(work, [])

    def record(self, name: str, entity: Entity) -> None:
        effects = entity.gate.take_effects()
        entity.holder = entity.gate.holder
        entity.stored |= effects.stored
        for number in effects.removed:
            del entity.stored[number]
        for message in effects.sends:
            self.send(name, message)

    def grant(self, message: LockGranted) -> None:
        section = self.sections[message.instance_id]
        if section.state == "asked":
            section.state = "held"
            self.granted.add(message.instance_id)
            holders = {self.entities[entity].gate.holder for entity in section.entities}
            assert holders == {section.holder}, "granted without holding all of them"
        else:  # handed back by the owner of the orchestration
            for unlock in unlock_each(message.entities, Parent(*message[:3])):
                self.send(message.instance_id, unlock)

    def check(self) -> None:
        held = [entity for one in self.sections.values() if one.state == "held" for entity in one.entities]
        assert len(held) == len(set(held)), "two holders of one entity"


@pytest.mark.parametrize("seed", range(400))
def test_never_two_holders_never_a_deadlock_always_released(seed: int) -> None:
    world = World(random.Random(seed))
    clients = sorted(world.entities)
    steps = 0
    while world.step():
        world.check()
        steps += 1
        assert steps < 20_000, f"seed {seed}: it does not come to an end"
        if steps < 200 and world.rng.random() < 0.1:
            target = world.rng.choice(clients)
            world.send("client", EntityOperation(target, "signal", None, None, None, None))
    stuck = [section for section in world.sections.values() if section.state != "left"]
    assert not stuck, f"seed {seed}: a deadlock of {stuck}"

    for name, entity in world.entities.items():
        assert entity.gate.empty, f"seed {seed}: {name} is left locked, or with a queue"
        assert not entity.stored, f"seed {seed}: {name} has {entity.stored} in the store"
        for holder, caller in entity.ran:
            assert holder is None or caller == holder, f"seed {seed}: {caller} got past the lock of {holder}"
