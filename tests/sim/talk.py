"""Scenarios: external events, entities, critical sections, the ingress."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import durastream as ds
from durastream.errors import StoreUnavailable
from tests.sim import app
from tests.sim.loop import pause
from tests.sim.scenario import Scenario
from tests.sim.server import HUB

if TYPE_CHECKING:
    from tests.sim.world import World


class Tokens(Scenario):
    """What was sent, by whom, and whether it is known to have arrived. A token is `name:number`."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.sent: dict[str, str] = {}  # token → ok or info, in the order of sending
        self.sender: dict[str, str] = {}

    def next_token(self, who: str) -> str:
        token = f"{self.name}:{len(self.sent)}"
        self.sent[token], self.sender[token] = "info", who
        return token

    def arrived_once(self, found: list[str]) -> None:
        """S11, S13: acknowledged ones once, others at most once, those of one sender in the order sent."""
        missing = [
            token
            for token, fate in self.sent.items()
            if fate == "ok" and token not in found and not self.world.watch.buried(f'"{token}"')
        ]
        assert not missing, f"acknowledged and lost: {missing}"
        assert len(found) == len(set(found)), f"came twice: {sorted({one for one in found if found.count(one) > 1})}"
        strange = [token for token in found if token not in self.sent]
        assert not strange, f"nobody sent {strange}"
        place = {token: k for k, token in enumerate(self.sent)}
        for sender in dict.fromkeys(self.sender.values()):
            heard = [place[token] for token in found if self.sender[token] == sender]
            assert heard == sorted(heard), f"not in the order in which {sender} sent them: {heard}"


class Events(Tokens):
    """Events in order, each once, over any number of executions that continue as new."""

    kind = "events"

    async def run(self, client: ds.Client, who: str) -> None:
        handle = await self.started(client, app.collects, (1 + self.size % 3, []), self.name)
        while len(self.sent) < 4 * self.size:
            token = self.next_token(who)
            try:
                with self.world.ledger.op("raise"):
                    await handle.raise_event("token", token)
            except StoreUnavailable:
                continue
            self.sent[token] = "ok"
            if self.chance(f"pause {token}") < 0.4:
                await pause(0.3 * self.chance(f"for {token}"))
        while (await self.surely("status", handle.status)).runtime_status not in ("Completed", "Failed"):
            try:
                await self.surely("raise", lambda: handle.raise_event("token", "stop"))
            except ds.Conflict:
                break
            await pause(0.5)
        self.found: list[str] = await self.result(handle)
        self.world.ledger.did("continue as new")

    def check(self) -> None:
        self.arrived_once(self.found)


class Posts(Tokens):
    """Orchestrations that send events and signals to each other."""

    kind = "posts"

    async def run(self, client: ds.Client, who: str) -> None:
        count = 2 + self.size
        target = f"{self.name}-target"
        for k in range(count):
            self.sent[f"{self.name}:{k}"], self.sender[f"{self.name}:{k}"] = "ok", "it"
        handle = await self.started(client, app.collects, (2, []), target)
        sender = await self.started(client, app.posts, (target, count), self.name)
        self.equal("result", await self.result(sender), count)
        while (await self.surely("status", handle.status)).runtime_status not in ("Completed", "Failed"):
            if (await self.surely("counts", client.counts)) and self._posted():
                try:
                    await self.surely("raise", lambda: handle.raise_event("token", "stop"))
                except ds.Conflict:
                    break
            await pause(0.3)
        self.found: list[str] = await self.result(handle)
        self.world.ledger.did("send event")

    def _posted(self) -> bool:
        """Whether everything that was sent between partitions has arrived: only then may it be said to stop."""
        return not any(place.outbox for place in self.world.server.hub.partitions)

    def check(self) -> None:
        self.arrived_once(self.found)
        log = self.world.entity(ds.EntityId("Log", f"{self.name}-target"))
        self.arrived_once(log["notes"])


class Logs(Tokens):
    """Signals and calls to one entity: each applied once, in the order of its sender; of failed ones nothing stays."""

    kind = "log"

    async def run(self, client: ds.Client, who: str) -> None:
        log = ds.EntityId("Log", self.name)
        self.callers = [f"{self.name}-caller-{k}" for k in range(1 + self.size % 2)]
        handles = [await self.started(client, app.dictates, (self.name, self.size), one) for one in self.callers]
        while len(self.sent) < 3 * self.size:
            token = self.next_token(who)
            later = self.chance(f"later {token}") < 0.3
            if later:
                self.sender[token] = token  # at a time of its own
            try:
                with self.world.ledger.op("signal later" if later else "signal"):
                    await client.signal_entity(
                        log, "note", token, at=0.8 * self.chance(f"at {token}") if later else None
                    )
            except StoreUnavailable:
                continue
            self.sent[token] = "ok"
        self.results = [await self.result(handle) for handle in handles]
        await self.surely("read entity", lambda: client.read_entity(log))

    def check(self) -> None:
        notes: list[str] = self.world.entity(ds.EntityId("Log", self.name))["notes"]
        mine = [note for note in notes if note.startswith(f"{self.name}:")]
        self.arrived_once(mine)
        for caller, places in zip(self.callers, self.results, strict=True):
            said = [f"{caller}:{k}" for k in range(self.size)]
            self.equal(f"what {caller} said", [note for note in notes if note.startswith(f"{caller}:")], said)
            self.equal(f"where {caller} said it", [notes[place - 1] for place in places], said)
        assert len(notes) == len(mine) + len(self.callers) * self.size, f"there are others among {notes}"
        self.world.ledger.did("call entity")


class Starter(Scenario):
    """An entity that starts an orchestration."""

    kind = "starter"

    async def run(self, client: ds.Client, who: str) -> None:
        order = (f"{self.name}-made", 1)
        await self.surely("signal", lambda: client.signal_entity(ds.EntityId("Log", self.name), "begin", order))
        while True:
            try:
                found = await self.result(client.handle(f"{self.name}-made"))
                break
            except ds.InstanceNotFound:
                if self.world.watch.buried(f'"{self.name}-made"'):
                    return
                await pause(0.2)
        self.equal("result", found, 3)
        self.world.ledger.did("start by entity")


class Bank(Scenario):
    """Transfers in critical sections: each whole or not at all, once, and nobody between."""

    kind = "bank"

    async def run(self, client: ds.Client, who: str) -> None:
        self.results: dict[int, bool] = {}
        count, accounts = 3 * self.size, 3
        orders = {}
        for number in range(count):
            source = self.world.chance.whole(f"{self.name} source {number}", 0, accounts - 1)
            target = (source + 1 + self.world.chance.whole(f"{self.name} target {number}", 0, accounts - 2)) % accounts
            orders[number] = (self.name, number, source, target, 1 + int(70 * self.chance(f"amount {number}")))
        handles = {
            number: await self.started(client, app.transfer, order, f"{self.name}-{number}")
            for number, order in orders.items()
        }
        self.deposits = {}
        for number in range(1_000, 1_000 + count):
            target = self.world.chance.whole(f"{self.name} target {number}", 0, accounts - 1)
            self.deposits[number] = (target, 1 + int(70 * self.chance(f"amount {number}")))
            order = (self.name, number, *self.deposits[number])
            handles[number] = await self.started(client, app.deposit, order, f"{self.name}-{number}")
        for number, handle in handles.items():
            self.results[number] = await self.result(handle)
        self.orders = orders
        self.world.ledger.did("lock entities")

    def check(self) -> None:
        total, moves = 0, dict[int, list[int]]()
        touched = {one for order in self.orders.values() for one in order[2:4]} | {
            one for one, _ in self.deposits.values()
        }
        for number in sorted(touched):
            held = self.world.entity(app.account(self.name, number)) or {"balance": app.OPENING, "moves": []}
            total += held["balance"]
            self.equal(
                f"balance of {number}", held["balance"], app.OPENING + sum(amount for _, amount in held["moves"])
            )
            for move, amount in held["moves"]:
                moves.setdefault(move, []).append(amount)
        deposited = sum(amount for _, amount in self.deposits.values())
        self.equal("money in the bank", total, app.OPENING * len(touched) + deposited)
        for number, (_, amount) in self.deposits.items():
            self.equal(f"moves of deposit {number}", moves.get(number), [amount])
        for number, moved in self.results.items():
            if number in self.deposits:
                continue
            amount = self.orders[number][4]
            self.equal(f"moves of transfer {number}", sorted(moves.get(number, [])), [-amount, amount] if moved else [])


class Holders(Scenario):
    """Owners of locks that end in any way: the lock is free afterwards."""

    kind = "holders"
    _ENDINGS = ("returns", "fails", "continues", "waits")

    async def run(self, client: ds.Client, who: str) -> None:
        key = self.name
        for k, ending in enumerate(self._ENDINGS):
            handle = await self.started(client, app.holds, (key, ending), f"{self.name}-{k}")
            if ending == "waits":
                await self.until(
                    client, handle.id, lambda status: status.custom_status == "inside" or status.completed_at
                )
                with suppress(ds.Conflict):  # an earlier try has done it
                    await self.surely("terminate", lambda: handle.terminate("enough"))  # noqa: B023
            try:
                self.equal("result", await self.result(handle), "returns")
            except ds.OrchestrationTerminated:
                self.equal("ending", ending, "waits")
            except ds.OrchestrationFailed:
                self.equal("ending", ending, "fails")
        last = await self.started(client, app.holds, (key, "returns"), f"{self.name}-last")
        self.equal("result", await self.result(last), "returns")
        self.world.ledger.did("lock left behind")

    def check(self) -> None:
        text = str(ds.EntityId("Account", self.name))
        held = self.world.server.hub.home(text).entities.get(text)
        assert held is None or "lock" not in held.fields, "the lock is still held"


class Ingress(Scenario):
    """Entries of any Redis client, which answers come back for."""

    kind = "ingress"

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world, number)
        self.written = 0

    def _write(self, **fields: Any) -> None:
        packed = {
            name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in fields.items()
        }
        self.world.server.model.ingress(HUB, packed)
        self.world.ledger.did("ingress")

    async def run(self, client: ds.Client, who: str) -> None:
        while self.written < 2 * self.size:
            k, self.written = self.written, self.written + 1
            self._write(op="start", name="sequence", id=f"{self.name}-{k}", input=b"1", reply=f"reply-{self.name}-{k}")
            self._write(op="signal", entity="Log", key=self.name, operation="note", input=json.dumps(f"{k}"))
            await pause(0.2 * self.chance(f"pause {k}"))
        for k in range(2 * self.size):
            while True:
                try:
                    self.equal("result", await self.result(client.handle(f"{self.name}-{k}")), 3)
                    break
                except ds.InstanceNotFound:
                    await pause(0.2)

    def check(self) -> None:
        notes = self.world.entity(ds.EntityId("Log", self.name))["notes"]
        self.equal("what was signalled", notes, [str(k) for k in range(2 * self.size)])
        for k in range(2 * self.size):
            answers = {bytes(one) for one in self.world.server.model.replies(f"reply-{self.name}-{k}")}
            assert len(answers) == 1, f"answers on the reply list: {answers}"


TALK = (Events, Posts, Logs, Starter, Bank, Holders, Ingress)
