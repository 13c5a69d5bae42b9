"""The ways into a real server, end to end: TCP, TLS, TLS with a certificate of the client's own, unix socket; each with a user, a
password that needs quoting, a worker, a client and the command line. And what is said when a door stays shut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis

import durastream as ds
from durastream.errors import ServerUnsuitable, StoreUnavailable
from durastream.store.embedded import EmbeddedServer, available_servers, free_port
from durastream.store.redis.hubs import list_hubs
from tests.support import eventually

trustme = pytest.importorskip("trustme", reason="certificates are made with trustme, from the extra dev")

pytestmark = [pytest.mark.anyio, pytest.mark.real_server]

SECRET = "p@ss:w/rd#%é"
USER = f"door:{quote(SECRET, safe='')}"

app = ds.App()


@app.activity
def double(number: int) -> int:
    return 2 * number


@app.orchestrator
async def doubled(ctx: ds.OrchestrationContext, number: int) -> int:
    return await ctx.call_activity(double, number)


@dataclass(frozen=True)
class House:
    """A server with all its doors, and the papers that open them."""

    server: EmbeddedServer
    tls_port: int
    socket: Path
    papers: Path

    def url(self, door: str) -> str:
        """`door`: a key of DOORS."""
        return DOORS[door](self)

    def tls(self, *options: str, host: str = "localhost") -> str:
        return f"rediss://{USER}@{host}:{self.tls_port}?{'&'.join(options)}"

    def paper(self, name: str) -> str:
        return str(self.papers / name)

    def set(self, **settings: str) -> None:
        with redis.Redis.from_url(self.server.url, protocol=2) as admin:
            admin.config_set(*[word for name, value in settings.items() for word in (name.replace("_", "-"), value)])


DOORS: dict[str, Callable[[House], str]] = {
    "tcp": lambda house: f"redis://{USER}@127.0.0.1:{house.server.port}",
    "tls": lambda house: house.tls(f"ssl_ca_certs={house.paper('ca.pem')}"),
    "mtls": lambda house: house.tls(
        f"ssl_ca_certs={house.paper('ca.pem')}",
        f"ssl_certfile={house.paper('client.pem')}",
        f"ssl_keyfile={house.paper('client.key')}",
    ),
    "unix": lambda house: f"unix://{USER}@{house.socket}",
}


def papers(place: Path) -> None:
    """Certificates: of the server by its name, of another name, of a client; and of an authority nobody trusts."""
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(place / "ca.pem")
    stranger.cert_pem.write_to_path(place / "stranger.pem")
    for name, host in (("server", "localhost"), ("elsewhere", "db.example"), ("client", "client@durastream")):
        made = authority.issue_cert(host)
        made.private_key_pem.write_to_path(place / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(place / f"{name}.pem")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    place = tmp_path_factory.mktemp("d")
    papers(place)
    port, socket = free_port(), place / "s"
    options = ["--unixsocket", str(socket), "--tls-port", str(port), "--tls-auth-clients", "no"]
    for option, name in (("cert-file", "server.pem"), ("key-file", "server.key"), ("ca-cert-file", "ca.pem")):
        options += [f"--tls-{option}", str(place / name)]
    for _, binary in available_servers():
        try:
            server = EmbeddedServer.start(binary, extra_args=options)
        except StoreUnavailable as error:
            if "tls" not in str(error).lower():
                raise
            continue  # built without TLS
        with server, redis.Redis.from_url(server.url, protocol=2) as admin:
            admin.execute_command("ACL", "SETUSER", "door", "on", f">{SECRET}", "~*", "&*", "+@all")
            yield House(server, port, socket, place)
            return
    pytest.skip("no server on this machine speaks TLS")


@pytest.fixture
def empty(house: House) -> House:
    with redis.Redis.from_url(house.server.url, protocol=2) as admin:
        admin.flushall()
    house.set(tls_auth_clients="no")
    return house


# ---------------------------------------------------------------- open doors


@pytest.mark.parametrize("door", DOORS)
async def test_worker_and_client(empty: House, door: str) -> None:
    if door == "mtls":
        empty.set(tls_auth_clients="yes")
    url = empty.url(door)
    with redis.Redis.from_url(empty.server.url, protocol=2) as admin:
        async with ds.Worker(app, url), ds.Client(url) as client:
            handle = await client.start(doubled, 21)
            assert await handle.result(timeout=30) == 42
            await eventually(lambda: admin.pubsub_channels("ds:{default}:c:*"), what="the client listens")
            assert {one["user"] for one in admin.client_list() if one["name"].startswith("durastream")} == {"door"}


@pytest.mark.slow
@pytest.mark.parametrize("door", ["mtls", "unix"])
async def test_command_line(empty: House, door: str, tmp_path: Path) -> None:
    """The URL comes from the environment, so that nobody reads the password from the list of processes."""
    if door == "mtls":
        empty.set(tls_auth_clients="yes")
    environment = os.environ | {"DURASTREAM_REDIS_URL": empty.url(door)}
    log = tmp_path / "worker.log"
    with log.open("wb") as told:
        command = [sys.executable, "-m", "durastream.cli", "worker", f"{__name__}:app"]
        worker = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
    try:
        started = durastream(environment, "start", "doubled", "--input", "21", "--wait", "--timeout", "40")
        assert (started.returncode, json.loads(started.stdout)) == (0, 42), started.stderr
        for arguments in (["doctor"], ["fsck"], ["acl", "--role", "worker", "--check"]):
            done = durastream(environment, *arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            silent(done.stdout + done.stderr)
        for process in (worker.pid, *children(worker.pid)):
            silent(Path(f"/proc/{process}/cmdline").read_bytes().decode())
    finally:
        worker.terminate()
        worker.wait(20)
    silent(log.read_text())


def durastream(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "durastream.cli", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [one for child in map(int, found) for one in (child, *children(child))]


def silent(text: str) -> None:
    assert SECRET not in text and quote(SECRET, safe="") not in text


# ---------------------------------------------------------------- shut doors

SHUT: dict[str, tuple[Callable[[House], str], type[Exception], str]] = {
    "password": (lambda house: house.url("tcp").replace("p%40ss", "wrong"), ServerUnsuitable, "user or password"),
    "password, unix": (
        lambda house: house.url("unix").replace("p%40ss", "wrong"),
        ServerUnsuitable,
        "user or password",
    ),
    "user": (lambda house: house.url("tcp").replace("door", "nobody"), ServerUnsuitable, "user or password"),
    "no trust": (lambda house: house.tls(), ServerUnsuitable, "certificate is not trusted .*ssl_ca_certs"),
    "other trust": (
        lambda house: house.tls(f"ssl_ca_certs={house.paper('stranger.pem')}"),
        ServerUnsuitable,
        "certificate is not trusted",
    ),
    "no such file": (lambda house: house.tls("ssl_ca_certs=/no/such.pem"), ds.DurastreamError, "ssl_ca_certs|such"),
    "plain to tls": (
        lambda house: f"redis://{USER}@localhost:{house.tls_port}?socket_timeout=2",
        ds.DurastreamError,
        "cannot use redis at localhost",
    ),
    "tls to plain": (
        lambda house: house.url("tcp").replace("redis://", "rediss://") + "?socket_connect_timeout=1",
        StoreUnavailable,
        "does it speak TLS on this port",
    ),
    "no socket": (lambda house: f"unix://{USER}@{house.socket}x", StoreUnavailable, "no such socket"),
}


@pytest.mark.parametrize("case", SHUT)
async def test_a_shut_door_says_why_and_tells_no_secret(empty: House, case: str) -> None:
    url, kind, words = SHUT[case]
    with pytest.raises(kind, match=words) as caught:
        await list_hubs(url(empty))
    told: list[Any] = [caught.value, caught.value.__cause__, caught.value.__context__]
    silent(" ".join(f"{one} {one!r}" for one in told))


async def test_the_command_line_tells_no_secret_either(empty: House) -> None:
    done = durastream(os.environ | {"DURASTREAM_REDIS_URL": SHUT["password"][0](empty)}, "hub", "list")
    assert done.returncode == 5 and "user or password" in done.stderr
    silent(done.stdout + done.stderr)


async def test_the_name_in_the_certificate_counts(empty: House) -> None:
    trusted = f"ssl_ca_certs={empty.paper('ca.pem')}"
    with pytest.raises(ServerUnsuitable, match=r"certificate is not trusted .*127\.0\.0\.1"):
        await list_hubs(empty.tls(trusted, host="127.0.0.1"))
    assert await list_hubs(empty.tls(trusted, "ssl_check_hostname=false", host="127.0.0.1")) == []
    empty.set(tls_cert_file=empty.paper("elsewhere.pem"), tls_key_file=empty.paper("elsewhere.key"))
    try:
        with pytest.raises(ServerUnsuitable, match=r"certificate is not trusted .*localhost"):
            await list_hubs(empty.tls(trusted))
    finally:
        empty.set(tls_cert_file=empty.paper("server.pem"), tls_key_file=empty.paper("server.key"))


async def test_a_server_that_wants_a_certificate(empty: House) -> None:
    empty.set(tls_auth_clients="yes")
    # With TLS 1.3 the refusal comes after the handshake: it may be read, or the connection is found broken.
    with pytest.raises(StoreUnavailable, match="cannot use redis at localhost") as caught:
        await list_hubs(empty.url("tls"))
    silent(str(caught.value))
    assert await list_hubs(empty.url("mtls")) == []
