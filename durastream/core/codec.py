"""How core turns user values into JSON text and back: a seam, so that core needs no library (see `payload`)."""

from __future__ import annotations

from typing import Any, Protocol

from durastream.core.events import Json


class Codec(Protocol):
    """Must be deterministic: the same value gives the same bytes, on the live and on the replayed path."""

    def encode(self, value: object, what: str) -> Json | None:
        """JSON text of a value; None for None. `what` names the value in errors. Raises PayloadError."""
        ...

    def decode(self, data: Json | None, type_: Any) -> Any:
        """The value of a JSON text, as `type_` (`Any` = as it comes). None for None. Raises PayloadError."""
        ...
