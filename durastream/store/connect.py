"""Where a Redis (or Valkey) server is, and how to get a connection that is ready for commands.

redis-py does what is easy to get wrong: sockets, TLS, AUTH, client name, SELECT. Its own retries are off (it would send
commands a second time). What it connected is handed over to `connection.Connection`, which speaks from then on.

This file is about one server. What stands for several, a Cluster or a primary with its Sentinels, is found in `place`.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

import redis.asyncio.connection as redis_connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, BusyLoadingError, InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeout

from durastream.errors import ServerUnsuitable, StoreError, StoreUnavailable

DEFAULT_PORT: Final = 6379
DEFAULT_TIMEOUT_S: Final = 5.0
REPLICAS_TIMEOUT_S: Final = 1.0
_REPLICAS_MAX: Final = 100

_SHOWN_CHARS: Final = 40  # of what is wrong in a URL

_EXAMPLES: Final = (
    "redis://localhost:6379, rediss://user:password@host:6380, unix:///run/redis.sock, redis+cluster://host1:7001,host2:7001,"
    " redis+sentinel://host1:26379,host2:26379/mymaster"
)

_CONNECTIONS: Final[dict[str, type[redis_connection.AbstractConnection]]] = {
    "redis": redis_connection.Connection,
    "rediss": redis_connection.SSLConnection,
    "unix": redis_connection.UnixDomainSocketConnection,
}


class BadUrl(StoreError, ValueError):
    """A server URL cannot be used; the message says why and never shows the password."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server. `str(endpoint)` masks the password.

    >>> str(Endpoint.parse("redis://me:secret@db.example:6380/2"))
    'redis://me:***@db.example:6380/2'
    """

    scheme: str  # "redis", "rediss" or "unix"
    host: str
    port: int
    path: str  # of a unix socket, else ""
    username: str | None
    password: str | None = field(repr=False)
    db: int
    response_timeout_s: float
    connect_timeout_s: float
    tls: Mapping[str, Any] = field(hash=False, repr=False)  # for redis-py's SSLConnection: a password may be among it
    replicas: int = 0  # that must have what a client is told is done; see `replicated`
    replicas_timeout_s: float = REPLICAS_TIMEOUT_S

    @classmethod
    def parse(cls, url: str) -> Endpoint:
        """Read `redis://`, `rediss://` (TLS, certificate and host name verified) and `unix://` URLs.

        `redis://[user[:password]@]host[:port][/db]`, `unix://[user:password@]/path[?db=n]`. Options after `?`:
        `socket_timeout` (longest wait for a reply, seconds), `socket_connect_timeout`, `db`, `replicas` (how many must
        have a client's call before it counts as done), `replicas_timeout` (seconds), and for `rediss://`
        `ssl_ca_certs`, `ssl_ca_path`, `ssl_certfile`, `ssl_keyfile`, `ssl_password`, `ssl_cert_reqs`,
        `ssl_check_hostname`. Raises BadUrl.
        """
        parts = split(url)
        _check_scheme(parts)
        options = _options(parts)
        unix = parts.scheme == "unix"
        if unix and not parts.path:
            raise BadUrl("unix:// needs the path of a socket, as in unix:///run/redis.sock")
        path_db = "" if unix else parts.path.strip("/")
        return cls(
            scheme=parts.scheme,
            host="" if unix else parts.hostname or "localhost",
            port=0 if unix else _port(parts),
            path=unquote(parts.path) if unix else "",
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            db=_option("db", path_db) if path_db else options.pop("db", 0),
            response_timeout_s=options.pop("socket_timeout", DEFAULT_TIMEOUT_S),
            connect_timeout_s=options.pop("socket_connect_timeout", DEFAULT_TIMEOUT_S),
            replicas=options.pop("replicas", 0),
            replicas_timeout_s=options.pop("replicas_timeout", REPLICAS_TIMEOUT_S),
            tls=options,
        )

    @property
    def address(self) -> str:
        """`host:port`, or the path of the socket."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"

    def __str__(self) -> str:
        user = "" if self.username is None and self.password is None else self.username or ""
        secret = ":***" if self.password is not None else ""
        at = "@" if user or secret else ""
        db = (f"?db={self.db}" if self.path else f"/{self.db}") if self.db else ""
        return f"{self.scheme}://{user}{secret}{at}{self.address}{db}"

    def at(self, host: str, port: int) -> Endpoint:
        """Another server with the same user, password, certificates and timeouts."""
        return replace(self, host=host, port=port)

    def where(self) -> dict[str, Any]:
        """Address as keyword arguments of redis-py's connection classes."""
        return {"path": self.path} if self.path else {"host": self.host, "port": self.port}


# ---------------------------------------------------------------- reading URLs


def split(url: str) -> SplitResult:
    """The parts of a server URL. Raises BadUrl."""
    try:
        url.encode()  # what a command line hands over for bytes that are no UTF-8 can neither be sent nor logged
        return urlsplit(url)
    except UnicodeEncodeError:
        raise BadUrl("the server URL has bytes that are no UTF-8: write them as %XX") from None
    except ValueError:  # whose text quotes the password
        raise BadUrl(
            f"the server URL cannot be read: its host is malformed or its brackets do not match; examples: {_EXAMPLES}"
        ) from None


def _check_scheme(parts: SplitResult) -> None:
    if parts.scheme not in _CONNECTIONS:
        raise BadUrl(
            f"{parts.scheme[:_SHOWN_CHARS] or 'an empty scheme'} is no scheme of a server URL; examples: {_EXAMPLES}"
        )


def _port(parts: SplitResult) -> int:
    try:
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError:
        port = 0
    if not port:
        raise BadUrl("the port in the server URL is no number from 1 to 65535")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < 86_400:
        raise ValueError
    return seconds


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError
    return int(text)


def _replicas(text: str) -> int:
    if (count := _natural(text)) > _REPLICAS_MAX:
        raise ValueError
    return count


def _flag(text: str) -> bool:
    return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]


def _verification(text: str) -> str:
    if text not in ("required", "optional", "none"):
        raise ValueError
    return text


_OPTIONS: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "db": (_natural, "a number"),
    "socket_timeout": (_seconds, "seconds over 0"),
    "socket_connect_timeout": (_seconds, "seconds over 0"),
    "replicas": (_replicas, f"a number from 0 to {_REPLICAS_MAX}"),
    "replicas_timeout": (_seconds, "seconds over 0"),
    "ssl_ca_certs": (str, "a file"),
    "ssl_ca_path": (str, "a directory"),
    "ssl_certfile": (str, "a file"),
    "ssl_keyfile": (str, "a file"),
    "ssl_password": (str, "a text"),
    "ssl_cert_reqs": (_verification, "required, optional or none"),
    "ssl_check_hostname": (_flag, "true or false"),
}


def _options(parts: SplitResult) -> dict[str, Any]:
    found = {name: _option(name, text) for name, text in parse_qsl(parts.query, keep_blank_values=True)}
    if parts.scheme != "rediss" and any(name.startswith("ssl_") for name in found):
        raise BadUrl("ssl_… options need a rediss:// URL")
    if "replicas_timeout" in found and "replicas" not in found:
        raise BadUrl("replicas_timeout is how long to wait for replicas: say for how many, as in ?replicas=1")
    return found


def _option(name: str, text: str) -> Any:
    if name not in _OPTIONS:
        shown = repr(name[:_SHOWN_CHARS]) if name.isidentifier() else "that is no name"  # it may be part of a password
        raise BadUrl(f"the server URL has an unknown option {shown}; known: {', '.join(_OPTIONS)}")
    read, words = _OPTIONS[name]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise BadUrl(f"{name} in the server URL must be {words}") from None


# ---------------------------------------------------------------- connecting

_FAILURES: Final = (RedisError, OSError, RuntimeError)
"""What connecting raises. RuntimeError comes from uvloop: a transport that was closed while it was written to."""


async def dial(endpoint: Endpoint, *, client_name: str) -> Any:
    """A connected and authenticated connection of redis-py.

    Raises StoreUnavailable when the server cannot be reached or is not ready, ServerUnsuitable when it refuses us for
    good (password, user, database, protected mode, certificate).
    """
    connection: Any = _CONNECTIONS[
        endpoint.scheme
    ](
        **endpoint.where(),
        **endpoint.tls,
        db=endpoint.db,
        username=endpoint.username,
        password=endpoint.password,
        client_name=client_name,
        socket_connect_timeout=endpoint.connect_timeout_s,
        socket_timeout=None,  # it would send through `wait_for`, which on Python 3.11 swallows cancellations; see `_limit`
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,  # CLIENT SETINFO is unknown to Redis 7.0 and not in everybody's ACL
    )
    try:
        async with _limit(endpoint):
            await connection.connect()
    except BaseException as error:  # cancellation included: nothing may stay open
        await connection.disconnect(nowait=True)
        if isinstance(error, _FAILURES):
            raise explain(endpoint, error) from error
        raise
    return connection


def _limit(endpoint: Endpoint) -> asyncio.Timeout:
    """The longest that connecting may take, with all that is said before the first command."""
    return asyncio.timeout(endpoint.connect_timeout_s + endpoint.response_timeout_s)


async def client_id(endpoint: Endpoint, connection: Any) -> int:
    """Number of the connection at the server, 0 where the server's access rules keep it from us. Errors: as `dial`."""
    try:
        async with _limit(endpoint):
            await connection.send_command("CLIENT", "ID")
            return int(await connection.read_response())
    except ResponseError:
        return 0
    except BaseException as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, _FAILURES):
            raise explain(endpoint, error) from error
        raise


Causes: TypeAlias = tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]

_FOR_GOOD: Final[Causes] = (
    (AuthenticationError, "it refuses the user or password ({error}): check the URL"),
    (ssl.SSLCertVerificationError, "its certificate is not trusted ({error}): see ssl_ca_certs"),
    (InvalidResponse, "what answers there is no Redis server"),
)

_FOR_NOW: Final[Causes] = (
    (BusyLoadingError, "it is still loading its data"),
    (ConnectionRefusedError, "connection refused: is it running?"),
    (socket.gaierror, "the host name is unknown ({error})"),
    (FileNotFoundError, "there is no such socket: is it running?"),
    ((TimeoutError, RedisTimeout), "no answer: {hint}is the address right, does a firewall drop the packets?"),
    (ssl.SSLError, "the TLS handshake failed ({error}): does it speak TLS on this port, or want an ssl_certfile?"),
    (ConnectionError, "the connection broke ({error})"),
)


def explain(endpoint: Endpoint, error: BaseException) -> StoreError:
    """What a failed attempt to connect means, with address and likely cause."""
    chain = list(_chain(error))
    hint = "does it speak TLS on this port, " if endpoint.scheme == "rediss" else ""
    for table, kind in ((_FOR_GOOD, ServerUnsuitable), (_FOR_NOW, StoreUnavailable)):
        for type_, text in table:
            found = next((one for one in chain if isinstance(one, type_)), None)
            if found is not None:
                return kind(f"cannot use redis at {endpoint.address}: {text.format(error=found, hint=hint)}")
    # Protected mode, an unknown database, a command our user may not run; but not a script that runs for too long.
    refused = isinstance(error, ResponseError) and not str(error).startswith("BUSY ")
    return (ServerUnsuitable if refused else StoreUnavailable)(f"cannot use redis at {endpoint.address}: {error}")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
