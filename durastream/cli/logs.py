"""Logs of a worker process: one line each on stderr, as text or JSON."""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from enum import StrEnum

import orjson

from durastream.inspect import sanitize


class Level(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class TextLines(logging.Formatter):
    """`2031-05-01 12:00:00 INFO    durastream.worker: message`, then a traceback if there is one; no control characters."""

    def format(self, record: logging.LogRecord) -> str:
        at = f"{datetime.fromtimestamp(record.created, UTC).astimezone():%Y-%m-%d %H:%M:%S}"
        text = f"{at} {record.levelname:<7} {record.name}: {sanitize.line(record.getMessage(), 4_000)}"
        if record.exc_info:
            text += "\n" + sanitize.block(self.formatException(record.exc_info))
        return text


class JsonLines(logging.Formatter):
    """One JSON object a line: at, level, logger, message, error (a traceback)."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _unicode(record.getMessage()[:4_000]),
        }
        if record.exc_info:
            entry["error"] = _unicode(self.formatException(record.exc_info))
        return sanitize.json_text(orjson.dumps(entry, option=orjson.OPT_UTC_Z).decode())


def _unicode(text: str) -> str:
    """JSON holds no lone surrogates, which bytes of foreign keys may have become."""
    return text.encode("utf-8", "backslashreplace").decode()


_FORMATTERS: dict[LogFormat, type[logging.Formatter]] = {LogFormat.TEXT: TextLines, LogFormat.JSON: JsonLines}


def to_stderr(level: Level, form: LogFormat) -> None:
    """Send all logs of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_FORMATTERS[form]())
    logging.basicConfig(level=level.name, handlers=[handler], force=True)
