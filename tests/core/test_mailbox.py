from __future__ import annotations

from durastream.core.context import OrchestrationContext
from durastream.core.events import EventRaised, ExecutionSuspended
from durastream.core.tasks import when_all, when_any
from durastream.errors import PayloadError, TimeoutError
from tests.core.driver import RESUME, SUSPEND, Play, fired, raised, terminate

Ctx = OrchestrationContext


def test_events_are_kept_until_somebody_waits_and_names_have_no_case() -> None:
    async def late(ctx: Ctx) -> list[object]:
        await ctx.call_activity("a")
        return [await ctx.wait_for_external_event("Straße"), await ctx.wait_for_external_event("b")]

    play = Play(late)
    play.raises("B", 1)
    play.raises("STRASSE", 2)
    play.completes(1)
    assert play.output() == [2, 1]


def test_events_are_first_in_first_out_per_name() -> None:
    async def in_order(ctx: Ctx) -> list[object]:
        await ctx.call_activity("a")
        return [await ctx.wait_for_external_event(name) for name in "xxyx"]

    play = Play(in_order)
    play.turn(raised("x", 1), raised("y", 2), raised("x", 3), raised("x", 4))
    play.completes(1)
    assert play.output() == [1, 3, 2, 4]


def test_waits_are_served_in_the_order_they_asked() -> None:
    async def queue(ctx: Ctx) -> list[object]:
        waits = [ctx.wait_for_external_event("x") for _ in range(3)]
        return await when_all(waits)

    play = Play(queue)
    for value in "abc":
        play.raises("x", value)
    assert play.output() == ["a", "b", "c"]


def test_data_that_does_not_fit_is_raised_where_it_is_awaited() -> None:
    async def typed(ctx: Ctx) -> str:
        try:
            await ctx.wait_for_external_event("x", type=int)
        except PayloadError as error:
            return str(error)
        return ""

    play = Play(typed)
    play.raises("x", "text")
    assert "not int" in play.output()


# ---- timeouts


async def patient(ctx: Ctx) -> str:
    try:
        return str(await ctx.wait_for_external_event("x", timeout=10))
    except TimeoutError as error:
        return f"timed out: {error}"


def test_an_event_in_time_cancels_the_timer() -> None:
    play = Play(patient)
    assert play.last.timers == [(1, play.now + 10_000)]
    turn = play.raises("x", 1)
    assert play.output() == "1" and turn.timers_cancelled == [1]


def test_no_event_in_time() -> None:
    play = Play(patient)
    turn = play.turn(fired(1), raised("x", 1))
    assert play.output() == "timed out: no event 'x' arrived in time"
    assert turn.timers_cancelled == []


def test_an_event_that_is_there_needs_no_timer() -> None:
    async def later(ctx: Ctx) -> object:
        await ctx.call_activity("a")
        return await ctx.wait_for_external_event("x", timeout=10)

    play = Play(later)
    play.raises("x", 5)
    assert play.completes(1).timers == []
    assert play.output() == 5


def test_a_cancelled_wait_with_a_timeout_gives_up_both() -> None:
    async def gives_up(ctx: Ctx) -> object:
        wait = ctx.wait_for_external_event("x", timeout=10)
        await ctx.wait_for_external_event("other")
        wait.cancel()
        return await ctx.wait_for_external_event("x")

    play = Play(gives_up)
    assert play.raises("other").timers_cancelled == [1]
    play.raises("x", 3)
    assert play.output() == 3


# ---- continue-as-new


async def collector(ctx: Ctx, seen: list[object]) -> list[object]:
    seen = [*seen, await ctx.wait_for_external_event("x")]
    if len(seen) == 6:
        return seen
    ctx.continue_as_new(seen)
    return seen


def test_unconsumed_events_go_on_in_arrival_order_over_all_names() -> None:
    play = Play(collector, [])
    turn = play.turn(raised("y", 0), raised("x", 1), raised("z", 2), raised("x", 3))
    assert turn.status == "Running" and turn.continued is not None
    assert turn.continued.input == b"[1]"
    assert [(event.name, event.data) for event in turn.continued.carried if isinstance(event, EventRaised)] == [
        ("y", b"0"),
        ("z", b"2"),
        ("x", b"3"),
    ]
    play.next_execution()
    turn = play.turn()
    assert turn.continued is not None and turn.continued.input == b"[1, 3]"


def test_every_event_is_seen_once_however_hard_it_is_driven() -> None:
    play = Play(collector, [])
    play.turn(*[raised("x", i) for i in range(4)])
    while play.last.continued is not None:
        play.next_execution()
        play.turn()
    play.turn(raised("x", 4), raised("x", 5), raised("x", 6))
    while play.last.continued is not None:
        play.next_execution()
        play.turn()
    assert play.output() == [0, 1, 2, 3, 4, 5]


def test_without_keep_events_only_what_arrives_after_the_return_goes_on() -> None:
    async def forgets(ctx: Ctx) -> None:
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(keep_events=False)

    play = Play(forgets)
    turn = play.turn(raised("old", 1), raised("go"), raised("new", 2))
    assert turn.continued is not None
    assert [event.data for event in turn.continued.carried if isinstance(event, EventRaised)] == [b"2"]


def test_an_event_handed_to_a_wait_nobody_looked_at_is_not_lost() -> None:
    """The loser of a race takes an event while the code does something else before it continues as new."""

    async def monitor(ctx: Ctx, rounds: int) -> str:
        stop, timer = ctx.wait_for_external_event("stop"), ctx.create_timer(60)
        if await when_any([stop, timer]) is stop:
            return f"stopped in round {rounds}"
        await ctx.call_activity("check")
        ctx.continue_as_new(rounds + 1)
        return ""

    play = Play(monitor, 0)
    play.fires(1)
    play.raises("stop")
    play.completes(3)
    assert play.last.continued is not None and len(play.last.continued.carried) == 1
    play.next_execution()
    play.turn()
    assert play.output() == "stopped in round 1"


def test_an_event_whose_arrival_the_code_knows_of_does_not_come_again() -> None:
    async def resets(ctx: Ctx) -> None:
        reset, timer = ctx.wait_for_external_event("reset"), ctx.create_timer(60)
        winner = await when_any([reset, timer])
        if winner is reset:  # its data is never looked at
            ctx.continue_as_new()

    play = Play(resets)
    play.raises("reset")
    assert play.last.continued is not None and play.last.continued.carried == []


def test_many_unseen_events_cost_no_more_each() -> None:
    async def gathers(ctx: Ctx, n: int) -> None:
        waits = [ctx.wait_for_external_event("x") for _ in range(n)]
        await ctx.wait_for_external_event("go")
        ctx.continue_as_new(len(waits))

    play = Play(gathers, 100)
    play.turn(*[raised("x", i) for i in range(100)])
    play.raises("go")
    assert play.last.continued is not None and len(play.last.continued.carried) == 100


def test_decisions_before_continue_as_new_count_and_timers_are_cancelled() -> None:
    async def parting(ctx: Ctx) -> None:
        ctx.create_timer(60)
        await ctx.wait_for_external_event("go")
        ctx.send_event("friend", "bye")
        ctx.continue_as_new(1)

    play = Play(parting)
    turn = play.raises("go")
    assert len(turn.messages) == 1 and turn.timers_cancelled == [1] and turn.result is None


def test_suspension_after_the_return_holds_for_the_next_execution() -> None:
    play = Play(collector, [])
    turn = play.turn(raised("x", 1), SUSPEND, raised("x", 2))
    assert turn.continued is not None
    assert [event.__class__ for event in turn.continued.carried] == [ExecutionSuspended, EventRaised]
    play.next_execution()
    assert play.turn().status == "Suspended"
    turn = play.turn(RESUME)
    assert turn.continued is not None and turn.continued.input == b"[1, 2]"


def test_termination_after_the_return_wins() -> None:
    play = Play(collector, [])
    turn = play.turn(raised("x", 1), terminate())
    assert turn.status == "Terminated" and turn.continued is None


def test_events_that_arrive_while_a_split_is_recorded_go_on_too() -> None:
    async def floods(ctx: Ctx) -> None:
        await ctx.wait_for_external_event("go")
        for i in range(15):
            ctx.send_event("friend", "bye", i)
        ctx.continue_as_new(1)

    play = Play(floods, max_decisions=10)
    play.turn(raised("early"), raised("go"))
    assert play.last.split and play.last.continued is None
    play.reload()
    turn = play.turn(raised("meanwhile"))
    assert turn.continued is not None
    assert [event.name for event in turn.continued.carried if isinstance(event, EventRaised)] == ["early", "meanwhile"]


def test_an_execution_opened_by_continue_as_new_decides_in_its_first_turn() -> None:
    lived = []

    async def opens(ctx: Ctx, n: int) -> None:
        lived.append(not ctx.is_replaying)
        if n == 0:
            ctx.continue_as_new(1)
            return
        ctx.set_custom_status("second")
        await ctx.call_activity("a", await ctx.wait_for_external_event("x"))

    play = Play(opens, 0)
    assert play.last.continued is not None
    play.last.continued.carried.append(raised("x", 5))
    play.next_execution()
    assert lived == [True, True]
    turn = play.turn()
    assert lived == [True, True, False]
    assert [event.input for _, event in turn.activities] == [b"5"]
    assert turn.custom_status == b'"second"' and turn.custom_status_changed
    assert turn.events[0].at >= play.history[0].at
