"""Files that a command writes: checked and opened before the work, and never one of the user's own.

Model: an output may take the place of nothing, of an empty file, or of what Overlapse has written before, which is known
by how it begins. Whatever else is there (the scenario itself, a measured trace, notes) is refused.
Opening it before the work finds a folder that is missing, no right to write, a disk that is read-only; if the work then
fails, a file that was not there before is taken away again; that nobody reads the screen any more is no failure.
Devices (/dev/stdout) are opened when they are written.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.console.streams import unheard

_LOOKED_AT = 1 << 16
"""Bytes at either end in which the signs of our own files are sought."""

_REPORT = (re.compile(rb'<!DOCTYPE html>.*<meta name="generator" content="overlapse ', re.DOTALL),)
_YAML = (re.compile(rb"# made by overlapse (import|calibrate)\n"),)
_SIGNS: Mapping[str, tuple[re.Pattern[bytes], ...]] = {
    ".csv": (
        re.compile(rb"task,op,kind,chip,queue,"),  # a timeline
        re.compile(rb"[^\n]*\blower_bound,[^\n]*\berror\b"),  # a study
        re.compile(rb"# [^\n]*torch [^\n]*\nsuite,name,mode,"),  # rows of a bench
    ),
    ".json": (
        re.compile(rb'\{"displayTimeUnit":"ns","otherData":\{"overlapse_zero_us"'),  # a trace
        re.compile(rb'\{\s*"name": "[^\n]*",\s*"time": [0-9]'),  # the words of a run
    ),
    ".pickle": (re.compile(rb"\x80.{0,16}}.{0,4}overlapse", re.DOTALL),),
    ".yaml": _YAML,
    ".yml": _YAML,
    ".parquet": (re.compile(rb"PAR1.*\b(lower_bound|queue)\b", re.DOTALL),),
}
"""How files of ours begin, by the ending of the name; a report may have any name."""


def check_places(*paths: Path) -> None:
    """Raises SpecError for files that are someone else's or have no place, all at once; nothing is opened yet."""
    problems = [Problem(Mark(str(path)), wrong) for path in paths if (wrong := _refusal(path))]
    if problems:
        raise SpecError(problems)


def check_places_in(folder: Path, names: Iterable[str]) -> None:
    """The same for files of a folder, which may have to be made."""
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir():
        raise SpecError([Problem(Mark(str(folder)), f"is no folder to write to: {os.strerror(errno.ENOTDIR)}")])
    if folder.exists():
        check_places(*(folder / name for name in names))


@contextmanager
def promised(*paths: Path) -> Iterator[None]:
    """Open files for writing while the work is done that fills them. Raises SpecError for those that cannot be written
    or are someone else's, all at once."""
    check_places(*paths)
    with ExitStack() as stack:
        for path in paths:
            stack.enter_context(_opened(path))
        stack.enter_context(unheard())
        yield


@contextmanager
def promised_in(folder: Path, names: Iterable[str]) -> Iterator[None]:
    """The same for files of a folder, which is made where it is missing. Raises SpecError."""
    there = folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SpecError([Problem(Mark(str(folder)), f"is no folder to write to: {error.strerror}")]) from None
    try:
        with promised(*(folder / name for name in names)):
            yield
    except BaseException:
        if not there:
            with suppress(OSError):  # something else has been put there
                folder.rmdir()
        raise


def _refusal(path: Path) -> str | None:
    """Why a file cannot be an output; None if it can."""
    if path.is_dir():
        return "is a folder; the name of a file is wanted"
    if not path.parent.is_dir():
        return f"there is no folder '{path.parent}' to write to"
    if not path.is_file():
        return None  # nothing, or a device
    try:
        with path.open("rb") as there:
            content = there.read(_LOOKED_AT)
            there.seek(max(len(content), path.stat().st_size - _LOOKED_AT))
            content += there.read(_LOOKED_AT)
    except OSError as error:
        return f"cannot be written: {error.strerror}"
    if not content or any(sign.match(content) for sign in _SIGNS.get(path.suffix, _REPORT)):
        return None
    return "is there and was not written by Overlapse: nothing is overwritten; choose another name, or remove it"


@contextmanager
def _opened(path: Path) -> Iterator[None]:
    there = path.exists()
    if there and not path.is_file():
        yield
        return
    try:
        with path.open("ab"):
            pass
    except OSError as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot be written: {error.strerror}")]) from None
    try:
        yield
    except BaseException:
        if not there:
            with suppress(OSError):
                path.unlink()
        raise
