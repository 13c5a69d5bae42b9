"""Other builds of the program: what a worker lacks that was deployed before the others, or after them.

All of them come from the same functions; a build is the app without some of what the whole one has registered.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import durastream as ds
from tests.chaos.app import app

VARIABLE: Final = "DURASTREAM_CHAOS_BUILD"


class Lack(NamedTuple):
    """What a build has not. An orchestrator is (name, version)."""

    activities: tuple[str, ...] = ()
    orchestrators: tuple[tuple[str, str | None], ...] = ()
    entities: tuple[str, ...] = ()


BUILDS: Final[dict[str, Lack]] = {
    "without_activities": Lack(activities=("square", "step", "leaf")),
    "without_orchestrators": Lack(
        orchestrators=(("fan_out", None), ("loop", None), ("transfer", None), ("pong", None))
    ),
    "without_entities": Lack(entities=("Account", "Tally")),
    "older": Lack(activities=("polish",), orchestrators=(("release", "2"),)),
}
"""Each lacks another kind of thing; the last one is the release before this one."""


def build(name: str) -> ds.App:
    """The app of this name; "" is the whole one. KeyError for a name or a part that does not exist."""
    if not name:
        return app
    made, lack = ds.App(), BUILDS[name]
    made.include(app)
    for activity in lack.activities:
        del made._activities[activity]
    for orchestrator, version in lack.orchestrators:
        del made._orchestrators[orchestrator][version]
    for entity in lack.entities:
        del made._entities[entity]
    made._orchestrators = {key: versions for key, versions in made._orchestrators.items() if versions}
    return made
