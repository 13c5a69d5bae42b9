"""All keys, in one table: bindings, the bar at the bottom and the help page are made from it.

Upper case is for what changes things: always confirmed, and absent in a read-only session.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple, TypeAlias

from textual.binding import Binding

Place: TypeAlias = Literal[
    "app", "table", "tabs", "instances", "instance", "entities", "entity", "partitions", "workers"
]


class Key(NamedTuple):
    """`keys` as Textual names them; `shown` as people read them. `places`: where it works.

    brief: what the bar says, "" for keys that only the help page lists.
    """

    keys: str
    shown: str
    action: str
    brief: str
    help: str
    places: tuple[Place, ...]
    changes: bool = False


_ACT: Final[tuple[Place, ...]] = ("instances", "instance")
_SAVE: Final[tuple[Place, ...]] = ("instances", "instance", "entities", "entity")

KEYS: Final[tuple[Key, ...]] = (
    Key("up,k", "↑ k", "up", "", "up", ("table",)),
    Key("down,j", "↓ j", "down", "", "down", ("table",)),
    Key("pageup", "pgup", "page_up", "", "a page up", ("table",)),
    Key("pagedown", "pgdn", "page_down", "", "a page down", ("table",)),
    Key("home,g", "home g", "first", "", "to the first row, which from then on follows the newest", ("table",)),
    Key("end,G", "end G", "last", "", "to the last row loaded; more come as you go on", ("table",)),
    Key("enter", "enter", "open", "open", "open what the cursor is on", ("table",)),
    Key("escape", "esc", "back", "back", "back; leave the filter", ("instance", "entity")),
    Key("1", "1", "tab('instances')", "", "instances", ("app",)),
    Key("2", "2", "tab('entities')", "", "entities", ("app",)),
    Key("3", "3", "tab('partitions')", "", "partitions and activity queues", ("app",)),
    Key("4", "4", "tab('workers')", "", "workers", ("app",)),
    Key("slash", "/", "filter", "filter", "filter; tab completes, enter applies, esc gives up", ("instances", "entities")),
    Key("f", "f", "failed", "failed", "failed ones only, and back", ("instances",)),
    Key("s", "s", "sort", "sort", "next order of the rows that are loaded", ("instances",)),
    Key("space", "space", "mark", "mark", "mark for a bulk action", ("instances",)),
    Key("a", "a", "mark_all", "all", "mark all that the filter finds; again: no marks", ("instances",)),
    Key("tab", "tab", "next_part", "part", "timeline, history, payloads", ("instance",)),
    Key("o", "o", "follow", "parent", "open the parent, or who holds the lock it waits for", ("instance",)),
    Key("o", "o", "follow", "holder", "open who holds the lock", ("entity",)),
    Key("y", "y", "copy", "copy", "copy the id", _SAVE),
    Key("e", "e", "export", "export", "export the history for `durastream replay`, into the current directory", _ACT),
    Key("T", "T", "change('terminate')", "terminate", "terminate", _ACT, changes=True),
    Key("P", "P", "change('suspend')", "suspend", "suspend", _ACT, changes=True),
    Key("U", "U", "change('resume')", "resume", "resume", _ACT, changes=True),
    Key("W", "W", "change('rewind')", "rewind", "rewind: run again what failed", _ACT, changes=True),
    Key("X", "X", "change('restart')", "restart", "restart from the beginning", _ACT, changes=True),
    Key("D", "D", "change('purge')", "purge", "purge: delete with its history", _ACT, changes=True),
    Key("E", "E", "raise_event", "event", "raise an event", _ACT, changes=True),
    Key("S", "S", "signal", "signal", "signal the entity", ("entities", "entity"), changes=True),
    Key("C", "C", "clean", "clean", "open locks left behind, of all entities", ("entities", "entity"), changes=True),
    Key("exclamation_mark", "!", "findings", "", "what is wrong with the hub, and what to do", ("app",)),
    Key("p", "p", "pause", "pause", "pause the display, and go on", ("app",)),
    Key("question_mark", "?", "help", "keys", "this page", ("app",)),
    Key("ctrl+p", "ctrl+p", "command_palette", "", "command palette: any of this by name, any instance by its id", ("app",)),
    Key("q", "q", "quit", "quit", "quit", ("app",)),
)  # fmt: skip


def bindings(place: Place) -> list[Binding]:
    """For the class of a place."""
    return [Binding(key.keys, key.action, key.help, show=False) for key in KEYS if place in key.places]


def for_bar(place: Place) -> list[Key]:
    """What the bar shows at a place, the place's own keys first, without those that change things."""
    shown = [key for key in KEYS if key.brief and not key.changes]
    return [key for where in ("table", place, "app") for key in shown if where in key.places]


def changing(place: Place) -> list[Key]:
    """Keys of a place that change things."""
    return [key for key in KEYS if key.changes and place in key.places]


def for_help(*, read_only: bool) -> list[Key]:
    """What the help page lists, in the order of the table."""
    return [key for key in KEYS if not (read_only and key.changes)]
