"""The bound of the fuzzer itself."""

from __future__ import annotations

import pytest

from tests.fuzz import engine


def spin() -> None:
    while True:
        pass


def test_what_hangs_is_ended_even_where_somebody_catches_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "HANG_S", 0.05)
    with pytest.raises(engine.Hang), engine.deadline():
        spin()
    caught: list[str] = []
    with pytest.raises(engine.Hang), engine.deadline():
        try:
            spin()
        except Exception as error:
            caught.append(str(error))
    assert caught
