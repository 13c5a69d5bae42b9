"""Watch something for as long as it takes: an eternal orchestration whose history never grows.

    durastream dev workers.monitor:app

    durastream start watch --id job-1 --input '{"job": "backup", "every_s": 2}'
    durastream show job-1
    durastream wait job-1

Each round checks once, sleeps on a durable timer and continues as new, with the state it needs as its input.
This one ends when the job is ready (after `rounds` checks); leave the condition out and it runs for ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

import durastream as ds

app = ds.App()


@dataclass(frozen=True)
class Watch:
    job: str
    every_s: float = 5.0
    rounds: int = 5
    checked: int = 0


@app.activity
async def is_ready(watch: Watch) -> bool:
    """Here some other system would be asked."""
    return watch.checked + 1 >= watch.rounds


@app.orchestrator
async def watch(ctx: ds.OrchestrationContext, state: Watch) -> str | None:
    ready = await ctx.call_activity(is_ready, state)
    state = replace(state, checked=state.checked + 1)
    ctx.set_custom_status({"checked": state.checked})
    if ready:
        return f"{state.job} is ready after {state.checked} checks"
    await ctx.create_timer(timedelta(seconds=state.every_s))
    ctx.continue_as_new(state)
    return None
