"""The figures of ops in a run: one row per kernel, or one for all rounds of a block; worked out over columns."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from analysis.words.ops import Amounts, OpFigures, added_as, kernel_times
from hw.rows import array_of, equal_lines, least_of_each, most_of_each, stable_order
from simulator import PS_PER_S, Plan, Result

_FEW = 200
"""Rows up to which a plain sum is faster than a column."""


def bases(plan: Plan) -> dict[str, str]:
    """By name of a kernel, its name without the numbers of rounds: the same for all rounds of a block."""
    return dict(zip(plan.kernels.names(), plan.kernels.bases(), strict=True))


def op_figures(result: Result, kind: int | None = None) -> list[OpFigures]:
    """One row per kernel, in program order. `kind`: as the chips of one kind (`System.kinds`) have it, time 0 where none of
    them runs it; begin and end are those over all chips."""
    spent = Spent(result, kind)
    kernels = result.plan.kernels
    return spent.each(zip(kernels.names(), kernels.bases(), strict=True))


def figures_of(name: str, result: Result) -> OpFigures | None:
    """One op by its name, over all of its kernels; None if there is no such op."""
    kernels = result.plan.kernels.kernels
    named = [at for at, kernel in enumerate(kernels) if name in kernel.ops or name == kernel.name]
    return Spent(result).figures(np.asarray(named), name, name) if named else None


@dataclass(frozen=True, slots=True)
class Rounds:
    """The kernels of one op over all rounds of its block: a column of their numbers, and their figures added up."""

    kernels: Any
    figures: OpFigures

    def __repr__(self) -> str:
        return f"Rounds({self.figures.name} x{len(self.kernels)})"


def _spans(result: Result) -> tuple[Any, Any, Any]:
    """First begin, last end and longest fixed time of each kernel (ps); both ends of a transfer have its task's."""
    program, places, here = result.plan.program, result.places, result.on_chips
    own = array_of([shape.fixed_ps for shape in program.shapes])[np.asarray(program.shape, dtype=np.int64)]
    begin = np.zeros(len(here.row) - 1, dtype=places.end.dtype)
    begin.fill(result.last_ps)
    end, fixed = np.zeros(len(begin), dtype=begin.dtype), np.zeros(len(begin), dtype=own.dtype)
    runs = np.flatnonzero(np.diff(here.row))
    if len(runs):
        first = here.first[here.row[runs]]
        begin[runs] = least_of_each(places.begin[here.order], first)
        end[runs] = most_of_each(places.end[here.order], first)
        fixed[runs] = most_of_each(own[places.task[here.order]], first)
    return begin, end, fixed


def rounds_figures(result: Result) -> list[Rounds]:
    """One row for all kernels that differ only in the rounds of their blocks, in the order in which they first come."""
    kernels = result.plan.kernels.kernels
    called = kernels.names.bases()
    order = stable_order(called.of)
    parts = np.split(order, np.flatnonzero(np.diff(called.of[order])) + 1) if len(order) else ()
    spent = Spent(result)
    return [
        Rounds(each, spent.figures(each, name, name))
        for each in sorted(parts, key=lambda each: int(each[0]))
        for name in [called.names[called.of[each[0]]]]
    ]


class Spent:
    """What each kernel took on each chip, as columns; `kind`: on the chips of one kind alone."""

    def __init__(self, result: Result, kind: int | None = None) -> None:
        self.plan = result.plan
        kind_of = self.plan.system.kind_of
        self.counted = frozenset(chip for chip in self.plan.simulated if kind in (None, kind_of[chip]))
        places, here = result.places, result.on_chips
        self.begin, self.end, self.fixed = _spans(result)
        if kind is not None:
            places = places.of(np.isin(places.chip, list(self.counted)))
            here = places.on_chips(len(self.plan.kernels), self.plan.system.size)
        took = (places.end - places.begin)[here.order]
        self.chip, self.row = here.chip, here.row
        self.took = np.add.reduceat(took, here.first) if len(here.first) else took
        self.code = np.asarray(self.plan.kernels.code, dtype=np.int64)
        self._amounts: dict[tuple[int, int, int], Amounts] = {}
        self._alone: dict[tuple[int, int], dict[int, Amounts]] = {}

    @cached_property
    def _sort(self) -> Any:
        """By kernel, a number that those have in common which are of one sort and have one fixed time."""
        distinct, rank = np.unique(self.fixed, return_inverse=True)
        return self.code * len(distinct) + rank

    def figures(self, at: Any, name: str, base: str) -> OpFigures:
        """Some kernels, a column of numbers, as one row: sums on each chip, from the first beginning to the last end."""
        sorts = self.plan.kernels.sorts
        tiles = self._tiles(at)
        return OpFigures(
            name,
            sorts[self.code[at[0]]].kernel.kind,
            tiles.pop() if len(tiles) == 1 else "",
            int(self.begin[at].min()) / PS_PER_S,
            int(self.end[at].max()) / PS_PER_S,
            self._busy(at),
            self._summed(at),
            base,
        )

    def each(self, named: Iterable[tuple[str, str]]) -> list[OpFigures]:
        """Every kernel as a row; `named`: their names, and those without the numbers of rounds."""
        columns = self.code, self.fixed, self.begin, self.end, self.row[:-1], self.row[1:]
        lines = zip(named, *(column.tolist() for column in columns), strict=True)
        chips, took, sorts = self.chip.tolist(), self.took.tolist(), self.plan.kernels.sorts
        alike = len(self.plan.split.chips) == 1
        found = []
        for at, ((name, base), sort, fixed, begin, end, since, until) in enumerate(lines):
            # kernels of one sort that take one fixed time do the same
            if (sort, fixed) not in self._alone:
                self._alone[sort, fixed] = self._summed(np.asarray([at]))
            tile = sorts[sort].variants[0].tile if alike else self._tiles(np.asarray([at])).pop()
            busy = dict(zip(chips[since:until], took[since:until], strict=True))
            amounts, kind = self._alone[sort, fixed], sorts[sort].kernel.kind
            found.append(OpFigures(name, kind, tile, begin / PS_PER_S, end / PS_PER_S, busy, amounts, base))
        return found

    def _rows(self, at: Any) -> Any:
        """The numbers of the rows of some kernels, in order."""
        since, until = self.row[at], self.row[at + 1]
        count = until - since
        return np.arange(int(count.sum())) + np.repeat(since - np.cumsum(count) + count, count)

    def _busy(self, at: Any) -> dict[int, int]:
        """By chip, how long some kernels took; chips in the order in which they first come."""
        rows = self._rows(at)
        busy: dict[int, int] = {}
        if len(rows) < _FEW:
            for chip, took in zip(self.chip[rows].tolist(), self.took[rows].tolist(), strict=True):
                busy[chip] = busy.get(chip, 0) + took
            return busy
        chip = self.chip[rows]
        of, first = equal_lines(chip)
        total = np.zeros(len(first), dtype=self.took.dtype)
        np.add.at(total, of, self.took[rows])
        return dict(zip(chip[first].tolist(), map(int, total.tolist()), strict=True))

    def _tiles(self, at: Any) -> set[str]:
        """The tiles of some kernels, each on the chip on which it takes longest."""
        plan, code = self.plan, self.plan.kernels.code
        if len(plan.split.chips) == 1:
            used = np.flatnonzero(np.bincount(self.code[at])).tolist()
            return {plan.kernels.sorts[each].variants[0].tile for each in used}
        found = set()
        for kernel in at.tolist():
            busy = self._busy(np.asarray([kernel]))
            chip = max(busy, key=lambda chip: busy[chip], default=min(self._chips(code[kernel])))
            found.add(plan.variant(plan.kernels.sorts[code[kernel]], chip).tile)
        return found

    def _chips(self, sort: int) -> frozenset[int]:
        """The chips whose amounts count for a sort of kernels: those that run it, else all."""
        return self.counted.intersection(self.plan.kernels.sorts[sort].chips) or self.counted

    def _summed(self, at: Any) -> dict[int, Amounts]:
        """What each chip does of several kernels; chips that are alike in all of them share one object."""
        alike, order = self._alike(at)
        runs = [self._chips(sort) for sort, _ in alike]
        variant_of = self.plan.split.variant_of
        made: dict[Hashable, Amounts] = {}
        found: dict[int, Amounts] = {}
        for chip in (chip for each in runs for chip in sorted(each)):
            if chip in found:
                continue
            mine = tuple(at for at, each in enumerate(runs) if chip in each)
            key = variant_of[chip], mine
            if key not in made:
                parts = [self._amount(alike[at], variant_of[chip]) for at in mine]
                place = np.full(len(alike), -1)
                place[list(mine)] = np.arange(len(mine))
                here = place[order]
                made[key] = added_as(parts, here[here >= 0])
            found[chip] = made[key]
        return found

    def _alike(self, at: Any) -> tuple[list[tuple[int, int]], Any]:
        """The sorts and fixed times of some kernels, each pair once, and which of them each kernel has."""
        code, fixed = self.code[at], self.fixed[at]
        if len(at) >= _FEW and fixed.dtype != object:
            of, first = equal_lines(self._sort[at])
            return list(zip(code[first].tolist(), fixed[first].tolist(), strict=True)), of
        number: dict[tuple[int, int], int] = {}
        listed = [number.setdefault(each, len(number)) for each in zip(code.tolist(), fixed.tolist(), strict=True)]
        return list(number), np.asarray(listed, dtype=np.int64)

    def _amount(self, alike: tuple[int, int], variant: int) -> Amounts:
        """What a chip does of a kernel of a sort and a fixed time."""
        key = *alike, variant
        if key not in self._amounts:
            sort, fixed_ps = alike
            planned = self.plan.kernels.sorts[sort]
            own = planned.variants[variant]
            fixed_s = fixed_ps * planned.kernel.schedule.chunks / PS_PER_S
            times = kernel_times(planned, own, fixed_s)
            self._amounts[key] = Amounts(own.kernel.flops, own.hbm_bytes, planned.traffic.sent_bytes, times)
        return self._amounts[key]
