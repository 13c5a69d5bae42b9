"""The built-in sample, run by `durastream demo` and `durastream dev` anywhere: an order in five slow steps.

With DURASTREAM_DEMO_WITNESS set, each step notes in that file when it begins and when it is done, and who ran it: an
account of what really happened, apart from what the hub has recorded.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import dataclass

import durastream as ds

STEPS = ("reserve", "charge", "pack", "label", "ship")
_WITNESS = os.environ.get("DURASTREAM_DEMO_WITNESS")
_WORKER = os.environ.get("DURASTREAM_DEMO_WORKER", "worker")
_STEP_SECONDS = float(os.environ.get("DURASTREAM_DEMO_STEP_SECONDS", "0.5"))

app = ds.App()


@dataclass(frozen=True)
class Step:
    order: str
    step: str


@app.activity
async def run_step(step: Step) -> str:
    """One step of an order: it takes a while, as calls to other systems do."""
    witness("begun", step)
    await asyncio.sleep(_STEP_SECONDS)
    witness("done", step)
    return f"{step.step} {step.order}"


@app.orchestrator
async def order(ctx: ds.OrchestrationContext, name: str) -> list[str]:
    """Run all steps, one after another. Should its worker die, another goes on where it stood."""
    results = []
    for step in STEPS:
        ctx.set_custom_status(step)
        results.append(await ctx.call_activity(run_step, Step(name, step)))
    return results


def witness(what: str, step: Step) -> None:
    """Append one line; a single write in append mode is whole even with several processes."""
    if _WITNESS is None:
        return
    entry = {"at": time.time(), "what": what, "order": step.order, "step": step.step, "worker": _WORKER}
    with open(_WITNESS, "a", encoding="utf-8") as lines:
        lines.write(json.dumps(entry) + "\n")
