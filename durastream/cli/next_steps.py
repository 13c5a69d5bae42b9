"""What to type next. Each line works as printed, from the directory it is printed in."""

from __future__ import annotations

from durastream.cli import where
from durastream.cli.session import DEFAULT_HUB, DEFAULT_URL

_QUICKSTART = "workers.quickstart"
_DEFAULT_URLS = (DEFAULT_URL, f"redis://127.0.0.1:{where.DEFAULT_PORT}")
_ID = "first-1"


def after_demo() -> str:
    """Commands for a first try: a development server here, and an orchestration from a second terminal."""
    call, port = where.how_to_call(), where.free_port()
    on_port, at_redis = (
        ("", "") if port == where.DEFAULT_PORT else (f" --port {port}", f" --redis redis://127.0.0.1:{port}")
    )
    module = f" {_QUICKSTART}:app" if where.importable(_QUICKSTART) else ""
    start = "hello --input '\"world\"'" if module else "order --input '\"order-1\"'"
    lines = [
        "Next, start a server and a worker here:",
        f"  {call} dev{module}{on_port}",
        "and in a second terminal:",
        f"  {call} start {start} --id {_ID} --wait{at_redis}",
        f"  {call} show {_ID}{at_redis}",
        f"  {call} list{at_redis}",
    ]
    return "\n".join(lines)


def in_dev(url: str, hub: str, orchestrators: list[str]) -> str:
    """What to type while `dev` runs with the server at `url`."""
    call = where.how_to_call()
    there = ("" if url in _DEFAULT_URLS else f" --redis {url}") + ("" if hub == DEFAULT_HUB else f" --hub {hub}")
    example = next((_EXAMPLES[name] for name in orchestrators if name in _EXAMPLES), (orchestrators or ["NAME"])[0])
    lines = [
        "Type in a second terminal:",
        f"  {call} start {example} --wait{there}",
        f"  {call} list{there}",
        f"  {call} workers{there}",
    ]
    return "\n".join(lines)


_EXAMPLES = {
    "hello": "hello --input '\"world\"'",
    "order": "order --input '\"order-1\"'",
    "place_order": 'place_order --input \'{"sku": "book", "amount": 20}\'',
    "approve": 'approve --input \'{"request": "two weeks off", "patience_s": 5}\'',
    "sum_of_squares": "sum_of_squares --input 100",
    "watch": 'watch --input \'{"job": "backup", "every_s": 1}\'',
    "digest": 'digest --input \'{"texts": ["to be or not to be"]}\'',
}
"""Inputs of the sample apps, so that the printed command does something; other apps know theirs."""
