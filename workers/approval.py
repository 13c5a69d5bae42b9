"""A person decides, or time does: an external event raced with a durable timer.

    durastream dev workers.approval:app

    durastream start approve --id leave-1 --input '{"request": "two weeks off", "patience_s": 60}'
    durastream event leave-1 decision --data true
    durastream wait leave-1

Raise no event and the request is escalated to the manager, whose own minute begins; nobody answers: rejected.
The minute may as well be a month: a durable timer costs nothing while it waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import durastream as ds

app = ds.App()


@dataclass(frozen=True)
class Request:
    request: str
    patience_s: float = 60.0
    approvers: tuple[str, ...] = ("team lead", "manager")


@app.activity
async def ask(question: str) -> None:
    """Here a mail would go out."""
    print(question)


@app.orchestrator
async def approve(ctx: ds.OrchestrationContext, request: Request) -> str:
    """Ask one approver after another; the first answer counts."""
    for approver in request.approvers:
        ctx.set_custom_status({"waiting_for": approver})
        await ctx.call_activity(ask, f"{approver}: {request.request}?")
        decision = ctx.wait_for_external_event("decision", type=bool)
        deadline = ctx.create_timer(timedelta(seconds=request.patience_s))
        if await ds.when_any([decision, deadline]) is decision:
            deadline.cancel()
            return f"{'approved' if decision.result() else 'rejected'} by {approver}"
        decision.cancel()
    return "rejected: nobody answered"
