"""The ways into a Cluster and to the primary of Sentinels by TLS, with users and passwords: end to end, and shut doors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

import durastream as ds
from durastream.errors import ServerUnsuitable, StoreUnavailable
from durastream.store.redis.hubs import list_hubs
from tests.servers.cluster import Cluster
from tests.servers.sentinel import SERVICE, Sentinels
from tests.servers.tls import Papers
from tests.store.test_doors import SECRET, USER, app, doubled, silent

pytestmark = [pytest.mark.anyio, pytest.mark.slow, pytest.mark.real_server, pytest.mark.single_server]

ADMIN = "admin-canary"  # of the default user: what servers say to each other
GUIDE = "guide-canary:/@"  # of the user with whom a Sentinel is asked
WATCH = "watch-canary"  # of the Sentinels' default user
SECRETS = (SECRET, quote(SECRET, safe=""), ADMIN, GUIDE, quote(GUIDE, safe=""), WATCH)


@dataclass(frozen=True)
class House:
    """`url` opens it; `plain` are addresses that speak no TLS; `users` names who is connected to the servers."""

    url: str
    plain: str
    users: Callable[[], set[str]]


def add_user(group: Any, node: Any, name: str, password: str) -> None:
    group.ask(node, "ACL", "SETUSER", name, "on", f">{password}", "~*", "&*", "+@all")


def connected(group: Any) -> set[str]:
    """Users of the connections of durastream."""
    said = [group.ask(node, "CLIENT", "LIST").decode() for node in group.nodes]
    lines = [line for one in said for line in one.splitlines() if " name=durastream" in line]
    return {found[1] for line in lines if (found := re.search(r" user=(\S+)", line))}


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Papers:
    return Papers(tmp_path_factory.mktemp("papers"))


@pytest.fixture(scope="module")
def binary(papers: Papers) -> str:
    return papers.binary() or pytest.skip("no server on this machine speaks TLS")


def _addresses(ports: list[int]) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in ports)


@pytest.fixture(scope="module")
def cluster(papers: Papers, binary: str) -> Iterator[House]:
    with Cluster.start(binary, masters=3, password=ADMIN, tls=papers) as started:
        for node in started.nodes:
            add_user(started, node, "door", SECRET)
        places = _addresses([*started.tls_ports.values()])
        url = f"rediss+cluster://{USER}@{places}?ssl_ca_certs={papers.authority}"
        yield House(url, _addresses([node.port for node in started.nodes]), lambda: connected(started))


@pytest.fixture(scope="module")
def sentinels(papers: Papers, binary: str) -> Iterator[House]:
    with Sentinels.start(binary, password=ADMIN, sentinel_password=WATCH, tls=papers) as started:
        for node in started.nodes:
            add_user(started, node, "door", SECRET)
        for node in started.sentinels:
            add_user(started, node, "guide", GUIDE)
        places = _addresses([started.tls_ports[one] for one in started.sentinels])
        own = f"sentinel_username=guide&sentinel_password={quote(GUIDE, safe='')}"
        url = f"rediss+sentinel://{USER}@{places}/{SERVICE}?ssl_ca_certs={papers.authority}&{own}"
        yield House(url, _addresses([node.port for node in started.sentinels]), lambda: connected(started))


@pytest.fixture
def house(request: pytest.FixtureRequest) -> House:
    found: House = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("house", ["cluster", "sentinels"], indirect=True)
async def test_worker_and_client(house: House) -> None:
    async with ds.Worker(app, house.url), ds.Client(house.url) as client:
        handles = [await client.start(doubled, number) for number in range(20)]  # more than one partition, and node
        assert [await one.result(timeout=30) for one in handles] == [2 * number for number in range(20)]
        assert house.users() == {"door"}


async def test_the_password_of_the_sentinels_alone(sentinels: House) -> None:
    """As the default user: without a name."""
    url = re.sub("sentinel_username=.*", f"sentinel_password={WATCH}", sentinels.url)
    async with ds.Worker(app, url), ds.Client(url) as client:
        assert await (await client.start(doubled, 21)).result(timeout=30) == 42


def plain(house: House) -> str:
    """TLS to the plain ports. A Cluster gives a node one second, and says so: less, so that the reason is heard."""
    quick = house.url + "&socket_connect_timeout=0.5"
    return re.sub(r"@[^/?]*", f"@{house.plain}", quick)


def without_tls(url: str) -> str:
    """Plain words to the TLS ports."""
    return re.sub("ssl_ca_certs=[^&]*", "socket_timeout=2", url).replace("rediss", "redis")


Shut = tuple[Callable[[House], str], type[Exception], str]
ANYWHERE: dict[str, Shut] = {
    "password": (lambda house: house.url.replace("p%40ss", "wrong"), ServerUnsuitable, "user or password"),
    "user": (lambda house: house.url.replace("door", "nobody"), ServerUnsuitable, "user or password"),
    "no user": (lambda house: house.url.replace(f"{USER}@", ""), ds.DurastreamError, "NOAUTH|[Aa]uthentication"),
    "no trust": (
        lambda house: re.sub("ssl_ca_certs=[^&]*", "", house.url),
        ServerUnsuitable,
        "certificate is not trusted .*ssl_ca_certs",
    ),
    "plain to tls": (lambda house: without_tls(house.url), ds.DurastreamError, r"cannot use redis at 127\.0\.0\.1"),
    "tls to plain": (plain, StoreUnavailable, "does it speak TLS on this port"),
}
AT_SENTINELS: dict[str, Shut] = {
    "password of Sentinels": (
        lambda house: house.url.replace("guide-canary", "wrong"), ServerUnsuitable, "no Sentinel names .*user or password",
    ),
    "user of Sentinels": (
        lambda house: house.url.replace("=guide&", "=nobody&"), ServerUnsuitable, "no Sentinel names .*user or password",
    ),
    "no password of Sentinels": (
        lambda house: re.sub("&sentinel_username=.*", "", house.url), ds.DurastreamError, "NOAUTH|[Aa]uthentication",
    ),
    "another service": (
        lambda house: house.url.replace(f"/{SERVICE}", "/other"), ServerUnsuitable, "watches no primary of that name",
    ),
}  # fmt: skip


async def refused(house: House, case: Shut) -> None:
    url, kind, words = case
    with pytest.raises(kind, match=words) as caught:
        await list_hubs(url(house))
    told: list[BaseException | None] = [caught.value, caught.value.__cause__, caught.value.__context__]
    said = " ".join(f"{one} {one!r}" for one in told)
    silent(said)
    assert not [secret for secret in SECRETS if secret in said]


@pytest.mark.parametrize("case", ANYWHERE)
@pytest.mark.parametrize("house", ["cluster", "sentinels"], indirect=True)
async def test_a_shut_door_says_why_and_tells_no_secret(house: House, case: str) -> None:
    await refused(house, ANYWHERE[case])


@pytest.mark.parametrize("case", AT_SENTINELS)
async def test_sentinels_that_refuse_say_why_and_tell_no_secret(sentinels: House, case: str) -> None:
    await refused(sentinels, AT_SENTINELS[case])
