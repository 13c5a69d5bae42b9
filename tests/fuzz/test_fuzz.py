"""All that was ever found and a few hundred new cases for each decoder; and that the fuzzer finds what it should."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from durastream import payload
from durastream.core import ids
from durastream.inspect import sanitize
from durastream.store.connect import BadUrl, Endpoint
from durastream.store.place import Place
from durastream.store.redis import decode
from tests.fuzz.counting import check_linear
from tests.fuzz.found import FOUND
from tests.fuzz.mutate import INTERESTING
from tests.fuzz.run import findings, fuzz, report_of, table
from tests.fuzz.targets import TARGETS
from tests.fuzz.targets_places import BOMBS as URL_BOMBS

EXECS = 250
SEED = 20_31


def test_every_decoder() -> None:
    results = fuzz(list(TARGETS), SEED, execs=EXECS)
    assert not findings(results), "\n".join(map(str, findings(results)))
    report = report_of(results, "pytest tests/fuzz", whole=True)
    assert report.state == "green", f"{table(results)}\n{report.render()}"
    assert all(result.accepted and result.execs > EXECS for result in results), table(results)


def test_what_was_found_belongs_to_a_target() -> None:
    assert FOUND.keys() <= TARGETS.keys()


def _any_generation(execution_id: str) -> int:
    return int(execution_id.rpartition(".")[2])


def _as_it_is(text: object, limit: int = 200) -> str:
    return str(text)[:limit]


def _with_password(endpoint: Endpoint) -> str:
    return f"{endpoint.scheme}://{endpoint.username or ''}:{endpoint.password}@{endpoint.address}"


MUTANTS: dict[str, tuple[str, Any, str, Callable[..., Any]]] = {
    "the shape of payloads is not looked at": ("payload.check_json", payload, "_breaks_shape", lambda data: False),
    "duplicate keys are not looked for": ("payload.check_json", payload, "_lost_keys", lambda text, compact: False),
    "a sanitizer that only cuts": ("screen.line", sanitize, "line", _as_it_is),
    "control characters in ids": ("id", ids, "_problem", lambda text, bytes_max: None),
    "any time in a record": ("record", decode, "integer", int),
    "the password of a Sentinel URL": ("place", Endpoint, "__str__", _with_password),
    "generations of any length": ("lock.holder", TARGETS, "", _any_generation),
}
"""A decoder made worse → the target that must find it."""


@pytest.mark.parametrize("name", MUTANTS)
def test_a_decoder_made_worse_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target, module, attribute, worse = MUTANTS[name]
    if attribute:
        monkeypatch.setattr(module, attribute, worse)
    else:
        monkeypatch.setattr("durastream.client.locks.generation_of", worse)
    for seed in range(10):
        if findings(fuzz([target], seed, execs=300)):
            return
    pytest.fail(f"nobody notices: {name}")


BOMBS = [blob for blob in INTERESTING if len(blob) < 300] + [b"\x91" * 100_000, b"[" * 100_000, b"\xc0" * 100_000]


@pytest.mark.parametrize("name", ["wire.message", "notices", "payload.check_json", "failure", "worker.about"])
def test_memory_is_bounded_by_what_came(name: str) -> None:
    """Huge lengths that are declared cost nothing; what is read costs at most so many times what came."""
    target = TARGETS[name]
    for bomb in BOMBS:
        tracemalloc.start()
        try:
            target.run(bomb)
        except target.refuses:
            assert bomb is not None
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < 100 * len(bomb) + (4 << 20), f"{peak:,} bytes for {bomb[:40]!r} of {len(bomb):,}"


def read_place(text: str) -> str:
    try:
        return str(Place.parse(text))
    except BadUrl as error:
        return str(error)


@pytest.mark.parametrize("name", URL_BOMBS)
def test_a_server_url_is_read_in_time_that_grows_with_its_length(name: str) -> None:
    check_linear(lambda times: read_place(URL_BOMBS[name](times)), 200)
