"""Ids and names: what is allowed, how ids of executions and children are made, which partition an instance lives in.

- An execution id is `token.generation`; continue-as-new keeps the token and counts the generation up from 0.
- A sub-orchestration without an id of its own gets `{parent instance}:{parent generation}.{task}`, where task is the
  number of the event that starts it: readable, and unique for each attempt of a retry. When that would be longer than
  256 bytes, the parent's id in it is replaced by 32 hex digits of its BLAKE2b digest.
- A child's execution id is 16 hex digits of BLAKE2b over `{parent execution}:{task}`, then `.0`: a message that starts
  it twice names the same execution twice.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final
from zlib import crc32

from durastream.core.limits import (
    HUB_CHARS_MAX,
    ID_BYTES_MAX,
    NAME_BYTES_MAX,
    QUOTE_CHARS_MAX,
    REASON_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_BYTES_MAX,
)
from durastream.errors import InvalidId

_HUB: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{HUB_CHARS_MAX}}}")
_FORBIDDEN: Final = ("Cc", "Cs")  # control characters, surrogates
_GENERATION_DIGITS_MAX: Final = 15


def partition_of(instance_id: str, partitions: int) -> int:
    """The partition an instance lives in: `crc32(utf8(id)) % partitions`. Published: clients in any language use it."""
    return crc32(instance_id.encode()) % partitions


def check_instance_id(instance_id: str, what: str = "instance id") -> str:
    """The id itself if it is 1 to 256 bytes of UTF-8 without control characters. Raises InvalidId."""
    return _check(instance_id, what, ID_BYTES_MAX)


def check_name(name: str, what: str = "name") -> str:
    """The name itself if it is 1 to 256 bytes of UTF-8 without control characters. `what`: "activity", "event", …"""
    return _check(name, f"{what} name", NAME_BYTES_MAX)


def check_hub(name: str) -> str:
    """The name itself if it is a valid hub name. Raises InvalidId."""
    if not isinstance(name, str) or not _HUB.fullmatch(name):
        raise InvalidId(f"hub name {_quoted(name)} is not valid: 1 to {HUB_CHARS_MAX} of A-Z a-z 0-9 _ -")
    return name


def check_tags(tags: object, size_bytes: int) -> None:
    """Tags are a mapping of strings to strings, each of at most 256 bytes; `size_bytes` of all, as JSON. Raises InvalidId."""
    if not isinstance(tags, Mapping):
        raise InvalidId(f"tags are {type(tags).__name__}; they must be an object of strings")
    for item in tags.items():
        for text in item:
            if not isinstance(text, str) or not _fits(text, TAG_BYTES_MAX):
                raise InvalidId(
                    f"tag {_quoted(item[0])}: names and values are strings of at most {TAG_BYTES_MAX} bytes of UTF-8"
                )
    if size_bytes > TAGS_BYTES_MAX:
        raise InvalidId(f"tags are {size_bytes} bytes as JSON; at most {TAGS_BYTES_MAX}")


def check_reason(reason: str | None) -> str | None:
    """The reason itself if it is None, or text of at most 8,192 bytes of UTF-8; it may have lines. Raises InvalidId."""
    if reason is None or (isinstance(reason, str) and _fits(reason, REASON_BYTES_MAX)):
        return reason
    raise InvalidId(f"reason {_quoted(reason)} is not valid: text of at most {REASON_BYTES_MAX:,} bytes of UTF-8")


def check_version(version: str | None) -> str | None:
    """The version itself if it is None or may be that of an orchestrator: 1 to 256 bytes, as names. Raises InvalidId."""
    return None if version is None else _check(version, "version", NAME_BYTES_MAX)


def _fits(text: str, bytes_max: int) -> bool:
    """Whether it is valid Unicode of at most so many bytes."""
    try:
        return len(text) <= bytes_max and len(text.encode()) <= bytes_max
    except UnicodeEncodeError:
        return False


def _check(text: str, what: str, bytes_max: int) -> str:
    # Printable text of a quarter of the limit in characters needs no closer look: a character has at most 4 bytes.
    if isinstance(text, str) and 0 < len(text) <= bytes_max >> 2 and text.isprintable():
        return text
    problem = _problem(text, bytes_max)
    if problem is not None:
        rule = f"1 to {bytes_max} bytes of UTF-8 without control characters"
        raise InvalidId(f"{what} {_quoted(text)} is not valid: {problem}; it must be {rule}")
    return text


def _problem(text: object, bytes_max: int) -> str | None:
    if not isinstance(text, str):
        return f"it is {type(text).__name__}, not str"
    if not text:
        return "it is empty"
    if len(text) > bytes_max:  # not looked at any closer: it may be many MiB
        return f"it has {len(text.encode('utf-8', 'surrogatepass'))} bytes"
    bad = next((char for char in text if unicodedata.category(char) in _FORBIDDEN), None)
    if bad is not None:
        return f"it contains {bad!a}"
    size = len(text.encode())
    return f"it has {size} bytes" if size > bytes_max else None


def _quoted(text: object) -> str:
    shown = ascii(text[:QUOTE_CHARS_MAX] if isinstance(text, str) else text)
    return shown if len(shown) <= QUOTE_CHARS_MAX else shown[: QUOTE_CHARS_MAX - 1] + "…"


def generation_of(execution_id: str) -> int:
    """How many times the execution has been continued as new. Raises InvalidId."""
    token, _, generation = execution_id.rpartition(".")
    counted = len(generation) <= _GENERATION_DIGITS_MAX and generation.isascii() and generation.isdigit()
    if not counted or not token or len(execution_id) > ID_BYTES_MAX:
        raise InvalidId(f"execution id {_quoted(execution_id)} is not valid: it must be token.generation")
    return int(generation)


def next_execution_id(execution_id: str) -> str:
    """The id of the execution that continues this one.

    >>> next_execution_id("tok.3")
    'tok.4'
    """
    return f"{execution_id.rpartition('.')[0]}.{generation_of(execution_id) + 1}"


def child_instance_id(instance_id: str, generation: int, task: int) -> str:
    """The id of a sub-orchestration that was given none."""
    suffix = f":{generation}.{task}"
    if len(instance_id.encode()) + len(suffix) > ID_BYTES_MAX:
        instance_id = blake2b(instance_id.encode(), digest_size=16).hexdigest()
    return instance_id + suffix


def child_execution_id(execution_id: str, task: int) -> str:
    """The execution id of the sub-orchestration that this event of the parent's history starts."""
    return blake2b(f"{execution_id}:{task}".encode(), digest_size=8).hexdigest() + ".0"
