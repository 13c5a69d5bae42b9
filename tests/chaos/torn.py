"""What is left of a hub of which a part has forgotten what the rest remembers, and whether anything stands still in silence.

A message between two shards is lost when the receiver forgets it after the sender has let go of it, and comes twice when the
sender forgets that it was sent. Nothing can mend that from within. So what waits for such a message must be named by `fsck`. What
`fsck --repair` can do is done, what stands still and is named is terminated, as an operator would; then everything else must end.

One kind of loss cannot be named by anybody: of an external event between two orchestrations, since to wait for an event is a
legal state. Such an instance is counted and terminated, if one end of the exchange lies on a shard that has lost something then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import durastream as ds
from durastream.inspect.fsck import Patience, Report, fsck
from durastream.store.redis.repairs import Repairs
from tests.chaos import oracles
from tests.chaos.log import Window, forgot
from tests.chaos.workloads.events import partner

ROUNDS: Final = 6  # what is mended may bring to light what else is
EXCUSED: Final = frozenset(("S10", "S11", "S12", "S13", "S15", "S16", "S17", "S23", "S26b"))
"""What a message that was lost or doubled may break. No shard breaks any other invariant by itself."""


@dataclass
class Verdict:
    """What was found once nothing moved any more."""

    named: Counter[str] = field(default_factory=Counter)  # by invariant: what fsck found
    in_flight: list[str] = field(default_factory=list)  # wait for an event that a shard has lost
    mended: Counter[str] = field(default_factory=Counter)  # by verb of the repair
    ended: list[str] = field(default_factory=list)  # instances that stood still, were named, and were terminated
    dead_letters: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def note(self) -> str:
        return (
            f"fsck named {dict(self.named) or 'nothing'}, fsck --repair mended {dict(self.mended) or 'nothing'};"
            f" {len(self.ended)} instances stood still, were named, and were terminated;"
            f" in flight to the rolled back shard, lost: {len(self.in_flight)}; {self.dead_letters} dead letters"
        )


async def look(
    url: str, client: ds.Client, until_quiet: Callable[[], Awaitable[Any]], windows: Sequence[Window] = ()
) -> Verdict:
    """`until_quiet` waits until nothing moves any more, and says what is left. `windows`: of shards that have lost something."""
    verdict = Verdict()
    left: Any = None
    for _ in range(ROUNDS):
        before = (sum(verdict.mended.values()), len(verdict.ended))
        report = await _fsck(url, verdict)
        verdict.ended += await _end_named(client, report, verdict.ended)
        verdict.dead_letters = report.dead_letters
        if (sum(verdict.mended.values()), len(verdict.ended)) == before:
            lost = await _end_bereft(client, windows, verdict.in_flight)
            verdict.in_flight += lost
            if not lost:
                break  # nothing more can be done
        left = await until_quiet()
    verdict.violations += [
        f"{one.invariant} fsck: {one.key}: {one.text}" for one in report.violations if one.invariant not in EXCUSED
    ]
    silent = sorted([one.id async for one in client.list(payloads=False) if not one.ended])
    verdict.violations += [f"L1 {one} stands still in silence: fsck does not name what it waits for" for one in silent]
    if left and not silent:
        verdict.violations.append(f"L11 left over after everything has ended: {left}")
    return verdict


async def _fsck(url: str, verdict: Verdict) -> Report:
    """And mend what can be mended, as `fsck --repair --yes`."""
    hub = await Repairs.open(url, "default")
    try:
        report = await fsck(hub, patience=Patience())
        for violation in report.violations:
            verdict.named[violation.invariant] += 1
            repair = violation.repair
            if repair is not None and await hub.repair(repair.verb, repair.arguments):
                verdict.mended[repair.verb] += 1
    finally:
        await hub.close()
    return report


async def _end_named(client: ds.Client, report: Report, ended: Iterable[str]) -> list[str]:
    """Terminate the instances with which fault was found and for which there is no repair; their ids."""
    keys = {one.key for one in [*report.violations, *report.doubts] if one.repair is None}
    standing = [one.id async for one in client.list(payloads=False) if not one.ended]
    named = [one for one in standing if any(key.endswith((f":i:{one}", f":h:{one}")) for key in keys)]
    for one in sorted(set(named) - set(ended)):
        await client.terminate(one, "what it waits for is lost", check=False)
    return sorted(set(named) - set(ended))


async def _end_bereft(client: ds.Client, windows: Sequence[Window], ended: Sequence[str]) -> list[str]:
    """Terminate those that wait for an event of which a shard has lost the memory; their ids."""
    likely = [one async for one in client.list() if not one.ended and _covered(one, windows)]
    lost = [one.id for one in likely if one.id not in ended and await _awaits_event(client, one)]
    for one in lost:
        await client.terminate(one, "the event that it waits for is lost", check=False)
    return lost


def _covered(status: ds.InstanceStatus, windows: Sequence[Window]) -> bool:
    """Whether its own shard, or that of the one whom it plays with, may have lost the event."""
    other = partner(status.id)
    return other is not None and forgot(windows, status, other)


async def _awaits_event(client: ds.Client, status: ds.InstanceStatus) -> bool:
    with oracles.replayed(status, await client.history(status.id)) as run:
        return bool(run.awaited_events())


def excuse(found: Iterable[str], torn: Counter[str]) -> list[str]:
    """Findings of workloads whose instances talk to other partitions: what lost messages may break is counted instead."""
    violations = []
    for text in found:
        invariant = text.partition(" ")[0]
        if invariant in EXCUSED or invariant == "S7":
            torn[invariant] += 1
        else:
            violations.append(text)
    return violations
