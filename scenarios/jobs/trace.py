"""Recorded failures of machines, read from a file.

Model: the file is a list of events, JSON or YAML, each a mapping with `node_id` (a name or a number), `event_time`
(in the unit that the scenario says, from the begin of the record) and `event_type`, `fault_start` or `fault_end`;
what else an event has is not read. Failures of one machine may overlap: the first to begin is the first to end. One
that does not end lasts as long as the record, one that does not begin is there from its begin. The record ends with
its last event.
Source: the format of the trace of 400 servers that stepfun-ai/InfiniteHBD publishes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw import Mark, Problem, Problems, SpecError
from hw.input import MAX_BYTES, Document, Key, read_bytes, read_document, shown, unknown
from simulator.faults import Fault, Trace

BEGIN, END = "fault_start", "fault_end"
_KEYS = ("node_id", "event_time", "event_type")


@dataclass(frozen=True, slots=True)
class _Event:
    """One line of the record."""

    time_s: float
    begins: bool
    machine: str


def read_trace(path: Path, machines: int, unit_s: float) -> Trace:
    """The trace in a file, of so many machines. Raises SpecError with everything that is wrong in it, and OSError."""
    try:
        events = _events(Document(str(path), json.loads(read_bytes(path, MAX_BYTES, str(path)))), unit_s)
    except (
        ValueError,
        SpecError,
    ):  # no JSON, or something is wrong: then its place is wanted, which takes longer to read
        events = _events(read_document(path), unit_s)
    file = str(path)
    names = list(dict.fromkeys(event.machine for event in events))
    if len(names) > machines:
        message = f"events of {len(names)} machines, and `of` says that there are {machines}"
        raise SpecError([Problem(Mark(file), message)])
    span_s = max(event.time_s for event in events)
    if not span_s:
        raise SpecError([Problem(Mark(file), "all events are at time 0, which is no record of any length")])
    faults = [
        fault
        for number, name in enumerate(names)
        for fault in _faults([event for event in events if event.machine == name], number, span_s)
    ]
    return Trace(machines, span_s, tuple(sorted(faults, key=lambda fault: (fault.begin_s, fault.machine))))


def _events(document: Document, unit_s: float) -> list[_Event]:
    """The events of a document. Raises SpecError with all that is wrong."""
    data, problems, found = document.data, Problems(), []
    if not isinstance(data, list) or not data:
        message = "a trace is a list of events, each with " + ", ".join(_KEYS)
        raise SpecError([Problem(document.value_mark(()), message)])
    for number, entry in enumerate(data):
        key, wrong = _wrong(entry)
        if wrong:
            problems.add(document.value_mark((number, *key)), wrong)
        else:
            found.append(_Event(entry["event_time"] * unit_s, entry["event_type"] == BEGIN, str(entry["node_id"])))
    problems.raise_if_any()
    return found


def _wrong(entry: Any) -> tuple[Key, str]:
    """What is wrong with an event, and where in it; '' if nothing is."""
    if not isinstance(entry, Mapping):
        return (), f"{shown(entry, 40)} is no event: a mapping with {', '.join(_KEYS)}"
    missing = [key for key in _KEYS if key not in entry]
    if missing:
        return (), f"'{missing[0]}' is missing"
    time, kind = entry["event_time"], entry["event_type"]
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not 0 <= time < math.inf:
        return ("event_time",), f"event_time is {shown(time, 40)}; it must be a number of 0 or more"
    if kind not in (BEGIN, END):
        return ("event_type",), unknown("event_type", str(kind), (BEGIN, END))
    return (), ""


def _faults(events: list[_Event], machine: int, span_s: float) -> Iterator[Fault]:
    """The failures of one machine."""
    begun: list[float] = []
    for event in sorted(events, key=lambda event: (event.time_s, not event.begins)):
        if event.begins:
            begun.append(event.time_s)
        else:
            yield Fault(machine, begun.pop(0) if begun else 0.0, event.time_s)
    for begin_s in begun:
        yield Fault(machine, begin_s, span_s)
