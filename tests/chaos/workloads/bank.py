"""Transfers between accounts in critical sections: each happened whole and once, or not at all; no money is made or lost."""

from __future__ import annotations

from collections import Counter
from typing import Any

from tests.chaos import app
from tests.chaos.app import OPENING, Account, account
from tests.chaos.log import Op
from tests.chaos.workloads.base import Facts, Known

_ACCOUNTS = 12
_AMOUNT_MAX = OPENING  # some transfers are refused


class Bank(Known):
    name = "bank"
    spans = True
    orchestrator = app.transfer
    pace_s = 0.12

    async def prepare(self) -> None:
        await self.client.signal_entities((account(number), "open", OPENING) for number in range(_ACCOUNTS))

    def order(self) -> tuple[int, int, int]:
        source, target = self.rng.sample(range(_ACCOUNTS), 2)
        return source, target, self.rng.randint(1, _AMOUNT_MAX)

    def expected(self, value: Any) -> Any:
        """Whether it went through: only the accounts know."""
        return value

    def judge(self, op: Op, status: Any) -> list[str]:
        if status.runtime_status != "Completed" or not isinstance(status.output, bool):
            return [f"S7 {op.key} is {status.runtime_status} with {status.output}: {status.failure}"]
        return []

    async def check(self, facts: Facts) -> list[str]:
        """Each account's moves are exactly those of the transfers that say they were done."""
        found = await super().check(facts)
        wanted: Counter[tuple[int, str, int]] = Counter()
        for op in {op.key: op for op in self.starts()}.values():
            status, (source, target, amount) = facts.statuses.get(op.key), op.value
            if status is not None and status.output is True:
                wanted[source, op.key, -amount] += 1
                wanted[target, op.key, amount] += 1
        really: Counter[tuple[int, str, int]] = Counter()
        total = 0
        for number in range(_ACCOUNTS):
            state = await facts.client.read_entity(account(number), type=Account)
            if state is None:
                found.append(f"S13 {account(number)} is gone")
                continue
            total += state.balance
            found += _account(number, state)
            really.update((number, transfer, amount) for transfer, amount in state.moves)
        found += [f"S13 moved, and nobody says so: {one}, {count} times" for one, count in (really - wanted).items()]
        found += [f"S13 not moved, though it was told: {one}" for one in wanted - really]
        if total != _ACCOUNTS * OPENING:
            found.append(f"S13 there were {_ACCOUNTS * OPENING} in all accounts, now there are {total}")
        return found


def _account(number: int, state: Account) -> list[str]:
    if state.opened != OPENING:
        return [f"S13 {account(number)} was opened with {state.opened}, not {OPENING}"]
    if not state.balance == OPENING + sum(amount for _, amount in state.moves) >= 0:
        return [f"S13 {account(number)} has {state.balance} after {state.moves}"]
    return []
