"""When each value is made and read for the last time on each chip, as columns.

Model: a kernel on a chip begins with the first of its tasks there and ends with the last. What nobody reads stays to the end
of the run, and with it what it grew out of; so do caches, which are for whoever comes next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from hw.rows import (
    alike_everywhere,
    array_of,
    equal_lines,
    least_of_each,
    most_of,
    most_of_each,
    put,
    raised,
    stable_order,
)
from simulator import Kernels, Plan, Result


@dataclass(frozen=True, slots=True)
class Writes:
    """What kernels write, in program order: kernel, value, bytes moved, whether to HBM, and whether it stays to the end,
    whoever reads it. What lies in the memory of something else: `grown`, the place of the write among all, and `into`, the
    value in whose memory it lies, one pair for each of those."""

    kernel: Any
    value: Any
    nbytes: Any
    hbm: Any
    stays: Any
    grown: Any
    into: Any


def writes_of(kernels: Kernels) -> Writes:
    """The writes of all kernels."""
    templates, code = kernels.templates, np.asarray(kernels.code, dtype=np.int64)
    each = np.asarray([len(template.writes) for template in templates], dtype=np.int64)
    count = each[code]
    kernel = np.repeat(np.arange(len(code)), count)
    number = np.arange(len(kernel)) - np.repeat(np.cumsum(count) - count, count)
    value = np.asarray(kernels.makes, dtype=np.int64)[np.asarray(kernels.made_at, dtype=np.int64)[kernel] + number]
    accesses = [access for template in templates for access in template.writes]
    at = (np.cumsum(each) - each)[code[kernel]] + number
    nbytes = array_of([access.nbytes for access in accesses], np.float64)[at]
    hbm = np.asarray([access.memory == "hbm" for access in accesses], dtype=bool)[at]
    stays = np.asarray([access.stays for access in accesses], dtype=bool)[at]
    grown, into = _grown(kernels, kernel, code[kernel], number)
    return Writes(kernel, value, nbytes, hbm, stays, grown, into)


def let_go(writes: Writes, value: Any) -> Any:
    """Which of some values that are read may go with their last reader: all but those that stay."""
    staying = writes.value[writes.stays]
    return ~np.isin(value, staying) if len(staying) else np.ones(len(value), dtype=bool)


def _grown(kernels: Kernels, kernel: Any, code: Any, number: Any) -> tuple[Any, Any]:
    """Which writes lie in the memory of which values, in program order; `kernel`, `code` (its template) and `number` (in
    its kernel) of every write."""
    found: list[tuple[Any, Any]] = [(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))]
    growing = np.asarray([bool(template.grown) for template in kernels.templates], dtype=bool)[code]
    order = np.flatnonzero(growing)
    order = order[stable_order(code[order])]
    starts = np.flatnonzero(np.diff(code[order], prepend=-1))
    read_at, read = (np.asarray(column, dtype=np.int64) for column in (kernels.read_at, kernels.reads))
    for mine in np.split(order, starts[1:]) if len(order) else ():
        template = kernels.templates[code[mine[0]]]
        writes, reads = ([access.tensor for access in each] for each in (template.writes, template.reads))
        for name, source in template.grown:
            here = mine[number[mine] == writes.index(name)]
            found.append((here, read[read_at[kernel[here]] + reads.index(source)]))
    grown, into = (np.concatenate(each) for each in zip(*found, strict=True))
    order = np.argsort(grown, kind="stable")
    return grown[order], into[order]


class Spans:
    """First begin and last end (ps) of every kernel on every chip: rows by kernel, then chip."""

    def __init__(self, result: Result) -> None:
        places, here = result.places, result.on_chips
        self.chip, self._row = here.chip, here.row
        self.begin = least_of_each(places.begin[here.order], here.first) if len(here.first) else places.begin
        self.end = most_of_each(places.end[here.order], here.first) if len(here.first) else places.end

    def rows(self, kernels: Any) -> tuple[Any, Any]:
        """The rows of each of some kernels, one after the other, and the place in `kernels` that each is for."""
        since = self._row[kernels]
        count = self._row[kernels + 1] - since
        of = np.repeat(np.arange(len(kernels)), count)
        return np.arange(len(of)) + (since - np.cumsum(count) + count)[of], of


class LastReads:
    """When each chip, of so many `chips`, has read each value for the last time (ps)."""

    def __init__(self, value: Any, chip: Any, end: Any, chips: int) -> None:
        self._lowest = int(value.min(initial=0))
        self._chips = chips
        key = self._key(value, chip)
        order = np.argsort(key, kind="stable")
        key = key[order]
        first = np.flatnonzero(np.diff(key, prepend=-1))
        self._known = key[first]
        self._end = most_of_each(end[order], first) if len(first) else end

    def longer(self, value: Any, chip: Any, end: Any) -> LastReads:
        """The same, but that some values are kept on some chips until some time at least."""
        known_value, known_chip = self._known // self._chips + self._lowest, self._known % self._chips
        return LastReads(
            np.concatenate([known_value, value]),
            np.concatenate([known_chip, chip]),
            np.concatenate([self._end, end]),
            self._chips,
        )

    def _key(self, value: Any, chip: Any) -> Any:
        return (value - self._lowest) * self._chips + chip

    def of(self, value: Any, chip: Any) -> Any:
        """Of values on chips; -1 of what nobody reads."""
        if not len(self._known):
            return np.full(len(value), -1)
        key = self._key(value, chip)
        at = np.minimum(np.searchsorted(self._known, key), len(self._known) - 1)
        return np.where(self._known[at] == key, self._end[at], -1)


def last_reads(plan: Plan, spans: Spans, writes: Writes) -> LastReads:
    """The last reads of all values; what grew out of something keeps it as long as it stays itself."""
    kernels = plan.kernels.kernels
    read_at: Any = np.asarray(kernels.read_at, dtype=np.int64)
    reader = np.repeat(np.arange(len(kernels)), np.diff(read_at))
    reads = np.asarray(kernels.reads, dtype=np.int64)
    going = let_go(writes, reads)
    reader, reads = reader[going], reads[going]
    rows, of = spans.rows(reader)
    value, chip, end = reads[of], spans.chip[rows], spans.end[rows]
    last = LastReads(value, chip, end, plan.system.size)
    if not len(writes.grown):
        return last
    return _kept(last, plan, spans, writes)


def _kept(last: LastReads, plan: Plan, spans: Spans, writes: Writes) -> LastReads:
    """Last reads, but that what something lies in stays as long as that does."""
    rows, of = spans.rows(writes.kernel[writes.grown])
    chip, made, into = spans.chip[rows], writes.value[writes.grown][of], writes.into[of]
    value, place = np.concatenate([made, into]), np.concatenate([chip, chip])
    end = last.of(value, place)
    which, first = equal_lines(value - value.min(initial=0), place)
    inner, outer = which[: len(made)], which[len(made) :]
    until = end[first]
    # what nobody reads stays to the end, and so does what nobody reads but what lies in it
    holds = np.zeros(len(until), dtype=bool)
    holds[outer] = True
    until = put(until, (until < 0).astype(bool) & ~holds, most_of(spans.end))
    while True:
        longer = raised(until, outer, until[inner])
        if alike_everywhere(longer, until):
            return last.longer(value[first], place[first], until)
        until = longer
