"""The server's time as a worker knows it."""

from __future__ import annotations

import time

from durastream.worker.clock import ServerClock


def test_it_follows_the_server() -> None:
    clock = ServerClock()
    ahead = time.time_ns() // 1_000_000 + 60_000
    clock.observe(ahead, time.monotonic_ns(), time.monotonic_ns())
    assert 0 <= clock.now() - ahead < 5_000
    assert abs(clock.skew_ms - 60_000) < 100


def test_it_never_goes_back() -> None:
    clock = ServerClock()
    before = clock.now()
    clock.observe(before - 3_600_000, time.monotonic_ns(), time.monotonic_ns())
    assert clock.now() == before


def test_half_the_round_trip_counts() -> None:
    clock = ServerClock()
    received = time.monotonic_ns()
    clock.observe(10**13, received - 2_000_000_000, received)
    assert 999 <= clock.now() - 10**13 < 6_000
