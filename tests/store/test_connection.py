"""The auto-pipelining connection and the link that keeps one alive, on real servers and on both event loops."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from durastream.errors import ServerUnsuitable, StoreUnavailable
from durastream.store.connect import BadUrl, Endpoint, dial
from durastream.store.connection import Connection, Link, ReplyError, ServerNotReady
from durastream.store.embedded import EmbeddedServer, available_servers, free_port
from tests.support import eventually

pytestmark = pytest.mark.anyio

SERVERS = available_servers()
FOREVER = "while true do end"


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    if request.param and sys.platform == "win32":
        pytest.skip("uvloop does not exist there")
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture(scope="module", params=[path for _, path in SERVERS], ids=[name for name, _ in SERVERS])
def server(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    with EmbeddedServer.start(request.param, appendfsync="no") as running:
        yield running


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """One that a test may kill or freeze."""
    with EmbeddedServer.start() as running:
        yield running


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncIterator[Connection]:
    connection = await Connection.open(Endpoint.parse(url), client_name="test", **options)
    try:
        yield connection
    finally:
        await connection.close()


async def until_blocked(watcher: Connection, number: int) -> None:
    async def blocked() -> bool:
        return b"flags=b" in await watcher.call("CLIENT", "LIST", "ID", number)

    condition: Callable[[], bool | Awaitable[bool]] = blocked
    await eventually(condition, what="the reader blocks")


async def failures(futures: list[asyncio.Future[Any]]) -> list[str]:
    found = await asyncio.wait_for(asyncio.gather(*futures, return_exceptions=True), 10)
    assert all(isinstance(one, StoreUnavailable) for one in found), found
    return [str(one) for one in found]


# ---------------------------------------------------------------- URLs


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "redis://localhost:6379"),
        ("redis://db.example:6380/2", "redis://db.example:6380/2"),
        ("redis://me:s%2Fcret@h/", "redis://me:***@h:6379"),
        ("redis://:secret@h?db=3", "redis://:***@h:6379/3"),
        ("redis://[::1]:7000", "redis://[::1]:7000"),
        ("rediss://h?ssl_ca_certs=/ca.pem&ssl_check_hostname=false", "rediss://h:6379"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
        ("unix://me:secret@/run/redis.sock", "unix://me:***@/run/redis.sock"),
    ],
)
def test_urls_are_read_and_shown_without_the_password(url: str, shown: str) -> None:
    endpoint = Endpoint.parse(url)
    assert str(endpoint) == shown
    assert "cret" not in str(endpoint) + repr(endpoint)


def test_parts_of_a_url() -> None:
    endpoint = Endpoint.parse(
        "rediss://a%40b:p%3Aw@h:1/5?socket_timeout=2.5&socket_connect_timeout=1&ssl_cert_reqs=none"
    )
    assert (endpoint.username, endpoint.password, endpoint.host, endpoint.port, endpoint.db) == (
        "a@b",
        "p:w",
        "h",
        1,
        5,
    )
    assert (endpoint.response_timeout_s, endpoint.connect_timeout_s) == (2.5, 1)
    assert endpoint.tls == {"ssl_cert_reqs": "none"}


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:6379", "no scheme of a server URL"),
        ("http://h", "no scheme of a server URL"),
        ("redis+cluster://h", "no scheme of a server URL"),  # of many servers: see `place`
        ("redis://h:port", "the port"),
        ("redis://h:99999", "the port"),
        ("redis://h/one", "db in the server URL must be a number"),
        ("redis://h?nonsense=1", "unknown option 'nonsense'"),
        ("redis://h?socket_timeout=-1", "seconds"),
        ("redis://h?ssl_cert_reqs=none", "rediss://"),
        ("rediss://h?ssl_check_hostname=perhaps", "true or false"),
        ("unix://", "path"),
    ],
)
def test_urls_that_cannot_be_used(url: str, why: str) -> None:
    with pytest.raises(BadUrl, match=why):
        Endpoint.parse(url)


# ---------------------------------------------------------------- calls


async def test_replies_come_in_order_and_in_their_types(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:
        echoes = [connection.call("ECHO", number) for number in range(2000)]
        assert await asyncio.gather(*echoes) == [b"%d" % number for number in range(2000)]
        assert await connection.call("GET", "absent") is None
        await connection.call("DEL", "counter")
        assert await connection.call("INCR", "counter") == 1
        assert await connection.call("EVAL", "return {1, 'a', {false, ARGV[1]}}", 0, "é") == [
            1,
            b"a",
            [None, "é".encode()],
        ]
        assert await connection.call("SET", b"\x00\xff", 1.5) == b"OK"
        assert connection.client_id == await connection.call("CLIENT", "ID")
        assert await connection.call("CLIENT", "GETNAME") == b"test"


async def test_commands_of_one_turn_share_a_write(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(server.url) as connection:
        writes: list[bytes] = []

        class Transport:
            def __getattr__(self, name: str) -> Any:
                return getattr(real, name)

            def write(self, data: bytes) -> None:
                writes.append(data)
                real.write(data)

        real = connection._transport
        monkeypatch.setattr(connection, "_transport", Transport())
        await asyncio.gather(*(connection.call("PING") for _ in range(50)))
        assert len(writes) == 1
        await asyncio.gather(*(connection.call("ECHO", "x" * 30_000) for _ in range(9)))
        assert len(writes) == 1 + 3


async def test_arguments_that_cannot_be_sent_are_refused_and_do_no_harm(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:
        before = connection.call("ECHO", "before")
        with pytest.raises(TypeError, match="must be str"):
            connection.call("SET", "k", None)  # type: ignore[arg-type]
        assert [await before, await connection.call("ECHO", "after")] == [b"before", b"after"]


async def test_error_replies_have_codes(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:
        await connection.call("SET", "text", "x")
        commands: dict[str, tuple[Any, ...]] = {
            "NOSCRIPT": ("EVALSHA", "f" * 40, 0),
            "WRONGTYPE": ("HGET", "text", "f"),
            "NOGROUP": ("XREADGROUP", "GROUP", "g", "c", "STREAMS", "nowhere", ">"),
            "ERR": ("NONSENSE",),
            "FENCED": ("EVAL", "return redis.error_reply('FENCED epoch 3')", 0),
        }
        for code, command in commands.items():
            with pytest.raises(ReplyError) as caught:
                await connection.call(*command)
            assert caught.value.code == code
            assert str(caught.value).startswith(code)
        for code in ("LOADING", "OOM", "BUSY", "TRYAGAIN", "MASTERDOWN"):
            with pytest.raises(ServerNotReady) as not_ready:
                await connection.call("EVAL", f"return redis.error_reply('{code} some text')", 0)
            assert isinstance(not_ready.value, StoreUnavailable)
            assert not_ready.value.code == code
        replies = await asyncio.gather(*(connection.call(*c) for c in (("MULTI",), ("INCR", "text"), ("EXEC",))))
        assert isinstance(replies[2][0], ReplyError)  # inside a list it is a value
        assert await connection.call("PING") == b"PONG"


async def test_cancelled_waiters_leave_the_order_intact(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:

        async def ask(number: int) -> bytes:
            return bytes(await connection.call("ECHO", number))

        tasks = [asyncio.create_task(ask(number)) for number in range(200)]
        await asyncio.sleep(0)  # all are sent now
        for task in tasks[::2]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in found[::2])
        assert found[1::2] == [b"%d" % number for number in range(1, 200, 2)]
        assert await asyncio.gather(*(ask(number) for number in range(100))) == [b"%d" % n for n in range(100)]


async def test_sixteen_megabytes_there_and_back(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:
        blob = os.urandom(1 << 20) * 16
        results = await asyncio.gather(
            connection.call("SET", "big", blob),
            connection.call("GET", "big"),
            connection.call("GET", "big"),
            connection.call("PING"),
        )
        assert list(results) == [b"OK", blob, blob, b"PONG"]
        await connection.call("DEL", "big")


async def test_connecting_can_be_cancelled_at_any_moment(server: EmbeddedServer) -> None:
    """redis-py sends through `asyncio.wait_for` where it has a timeout, which on Python 3.11 may swallow a cancellation."""
    endpoint = Endpoint.parse(server.url)

    async def listen() -> None:
        connected = await dial(endpoint, client_name="test")
        try:
            await connected.send_command("SUBSCRIBE", "nothing-there")
            while True:
                await connected.read_response(timeout=30)
        finally:
            await connected.disconnect(nowait=True)

    for turns in range(60):
        task = asyncio.create_task(listen())
        for _ in range(turns % 30):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)


# ---------------------------------------------------------------- blocking


async def test_a_blocked_read_may_outlast_the_response_timeout(server: EmbeddedServer) -> None:
    async with connected(server.url, response_timeout_s=0.2) as connection:
        assert await connection.call_blocking(1, "BLPOP", "nothing-there", 1) is None
        assert not connection.closed


async def test_a_blocked_read_is_ended_from_another_connection(server: EmbeddedServer) -> None:
    async with connected(server.url) as reader, connected(server.url) as other:
        read = reader.call_blocking(30, "XREAD", "BLOCK", 30_000, "STREAMS", "quiet", "0")
        await until_blocked(other, reader.client_id)
        assert await other.call("CLIENT", "UNBLOCK", reader.client_id) == 1
        assert await asyncio.wait_for(read, 5) is None
        read = reader.call_blocking(30, "XREAD", "BLOCK", 30_000, "STREAMS", "quiet", "0")
        await until_blocked(other, reader.client_id)
        await other.call("CLIENT", "UNBLOCK", reader.client_id, "ERROR")
        with pytest.raises(ServerNotReady) as caught:
            await read
        assert caught.value.code == "UNBLOCKED"
        assert await reader.call("PING") == b"PONG"


# ---------------------------------------------------------------- losses


@pytest.mark.parametrize("path", [path for _, path in SERVERS], ids=[name for name, _ in SERVERS])
async def test_killing_the_server_fails_all_that_is_in_flight(path: str) -> None:
    with EmbeddedServer.start(path) as doomed:
        async with connected(doomed.url) as connection:
            futures = [connection.call("EVAL", FOREVER, 0), *(connection.call("INCR", "n") for _ in range(500))]
            cancelled = connection.call("PING")
            cancelled.cancel()
            await asyncio.sleep(0)
            doomed.kill()
            texts = await failures(futures)
            assert f"127.0.0.1:{doomed.port}" in texts[0]
            assert "may or may not have taken effect" in texts[-1]
            assert connection.closed
            await failures([connection.call("PING")])


async def test_silence_is_a_loss_and_a_slow_loop_is_not(own_server: EmbeddedServer) -> None:
    async with connected(own_server.url, response_timeout_s=0.4) as connection:
        futures = [connection.call("PING")]
        await asyncio.sleep(0)
        time.sleep(1)  # time must pass: the loop is blocked while the reply is there
        assert await futures[0] == b"PONG"
        assert not connection.closed
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert "no reply for" in (await failures([connection.call("PING") for _ in range(10)]))[0]
            assert 0.3 < time.monotonic() - began < 3
        finally:
            os.kill(own_server.pid, signal.SIGCONT)


async def test_an_idle_connection_lives_on(own_server: EmbeddedServer) -> None:
    async with connected(own_server.url, response_timeout_s=0.1) as connection:
        await asyncio.sleep(0.5)  # time must pass: five times the response timeout
        assert await connection.call("PING") == b"PONG"


async def test_a_peer_that_does_not_read_is_not_flooded(own_server: EmbeddedServer) -> None:
    async with connected(own_server.url, response_timeout_s=30) as connection:
        os.kill(own_server.pid, signal.SIGSTOP)
        try:
            futures = [connection.call("SET", "k", b"x" * 1_000_000) for _ in range(40)]
            await asyncio.sleep(0)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(connection.drained(), 0.2)
        finally:
            os.kill(own_server.pid, signal.SIGCONT)
        assert await asyncio.wait_for(asyncio.gather(*futures), 20) == [b"OK"] * 40
        await asyncio.wait_for(connection.drained(), 5)


async def test_a_replica_is_left(own_server: EmbeddedServer) -> None:
    async with connected(own_server.url) as connection:
        await connection.call("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(ServerNotReady, match="replica"):
            await connection.call("SET", "k", 1)
        assert connection.closed


async def test_closing_fails_what_waits_and_can_be_repeated(server: EmbeddedServer) -> None:
    async with connected(server.url) as connection:
        read = connection.call_blocking(30, "BLPOP", "nothing-there", 30)
        await connection.close()
        await connection.close()
        assert "closed on this side" in (await failures([read]))[0]


async def test_what_is_no_reply_ends_the_connection() -> None:
    async def chat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for answer in (b"+OK\r\n", b":7\r\n", b"?rubbish\r\n"):
            await reader.read(1000)
            writer.write(answer)

    async with serving(chat) as port, connected(f"redis://127.0.0.1:{port}") as connection:
        assert connection.client_id == 7
        assert "no reply (" in (await failures([connection.call("PING"), connection.call("PING")]))[0]


@asynccontextmanager
async def serving(chat: Callable[..., Any], tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    tasks: list[asyncio.Task[Any]] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        with suppress(OSError, asyncio.CancelledError):
            await chat(reader, writer)
        writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# ---------------------------------------------------------------- opening


async def test_passwords_and_databases(tmp_path: Path) -> None:
    path = str(tmp_path / "s.sock")
    with EmbeddedServer.start(extra_args=["--requirepass", "s3cret", "--unixsocket", path]) as locked:
        async with connected(locked.url.replace("//", "//:s3cret@") + "/3") as connection:
            await connection.call("SET", "k", "in 3")
        async with connected(f"unix://:s3cret@{path}?db=3") as connection:
            assert await connection.call("GET", "k") == b"in 3"
        for url in (locked.url, locked.url.replace("//", "//:wrong-pw@"), locked.url.replace("//", "//me:wrong-pw@")):
            with pytest.raises(ServerUnsuitable, match="user or password") as caught:
                await Connection.open(Endpoint.parse(url), client_name="test")
            assert "wrong-pw" not in str(caught.value)
            assert str(locked.port) in str(caught.value)
        with pytest.raises(ServerUnsuitable, match="DB index"):
            await Connection.open(Endpoint.parse(locked.url.replace("//", "//:s3cret@") + "/99"), client_name="test")


async def test_nobody_there() -> None:
    port = free_port()
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{port}: connection refused: is it running"):
        await Connection.open(Endpoint.parse(f"redis://127.0.0.1:{port}"), client_name="test")
    with pytest.raises(StoreUnavailable, match="host name is unknown"):
        await Connection.open(Endpoint.parse("redis://no-such-host.invalid"), client_name="test")
    with pytest.raises(StoreUnavailable, match="no such socket"):
        await Connection.open(Endpoint.parse("unix:///nonexistent/s.sock"), client_name="test")


async def test_somebody_else_there() -> None:
    async def web_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def rude(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    for chat, error, words in (
        (web_server, ServerUnsuitable, "no Redis server"),
        (silent, StoreUnavailable, "no answer"),
        (rude, StoreUnavailable, "closed|broke"),
    ):
        async with serving(chat) as port:
            with pytest.raises(error, match=words):
                url = f"redis://127.0.0.1:{port}?socket_timeout=0.3"
                await Connection.open(Endpoint.parse(url), client_name="test")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    directory = tmp_path_factory.mktemp("tls")
    key, cert = str(directory / "key.pem"), str(directory / "cert.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs the openssl program")
    return key, cert


async def test_tls_with_and_without_trust(server: EmbeddedServer, certificate: tuple[str, str]) -> None:
    """Servers at hand are built without TLS, so a proxy of our own ends it in front of one."""
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
            await sink.drain()

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            await asyncio.wait(
                [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))],
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            back.close()

    async with serving(proxy, context) as port:
        async with connected(f"rediss://127.0.0.1:{port}?ssl_ca_certs={cert}") as connection:
            blob = os.urandom(2_000_000)
            assert await connection.call("SET", "tls", blob) == b"OK"
            assert await asyncio.gather(*(connection.call("GET", "tls") for _ in range(3))) == [blob] * 3
        with pytest.raises(ServerUnsuitable, match="not trusted"):
            await Connection.open(Endpoint.parse(f"rediss://127.0.0.1:{port}"), client_name="test")
    with pytest.raises(StoreUnavailable, match="does it speak TLS on this port"):
        url = f"rediss://127.0.0.1:{server.port}?socket_connect_timeout=0.5"
        await Connection.open(Endpoint.parse(url), client_name="test")


# ---------------------------------------------------------------- links


@asynccontextmanager
async def linked(url: str, **options: Any) -> AsyncIterator[Link]:
    link = Link(Endpoint.parse(url), client_name="link", **options)
    try:
        yield link
    finally:
        await link.close()


async def test_all_callers_of_a_link_share_one_connection(server: EmbeddedServer) -> None:
    async with linked(server.url) as link:
        assert link.live is None
        found = await asyncio.gather(*(link.get() for _ in range(20)))
        assert {id(one) for one in found} == {id(link.live)}
        link.drop()
        assert link.live is None
        assert found[0].closed
        assert await (await link.get()).call("PING") == b"PONG"


async def test_a_link_comes_back_after_a_restart_of_the_server(own_server: EmbeddedServer) -> None:
    async with linked(own_server.url) as link:
        first = await link.get()
        await first.call("SET", "k", "v")
        own_server.kill()
        await eventually(lambda: first.closed, what="the loss is seen")
        waiting = asyncio.create_task(link.get())
        await asyncio.sleep(0.3)  # time must pass: more than one attempt fails
        assert not waiting.done()
        await asyncio.to_thread(own_server.restart)
        connection = await asyncio.wait_for(waiting, 10)
        assert await connection.call("GET", "k") == b"v"


async def test_a_link_tells_when_it_leads_to_another_server_process(own_server: EmbeddedServer) -> None:
    """What the last one acknowledged may be lost. It is told before anybody gets the connection; a new connection alone is no
    reason."""
    async with linked(own_server.url) as link:
        told: list[object] = []
        link.on_other_server = lambda: told.append(link.live)
        await link.get()
        link.drop()
        await link.get()
        assert told == []
        own_server.kill()
        await asyncio.to_thread(own_server.restart)
        await link.get()
        assert told == [None]


async def test_a_link_gives_up_with_the_reason_and_tries_at_most_five_times_a_second() -> None:
    attempts = 0

    async def refuse(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal attempts
        attempts += 1
        writer.close()

    async with serving(refuse) as port, linked(f"redis://127.0.0.1:{port}", open_timeout_s=1.2) as link:
        began = time.monotonic()
        with pytest.raises(StoreUnavailable):
            await link.get()
        for _ in range(10):  # further callers don't make it faster
            with suppress(asyncio.TimeoutError, StoreUnavailable):
                await asyncio.wait_for(link.get(), 0.1)
        assert 2 <= attempts <= 5 * (time.monotonic() - began) + 1


async def test_a_link_names_the_cause_of_a_refused_connection() -> None:
    async with linked(f"redis://127.0.0.1:{free_port()}", open_timeout_s=0.3) as link:
        with pytest.raises(StoreUnavailable, match="refused: is it running"):
            await link.get()


async def test_a_refusal_for_good_is_told_at_once() -> None:
    with EmbeddedServer.start(extra_args=["--requirepass", "x"]) as locked:
        async with linked(locked.url, open_timeout_s=30) as link:
            with pytest.raises(ServerUnsuitable):
                await asyncio.wait_for(link.get(), 5)


async def test_a_cancelled_caller_does_not_take_the_attempt_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with linked(url) as link:
            first, second = asyncio.create_task(link.get()), asyncio.create_task(link.get())
            await asyncio.sleep(0)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert not second.done()
            await link.close()
            with pytest.raises(StoreUnavailable, match="was closed"):
                await second
            with pytest.raises(StoreUnavailable, match="is closed"):
                await link.get()
