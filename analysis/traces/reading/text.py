"""The events of a trace as they stand in its text, read one by one, so that a file that is nearly JSON is read as well.

Model: a trace is a list of events, or an object whose `traceEvents` is one. Programs that are stopped, or print names
and numbers as they come, leave files that viewers show all the same. So these are read, each with a note: a file that
ends too early, a missing or one too many comma or closing bracket, control characters or lone backslashes inside
names, nan and inf.
What is wrong in the middle of a file otherwise is refused, with its line and column.
Numbers keep the digits that they have in the file (decimal.Decimal): times of today in microseconds, with their
nanoseconds, have more than a float can hold.
Source: Trace Event Format (its array form may lack its end); RFC 8259 for what JSON is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from analysis.traces.reading.file import LIMIT_BYTES, NO_MEMORY, READS, refusal, trace_text
from hw import SpecError

KEPT = ("distributedInfo", "baseTimeNanoseconds", "otherData", "deviceProperties")
"""What is kept of an object beside its events; of everything else only that it is there."""


class TraceText:
    """A trace as text. `about`, `notes` (what is odd, and how often) and `listed` (whether it has a list of events) are
    complete once all events have been taken; `is_odd`: whether anything was no JSON so far."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.text = text
        self.about: dict[str, Any] = {}
        self.notes: dict[str, int] = {}
        self.listed = False
        self.is_odd = False
        self.strict, self.loose = self._decoder(strict=True), self._decoder(strict=False)

    def __repr__(self) -> str:
        return f"TraceText({self.path}, {len(self.text):,} characters)"

    def _decoder(self, strict: bool) -> json.JSONDecoder:
        """JSON with exact numbers; `strict` refuses control characters inside names."""
        return json.JSONDecoder(parse_float=_number, parse_constant=self._constant, strict=strict)

    def _constant(self, _: str) -> Decimal:
        self.note("nan or inf, which is no JSON")
        return Decimal("nan")

    def refusal(self, message: str, at: int) -> SpecError:
        """The error for what stands at a place of the text."""
        line = self.text.count("\n", 0, at) + 1
        return refusal(self.path, message, line, at - self.text.rfind("\n", 0, at))

    def note(self, what: str) -> None:
        """Count something odd."""
        self.notes[what] = self.notes.get(what, 0) + 1


def open_trace(path: Path, limit_bytes: int = LIMIT_BYTES) -> TraceText:
    """The text of a trace file, whose `notes` begin with what is odd about the file. Raises SpecError."""
    try:
        text, notes = trace_text(path, limit_bytes)
    except MemoryError:
        raise refusal(path, NO_MEMORY) from None
    trace = TraceText(path, text)
    for note in notes:
        trace.note(note)
    return trace


class _CutOffError(Exception):
    """The text ends within a value."""


def events_of(trace: TraceText) -> Iterator[tuple[int, Any]]:
    """Every event and where it begins. Raises SpecError for what is neither a trace nor nearly one."""
    try:
        yield from _events(trace)
    except _CutOffError:
        if not trace.listed:
            raise no_trace(trace) from None
        trace.note("the file is cut off: what came before is read")
    except RecursionError:
        raise refusal(trace.path, "this nests too deeply") from None


def _events(trace: TraceText) -> Iterator[tuple[int, Any]]:
    text = trace.text
    at = _after_blanks(text, 0)
    if text[at : at + 1] == "[":
        at = yield from _list(trace, at)
    elif text[at : at + 1] == "{":
        at = yield from _object(trace, at)
    else:
        try:
            trace.strict.raw_decode(text, at)
        except ValueError:
            raise trace.refusal(f"this is not JSON. {READS}", at) from None
        raise no_trace(trace)
    at = _after_blanks(text, at)
    if at < len(text):
        raise trace.refusal("this is not JSON: more follows after its end", at)


def no_trace(trace: TraceText) -> SpecError:
    """The error for JSON that is something else: what it is, if that can be told by its keys, and what can be read."""
    known = next((what for key, what in _OTHERS.items() if key in trace.about), None)
    what = f"it is {known}" if known else "it has no list of traceEvents"
    return refusal(trace.path, f"this is no trace: {what}. {READS}")


_OTHERS = {
    "nodes": "a graph of operators (a Chakra or PyTorch execution trace, or the like)",
    "rocprofiler-sdk-tool": "rocprofv3's own JSON: rocprof and PyTorch write Chrome traces, too",
    "$schema": "of another schema (speedscope, or the like)",
    "resourceSpans": "OpenTelemetry's",
    "workload": "a scenario, perhaps: `overlapse run` takes it",
    "globalMetadata": "a Chakra execution trace: it has the graph of a run, not its times",
}
"""Keys of other kinds of JSON that people try."""


def _object(trace: TraceText, at: int) -> Generator[tuple[int, Any], None, int]:
    """The events of an object that begins at `at`; returns where it ends. Takes its other keys into `about`."""
    text = trace.text
    at = _after_blanks(text, at + 1)
    while text[at : at + 1] != "}":
        if text[at : at + 1] != '"':
            _expected(trace, "a key in double quotes", at)
        key, at = _value(trace, at)
        at = _after_blanks(text, at)
        if text[at : at + 1] != ":":
            _expected(trace, "a colon", at)
        at = _after_blanks(text, at + 1)
        if key == "traceEvents" and text[at : at + 1] == "[":
            at = yield from _list(trace, at)
        else:
            value, at = _value(trace, at)
            trace.about[key] = value if key in KEPT else None
        at = _after_comma(trace, at, "}")
    if not trace.listed:
        raise no_trace(trace)
    return at + 1


def _list(trace: TraceText, at: int) -> Generator[tuple[int, Any], None, int]:
    """The values of a list that begins at `at`; returns where it ends."""
    text = trace.text
    trace.listed = True
    at = _after_blanks(text, at + 1)
    before = False
    while text[at : at + 1] != "]":
        if before and text[at : at + 1] == "}":  # the end of the object around it
            trace.note("the list of events is not closed")
            return at
        value, end = _value(trace, at)
        yield at, value
        at = _after_comma(trace, end, "]")
        before = True
    return at + 1


def _after_comma(trace: TraceText, at: int, closing: str) -> int:
    """Where the next value begins, or what closes their list or object."""
    text = trace.text
    at = _after_blanks(text, at)
    if text[at : at + 1] == ",":
        at = _after_blanks(text, at + 1)
        while text[at : at + 1] == ",":
            trace.note("a comma too many")
            at = _after_blanks(text, at + 1)
        if text[at : at + 1] == closing:
            trace.note("a comma too many")
    elif text[at : at + 1] in ("{", '"'):
        trace.note("a comma is missing")
    elif text[at : at + 1] not in (closing, "}"):
        _expected(trace, "a comma", at)
    return at


def _expected(trace: TraceText, what: str, at: int) -> None:
    """Raise: the text ends, or something else stands there."""
    if at >= len(trace.text):
        raise _CutOffError
    raise trace.refusal(f"this is not JSON: {what} is expected", at)


_BLANKS = re.compile(r"[ \t\r\n\x00]*")


def _after_blanks(text: str, at: int) -> int:
    found = _BLANKS.match(text, at)
    return found.end() if found else at


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond all bounds
        return Decimal("nan")


def _value(trace: TraceText, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends. Raises SpecError, _CutOffError."""
    try:
        if not trace.is_odd:
            try:
                return trace.strict.raw_decode(trace.text, at)
            except json.JSONDecodeError:
                # such an error counts the lines before it: in a long text each would take a walk through all of it
                trace.is_odd = True
        piece = trace.text[at : _end(trace.text, at)]
        value, length = _mended(trace, at, piece)
    except json.JSONDecodeError as error:
        raise trace.refusal(f"this is not JSON: {error.msg}", at + error.pos) from None
    except ValueError:  # Python's own limit
        raise trace.refusal("a number in it has too many digits", at) from None
    return value, at + length


def _end(text: str, at: int) -> int:
    """Where the value that begins at `at` ends, by its brackets; the end of the text where they are not closed."""
    depth = 0
    for found in _BRACKETS.finditer(text, at):
        if found[0][0] != '"':
            depth += 1 if found[0] in "{[" else -1
        if depth <= 0:
            return found.end()
    return len(text)


def _mended(trace: TraceText, at: int, piece: str) -> tuple[Any, int]:
    """What a piece of the text at `at` holds, JSON or nearly, and how much of it that takes.
    Raises _CutOffError where the text ends within it, JSONDecodeError for what is no JSON."""
    try:
        return trace.strict.raw_decode(piece)
    except json.JSONDecodeError as strict_error:
        error = strict_error
    if error.msg.startswith("Invalid control character"):
        trace.note("control characters inside names")
        try:
            return trace.loose.raw_decode(piece)
        except json.JSONDecodeError as next_error:
            error = next_error
    if error.msg.startswith("Unterminated string") or _TAIL.fullmatch(trace.text, at + error.pos):
        raise _CutOffError
    try:
        return trace.loose.raw_decode(_without_oddities(trace, piece))[0], len(piece)
    except json.JSONDecodeError:  # the first error is the one to tell
        raise error from None


_TAIL = re.compile(r"[-+.\w\\]{0,12}[ \t\r\n]*")
"""What can be left of a number, a word or an escape where a file ends."""

_STRING = r'"(?:[^"\\]|\\.)*+"?'
_BRACKETS = re.compile(_STRING + r"|[{}\[\]]", re.DOTALL)
_ESCAPE = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|(?P<odd>\\)')
_ODD = re.compile(
    _STRING + r"|(?P<comma>,)(?=\s*[}\]])|(?P<nan>[-+]?\b(?:nan|inf(?:inity)?)\b(?:\([^()\"]*\))?)",
    re.DOTALL | re.IGNORECASE,
)


def _without_oddities(trace: TraceText, piece: str) -> str:
    """A value without commas before its closing brackets, with one spelling of nan and with backslashes that stand for
    themselves escaped."""

    def mended(match: re.Match[str]) -> str:
        if match["comma"]:
            trace.note("a comma too many")
            return ""
        return "NaN" if match["nan"] else _ESCAPE.sub(escaped, match[0])

    def escaped(match: re.Match[str]) -> str:
        if match["odd"]:
            trace.note("a backslash that escapes nothing")
            return "\\\\"
        return match[0]

    return _ODD.sub(mended, piece)
