"""Certificates for servers on 127.0.0.1, and the options with which they speak TLS beside their plain port."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from durastream.errors import StoreUnavailable
from durastream.store.embedded import EmbeddedServer, available_servers
from tests.servers.ports import free_port

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme, from the extra dev")


class Papers:
    """An authority and what it has issued for 127.0.0.1, in a directory."""

    def __init__(self, directory: Path) -> None:
        self.authority = str(directory / "ca.pem")
        self._certificate, self._key = str(directory / "server.pem"), str(directory / "server.key")
        made = trustme.CA()
        made.cert_pem.write_to_path(self.authority)
        issued = made.issue_cert("localhost", "127.0.0.1")
        issued.private_key_pem.write_to_path(self._key)
        issued.cert_chain_pems[0].write_to_path(self._certificate)

    def settings(self, port: int) -> dict[str, str]:
        """Of a server or a Sentinel: a TLS port that asks for no certificate of clients."""
        return {
            "tls-port": str(port),
            "tls-auth-clients": "no",
            "tls-cert-file": self._certificate,
            "tls-key-file": self._key,
            "tls-ca-cert-file": self.authority,
        }

    def options(self, port: int, *more: str) -> Sequence[str]:
        """The same on a command line; `more`: further settings that are switched on."""
        settings = self.settings(port) | dict.fromkeys(more, "yes")
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def binary(self) -> str | None:
        """The best server of this machine that was built with TLS."""
        for _, path in available_servers():
            try:
                EmbeddedServer.start(path, extra_args=self.options(free_port())).stop()
            except StoreUnavailable as error:
                if "tls" not in str(error).lower():
                    raise
                continue
            return path
        return None
