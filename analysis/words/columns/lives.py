"""When each value is made and read for the last time on each chip, as columns.

Model: a kernel on a chip begins with the first of its tasks there and ends with the last. What nobody reads stays to the end
of the run, and with it what it grew out of.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import Kernels, Plan, Result

NOWHERE = np.iinfo(np.int64).min
"""Instead of a value: it grows out of nothing."""


@dataclass(frozen=True, slots=True)
class Writes:
    """What kernels write, in program order: kernel, value, bytes moved, whether to HBM, and what it grows out of."""

    kernel: Any
    value: Any
    nbytes: Any
    hbm: Any
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
    nbytes = np.asarray([access.nbytes for access in accesses], dtype=np.float64)[at]
    hbm = np.asarray([access.memory == "hbm" for access in accesses], dtype=bool)[at]
    into = np.full(len(kernel), NOWHERE)
    for place, template in enumerate(templates):
        for name, source in template.grown:
            write = [access.tensor for access in template.writes].index(name)
            read = [access.tensor for access in template.reads].index(source)
            mine = (code[kernel] == place) & (number == write)
            into[mine] = _read(kernels, kernel[mine], read)
    return Writes(kernel, value, nbytes, hbm, into)


def _read(kernels: Kernels, kernel: Any, number: int) -> Any:
    """What some kernels read in one of their reads."""
    first = np.asarray(kernels.read_at, dtype=np.int64)[kernel]
    return np.asarray(kernels.reads, dtype=np.int64)[first + number]


class Spans:
    """First begin and last end (ps) of every kernel on every chip: rows by kernel, then chip."""

    def __init__(self, result: Result) -> None:
        places = result.places
        order = np.lexsort((places.chip, places.kernel))
        kernel, chip = places.kernel[order], places.chip[order]
        first = np.flatnonzero((np.diff(kernel, prepend=-1) != 0) | (np.diff(chip, prepend=-1) != 0))
        self.chip = chip[first]
        self.begin = np.minimum.reduceat(places.begin[order], first) if len(first) else places.begin
        self.end = np.maximum.reduceat(places.end[order], first) if len(first) else places.end
        self._row = np.searchsorted(kernel[first], np.arange(len(result.plan.kernels) + 1))

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
        self._known, of = np.unique(self._key(value, chip), return_inverse=True)
        self._end = np.zeros(len(self._known), dtype=end.dtype)
        np.maximum.at(self._end, of, end)

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
    rows, of = spans.rows(reader)
    value, chip, end = np.asarray(kernels.reads, dtype=np.int64)[of], spans.chip[rows], spans.end[rows]
    last = LastReads(value, chip, end, plan.system.size)
    run_ends = int(spans.end.max(initial=0))
    kept: dict[tuple[int, int], int] = {}
    # from the end backwards: what grew out of something may itself be what another grew out of
    for at in np.flatnonzero(writes.into != NOWHERE)[::-1]:
        rows, _ = spans.rows(writes.kernel[at : at + 1])
        here = spans.chip[rows]
        made, into = int(writes.value[at]), int(writes.into[at])
        until = last.of(np.full(len(here), made), here)
        for place, end_of_reads in zip(here.tolist(), until.tolist(), strict=True):
            stays = max(end_of_reads, kept.get((made, place), -1))
            stays = run_ends if stays < 0 else stays
            kept[into, place] = max(stays, kept.get((into, place), -1))
    if not kept:
        return last
    more = np.asarray([(*key, stays) for key, stays in kept.items()], dtype=np.int64)
    value, chip = np.concatenate([value, more[:, 0]]), np.concatenate([chip, more[:, 1]])
    return LastReads(value, chip, np.concatenate([end, more[:, 2]]), plan.system.size)
