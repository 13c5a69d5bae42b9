"""What a message handler answers besides an event for the user code."""

from __future__ import annotations

from enum import Enum


class Verdict(Enum):
    TURN = "run a turn without an event"
    HOLD = "leave the message in the inbox until the instance can take it"
    LATER = "something was begun that must finish before any further message of this instance"


TURN, HOLD, LATER = Verdict.TURN, Verdict.HOLD, Verdict.LATER
