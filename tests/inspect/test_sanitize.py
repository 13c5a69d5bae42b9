from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durastream.inspect import sanitize

HOSTILE = [
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "a\u202egnp.exe",
    "\u2066x\u2069",
    "line\nforged",
    "\r overwritten",
    "\x7f\x08\x00",
    "\u2028\u2029",
    "\ufeffid",
    "\U000e0041\U000e007f",
    "\ud800 lone",
]
ANY_TEXT = st.text(alphabet=st.characters(codec=None, exclude_categories=()))


def harmless(text: str, allowed: str = "") -> bool:
    bidi = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    return all(
        char in allowed
        or (unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp") and unicodedata.bidirectional(char) not in bidi)
        for char in text
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_line_escapes_every_control(text: str) -> None:
    assert harmless(sanitize.line(text))


@given(ANY_TEXT)
def test_nothing_harmful_ever_comes_out(text: str) -> None:
    assert harmless(sanitize.line(text))
    assert harmless(sanitize.block(text), allowed="\n\t")


@given(ANY_TEXT, st.integers(1, 50))
def test_line_is_never_longer_than_asked(text: str, limit: int) -> None:
    assert len(sanitize.line(text, limit)) <= limit


def test_ordinary_text_stays_as_it_is() -> None:
    assert sanitize.line("Grüße, 東京 👩‍🚀") == "Grüße, 東京 👩‍🚀"


def test_escapes_are_readable() -> None:
    assert sanitize.line("a\x1b[0m\n\u202e") == r"a\x1b[0m\n" + "\\u202e"


def test_block_keeps_line_breaks_and_counts_what_it_leaves_out() -> None:
    assert sanitize.block("a\n\tb") == "a\n\tb"
    assert sanitize.block("x" * 12, limit=10) == "x" * 10 + "\n… 2 more characters"


@given(st.text())
def test_json_stays_the_same_value(text: str) -> None:
    shown = sanitize.json_text(json.dumps({"key": text}, ensure_ascii=False))
    assert json.loads(shown) == {"key": text}
    assert harmless(shown)
