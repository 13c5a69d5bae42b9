"""At most so many at once, over all workers: a semaphore that is an entity, with permits, and a queue for who waits.

    durastream dev workers.semaphore:app

    durastream start crawl --input '{"site": "example.org", "pages": 20, "at_once": 2}' --wait
    durastream entity show Semaphore example.org

Who wants a permit signals `acquire` and waits for an event, which the semaphore raises when it is its turn. Nothing is
polled and nothing is locked meanwhile. A permit is lent for a time (`lease_s`): the semaphore sends itself a signal that is due
when it ends, so that the permit of a holder that was terminated comes back as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import durastream as ds

app = ds.App()


@dataclass(frozen=True)
class Request:
    """`ticket` is one that nobody else has. Choose `lease_s` longer than the work takes."""

    ticket: str
    lease_s: float = 60.0


@dataclass(frozen=True)
class Waiting:
    request: Request
    instance_id: str


@app.entity
@dataclass
class Semaphore:
    permits: int = 1
    holders: dict[str, str] = field(default_factory=dict)  # ticket → instance
    waiting: list[Waiting] = field(default_factory=list)  # first come, first served

    def set_permits(self, permits: int, ctx: ds.EntityContext) -> None:
        """More are handed out at once; fewer once holders give theirs back."""
        self.permits = permits
        self._hand_out(ctx)

    def acquire(self, request: Request, ctx: ds.EntityContext) -> None:
        """The orchestration that asks gets the event `permit TICKET` when it has one."""
        if ctx.caller is None:
            raise ValueError("only orchestrations can wait for a permit")
        self.waiting.append(Waiting(request, ctx.caller))
        self._hand_out(ctx)

    def release(self, ticket: str, ctx: ds.EntityContext) -> None:
        """Give a permit back, or no longer wait for one. A ticket that was given back already changes nothing."""
        self.holders.pop(ticket, None)
        self.waiting = [one for one in self.waiting if one.request.ticket != ticket]
        self._hand_out(ctx)

    def expire(self, ticket: str, ctx: ds.EntityContext) -> None:
        """The time it was lent for is over. Most are back by then, and this finds nothing."""
        if ticket in self.holders:
            ctx.logger.warning("%s did not give its permit back in time", self.holders[ticket])
            self.release(ticket, ctx)

    def _hand_out(self, ctx: ds.EntityContext) -> None:
        while self.waiting and len(self.holders) < self.permits:
            first = self.waiting.pop(0)
            ticket = first.request.ticket
            self.holders[ticket] = first.instance_id
            ctx.send_event(first.instance_id, f"permit {ticket}")
            ctx.signal_entity(ctx.entity_id, "expire", ticket, at=first.request.lease_s)


@dataclass(frozen=True)
class Page:
    site: str
    number: int


@dataclass(frozen=True)
class Crawl:
    site: str
    pages: int
    at_once: int = 2


@app.activity
async def fetch(page: Page) -> str:
    """Here the site would be asked."""
    return f"{page.site}/{page.number}"


@app.orchestrator
async def visit(ctx: ds.OrchestrationContext, page: Page) -> str:
    """Fetch one page while holding a permit. The `finally` gives it back, or leaves the queue, whatever went wrong."""
    semaphore, ticket = ds.EntityId("Semaphore", page.site), str(ctx.new_uuid())
    ctx.signal_entity(semaphore, "acquire", Request(ticket))
    try:
        await ctx.wait_for_external_event(f"permit {ticket}")
        return await ctx.call_activity(fetch, page)
    finally:
        ctx.signal_entity(semaphore, "release", ticket)


@app.orchestrator
async def crawl(ctx: ds.OrchestrationContext, plan: Crawl) -> list[str]:
    """All pages, as many at a time as the site is asked to bear; other crawls of the site share the permits."""
    await ctx.call_entity(ds.EntityId("Semaphore", plan.site), "set_permits", plan.at_once)
    pages = [Page(plan.site, number) for number in range(1, plan.pages + 1)]
    return await ds.when_all([ctx.call_sub_orchestrator(visit, page) for page in pages])
