"""The slices of a trace, and what its metadata say of processes and threads, from its events.

Model: a slice is an event with ph X, or a B and its E. Those of a thread are paired by time, wherever they stand in the
file: an E ends the innermost slice that is open then and has its name (any, if the E has none). At one instant, a file
that is in order of time is followed; in others what began earlier ends before anything begins.
Times are integers of picoseconds, exact whatever the file counts from: `baseTimeNanoseconds` + ts + dur.
Events of other kinds (flows, counters, instants, async spans) are no slices.
Source: Trace Event Format, duration and complete events; times there are microseconds.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal, InvalidOperation
from itertools import groupby, pairwise
from typing import Any

from analysis.traces.reading.text import TraceText
from hw import Problem, SpecError

Thread = tuple[str, str]
"""Process and thread, as text: what stands there need be no number."""

_EXACT = Context(prec=60)
_PS_PER_US = Decimal(10**6)
_FURTHEST = 20
"""Digits before the point that a number of microseconds may have."""

_LATEST_PS = 10**23
"""Later than the year 5000, if counted from 1970."""

_MOST_TOLD = 20
"""Slices that are wrong before a file is given up."""


KEPT_ARGS = {"device", "stream", "Stream Id", "hlo_category", "Task Type", "chunk", "does"}
"""Args that say where a slice belongs and what it does: of millions of slices, no more can be held."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One slice of a file. Times in picoseconds as they stand there; args that are kept as they are."""

    name: str
    category: str
    thread: Thread
    begin_ps: int
    end_ps: int
    args: Mapping[str, Any]


@dataclass(slots=True)
class Events:
    """What a file has: slices in no order, and the names and labels that metadata give."""

    slices: list[Slice] = field(default_factory=list)
    process_names: dict[str, str] = field(default_factory=dict)
    process_labels: dict[str, str] = field(default_factory=dict)
    thread_names: dict[Thread, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Mark:
    """A begin (ph B) or an end (ph E), at its time and its place among the marks of its thread."""

    begins: bool
    name: str | None
    time: Decimal
    event: Mapping[str, Any]
    args: Mapping[str, Any]


def events_in(trace: TraceText, found: Iterable[tuple[int, Any]]) -> Events:
    """The slices and names among events and their places. Raises SpecError with what is wrong in the first of them."""
    events = Events()
    marks: dict[Thread, list[_Mark]] = {}
    problems: list[Problem] = []
    for at, event in found:
        if not isinstance(event, dict):
            continue
        try:
            _take(event, events, marks)
        except ValueError as error:
            problems += trace.refusal(f"a slice is not as the format says: {error}", at).problems
            if len(problems) == _MOST_TOLD:  # a place takes a walk through the text
                break
    if problems:
        raise SpecError(problems)
    for thread, each in marks.items():
        _pair(each, thread, events, trace)
    if any(abs(each.begin_ps) > _LATEST_PS for each in events.slices):
        trace.note(
            "times beyond the year 5000: read as microseconds, as the format says, though they look like nanoseconds"
        )
    return events


def _take(event: Mapping[str, Any], events: Events, marks: dict[Thread, list[_Mark]]) -> None:
    """Put an event where it belongs. Raises ValueError with a message for the user."""
    match event.get("ph"):
        case "X":
            begin = _microseconds(event, "ts")
            lasted = _microseconds(event, "dur", 0)
            events.slices.append(_slice(event, begin, _EXACT.add(begin, lasted), _args(event)))
        case "B" | "E" as phase:
            name = event.get("name")
            mark = _Mark(
                phase == "B", None if name is None else str(name), _microseconds(event, "ts"), event, _args(event)
            )
            marks.setdefault(_thread(event), []).append(mark)
        case "M":
            _take_name(event, events)


def _take_name(event: Mapping[str, Any], events: Events) -> None:
    """Keep what metadata call a process or a thread."""
    args = event.get("args")
    if not isinstance(args, dict):
        return
    match event.get("name"):
        case "process_name" if args.get("name") is not None:
            events.process_names[_text(event.get("pid"))] = _text(args["name"])
        case "process_labels" if args.get("labels") is not None:
            events.process_labels[_text(event.get("pid"))] = _text(args["labels"])
        case "thread_name" if args.get("name") is not None:
            events.thread_names[_thread(event)] = _text(args["name"])


def _thread(event: Mapping[str, Any]) -> Thread:
    return _text(event.get("pid")), _text(event.get("tid"))


def _args(event: Mapping[str, Any]) -> Mapping[str, Any]:
    args = event.get("args") or {}
    if not isinstance(args, dict):
        raise ValueError(f"{_named(event)} has args {told(args)}, not an object")
    return {key: args[key] for key in args.keys() & KEPT_ARGS}


def _slice(event: Mapping[str, Any], begin: Decimal, end: Decimal, args: Mapping[str, Any]) -> Slice:
    if end < begin:
        lasted = _EXACT.subtract(end, begin)
        raise ValueError(f"{_named(event)} has dur {lasted}: it ends before it begins")
    name, category = _text(event.get("name", "")), _text(event.get("cat", ""))
    return Slice(name, category, _thread(event), picoseconds(begin), picoseconds(end), args)


def _text(said: object) -> str:
    """A name as it can be written again (half a surrogate pair cannot), equal ones held once."""
    text = str(said)
    return sys.intern(text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8"))


def _pair(marks: Sequence[_Mark], thread: Thread, events: Events, trace: TraceText) -> None:
    """Make slices of the begins and ends of a thread."""
    in_order = all(first.time <= second.time for first, second in pairwise(marks))
    open_ = _Open()
    for _, group in groupby(sorted(marks, key=lambda mark: mark.time), key=lambda mark: mark.time):
        now = list(group)
        if not in_order:
            # places say nothing here: what began earlier ends before anything begins, what begins now may end now
            ends = [mark for mark in now if not mark.begins]
            late = [mark for mark in ends if not _ended(open_, mark, thread, events)]
            now = [*(mark for mark in now if mark.begins), *late]
        for mark in now:
            if mark.begins:
                open_.begin(mark)
            elif not _ended(open_, mark, thread, events):
                trace.note("an end (ph E) without its begin, left out")
    for _ in range(open_.count):
        trace.note("a begin (ph B) without its end, left out")


def _ended(open_: _Open, end: _Mark, thread: Thread, events: Events) -> bool:
    """Make a slice of an end and its begin; false where nothing that it could end is open."""
    begin = open_.end(end)
    if begin is None:
        return False
    about = {**begin.event, "pid": thread[0], "tid": thread[1]}
    events.slices.append(_slice(about, begin.time, end.time, {**begin.args, **end.args}))
    return True


class _Open:
    """The begins of a thread that wait for their ends, by name and by order."""

    def __init__(self) -> None:
        self.count = 0
        self._marks: list[_Mark | None] = []
        self._named: dict[str | None, list[int]] = {}

    def begin(self, mark: _Mark) -> None:
        self.count += 1
        self._named.setdefault(mark.name, []).append(len(self._marks))
        self._marks.append(mark)

    def end(self, end: _Mark) -> _Mark | None:
        """The innermost begin of the end's name, of any name if it has none; it waits no more."""
        if end.name is None:
            while self._marks and self._marks[-1] is None:
                self._marks.pop()
            found = self._marks[-1] if self._marks else None
            places = self._named[found.name] if found else []
        else:
            places = self._named.get(end.name) or self._named.get(None) or []
        if not places:
            return None
        at = places.pop()
        found, self._marks[at] = self._marks[at], None
        self.count -= 1
        return found


def picoseconds(time_us: Decimal) -> int:
    """A number of microseconds to the picosecond."""
    return int(_EXACT.to_integral_value(_EXACT.multiply(time_us, _PS_PER_US)))


def exact(said: object) -> Decimal | None:
    """A number of a file with all its digits, also where it stands in quotes; None for anything else."""
    if isinstance(said, bool) or not isinstance(said, int | str | Decimal):
        return None
    try:
        number = Decimal(said)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number.adjusted() < _FURTHEST else None


def _microseconds(event: Mapping[str, Any], key: str, missing: int | None = None) -> Decimal:
    """A time of an event. Raises ValueError with a message for the user."""
    said = event.get(key, missing)
    time = exact(said)
    if time is not None:
        return time
    what = f"{key} {told(said)}, not a number of microseconds" if key in event else f"no {key}"
    raise ValueError(f"{_named(event)} has {what}")


def _named(event: Mapping[str, Any]) -> str:
    """An event as a message calls it."""
    return told(event["name"]) if "name" in event else f"an event with ph {told(event.get('ph'))}"


def told(value: object) -> str:
    """A value as it stands in the file, cut short."""
    if isinstance(value, int) and abs(value) > 10**40:
        return "a huge number"  # Python itself refuses to print very long integers
    text = str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 40 else f"{text[:37]}..."
