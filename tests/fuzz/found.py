"""Cases that have shown a bug, by target. They are run again each time."""

from __future__ import annotations

from tests.fuzz.mutate import Case

FOUND: dict[str, tuple[Case, ...]] = {
    "cli.times": (
        b"92233720368547",
        b"999999d",
        b"+999999w",
        b"99s999999999d",
        b"0001-01-01T00:00+23",
    ),  # OverflowError
    "event.shown": (b"\x93\x08\xd3\xff\xff\x19\x88-\xe0$\x01\xa1x",),  # a time before the year 1: could not be shown
    "failure": (
        b'{"type":"T","causes":[' * 200 + b'{"type":"T"}' + b"]}" * 200,
    ),  # read, but could not be written again
    "hub.settings": (  # KeyError; limits that are none
        (b"schema", b"1", b"partitions", b"1"),
        (
            b"schema",
            b"1",
            b"partitions",
            b"16",
            b"retention_ms",
            b"-1",
            b"payload_bytes_max",
            b"0",
            b"created_at",
            b"1",
        ),
        (b"schema", b"9" * 4_000),
    ),
    "id.execution": (b"x." + b"9" * 4_330,),  # ValueError of int(): in an inbox it stopped the partition
    "inbox": (b"\x94\n\xa7order-7\xda\x13\x8ctok." + b"9" * 5_000 + b"\xc0",),
    "lock.holder": (b"a\nb." + b"9" * 4_433 + b"\n1",),
    "place": (  # UnicodeEncodeError, when it is read and when it is shown; the password of a key
        b"redis+sentinel://a/main?ssl_ca_certs=\xff",
        b"redis+sentinel://a/main?sentinel_username=\xff",
        b"redis://\xff@h",
        b"rediss://h?ssl_password=KEYS-PASSWORD",
        b"redis+sentinel://a:/main",  # had the port of another kind
    ),
    "place.secret": (b"redis+sentinel://me:SECRET-PASSWORD@a/main/\xff",),
    "replay.judge": (b'{"orchestrator":"order","history":[{"kind":"TimerFired","at":-253402300799999,"task":1}]}',),
    "url": (b"unix://[", b"redis://[x]:1"),  # ValueError, whose text quotes the password
    "url.secret": (b"redis://me:SECRET-PASSWORD@\xe2\x84\x80x", b"redis://h?me:SECRET-PASSWORD"),
    "worker.about": (
        b"7",
        b'{"parked":{"1*?[":5}}',
        b'{"parked":{"1":5}}',
        b'{"parked": {"1": [{"": {}}]}}',
        b"\xff",
        b"[" * 5_000,
    ),
}
