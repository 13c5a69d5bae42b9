"""Cases that once broke something, kept with what it was: `regressions/*.json`, one a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.sim.world import Case

FOLDER: Final = Path(__file__).parent / "regressions"


class Kept(NamedTuple):
    """`was` says what was wrong; `mutant` is the deliberate bug that does the same again, so that it can be seen to fail."""

    case: Case
    was: str
    mutant: str | None


def load(path: Path) -> Kept:
    values: dict[str, Any] = json.loads(path.read_text("utf-8"))
    case = Case(values["seed"], values.get("only"), values.get("scenarios"), values.get("workers"))
    return Kept(case, values["was"], values.get("mutant"))


def text(kept: Kept) -> str:
    """The form of a file."""
    case = kept.case
    values: dict[str, Any] = {"was": kept.was, "mutant": kept.mutant, "seed": case.seed, "workers": case.workers}
    for name, some in (("only", case.only), ("scenarios", case.scenarios)):
        values[name] = None if some is None else list(some)
    return json.dumps({name: value for name, value in values.items() if value is not None}, indent=1) + "\n"


def stored() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))
