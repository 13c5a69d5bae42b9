"""Structure-aware mutation: bytes, msgpack and JSON as trees, fields of a hash or stream entry, texts of small languages."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, TypeAlias

import msgpack

from durastream.core.limits import ID_BYTES_MAX, TIME_MS_MAX

Case: TypeAlias = bytes | tuple[bytes, ...]
"""Bytes, or fields and values of a hash or of a stream entry in turns."""

Mutator: TypeAlias = Callable[[Random, Case, Sequence[Case]], Case]
"""Randomness, the case to change, and the others, to take pieces from."""

BYTES_MAX = 200_000  # of one case: bombs are small, and large cases make for few of them
DEPTHS = (1, 2, 49, 50, 51, 99, 100, 101, 102, 250, 255, 512, 1_023, 1_025, 3_000)

INTERESTING: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xc2\x9b",
    b"\x1b[2J",
    b"\r\n",
    b"\xe2\x80\xae",
    b"@",
    b"@a@b",
    b"a{b}c",
    b"::",
    b"*?[",
    b"0",
    b"-1",
    b"-0",
    b"+1",
    b" 1",
    b"1_0",
    b"1e5",
    b"NaN",
    b"inf",
    b"9" * 16,
    b"9" * 5_000,
    b"\xc2\xb2",
    b"\xd9\xa1",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"253402300799999",
    b"253402300800000",
    b"null",
    b"{}",
    b"[]",
    b'""',
    b"{",
    b'{"a":1,"a":2}',
    b"[" * 101 + b"]" * 101,
    b"[" * 2_000,
    b'"\\ud800"',
    b"1e999",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xd6\xff\0\0\0\0",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xcb\x7f\xf0\0\0\0\0\0\0",
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + b"\0" * 7,
    b"\x91" * 2_000,
    b"\x81" * 2_000,
    b"x" * 257,
    b"x" * 20_000,
    "é".encode() * 129,
    "🦊".encode() * 64,
    b"\xc0",
    b"\xc1",
    b"\x90",
)

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64 - 1,
    TIME_MS_MAX,
    TIME_MS_MAX + 1,
    -TIME_MS_MAX,
    -TIME_MS_MAX - 1,
    0.0,
    -0.0,
    1.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "x" * ID_BYTES_MAX,
    "x" * (ID_BYTES_MAX + 1),
    "é" * 129,
    "🦊" * 64,
    "@",
    "@a@b",
    "@a",
    "a{b}c",
    "\0",
    "\n",
    "\x1b[2J",
    "\u202e",
    "\x9b",
    "9" * 5_000,
    "tok." + "9" * 5_000,
    "tok.0",
    "error",
    b"",
    b"null",
    b"{",
    b"\xff",
    b"1e999",
    b'{"a":1,"a":2}',
    [],
    {},
    [[]],
    {"": {}},
    [None] * 7,
    ["@a@b", "@a@c"],
)


def mutated_bytes(rng: Random, case: Case, others: Sequence[Case]) -> Case:
    """A few bytes flipped, cut, doubled, put in, or taken from another case."""
    made = bytearray(_joined(case))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_BYTE_CHANGES)(rng, made, others)
    return bytes(made[:BYTES_MAX])


def _joined(case: Case) -> bytes:
    return case if isinstance(case, bytes) else b"".join(case)


def _flip(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    if made:
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)


def _set(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    if made:
        made[rng.randrange(len(made))] = rng.choice((0, 1, 0x7F, 0x80, 0xC0, 0xFF, rng.randrange(256)))


def _cut(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    at = rng.randrange(len(made) + 1)
    del made[at : at + rng.randint(1, 8)]


def _truncate(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    del made[rng.randrange(len(made) + 1) :]


def _double(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    at = rng.randrange(len(made) + 1)
    piece = bytes(made[at : at + rng.randint(1, 40)])
    made[at:at] = piece * rng.choice((1, 1, 2, 300))


def _put_in(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    at = rng.randrange(len(made) + 1)
    made[at : at + rng.choice((0, 0, 1, 5))] = rng.choice(INTERESTING)


def _splice(rng: Random, made: bytearray, others: Sequence[Case]) -> None:
    other = _joined(rng.choice(others))
    at = rng.randrange(len(made) + 1)
    made[at:] = other[rng.randrange(len(other) + 1) :]


_BYTE_CHANGES = (_flip, _flip, _set, _cut, _truncate, _double, _put_in, _put_in, _splice)


# ---------------------------------------------------------------- trees


def mutated_msgpack(rng: Random, case: Case, others: Sequence[Case]) -> Case:
    """The tree changed and packed again, two times of three; else the bytes."""
    if rng.random() < 0.35:
        return mutated_bytes(rng, case, others)
    try:
        tree = msgpack.unpackb(_joined(case), strict_map_key=False, unicode_errors="surrogateescape")
        changed = changed_tree(rng, tree)
        packed: bytes = msgpack.packb(changed, unicode_errors="surrogatepass")
    except (ValueError, TypeError, OverflowError, RecursionError):  # no msgpack, or nothing that can be packed
        return mutated_bytes(rng, case, others)
    return packed[:BYTES_MAX]


def mutated_json(rng: Random, case: Case, others: Sequence[Case]) -> Case:
    """The tree changed and written again, with NaN and lone surrogates where there are such; else the text."""
    if rng.random() < 0.35:
        return mutated_bytes(rng, case, others)
    try:
        tree = changed_tree(rng, json.loads(_joined(case)))
        written = json.dumps(tree, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1)), default=repr)
    except (ValueError, TypeError, RecursionError):
        return mutated_bytes(rng, case, others)
    return written.encode("utf-8", "surrogatepass")[:BYTES_MAX]


def changed_tree(rng: Random, tree: Any) -> Any:
    """One to three changes, each at any place."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        tree = _changed(rng, tree)
    return tree


def _changed(rng: Random, tree: Any) -> Any:
    if isinstance(tree, list) and tree and rng.random() < 0.85:
        return _changed_list(rng, list(tree))
    if isinstance(tree, dict) and tree and rng.random() < 0.85:
        return _changed_dict(rng, dict(tree))
    if rng.random() < 0.15:
        return _nested(rng, tree)
    if isinstance(tree, (str, bytes)) and rng.random() < 0.5:
        return _changed_text(rng, tree)
    return rng.choice(VALUES)


def _changed_list(rng: Random, made: list[Any]) -> list[Any]:
    at = rng.randrange(len(made))
    match rng.randrange(8):
        case 0:
            del made[at]
        case 1:
            made.insert(at, rng.choice(VALUES))
        case 2:
            # Larger things once more only: a few such changes in a row would make gigabytes.
            made[at:at] = [made[at]] * (1 if isinstance(made[at], (list, dict)) else rng.choice((1, 101, 1_001)))
        case 3:
            other = rng.randrange(len(made))
            made[at], made[other] = made[other], made[at]
        case _:
            made[at] = _changed(rng, made[at])
    return made


def _changed_dict(rng: Random, made: dict[Any, Any]) -> dict[Any, Any]:
    key = rng.choice(list(made))
    match rng.randrange(8):
        case 0:
            del made[key]
        case 1:
            made[rng.choice(("", "x" * 300, "extra", "__class__", "\x1b", 1, None, b"k"))] = rng.choice(VALUES)
        case 2:
            made[rng.choice(list(made))] = made[key]
        case _:
            made[key] = _changed(rng, made[key])
    return made


def _nested(rng: Random, tree: Any) -> Any:
    for _ in range(rng.choice(DEPTHS)):
        tree = [tree] if rng.random() < 0.7 else {"a": tree}
    return tree


def _changed_text(rng: Random, text: str | bytes) -> str | bytes:
    made = mutated_bytes(rng, text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"), [b""])
    piece = _joined(made)
    return piece if isinstance(text, bytes) else piece.decode("utf-8", "surrogateescape")


# ---------------------------------------------------------------- fields, texts


def mutated_fields(rng: Random, case: Case, others: Sequence[Case]) -> Case:
    """Fields and values in turns: one left out, put in, exchanged, or its value changed as bytes or as JSON."""
    fields = list(case) if isinstance(case, tuple) else [case]
    for _ in range(rng.choice((1, 1, 2, 3))):
        _change_fields(rng, fields, others)
    return tuple(fields)


def _change_fields(rng: Random, fields: list[bytes], others: Sequence[Case]) -> None:
    at = 2 * rng.randrange(len(fields) // 2 + 1)
    match rng.randrange(10):
        case 0:
            del fields[at : at + 2]
        case 1:
            fields[at:at] = [rng.choice(INTERESTING), rng.choice(INTERESTING)]
        case 2:
            other = rng.choice(others)
            if isinstance(other, tuple) and len(other) > 1:
                take = 2 * rng.randrange(len(other) // 2)
                fields[at : at + 2] = other[take : take + 2]
        case 3 if at < len(fields):
            fields[at] = _joined(mutated_bytes(rng, fields[at], [b""]))
        case 4 | 5 if at + 1 < len(fields):
            fields[at + 1] = rng.choice(INTERESTING)
        case 6 if at + 1 < len(fields):
            fields[at + 1] = _joined(mutated_json(rng, fields[at + 1], [b""]))
        case _ if at + 1 < len(fields):
            fields[at + 1] = _joined(mutated_bytes(rng, fields[at + 1], [b""]))


def words(*tokens: str) -> Mutator:
    """A text of a small language: its words put in, exchanged and doubled; now and then plain bytes."""
    vocabulary = tuple(token.encode("utf-8", "surrogatepass") for token in tokens)

    def mutated(rng: Random, case: Case, others: Sequence[Case]) -> Case:
        if rng.random() < 0.4:
            return mutated_bytes(rng, case, others)
        made = bytearray(_joined(case))
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(made) + 1)
            made[at : at + rng.choice((0, 0, 0, 1, 4))] = rng.choice(vocabulary) * rng.choice((1, 1, 1, 1, 2, 1_500))
        return bytes(made[:BYTES_MAX])

    return mutated
