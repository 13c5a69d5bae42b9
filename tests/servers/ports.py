"""Ports for servers that are killed and started again.

They lie below what Linux gives to outgoing connections (32768 …): nobody else takes one while its server is down, and nobody who
knocks on it then reaches himself, as a connection to a closed port of the ephemeral range can.
"""

from __future__ import annotations

import random
import socket
from typing import Final

_LOWEST: Final = 11_000
_HIGHEST: Final = 21_000
BUS: Final = 10_000  # what a cluster node adds for the port on which nodes talk to each other

_given: set[int] = set()


def free_port() -> int:
    """A port that is free, as is the one `BUS` above it. Never the same twice in one process."""
    while True:
        port = random.randrange(_LOWEST, _HIGHEST)
        if port not in _given and _is_free(port) and _is_free(port + BUS):
            _given.add(port)
            return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
