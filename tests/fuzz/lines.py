"""Which lines of which files have run. A simple tracer: executions that are not told with their lines prove nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, TypeAlias

import durastream

PACKAGE = Path(durastream.__file__).parent
Line: TypeAlias = tuple[str, int]  # path of the file, number


def path_of(file: str) -> str:
    return str(PACKAGE / file)


class Lines:
    """While it is entered, lines of these files are noted in `seen`."""

    def __init__(self, files: Iterable[str]) -> None:
        self.seen: set[Line] = set()
        self._paths = frozenset(map(path_of, files))
        self._before: Any = None

    def __enter__(self) -> Lines:
        self._before = sys.gettrace()
        sys.settrace(self._call)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        sys.settrace(self._before)

    def _call(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any] | None:
        if frame.f_code.co_filename not in self._paths:
            return None
        return self._line(frame, event, arg)

    def _line(self, frame: FrameType, event: str, arg: object) -> Callable[..., Any]:
        self.seen.add((frame.f_code.co_filename, frame.f_lineno))
        return self._line


def lines_of(file: str, only: Collection[str] = (), without: Collection[str] = ()) -> set[Line]:
    """The lines inside functions of a file: of all of them, of some, or of all but some (by their qualified names)."""
    path = path_of(file)
    module = compile(Path(path).read_text("utf-8"), path, "exec")
    functions = list(_functions(module))
    strange = {*only, *without} - {code.co_qualname for code in functions}
    if strange:
        raise ValueError(f"{file} has no {sorted(strange)}")
    return {
        (path, number)
        for code in functions
        if (not only or code.co_qualname.partition(".<locals>")[0] in only) and code.co_qualname not in without
        for _, _, number in code.co_lines()
        if number
    }


def _functions(code: CodeType) -> Iterator[CodeType]:
    """Of a module: functions at any depth, without the bodies of modules and classes, which run when they are imported."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_flags & 0x2:  # CO_NEWLOCALS: a function, not the body of a class
                yield constant
            yield from _functions(constant)
