"""All invariants by their ids: what each says, and where it can be seen. None is left out silently.

`FSCK` are functions of what stands in Redis. The others need what Redis does not keep: a history of what clients were told and
what activities did (`HISTORY`), each commit in its order (`LOG`), or figures measured while it runs (`MEASURED`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from durastream.inspect.invariants.entity import ENTITY
from durastream.inspect.invariants.hub import HUB, KEY, LEASE, MARK, MEMBER, ROUTER
from durastream.inspect.invariants.instance import INSTANCE
from durastream.inspect.invariants.log import UNIT, UnitSnapshot
from durastream.inspect.invariants.obligations import OBLIGATIONS
from durastream.inspect.invariants.streams import CLAIM, ENTRY, STREAM
from durastream.inspect.invariants.timers import TIMERS
from durastream.inspect.invariants.violation import Check

Source: TypeAlias = Literal["fsck", "history checker", "commit log", "measured"]

FSCK: Final = "fsck"
HISTORY: Final = "history checker"
LOG: Final = "commit log"
MEASURED: Final = "measured"

CHECKS: Final[tuple[Check[Any], ...]] = (
    *INSTANCE, *OBLIGATIONS, *ENTITY, *TIMERS, *STREAM, *ENTRY, *CLAIM, *HUB, *KEY, *MEMBER, *LEASE, *ROUTER, *MARK,
)  # fmt: skip
"""Every function, whatever it is of."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`seen_by`: all that it takes to see it whole. `unseen`: what `fsck` cannot see of it."""

    id: str
    says: str
    seen_by: tuple[Source, ...]
    unseen: str = ""

    @property
    def checks(self) -> tuple[Check[Any], ...]:
        """What `fsck` holds it by; empty where Redis alone does not tell."""
        return tuple(check for check in CHECKS if check.id == self.id)

    @property
    def steps(self) -> tuple[Check[UnitSnapshot], ...]:
        """What each unit of the server's log is held by (`tests/prefixes`)."""
        return tuple(check for check in UNIT if check.id == self.id)


_ENTRIES: Final = (
    Entry("F0", "settings are complete, the server is fit", (FSCK,)),
    Entry("S1", "history is append-only and gap-free", (FSCK, HISTORY, LOG), "that events never change"),
    Entry("S2", "one committed turn per version", (FSCK, LOG), "that versions move by one"),
    Entry("S3", "a turn is one atomic unit", (LOG,), "all of it; S10 on every prefix of the log implies it"),
    Entry("S4", "one outcome for what was scheduled", (FSCK, HISTORY), "that results equal the model"),
    Entry("S5", "an activity runs at least once, exactly once without faults", (HISTORY,), "all of it"),
    Entry("S6", "replay makes the same decisions", (HISTORY,), "all of it: the code is needed (`durastream replay`)"),
    Entry("S7", "output equals the reference model", (HISTORY,), "all of it"),
    Entry("S8", "an ending never changes", (FSCK, LOG), "that it stays as it was when first seen"),
    Entry("S9", "an acknowledged start makes exactly one instance", (HISTORY,), "all of it: acknowledgements are not kept"),
    Entry("S10", "open obligations have carriers", (FSCK, LOG), "lost tasks, where code could have cancelled them"),
    Entry("S11", "an acknowledged event appears once", (HISTORY,), "all of it: events carry no identity"),
    Entry("S12", "executions follow each other without gap", (FSCK, LOG), "earlier generations, which are not kept"),
    Entry("S13", "an operation is applied once, in order of its sender", (FSCK, HISTORY), "what operations did"),
    Entry("S14", "operations of an entity are linearizable", (HISTORY,), "all of it"),
    Entry("S15", "locks are held by who believes it, and let go at its end", (FSCK, HISTORY), "what ran while locked"),
    Entry("S16", "timers fire once, never early", (FSCK, HISTORY), "when a timer really fired"),
    Entry("S17", "a child's result reaches its parent once", (HISTORY,), "seen as S10 and S4 of the parent"),
    Entry("S18", "suspension and termination take effect", (FSCK, HISTORY), "that a suspended history stays frozen"),
    Entry("S19", "purge leaves nothing, nothing resurrects", (HISTORY,), "which ids were purged, unless told (--purged)"),
    Entry("S20", "no key of another hub is touched", (FSCK, LOG), "writes outside the hub"),
    Entry("S21", "a fenced holder has no effect", (FSCK, LOG), "all but that leases can be read"),
    Entry("S22", "input goes with its effect", (LOG,), "all of it"),
    Entry("S23", "dead letters only for what cannot be handled", (FSCK, HISTORY), "why a letter is dead"),
    Entry("S24", "indexes equal the records", (FSCK, LOG)),
    Entry("S25", "what one client sees never goes back", (HISTORY,), "all of it"),
    Entry("S26", "after suffix loss the store is a legal earlier state", (LOG,), "seen as everything else that holds"),
    Entry("S26b", "a shard rolled back by itself is detected", (FSCK, LOG), "a loss on the target's side"),
    Entry("S27", "times never go back", (FSCK,)),
    Entry("S28", "what is accepted can be read again", (FSCK, HISTORY), "that a payload is what was given"),
    Entry("S29", "a schedule's tick starts one instance", (HISTORY,), "there are no schedules yet"),
    Entry("S30", "a repeated call has one effect", (HISTORY,), "all of it"),
    Entry("L1", "acknowledged instances end", (MEASURED,), "lost carriers are S10"),
    Entry("L2", "claims of the dead are put back", (FSCK, MEASURED), "how soon"),
    Entry("L3", "due timers fire in time", (MEASURED,), "all of it"),
    Entry("L4", "throughput returns after an outage", (MEASURED,), "all of it"),
    Entry("L5", "heals without restart", (FSCK, MEASURED), "all but streams whose ids were spoilt"),
    Entry("L6", "locks of the dead are let go", (MEASURED,), "how soon; orphaned locks are S15"),
    Entry("L7", "poison does not block neighbours", (MEASURED,), "all of it"),
    Entry("L8", "shutdown hands over", (MEASURED,), "all of it"),
    Entry("L9", "each partition has an owner", (MEASURED,), "all of it: `durastream doctor` tells"),
    Entry("L10", "small instances are not starved", (MEASURED,), "all of it"),
    Entry("L11", "quiet when all has ended", (MEASURED,), "all of it; timers of what is over are S16"),
    Entry("L12", "cost grows linearly", (MEASURED,), "all of it"),
    Entry("H1", "streams and claims stay short", (FSCK, MEASURED), "lengths, which an honest backlog may have"),
    Entry("H2", "purge returns keys and memory to the baseline", (MEASURED,), "all of it"),
    Entry("H3", "each key is known and reachable, and lives for ever", (FSCK,)),
    Entry("H4", "nothing is over its limit", (FSCK,), "numbers of events, which have no limit"),
    Entry("H5", "scripts are short", (MEASURED,), "all of it"),
    Entry("H6", "few commands per activity", (MEASURED,), "all of it"),
    Entry("H7", "nothing is evicted", (FSCK,)),
    Entry("H8", "scripts declare their keys", (MEASURED,), "all of it"),
    Entry("H9", "fsck reads only, in bounded steps", (MEASURED,), "itself"),
    Entry("H10", "looking does not stall working", (MEASURED,), "all of it"),
)  # fmt: skip

CATALOGUE: Final[Mapping[str, Entry]] = {entry.id: entry for entry in _ENTRIES}
