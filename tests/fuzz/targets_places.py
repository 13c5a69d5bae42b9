"""Server URLs of every kind: one server, a Cluster, the primary that Sentinels name. What they say of passwords above all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote, unquote_plus

from durastream.store.connect import BadUrl
from durastream.store.place import Place
from tests.fuzz.mutate import Case, words
from tests.fuzz.target import Target, check, same, text_of

_SECRET_OPTIONS = ("sentinel_password", "ssl_password")
_SECRET_CHARS_MIN = 8  # a shorter one may stand anywhere by chance


def _place(case: Case) -> None:
    """What is accepted tells no password, and says the same of each server."""
    text = text_of(case)
    place = Place.parse(text)
    _silent(text, f"{place} {place!r}")
    str(place).encode()  # or no log could hold it
    check(place.kind in ("single", "cluster", "sentinel"), place.kind)
    check((place.kind == "sentinel") == bool(place.service), "Sentinels watch something, nobody else does")
    check(place.seeds and (place.kind != "single" or place.seeds == (place.server,)), "one server is its own seed")
    for one in (place.server, *place.seeds):
        check(one.path if one.scheme == "unix" else one.host and 0 < one.port < 65_536, f"nowhere: {one}")
        check(one.scheme == place.server.scheme and one.tls == place.server.tls, "certificates are those of all")
        check(one.response_timeout_s == place.server.response_timeout_s, "so are timeouts")
        one.where()
    if place.kind == "sentinel":
        check(":6379" in text or all(one.port != 6379 for one in place.seeds), "no port is that of Sentinels")
    if place.kind == "cluster":
        check(place.server.db == 0, "a Cluster has one database")
        check({(one.username, one.password) for one in place.seeds} == {(place.server.username, place.server.password)},
              "users are those of all")  # fmt: skip


def _place_again(case: Case) -> None:
    """What is shown can be typed again, with the password put in: the same servers."""
    text = text_of(case)
    place = Place.parse(text)
    if _means_something(place):
        return  # shown as it is meant, so that it is read as something else
    again = Place.parse(str(place))
    same(again.kind, place.kind, "its kind")
    same([one.address for one in again.seeds], [one.address for one in place.seeds], "its seeds")
    same((again.service, again.server.db), (place.service, place.server.db), "service and database")
    same(str(again), str(place), "as it is shown")


def _means_something(place: Place) -> bool:
    """Whether a name in it was written with signs that mean something in a URL, or is a path from here."""
    names = [place.service, place.server.username or "", *(one.host for one in place.seeds)]
    path = place.server.path
    odd = any(set(name) & set("%/?#@:,[]&=;") for name in names) or set(path) & set("%?#@")
    return bool(odd or path[:1] not in ("", "/") or not all(name.isprintable() for name in (*names, path)))


def _place_refusal(case: Case) -> None:
    """Neither does a refusal tell a password."""
    text = text_of(case)
    try:
        Place.parse(text)
    except BadUrl as error:
        _silent(text, str(error))
        check(error.__cause__ is None and (error.__suppress_context__ or error.__context__ is None),
              "a traceback shows what it came from")  # fmt: skip


def _silent(text: str, shown: str) -> None:
    shown = shown.replace("user:password@", "")  # of the examples in a refusal
    for secret in _secrets(text):
        told = secret in shown or secret.casefold() in shown.casefold()
        check(not told, f"the password {secret!a} of {text!a:.200} is shown: {shown!a:.300}")


def _secrets(text: str) -> Iterator[str]:
    """Passwords of a URL by rules of its own, as written and as meant; not one that stands elsewhere too."""
    text = re.sub(r"[\t\r\n]", "", text)
    address, _, query = text.partition("#")[0].partition("?")
    user = re.match(r"[^:/]*://([^/]*)@", address)
    written = [user[1].partition(":")[2]] if user else []
    options = (one.partition("=") for one in query.split("&"))
    written += [value for name, _, value in options if unquote_plus(name) in _SECRET_OPTIONS]
    for secret in written:
        for one in {secret, unquote(secret), unquote_plus(secret)}:
            if len(one) >= _SECRET_CHARS_MIN and text.casefold().count(secret.casefold()) == 1:
                yield one


def _texts(*texts: str) -> list[Case]:
    return [text.encode("utf-8", "surrogateescape") for text in texts]


_GOOD = (
    "redis://localhost:6379",
    "rediss://me:SECRET-PASSWORD@h:1/2?ssl_cert_reqs=none&ssl_check_hostname=false&socket_timeout=2",
    "unix://me:SECRET-PASSWORD@/run/redis.sock?db=3",
    "redis+cluster://h",
    "redis+cluster://me:SECRET-PASSWORD@a:1,b,[::1]:2,[::2]/0?socket_connect_timeout=1",
    "rediss+cluster://:SECRET-P%40SSWORD@a?ssl_ca_certs=/a&ssl_password=KEYS-PASSWORD",
    "redis+sentinel://a,b:1/main",
    "redis+sentinel://me:SECRET-PASSWORD@a,[::1]/main/3?sentinel_username=you&sentinel_password=OTHER-PASSWORD",
    "rediss+sentinel://a/main?db=2&ssl_certfile=/b&ssl_keyfile=/c&ssl_ca_path=/d&sentinel_password=OTHER+P%40SSWORD",
)
_BAD = _texts(
    "",
    "redis+cluster://",
    "redis+cluster://me:SECRET-PASSWORD@",
    "redis+cluster://me:SECRET-PASSWORD@a,,b",
    "redis+cluster://me:SECRET-PASSWORD@:7001",
    "redis+cluster://me:SECRET-PASSWORD@a/2",
    "redis+cluster://me:SECRET-PASSWORD@a?db=2",
    "redis+cluster://a,me:SECRET-PASSWORD@b:port",
    "redis+cluster://me:SECRET-PASSWORD@a:1:2,b",
    "redis+cluster://me:SECRET-PASSWORD@[::1",
    "redis+cluster://me:SECRET-PASSWORD@\u2100x",
    "redis+cluster://a?sentinel_password=OTHER-PASSWORD",
    "redis+cluster://a?ssl_cert_reqs=none",
    "redis+sentinel://me:SECRET-PASSWORD@a,b",
    "redis+sentinel://me:SECRET-PASSWORD@/main",
    "redis+sentinel://me:SECRET-PASSWORD@a/main/one",
    "redis+sentinel://a/main?sentinel_password=OTHER-PASSWORD&nope=1",
    "redis+sentinel://a/main?sentinel_password=OTHER-PASSWORD&db=x",
    "redis+sentinel://a/main/" + "9" * 5_000,
    "redis+shards://me:SECRET-PASSWORD@a",
    "http+cluster://me:SECRET-PASSWORD@a",
    "unix+cluster://me:SECRET-PASSWORD@a",
    "unix+sentinel://a/main",
    "+cluster://a",
    "redis+cluster+sentinel://a/main",
    "redis+cluster://me@SECRET-PASSWORD@a:x",
)
BOMBS: dict[str, Callable[[int], str]] = {
    "addresses": lambda times: "redis+cluster://" + ",".join(["a"] * times),
    "addresses and options": lambda times: f"redis+cluster://{','.join(['a'] * times)}?{'&'.join(['db=0'] * times)}",
    "Sentinels and options": lambda times: (
        f"redis+sentinel://{','.join(['a'] * times)}/m?{'&'.join(['socket_timeout=1'] * times)}"
    ),
    "users": lambda times: f"redis+sentinel://{'a:b@' * times}a/main",
    "brackets": lambda times: f"redis+cluster://{'[' * times}{']' * times}",
    "slashes": lambda times: f"redis+sentinel://a/main{'/' * times}",
    "percents": lambda times: f"redis+sentinel://{'%40' * times}@a/{'%2F' * times}?sentinel_username={'%40' * times}",
    "schemes": lambda times: "redis+" * times + "cluster://a",
    "option": lambda times: f"redis+sentinel://a/main?{'x' * times}=1",
}
"""A part of a URL over and over: the time to read it must grow with its length, not with the product of two parts."""

_WORDS = words(
    "redis",
    "rediss",
    "unix",
    "+cluster",
    "+sentinel",
    "://",
    "redis+cluster://",
    "rediss+sentinel://",
    "me:SECRET-PASSWORD@",
    ":SECRET-PASSWORD@",
    ",b:7001",
    ",[::1]",
    ",",
    "[",
    "]",
    ":",
    ":0",
    "/",
    "/main",
    "?",
    "#",
    "&",
    "=",
    "%",
    "%40",
    "%00",
    "+",
    ";",
    "\u2100",
    "\udcff",
    "db=0",
    "&socket_timeout=1",
    "&sentinel_username=you",
    "&sentinel_password=OTHER-PASSWORD",
    "&ssl_password=KEYS-PASSWORD",
    "&ssl_cert_reqs=none",
    "9",
)
_FILES = ("store/place.py", "store/connect.py")

TARGETS: tuple[Target, ...] = (
    Target("place", _FILES, _place, lambda: _texts(*_GOOD), tuple(_BAD), (BadUrl,), _WORDS),
    Target("place.again", _FILES, _place_again, lambda: _texts(*_GOOD), tuple(_BAD), (BadUrl,), _WORDS),
    Target("place.secret", _FILES, _place_refusal, lambda: [*_BAD], (), (), _WORDS),
)
