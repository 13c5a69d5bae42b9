"""Deliberate faults in the scripts, put in as they are loaded. Each must be found, or the test proves nothing."""

from __future__ import annotations

from typing import Final, NamedTuple

from durastream.store import scripts
from tests.differential.coverage import Coverage
from tests.differential.parts import parts
from tests.differential.playing import play, steps_of

SEEDS_MAX: Final = 60
"""Seeds within which each must be found."""


class Mutant(NamedTuple):
    what: str  # goes wrong
    part: str  # of which file
    old: str
    new: str

    def text(self) -> str:
        """The file with the fault in it. ValueError when it no longer has the place: then the mutant is to be rewritten."""
        shipped = scripts.part(self.part)
        if shipped.count(self.old) != 1:
            raise ValueError(f"{self.part}.lua has {self.old!r} {shipped.count(self.old)} times, not once: {self.what}")
        return shipped.replace(self.old, self.new)


_APPLY = "call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + count))"


def _without(command: str) -> str:
    return f"if ARGV[at] ~= '{command}' then {_APPLY} end"


_NX = (
    "if ARGV[at] == 'ZADD' then call('ZADD', KEYS[tonumber(ARGV[at + 1])], 'NX', unpack(ARGV, at + 3, at + 2 + count))"
    f" else {_APPLY} end"
)

MUTANTS: Final = (
    # commit
    Mutant("commit without fence", "commit", "if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then", "if not held[1] then"),
    Mutant("commit fenced by the epoch alone", "commit", " or held[2] ~= ARGV[2] then", " then"),
    Mutant("a repeated commit is applied again", "commit", "if wanted <= applied then return 0 end", ""),
    Mutant("a commit may be left out", "commit", "if wanted ~= applied + 1 then", "if false then"),
    Mutant("commit forgets its number", "commit", "call('HSET', KEYS[1], 'seq', ARGV[3])", ""),
    Mutant("no compare of revisions", "commit", "if found ~= revision then", "if false then"),
    Mutant("no compare of lengths", "commit", "if entries ~= tonumber(length) then", "if false then"),
    Mutant("consumed entries stay in the inbox", "commit", _APPLY, _without("XDEL")),
    Mutant("the old place in the index stays", "commit", _APPLY, _without("ZREM")),
    Mutant("the new place in the index is missing", "commit", _APPLY, _without("ZADD")),
    Mutant("a timer that is set again keeps its time", "commit", _APPLY, _NX),
    Mutant("the old history stays at continue-as-new", "commit", _APPLY, _without("DEL")),
    Mutant("fields without a value stay", "commit", _APPLY, _without("HDEL")),
    Mutant("a purge leaves the record", "commit", _APPLY, _without("UNLINK")),
    Mutant("who watches hears of every end to come", "commit", "if #gone > 0 then", "if false then"),
    Mutant("who watches and is told hears twice", "commit", "if other ~= channel then", "if true then"),
    # leases
    Mutant("due, forget, tidy, reclaim without fence", "_fence", "held[1] == epoch and held[2] == nonce", "held[1]"),
    Mutant("a lease that is held is taken", "acquire", "if ends > now then", "if false then"),
    Mutant("a lease is held a millisecond too long", "acquire", "if ends > now then", "if ends >= now then"),
    Mutant(
        "an epoch is no higher than the last", "acquire", "tonumber(held[1] or '0') + 1", "tonumber(held[1] or '0')"
    ),
    Mutant("a new lease goes on with the old numbers", "acquire", "'seq', '0',", "'seq', held[1] and '1' or '0',"),
    Mutant("an expired lease is renewed", "renew", "or tonumber(held[3] or '0') <= now then", "then"),
    Mutant("anybody may release", "release", "if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then", "if not held[1] then"),
    Mutant("what an owner got over is held against it", "attempt", "before and before ~= ARGV[3]", "false"),
    Mutant("nobody knows at what an owner fell silent", "acquire", "if held[6] then", "if false then"),
    Mutant("a worker is named twice", "_names", "if ('\\n' .. names", "if false and ('\\n' .. names"),
    Mutant("who gives its lease up has died of what it tried", "release", "'nonce', 'trying')", "'nonce')"),
    # messages
    Mutant("a delivery leaves no mark", "deliver", "if last then", "if false then"),
    Mutant("the last message is taken again", "deliver", "tonumber(ARGV[k]) > from", "tonumber(ARGV[k]) >= from"),
    Mutant("a zombie's messages are taken", "deliver", "tonumber(own_epoch) < tonumber(epoch)", "false"),
    Mutant("a failover's messages are dropped", "deliver", " and nonce == own_nonce", ""),
    Mutant("marks are forgotten too early", "tidy", "seen < oldest", "seen <= oldest"),
    Mutant("delivered entries stay in the outbox", "forget", "unpack(ARGV, 3)", "'0-1'"),
    # starts and the ingress
    Mutant("any start of an id is taken for the first", "_create", "== token and 1 or 0", "== token and 1 or 1"),
    Mutant("a scheduled start sets no timer", "_create", "if start_at ~= '' then", "if false then"),
    Mutant("a start has no place in the index", "_create", "if #keys.created > 0 then", "if false then"),
    Mutant("an ingress entry is taken again", "route", "redis.call('HSET', KEYS[1], entry, '1')", ""),
    Mutant(
        "a router of old may go on",
        "route",
        "if highest and highest > epoch then",
        "if false then",
    ),
    Mutant("a call that was overtaken counts", "route", "(tonumber(seen[2] or '0') or 0) > turn", "false"),
    Mutant("who watches what has ended is kept", "watch", "and not final[redis.call('HGET', KEYS[k], 'status')]", ""),
    # timers
    Mutant("a timer is due a millisecond late", "due", "'-inf', now,", "'-inf', '(' .. now,"),
    # activities
    Mutant(
        "a late outcome counts",
        "complete",
        "if mine == 0 then\n    redis.call('XDEL', KEYS[1], sent)",
        "if false then\n",
    ),
    Mutant("a completed activity stays", "complete", "redis.call('XDEL', stream, unpack(ids))", ""),
    Mutant("what is put back stays as well", "put_back", "    redis.call('XDEL', from, ARGV[k])\n", ""),
    Mutant("who had it is not noted", "reclaim", "then died = with_name(died, worker) end", "then end"),
    Mutant("nothing is forgotten of the limit", "reclaim", "limit - #moved, name)", "limit, name)"),
)


async def seeds_to_kill(url: str, mutant: Mutant, steps: int) -> tuple[int | None, int]:
    """How many seeds, from 0, and how many calls it takes to find the fault; None when it is not found."""
    coverage = Coverage()
    with parts({mutant.part: mutant.text()}):
        for seed in range(SEEDS_MAX):
            difference, _ = await play(url, steps_of(seed, steps), coverage)
            if difference is not None:
                return seed + 1, coverage.calls
    return None, coverage.calls
