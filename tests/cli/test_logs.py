from __future__ import annotations

import json
import logging
import sys

from durastream.cli.logs import JsonLines, TextLines


def record(message: str, *, failed: bool = False) -> logging.LogRecord:
    error = None
    if failed:
        try:
            raise ValueError("bad \x1b[2J")
        except ValueError:
            error = sys.exc_info()
    return logging.LogRecord("durastream.worker", logging.WARNING, "f.py", 1, message, (), error)


def test_text_is_one_harmless_line() -> None:
    text = TextLines().format(record("forged\nline \x9b"))
    assert text.endswith("WARNING durastream.worker: forged\\nline \\x9b")


def test_traceback_follows() -> None:
    text = TextLines().format(record("oops", failed=True))
    assert "Traceback" in text
    assert "\x1b" not in text


def test_json_lines() -> None:
    entry = json.loads(JsonLines().format(record("forged\nline", failed=True)))
    assert (entry["level"], entry["logger"], entry["message"]) == ("warning", "durastream.worker", "forged\nline")
    assert "ValueError" in entry["error"]
