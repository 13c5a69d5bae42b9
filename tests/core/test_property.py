"""Random programs under random inputs: live execution, replay, both styles and any batching of turns agree.

And whatever a program does with locks, nothing stays locked when it has ended.

hypothesis prints the failing example and the blob that reproduces it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from durastream.core.context import OrchestrationContext
from durastream.core.entity_id import EntityId
from durastream.core.events import (
    EntityLockRequested,
    EntityOperationCalled,
    Event,
    ExecutionFailed,
    Failure,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
)
from durastream.core.messages import LockEntities, UnlockEntities
from durastream.core.retry import RetryPolicy
from durastream.core.rewind import rewind
from durastream.core.tasks import Task, when_all, when_any
from durastream.core.turn import Turn
from durastream.errors import Conflict
from tests.core.driver import (
    CODEC,
    RESUME,
    SUSPEND,
    Play,
    answered,
    child_completed,
    child_failed,
    completed,
    failed,
    fired,
    granted,
    raised,
    refused,
    terminate,
)

Ctx = OrchestrationContext
Steps = Generator[Task[Any], Any, Any]
Program = list[tuple[Any, ...]]

# ---------------------------------------------------------------- programs


def leaf(ctx: Ctx, op: tuple[Any, ...]) -> Task[Any]:
    match op:
        case ("call", name):
            return ctx.call_activity(name, 1)
        case ("retried", attempts):
            return ctx.call_activity("retried", retry=RetryPolicy(attempts, first_interval=2, retry_timeout=20))
        case ("timer", seconds):
            return ctx.create_timer(seconds)
        case ("child", instance_id):
            return ctx.call_sub_orchestrator("child", instance_id=instance_id)
        case ("event", name, timeout):
            return ctx.wait_for_external_event(name, timeout=timeout)
        case ("entity", key):
            return ctx.call_entity(EntityId("Counter", key), "add", 1)
        case ("lock", keys):
            return ctx.lock_entities(*[EntityId("Counter", key) for key in keys])
        case ("all", ops):
            return when_all([leaf(ctx, one) for one in ops])
        case ("any", ops):
            return when_any([leaf(ctx, one) for one in ops])
    raise AssertionError(op)


def run(ctx: Ctx, program: Program, seen: list[str], pool: list[Task[Any]]) -> Steps:
    for op in program:
        match op:
            case ("try", body):
                try:
                    yield from run(ctx, body, seen, pool)
                except Exception as error:
                    seen.append(type(error).__name__)
            case ("section", keys, body):
                with (yield leaf(ctx, ("lock", keys))):
                    yield from run(ctx, body, seen, pool)
            case ("join",):
                seen.append(shown((yield pool.pop(0))) if pool else "")
            case ("renew", keep):
                ctx.continue_as_new(program, keep_events=keep)
            case ("do", *what):
                do(ctx, tuple(what), seen, pool)
            case _:
                seen.append(shown((yield leaf(ctx, op))))


def do(ctx: Ctx, op: tuple[Any, ...], seen: list[str], pool: list[Task[Any]]) -> None:
    """What needs no waiting."""
    match op:
        case ("send", name):
            ctx.send_event("friend", name, len(seen))
        case ("signal", key):
            ctx.signal_entity(EntityId("Counter", key), "add", len(seen))
        case ("note",):
            seen.append(f"{ctx.random.random()} {ctx.current_utc_datetime} {ctx.new_uuid()}")
            ctx.set_custom_status(seen[-1])
        case ("spawn", one):
            pool.append(leaf(ctx, one))
        case ("look",):
            seen.append(str([task.done for task in pool]))
        case ("cancel",):
            seen.append(str(bool(pool) and pool.pop().cancel()))
        case ("raise",):
            raise ValueError(len(seen))


def shown(value: object) -> str:
    return value._title() if isinstance(value, Task) else str(value)


def by_yield(ctx: Ctx, program: Program) -> Steps:
    seen: list[str] = []
    yield from run(ctx, program, seen, [])
    return seen


async def by_await(ctx: Ctx, program: Program) -> list[str]:
    seen: list[str] = []
    steps = run(ctx, program, seen, [])
    try:
        task = next(steps)
        while True:
            value, problem = None, None
            try:
                value = await task
            except Exception as error:
                problem = error  # thrown below: within this block it would become the context of others
            task = steps.send(value) if problem is None else steps.throw(problem)
    except StopIteration:
        return seen


def program_of(by: Any, program: Program) -> Any:
    """The program is closed over, so that a payload need not carry it."""
    if by is by_await:

        async def program_by_await(ctx: Ctx) -> list[str]:
            return await by_await(ctx, program)

        return program_by_await

    def program_by_yield(ctx: Ctx) -> Steps:
        return (yield from by_yield(ctx, program))

    return program_by_yield


NAMES = st.sampled_from(["x", "X", "y"])
KEYS = st.sampled_from(["1", "2"])
SETS = st.lists(KEYS, min_size=1, max_size=2)
LEAVES = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(["a", "b"])),
    st.tuples(st.just("retried"), st.integers(1, 3)),
    st.tuples(st.just("timer"), st.sampled_from([-1, 0, 1, 60])),
    st.tuples(st.just("child"), st.sampled_from([None, "mine"])),
    st.tuples(st.just("event"), NAMES, st.sampled_from([None, 5])),
    st.tuples(st.just("entity"), KEYS),
    st.tuples(st.just("lock"), SETS),
)
TASKS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=6,
)
OPS = st.recursive(
    st.one_of(
        TASKS,
        TASKS,
        st.tuples(st.just("do"), st.just("spawn"), TASKS),
        st.tuples(st.just("do"), st.just("send"), NAMES),
        st.tuples(st.just("do"), st.just("signal"), KEYS),
        st.tuples(st.just("do"), st.sampled_from(["note", "look", "cancel", "raise"])),
        st.tuples(st.just("join")),
        st.tuples(st.just("renew"), st.booleans()),
    ),
    lambda inner: st.one_of(
        st.tuples(st.just("try"), st.lists(inner, max_size=4)),
        st.tuples(st.just("section"), SETS, st.lists(inner, max_size=4)),
    ),
    max_leaves=5,
)
PROGRAMS = st.lists(OPS, min_size=1, max_size=8)

# ---------------------------------------------------------------- worlds

OUTCOMES: dict[type, tuple[Callable[[int], Event], Callable[[int], Event]]] = {
    TaskScheduled: (lambda task: completed(task, task), failed),
    SubOrchestrationCreated: (lambda task: child_completed(task, task), child_failed),
    TimerCreated: (fired, fired),
    EntityOperationCalled: (lambda task: answered(task, task), refused),
    EntityLockRequested: (granted, granted),
}


class Locks:
    """Lock requests that an execution has sent and not yet taken back or released, by number."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], set[str]] = {}

    def follow(self, turn: Turn) -> None:
        for message in turn.messages:
            if isinstance(message, LockEntities):
                assert not self.open, "one section at a time"
                self.open[message.holder[1:]] = set(message.entities)
            elif isinstance(message, UnlockEntities):
                locked = self.open[message.holder[1:]]
                locked -= {message.entity, *message.rest}
                if not locked:
                    del self.open[message.holder[1:]]
        assert not (self.open and (turn.continued or turn.status in ("Completed", "Failed", "Terminated")))


def inputs(data: st.DataObject, play: Play) -> list[Event]:
    """A batch: outcomes of what is scheduled (or was), events, control."""
    scheduled = [number for number, one in enumerate(play.history) if one.__class__ in OUTCOMES]
    batch: list[Event] = []
    for kind in data.draw(st.lists(st.sampled_from("ooooooeeesrz"), max_size=5), label="batch"):
        if kind == "o" and scheduled:
            number = data.draw(st.sampled_from(scheduled), label="task")
            succeeds, fails = OUTCOMES[play.history[number].__class__]
            batch.append(data.draw(st.sampled_from([succeeds, succeeds, fails]), label="outcome")(number))
        elif kind == "e":
            batch.append(raised(data.draw(NAMES, label="event"), len(batch)))
        elif kind in "sr":
            batch.append(SUSPEND if kind == "s" else RESUME)
        elif kind == "z" and data.draw(st.integers(0, 9)) == 0:
            batch.append(terminate(recursive=True))
    return batch


def comparable(turn: Turn) -> list[Any]:
    """A turn without stacks, which tell the two styles apart."""
    events = [
        one._replace(failure=stackless(one.failure)) if isinstance(one, ExecutionFailed) else one for one in turn.events
    ]
    failure = None if turn.failure is None else stackless(turn.failure)
    effects = [turn.activities, turn.timers, turn.timers_cancelled, turn.messages, turn.custom_status, turn.continued]
    return [events, effects, turn.status, turn.result, failure, turn.split, turn.dropped]


def stackless(failure: Failure) -> Failure:
    return failure._replace(stack="", causes=tuple(stackless(cause) for cause in failure.causes))


@settings(max_examples=150, deadline=None, print_blob=True, suppress_health_check=list(HealthCheck))
@given(program=PROGRAMS, max_decisions=st.sampled_from([1, 2, 3, 500]), data=st.data())
def test_live_and_replayed_executions_agree(program: Program, max_decisions: int, data: st.DataObject) -> None:
    steady = Play(program_of(by_await, program), max_decisions=max_decisions, name="program")
    evicted = Play(program_of(by_yield, program), max_decisions=max_decisions, name="program")
    locks = Locks()
    for _ in range(12):
        assert comparable(steady.last) == comparable(evicted.last)
        locks.follow(steady.last)
        if steady.last.continued is not None:
            steady.next_execution()
            evicted.next_execution()
        elif steady.last.status in ("Completed", "Terminated"):
            break
        elif steady.last.status == "Failed":
            goes_on = rewound(steady)
            assert rewound(evicted) == goes_on
            if not goes_on:
                break
        elif data.draw(st.booleans(), label="reload"):
            evicted.reload()
        batch = inputs(data, steady)
        steady.turn(*batch)
        evicted.turn(*batch)
    event(steady.last.status)
    steady.execution.close()
    evicted.execution.close()


def rewound(play: Play) -> bool:
    """False if it failed in a critical section."""
    ids = (play.instance_id, play.execution_id)
    try:
        play.history = rewind(play.definition, play.history, ids, codec=CODEC, now=play.now).history
    except Conflict:
        return False
    play.execution = play.fresh()
    play.execution.replay(play.history)
    return True
