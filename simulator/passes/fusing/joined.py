"""Kernels as columns some of which are groups of others: one of those that differ in names only is joined.

Model: groups of alike kernels that read, make and keep alike differ in names only; what they read and make stands at the
same places among all that their members do, or is spilled of what does.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from hw.rows import equal_lines
from simulator.ops.kernel import Kernel
from simulator.passes.fusing.join import BACK, SPILL, Room, join, spilled_name
from simulator.passes.kernels import Called, Columns, Kernels, Standing, called_once

Group = tuple[int, ...]
"""Kernels that are one, by their places in the program."""


@dataclass(frozen=True, slots=True)
class Lines:
    """Groups that read and make as many values each: by group the place of its last member, its template, and the values."""

    last: Any
    template: Any
    reads: Any
    makes: Any


def joined(kernels: Kernels, groups: Sequence[Group], rooms: Sequence[Room]) -> Kernels:
    """Kernels with groups of them as one each, where the last of a group stood."""
    return _Joined(kernels, groups, rooms).made


class _Readers:
    """Which kernels read what groups write."""

    def __init__(self, kernels: Kernels, groups: Sequence[Group]) -> None:
        inside = np.fromiter(chain.from_iterable(groups), dtype=np.int64)
        code, made_at, makes, read, read_at = (
            np.asarray(column, dtype=np.int64)
            for column in (kernels.code, kernels.made_at, kernels.makes, kernels.reads, kernels.read_at)
        )
        writes = np.asarray([len(template.writes) for template in kernels.templates], dtype=np.int64)
        self._written = np.unique(makes[spread(made_at[inside], writes[code[inside]])])
        reader = np.repeat(np.arange(len(kernels)), read_at[1:] - read_at[:-1])
        known = np.isin(read, self._written)
        count = len(kernels)
        lines = np.unique(np.searchsorted(self._written, read[known]) * count + reader[known])
        self._reader = lines % count
        self._first = np.searchsorted(lines, np.arange(len(self._written) + 1) * count)

    def count(self, values: Any) -> Any:
        """How many kernels read each of some values."""
        at = np.searchsorted(self._written, values)
        return self._first[at + 1] - self._first[at]

    def of(self, value: int) -> set[int]:
        """The kernels that read a value."""
        at = int(np.searchsorted(self._written, value))
        return set(self._reader[self._first[at] : self._first[at + 1]].tolist())


class _Joined:
    """The columns, and the names of kernels in them."""

    def __init__(self, kernels: Kernels, groups: Sequence[Group], rooms: Sequence[Room]) -> None:
        self.made = Kernels(self)
        self._of, self._names, self._rooms = kernels, kernels.names, rooms
        self._columns, self._shown = Columns.of(kernels), np.asarray(kernels.shown, dtype=np.int64)
        self._readers = _Readers(kernels, groups)
        self._beside = kernels.values
        self._spilled: list[str] = []
        # groups that somebody has asked for, and groups by the place of their last member
        self._joins: dict[Group, Kernel] = {}
        self._groups = {group[-1]: group for group in groups}
        # groups of one size as lines of their members
        self._lined = [_lined(groups, size) for size in dict.fromkeys(map(len, groups))]
        kept = np.ones(len(kernels), dtype=bool)
        for members in self._lined:
            kept[members[:, :-1]] = False
        # by kernel, where it stood, or the last of its members
        self._stood = np.flatnonzero(kept)
        self._add(self._lines(groups))
        self._add_waits()

    def _add(self, lines: Sequence[Lines]) -> None:
        """Fill in the kernels, some of which are groups."""
        known = np.asarray([*map(self._template, range(len(self._of.templates)))], dtype=np.int64)
        template = known[self._columns.code[self._stood]]
        for each in lines:
            template[np.searchsorted(self._stood, each.last)] = each.template
        reads = self._side((self._columns.reads, self._columns.read_at), [(each.last, each.reads) for each in lines])
        makes = self._side((self._columns.makes, self._columns.made_at), [(each.last, each.makes) for each in lines])
        self.made.extend(template, reads, makes)

    def _add_waits(self) -> None:
        """Fill in what kernels come after: of a group, each once that any of its members does."""
        stands = np.arange(len(self._of))
        for members in self._lined:
            stands[members] = members[:, -1:]
        waiting, awaited = (np.asarray(each, dtype=np.int64) for each in (self._of.waiting, self._of.awaited))
        number = np.searchsorted(self._stood, stands[waiting])
        first = np.unique(np.stack([number, awaited]), axis=1, return_index=True)[1]
        first = np.sort(first)
        first = first[np.argsort(number[first], kind="stable")]
        self.made.add_waits(number[first], awaited[first])

    def _side(self, column: tuple[Any, Any], lines: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """What kernels read or make, and how many values of each: their own (`column`: values, and where those of a kernel
        begin), and those of groups, by the place of the last member."""
        values, at = column
        first, count = at[self._stood], at[self._stood + 1] - at[self._stood]
        since, beside = len(values), []
        for last, own in lines:
            here = np.searchsorted(self._stood, last)
            count[here] = own.shape[1]
            first[here] = since + own.shape[1] * np.arange(len(last))
            since += own.size
            beside.append(own.ravel())
        return np.concatenate([values, *beside])[spread(first, count)], count

    def _template(self, number: int) -> int:
        return self.made.template(self._of.templates[number])

    def _lines(self, groups: Sequence[Group]) -> list[Lines]:
        """Template, reads and makes of each group."""
        classes: dict[tuple[int, ...], list[Group]] = {}
        code = self._of.code
        for group in groups:
            classes.setdefault(tuple([code[at] for at in group]), []).append(group)
        return [self._stamped(same, values) for alike in classes.values() for same, values in self._alike(alike)]

    def _alike(self, groups: Sequence[Group]) -> Iterator[tuple[list[Group], Any]]:
        """Groups of alike kernels, parted into those that read, make and keep alike; with the values of their members, what
        each reads and then what it makes."""
        members = np.asarray(groups, dtype=np.int64)
        of, reads, values = [], [], []
        for place, at in enumerate(groups[0]):
            for made, (column, since, count) in enumerate(
                (
                    (self._columns.reads, self._columns.read_at, len(self._of.read_by(at))),
                    (self._columns.makes, self._columns.made_at, len(self._of.made_by(at))),
                )
            ):
                values.append(column[since[members[:, place]][:, None] + np.arange(count)])
                of += [place] * count
                reads += [not made] * count
        row = np.concatenate(values, axis=1)
        first, of_member, is_read = _firsts(row), np.asarray(of), np.asarray(reads)
        looks = [first, self._through(members, first, is_read), self._kept(groups[0], row, of_member, is_read)]
        which, distinct = equal_lines(*np.concatenate(looks, axis=1).T)
        for number in range(len(distinct)):
            here = np.flatnonzero(which == number)
            yield [groups[at] for at in here.tolist()], row[here]

    def _through(self, members: Any, first: Any, reads: Any) -> Any:
        """Of what members read, where in a row the same is read through the same view first, if anything is read twice."""
        twice = (first != np.arange(first.shape[1]))[:, reads].any()
        shown, since = self._shown, self._columns.read_at
        if not twice or len(shown) != len(self._columns.reads):
            return np.zeros((len(members), 0), dtype=np.int64)
        counts = [len(self._of.read_by(at)) for at in members[0].tolist()]
        columns = (shown[since[members[:, place]][:, None] + np.arange(count)] for place, count in enumerate(counts))
        return _firsts(np.concatenate(list(columns), axis=1))

    def _kept(self, group: Group, row: Any, of: Any, reads: Any) -> Any:
        """Of each value that a member writes, whether others than members read it, or nobody. `of`: by place in a row, which
        member; `reads`: whether it reads there."""
        written: list[int] = []
        for place, at in enumerate(group):
            begin = int(np.flatnonzero((of == place) & ~reads)[0])
            written += range(begin, begin + len(self._of.written_by(at)))
        least = int(row.min())  # what nobody makes has a number below 0
        wide = int(row.max()) + 1 - least
        keys = row - least + wide * np.arange(len(row))[:, None]  # a value of one group, not of another
        # a member that reads a value twice is one reader
        read = np.unique(keys[:, reads] * len(group) + of[reads]) // len(group)
        made = keys[:, written]
        inside = np.searchsorted(read, made, "right") - np.searchsorted(read, made, "left")
        count = self._readers.count(row[:, written])
        return ((count == 0) | (count > inside)).astype(np.int64)

    def _stamped(self, groups: Sequence[Group], row: Any) -> Lines:
        """Template, reads and makes of groups that differ in names only: one of them is joined."""
        kernel = self._join(groups[0])
        column: dict[str, int] = {}
        for at, value in enumerate(row[0].tolist()):
            column.setdefault(self.value_name(value), at)
        known = {name: row[:, at] for name, at in column.items()}
        spilled = {spilled_name(name, word): (at, word) for name, at in column.items() for word in (SPILL, BACK)}

        def values(names: Iterable[str]) -> Any:
            columns = []
            for name in names:
                if name not in known:
                    at, word = spilled[name]
                    known[name] = self._spill(row[:, at], word)
                columns.append(known[name])
            return np.stack(columns, axis=1) if columns else np.zeros((len(groups), 0), dtype=np.int64)

        reads = values(access.tensor for access in kernel.reads)
        makes = values((*(access.tensor for access in kernel.writes), *kernel.ops))
        last = np.asarray([group[-1] for group in groups], dtype=np.int64)
        return Lines(last, np.full(len(last), self.made.template(kernel)), reads, makes)

    def _spill(self, values: Any, word: str) -> Any:
        """Values of their own for what is spilled of some."""
        since = self._beside + len(self._spilled)
        self._spilled += [spilled_name(self.value_name(value), word) for value in values.tolist()]
        return np.arange(since, since + len(values))

    def _join(self, group: Group) -> Kernel:
        written = {value for at in group for value in self._of.written_by(at)}
        readers = {self.value_name(value): self._readers.of(value) for value in written}
        return join([self._of[at] for at in group], group, readers, self._rooms)

    def _members(self, number: int) -> Group:
        """The kernels that a kernel consists of."""
        stood = int(self._stood[number])
        return self._groups.get(stood, (stood,))

    def kernel(self, number: int) -> Kernel:
        """A kernel as an object, under its own names."""
        members = self._members(number)
        if len(members) == 1:
            return self._of[members[0]]
        if members not in self._joins:
            self._joins[members] = self._join(members)
        return self._joins[members]

    def kernel_name(self, number: int) -> str:
        """The name of a kernel."""
        return "+".join(map(self._names.kernel_name, self._members(number)))

    def bases(self) -> Called:
        """The names of all kernels without the numbers of rounds."""
        known = self._names.bases()
        names, of = list(known.names), known.of[self._stood].copy()
        for members in self._lined:
            which, first = equal_lines(*known.of[members].T)
            of[np.searchsorted(self._stood, members[:, -1])] = len(names) + which
            names += ["+".join(known.names[each] for each in known.of[line]) for line in members[first]]
        return called_once(names, of)

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        """The first op of a kernel: its name, the one with which it is written, and the numbers of its rounds."""
        return self._names.op(self._members(number)[0])

    def may_be(self, begins: Collection[str], written: Collection[str]) -> list[int]:
        """The kernels whose first op's name may begin with one of some, or be written as one of some."""
        known = set(self._names.may_be(begins, written))
        return [number for number in range(len(self._stood)) if self._members(number)[0] in known]

    def standing(self, written: Sequence[str]) -> Standing | None:
        """None: groups stand where several ops do."""
        return None

    def value_name(self, value: int) -> str:
        """The name of a value."""
        beside = value - self._beside
        return self._spilled[beside] if 0 <= beside < len(self._spilled) else self._names.value_name(value)


def _lined(groups: Sequence[Group], size: int) -> Any:
    """The groups of a size, a line each."""
    return np.asarray([group for group in groups if len(group) == size], dtype=np.int64)


def _firsts(row: Any) -> Any:
    """By line and place, where in the line the same value stands first."""
    order = np.argsort(row, axis=1, kind="stable")
    ranked = np.take_along_axis(row, order, axis=1)
    begins = np.ones(row.shape, dtype=bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    since = np.maximum.accumulate(np.where(begins, np.arange(row.shape[1]), 0), axis=1)
    first = np.empty_like(order)
    np.put_along_axis(first, order, np.take_along_axis(order, since, axis=1), axis=1)
    return first


def spread(first: Any, count: Any) -> Any:
    """The places of so many values each, from a first one on."""
    return np.arange(int(count.sum())) + np.repeat(first - np.cumsum(count) + count, count)
