"""Fan out, fan in: many activities at once, over all workers, then one sum.

    durastream dev workers.fan_out:app

    durastream start sum_of_squares --input 100 --wait

Start more workers (`durastream worker workers.fan_out:app --processes 4`) and the same input is done sooner.
"""

from __future__ import annotations

import durastream as ds

app = ds.App()


@app.activity
async def square(number: int) -> int:
    return number * number


@app.orchestrator
async def sum_of_squares(ctx: ds.OrchestrationContext, count: int) -> int:
    """Schedule all, then wait for all."""
    squares = await ds.when_all([ctx.call_activity(square, number) for number in range(1, count + 1)])
    return sum(squares)
