from __future__ import annotations

import json
import re
import tracemalloc
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durastream.inspect import sanitize
from tests.fuzz.counting import work_of

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


# ---------------------------------------------------------------- a corpus

ESC, BEL, ST = "\x1b", "\x07", "\x1b\\"

SEQUENCES = [
    # what terminals do at a word: cursor, screen, colours, modes, reports, resets
    *(f"{ESC}[{code}" for code in ("2J", "H", "1;1H", "3J", "K", "31m", "0m", "5n", "6n", "c", ">c", "=c", "s", "u", "?25l")),
    *(f"{ESC}[?{mode}h" for mode in (1, 7, 9, 47, 1000, 1002, 1003, 1006, 1047, 1049, 2004, 2026)),
    *(f"\x9b{code}" for code in ("2J", "31m", "6n", "?1049h", "20t", "21t")),
    *(f"{ESC}{code}" for code in ("c", "7", "8", "D", "E", "M", "H", "N", "O", "Z", "=", ">", "#8", "(0", ")0", "%G", "%@")),
    # window title, clipboard, links, notifications, colours, files, images
    *(f"{ESC}]{code}{end}" for end in (BEL, ST, "\x9c") for code in (
        "0;owned", "1;owned", "2;owned", "4;1;rgb:00/00/00", "7;file:///etc/passwd", "8;;http://evil", "9;note", "10;?",
        "11;?", "50;font", "52;c;ZWNobyBvd25lZA==", "104", "133;A", "777;notify;a;b", "1337;File=inline=1:AAAA",
    )),
    *(f"\x9d{code}\x9c" for code in ("0;owned", "52;c;AAAA")),
    f"{ESC}P$q\"p{ST}", f"{ESC}Pq#0;2;0;0;0#0~~@@vv{ST}", f"{ESC}P+q544e{ST}", f"\x90q{ST}",  # DCS, sixel, termcap
    f"{ESC}_Ga=T,f=24;AAAA{ST}", "\x9fcommand\x9c", f"{ESC}^private{ST}", "\x9eprivate\x9c", f"{ESC}Xstring{ST}", "\x98x\x9c",
    # lines that are forged or painted over
    "ok\rFAILED", "ok\n[INFO] all well", "a\u2028b", "a\u2029b", "password\b\b\b\b\b\b\b\bxxxxxxxx",
    "\x7f" * 9, "\x00", "\x1a", "\x04", "\x03", "\x11\x13", "\x0e\x0f",
    # direction
    *(f"invoice{mark}gpj.exe" for mark in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"),
    # what cannot be seen
    *(f"order{mark}-7" for mark in (
        "\u00ad", "\u034f", "\u115f", "\u1160", "\u17b4", "\u17b5", "\u180b", "\u180e", "\u200b", "\u2060", "\u2061", "\u2062",
        "\u2063", "\u2064", "\u206a", "\u206f", "\u3164", "\ufeff", "\uffa0", "\ufff9", "\ufffa", "\ufffb", "\ufffe", "\uffff",
        "\U0001bca0", "\U0001d173", "\U000e0001", "\U000e0041", "\U000e007f", "\U000e0100",
    )),
    # halves of characters, piles of marks
    "\ud800", "\udfff", "\ud83e", "a\udc00b", "Z" + "\u0300\u0489\u20dd" * 200,
    # nested and cut in the middle
    f"{ESC}{ESC}[2J", f"{ESC}[", f"{ESC}]0;", ESC, f"{ESC}[{'9' * 500}C", f"{ESC}[1;{'1;' * 500}m", f"a{ESC}" * 100,
]  # fmt: skip

CONTROLS = [chr(code) for code in (*range(0x20), *range(0x7F, 0xA0))]
CORPUS = [*SEQUENCES, *(f"a{control}b" for control in CONTROLS)]


def test_the_corpus_is_large() -> None:
    assert len(set(CORPUS)) == len(CORPUS) >= 200


@pytest.mark.parametrize(
    "wrap", [str, lambda text: f"{'x' * 195}{text}", lambda text: text * 50], ids=["bare", "edge", "many"]
)
def test_nothing_of_the_corpus_gets_through(wrap: Callable[[str], str]) -> None:
    for hostile in map(wrap, CORPUS):
        shown = sanitize.line(hostile)
        assert harmless(shown) and len(shown) <= 200, ascii(hostile)
        assert harmless(sanitize.block(hostile), "\n\t"), ascii(hostile)
        assert not PILE.search(shown), ascii(hostile)


PILE = re.compile("[\u0300-\u036f\u0483-\u0489\u20d0-\u20ff]{5}")


def test_the_corpus_as_json_is_the_same_value_and_harmless() -> None:
    for hostile in CORPUS:
        if not any(0xD800 <= ord(char) < 0xE000 for char in hostile):
            shown = sanitize.json_text(json.dumps({hostile: hostile}, ensure_ascii=False))
            assert json.loads(shown) == {hostile: hostile}
            assert harmless(shown), ascii(hostile)


def test_what_is_cut_leaves_no_half_of_an_escape() -> None:
    for limit in range(1, 60):
        shown = sanitize.line(f"{ESC}[2J{ESC}]0;owned{BEL}" * 9, limit)
        assert harmless(shown) and len(shown) <= limit


def test_invisible_characters_make_ids_look_different() -> None:
    assert sanitize.line("order\u200b-7") == "order\\u200b-7"
    assert sanitize.line("order\u00ad-7") == "order\\xad-7"


def test_text_of_many_scripts_stays_as_it_is() -> None:
    for text in (
        "Grüße",
        "東京 とうきょう",
        "한국어",
        "Ελληνικά",
        "עברית",
        "العربية",
        "नमस्ते",
        "ไทย",
        "می‌خواهم",
        "👩‍👩‍👧 ❤️",
        "e\u0301",
    ):
        assert sanitize.line(text) == text


MIB = 1 << 20


@pytest.mark.parametrize("unit", ["x", ESC, "\u202e", "\n", "東", "\ud800", "\u0301", f"{ESC}[2J"])
def test_a_mebibyte_is_cut_before_it_is_worked_on(unit: str) -> None:
    """No more is done to it, and no more memory taken, than for a text that is a little too long."""
    small, large = (unit * (size // len(unit)) for size in (MIB // 8, MIB))
    assert len(sanitize.line(large)) <= 200
    for show in (sanitize.line, sanitize.block):
        show(small)  # what is made once is made now
        assert work_of(lambda: show(large)) == work_of(lambda: show(small))  # noqa: B023
        tracemalloc.start()
        try:
            show(large)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MIB // 2, f"{peak:,} bytes"


def test_ten_thousand_keys_are_cut() -> None:
    value = {f"key {k}{ESC}[31m": k for k in range(10_000)}
    shown = sanitize.block(json.dumps(value, indent=2, ensure_ascii=False), 4_000)
    assert len(shown) < 20_000 and shown.endswith(" more characters")
    assert harmless(shown, "\n")


def test_ten_thousand_lines_are_cut() -> None:
    shown = sanitize.block("a\n" * 10_000)
    assert shown.count("\n") == sanitize.LINES_MAX
    assert shown.endswith("\n… 16,001 more characters")
    assert sanitize.block("a\nb\nc", lines=2) == "a\nb\n… 2 more characters"
    assert sanitize.block("a\nb", lines=2) == "a\nb"
