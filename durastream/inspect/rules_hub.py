"""Rules of diagnosis for a hub and its server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from durastream.inspect.ages import ago
from durastream.inspect.facts import HubFacts
from durastream.inspect.finding import Finding
from durastream.inspect.plural import plural
from durastream.store.versions import unmended

Rule: TypeAlias = Callable[[HubFacts], Iterator[Finding]]

SKEW_MS_MAX: Final = 1_000
LATENCY_MS_MAX: Final = 20.0
MEMORY_FULL: Final = 0.9
LAG_S_MAX: Final = 10.0
OLDEST_VERSION: Final = (7, 0)


def no_worker(facts: HubFacts) -> Iterator[Finding]:
    if not facts.overview.live_workers:
        advice = f"start one: durastream worker module:app --hub {facts.overview.hub}"
        yield Finding("no-worker", "error", f"no live worker in hub {facts.overview.hub}", advice)


def unowned_partitions(facts: HubFacts) -> Iterator[Finding]:
    unowned = facts.overview.unowned
    if unowned and facts.overview.live_workers:
        numbers = ", ".join(map(str, unowned[:10])) + (" …" if len(unowned) > 10 else "")
        yield Finding(
            "unowned-partition",
            "error",
            f"nobody owns {len(unowned)} of {len(facts.overview.partitions)} partitions: {numbers}",
            "workers take free partitions within seconds; if this stays, look into their logs",
        )


def unserved_queues(facts: HubFacts) -> Iterator[Finding]:
    for row in facts.overview.queues:
        if row.waiting and not row.workers and facts.overview.live_workers:
            base, split, activity = row.queue.partition("/")
            needs = f"that has the activity {activity} and reads {base}" if split else f"with --queues {row.queue}"
            yield Finding(
                "unserved-queue",
                "error",
                f"{row.waiting:,} activities wait in queue {row.queue}, which no live worker serves",
                f"start a worker {needs}",
            )


def lag(facts: HubFacts) -> Iterator[Finding]:
    overview = facts.overview
    for row in overview.queues:
        if row.waiting and row.workers and row.oldest and (overview.now - row.oldest).total_seconds() > LAG_S_MAX:
            yield Finding(
                "lag",
                "warning",
                f"{row.waiting:,} activities wait in queue {row.queue}, the oldest was put there {ago(row.oldest, overview.now)};"
                f" {row.busy:,} of {row.slots:,} slots are taken",
                "start more workers for it, or raise --concurrency",
            )
    late = [
        row
        for row in overview.partitions
        if row.oldest and not row.parked and not row.stalled and row.lease == "held"
        if (overview.now - row.oldest).total_seconds() > LAG_S_MAX
    ]
    if late:
        worst = min(late, key=lambda row: row.oldest or overview.now)
        backlog = sum(row.backlog for row in late)
        yield Finding(
            "lag",
            "warning",
            f"{plural(backlog, 'message waits', 'messages wait')} in {plural(len(late), 'partition')}; the oldest, in partition"
            f" {worst.number}, came {ago(worst.oldest or overview.now, overview.now)}",
            "start more workers; if one partition alone is behind, look into the log of its owner",
        )


def parked(facts: HubFacts) -> Iterator[Finding]:
    count = sum(row.parked for row in facts.overview.partitions)
    if count:
        advice = "see them: durastream list 'stuck:any'; each one's page says what to do"
        text = f"{plural(count, 'instance')} {'is' if count == 1 else 'are'} parked and cannot move"
        yield Finding("parked", "error", text, advice)
    stalled = sum(row.stalled for row in facts.overview.partitions)
    if stalled:
        advice = "start a worker whose app has these entities: durastream entity list"
        text = f"operations of {plural(stalled, 'entity', 'entities')} wait for a worker that has their code"
        yield Finding("stalled", "error", text, advice)


def silent_workers(facts: HubFacts) -> Iterator[Finding]:
    silent = [worker for worker in facts.overview.workers if not worker.alive]
    if silent:
        shown = ", ".join(f"{worker.id} ({ago(worker.seen_at, facts.overview.now)})" for worker in silent[:5])
        yield Finding(
            "silent-worker",
            "warning",
            f"{len(silent)} workers fell silent without leaving: {shown}",
            "they crashed, were killed or lost the server; what they ran is run again by others. See their logs",
        )


def clock_skew(facts: HubFacts) -> Iterator[Finding]:
    advice = "synchronise the clocks (NTP); leases and timers go by the server's clock and are not affected"
    if facts.skew_ms is not None and abs(facts.skew_ms) > SKEW_MS_MAX:
        yield Finding("clock-skew", "warning", f"this machine's clock is {_off(facts.skew_ms)} the server's", advice)
    for worker in facts.overview.live_workers:
        if worker.skew_ms is not None and abs(worker.skew_ms) > SKEW_MS_MAX:
            text = f"the clock of worker {worker.id} on {worker.host} is {_off(worker.skew_ms)} the server's"
            yield Finding("clock-skew", "warning", text, advice)


def _off(skew_ms: int) -> str:
    return f"{abs(skew_ms) / 1000:.1f} s {'behind' if skew_ms > 0 else 'ahead of'}"


# ---------------------------------------------------------------- server


def eviction(facts: HubFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None or server.policy in (None, "noeviction"):
        return
    limited = bool(server.maxmemory)
    yield Finding(
        "eviction",
        "error" if limited else "warning",
        f"maxmemory-policy is {server.policy}: the server deletes orchestrations when memory runs short"
        + ("" if limited else " (no limit is set now)"),
        "CONFIG SET maxmemory-policy noeviction, and in its configuration file",
    )


def persistence(facts: HubFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None:
        return
    if server.aof is False:
        text = "the append-only file is off: a restart of the server loses everything since its last snapshot"
        advice = "CONFIG SET appendonly yes, and in its configuration file"
        yield Finding("aof-off", "error", text, advice)
    if server.aof and server.appendfsync == "no":
        text = "appendfsync is no: a crash of the machine loses what the system had not yet written"
        yield Finding("fsync-off", "warning", text, "CONFIG SET appendfsync everysec (or always)")
    if server.aof_failing:
        text = "the last write of the append-only file failed"
        yield Finding("aof-failing", "error", text, "look at the server's log and the space on its disk")


def memory(facts: HubFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None or not server.maxmemory or server.used_memory is None:
        return
    share = server.used_memory / server.maxmemory
    if share >= MEMORY_FULL:
        yield Finding(
            "memory",
            "error" if share >= 1 else "warning",
            f"the server uses {share:.0%} of its memory limit ({server.used_memory >> 20:,} of"
            f" {server.maxmemory >> 20:,} MiB); when it is full, nothing new is accepted",
            "raise maxmemory, shorten the retention of ended instances, or purge some",
        )


def version(facts: HubFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None or server.version is None:
        return
    parts = server.version.split(".")[:2]
    if all(part.isdigit() for part in parts) and tuple(map(int, parts)) < OLDEST_VERSION:
        text = f"the server is version {server.version}"
        yield Finding("old-server", "error", text, "use Redis or Valkey 7.0 or newer")
        return
    mended_in = unmended(server.kind, server.version)
    if mended_in is not None:
        text = (
            f"the Lua engine of version {server.version} has known security holes (CVE-2025-49844 and others), unless your"
            " distribution has mended them"
        )
        yield Finding("unmended-server", "info", text, f"go to {mended_in} or newer")


def access(facts: HubFacts) -> Iterator[Finding]:
    server = facts.server
    if server is None:
        return
    if server.scripts is False:
        text = "this user may not run Lua scripts, which every step needs"
        yield Finding("no-scripts", "error", text, "durastream acl prints the rules that a role needs")
    if server.version is None:
        text = "the server does not tell its version and settings (INFO is not allowed)"
        yield Finding("no-info", "info", text, "allow +info to have them checked")
    if server.role == "slave":
        text = "this server is a replica: it takes no writes"
        yield Finding("replica", "error", text, "give the URL of its master")


def latency(facts: HubFacts) -> Iterator[Finding]:
    if facts.latency_ms is not None and facts.latency_ms > LATENCY_MS_MAX:
        text = f"one round trip to the server takes {facts.latency_ms:.1f} ms, which each step of an orchestration pays"
        yield Finding(
            "latency", "warning", text, "run workers close to the server; look for slow commands: SLOWLOG GET"
        )


RULES: Final[tuple[Rule, ...]] = (
    access,
    version,
    eviction,
    persistence,
    memory,
    latency,
    no_worker,
    unowned_partitions,
    unserved_queues,
    parked,
    lag,
    silent_workers,
    clock_skew,
)
