from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run
from typing import Any

from durastream.core.fingerprint import fingerprint_of

SOURCE = """
def f(ctx):
    if ctx in {'a', 'b', 'c', 'd'}:
        return [x for x in (1, 2.5, None)]
    return lambda: 'nested'
"""


def compiled(source: str) -> Any:
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace["f"]


def test_it_changes_with_what_the_code_does() -> None:
    base = fingerprint_of(compiled(SOURCE))
    assert len(base) == 16
    assert fingerprint_of(compiled("\n\n# moved\n" + SOURCE)) == base
    for old, new in (
        ("2.5", "2.6"),
        ("'nested'", "'other'"),
        ("'c'", "'e'"),
        ("[x", "[-x"),
        ("return lambda", "lambda"),
    ):
        assert fingerprint_of(compiled(SOURCE.replace(old, new))) != base, old


def test_it_is_the_same_in_every_process() -> None:
    program = (
        "import sys\nfrom durastream.core.fingerprint import fingerprint_of\n"
        "n = {}\nexec(sys.argv[1], n)\nprint(fingerprint_of(n['f']))"
    )
    found = set()
    for seed in ("1", "2"):
        environment = {"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", program, SOURCE]
        found.add(run(command, capture_output=True, text=True, check=True, env=environment).stdout.strip())
    assert found == {fingerprint_of(compiled(SOURCE))}


def test_what_has_no_code_has_one_too() -> None:
    assert len(fingerprint_of(len)) == 16
