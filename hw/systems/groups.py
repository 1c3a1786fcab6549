"""Named groups of chips as they are written: `groups: {A: [0-3], B: [4-7, 9]}`, numbers and ranges.

Reading goes on after what is wrong, so that every mistake is told at its entry, and what is sound of a group stays: the
ops that go over it can still be checked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from hw.input.wording import shown
from hw.systems.mesh import Mesh, group_problems

Entry = int | None
"""Which entry of a group's list; None for the group as a whole."""

_RANGE = re.compile(r"\s*(\d{1,9})\s*(?:-\s*(\d{1,9})\s*)?")


@dataclass
class ReadGroups:
    """The groups as far as they are sound, and what is wrong: the name, the entry and the message."""

    named: dict[str, tuple[int, ...]] = field(default_factory=dict)
    wrong: list[tuple[str, Entry, str]] = field(default_factory=list)


def read_groups(written: Mapping[str, object], axes: Mapping[str, int], size: int) -> ReadGroups:
    """The named groups over a system of `size` chips whose mesh has these axes."""
    read = ReadGroups()
    for name, listed in written.items():
        entries = listed if isinstance(listed, list) else listed.split(",") if isinstance(listed, str) else [listed]
        places: list[int] = []
        chips: list[int] = []
        wrong: dict[Entry, str] = {}
        for at, entry in enumerate(entries):
            span, message = _span(entry, size)
            chips += span
            places += [at] * len(span)
            if message:
                wrong[at] = message
        for place, message in _misnamed(name, chips, axes, size):
            if chips or not wrong:  # without sound chips the group is no more empty than it is wrong
                wrong.setdefault(places[place] if place is not None else None, message)
        read.wrong += [(name, at, message) for at, message in wrong.items()]
        if name not in axes:
            read.named[name] = tuple(dict.fromkeys(chips)) or (0,)
    return read


def _misnamed(name: str, chips: list[int], axes: Mapping[str, int], size: int) -> Iterator[tuple[Entry, str]]:
    for _, place, message in group_problems(Mesh(axes, {name: chips}), size):
        yield (None if place < 0 else place), message


def _span(entry: object, size: int) -> tuple[range, str | None]:
    """The chips of one entry, or what is wrong with it."""
    match = _RANGE.fullmatch(str(entry)) if type(entry) in (int, str) else None
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if last < first:
        return range(0), f"{shown(entry, 40)} names no chips; write numbers and ranges, as in [0-3, 8]"
    if last >= size:
        return range(0), f"there is no chip {last}; the system has chips 0 to {size - 1}"
    return range(first, last + 1), None
