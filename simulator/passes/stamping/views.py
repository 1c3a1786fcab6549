"""What lies behind the views of a graph, as values.

Model: a view shows some of its inputs, or what an op made beside its output; of views, what lies behind those. Of several
values behind one view the first has the bytes, the others are waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hw.rows import stable_order
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op
from simulator.ops.kernel import maker_of
from simulator.ops.registry import find_kind

Shown = tuple[int, str]
"""What a view shows: an input by its place, and the rest of the name of what was made beside that, "" for the input."""


class Beside:
    """What ops make beside their output. `rests`: by group of ops, the rests of the names; `of`: by op, its group; `first`:
    by op, the first value that it makes so."""

    def __init__(self, rests: Sequence[tuple[str, ...]], of: Any, first: Any) -> None:
        self._rests, self._of, self._first = rests, of, first

    def made(self, values: Any, rest: str) -> Any:
        """By value, what its op made beside it under the rest of a name; -1 where it made no such thing."""
        place = np.asarray([rests.index(rest) if rest in rests else -1 for rests in self._rests], dtype=np.int64)
        is_made = (values >= 0) & (values < len(self._of))
        op = np.where(is_made, values, 0)
        if not is_made.any():
            return np.full(len(values), -1)
        known = place[self._of[op]]
        return np.where(is_made & (known >= 0), self._first[op] + known, -1)

    def shown(self, reads: Any, since: Any, shown: Shown) -> Any:
        """The values that ops of one site show, or read so. `since`: by op, where what it reads begins."""
        place, rest = shown
        read = reads[since + place]
        if not rest:
            return read
        made = self.made(read, rest)
        # what nobody made beside anything is the input itself
        return np.where(made >= 0, made, read)

    def by_value(self, value: int) -> tuple[int, str]:
        """The op that made a value beside its output, and the rest of its name."""
        # ops that make nothing so have the number of the next one's first
        op = int(np.searchsorted(self._first, value, side="right")) - 1
        return op, self._rests[self._of[op]][value - int(self._first[op])]


class Views:
    """`views`: the ops that are views; `first`: by op, the first value behind it, itself if it is no view; `several`: by
    view that shows more than one value, all of them."""

    def __init__(self, flat: FlatOps, beside: Beside) -> None:
        shows = [tuple(_shown(site, kind.shows(site))) if (kind := find_kind(site)).view else () for site in flat.sites]
        is_view = np.asarray([bool(each) for each in shows], dtype=bool)
        site, since, reads = (np.asarray(column, dtype=np.int64) for column in (flat.site, flat.first, flat.reads))
        self.views: list[int] = np.flatnonzero(is_view[site]).tolist()
        self.first: Any = np.arange(len(flat))
        self.several: dict[int, tuple[int, ...]] = {}
        places = places_of(site, len(shows))
        rows = {number: places(number) for number in np.flatnonzero(is_view).tolist()}
        # by view of several, what it shows: a row each
        many: dict[int, Any] = {}
        for number, at in rows.items():
            columns = [beside.shown(reads, since[at], shown) for shown in shows[number]]
            if len(columns) == 1:
                self.first[at] = columns[0]
            else:
                many[number] = np.stack(columns, axis=1)
        is_one = np.asarray([len(each) == 1 for each in shows], dtype=bool)
        ones = np.flatnonzero(is_one[site]) if len(shows) else np.zeros(0, dtype=np.int64)
        self._see_through(ones)
        self._show_several(many, rows)
        # behind a view of one that shows several stands what stands behind that
        odd = np.concatenate([rows[number] for number in many]) if many else np.zeros(0, dtype=np.int64)
        for at in ones[np.isin(self.first[ones], odd)].tolist():
            shown = self.first[at]
            self.first[at] = self.first[shown]
            if shown in self.several:
                self.several[at] = self.several[shown]

    def _see_through(self, ones: Any) -> None:
        """Follow views of one value to what is none of them."""
        count = len(self.first)
        is_one = np.zeros(count, dtype=bool)
        is_one[ones] = True
        left = ones
        while len(left):
            shown = self.first[left]
            # inputs are numbered below 0, what is made beside an output from the number of ops on
            inside = (shown >= 0) & (shown < count)
            left = left[inside & is_one[np.where(inside, shown, 0)]]
            self.first[left] = self.first[self.first[left]]

    def _show_several(self, many: Mapping[int, Any], rows: Mapping[int, Any]) -> None:
        """Enter views of several values: in columns where nothing that they show is such a view, too."""
        count = len(self.first)
        is_odd = np.zeros(count, dtype=bool)
        for number in many:
            is_odd[rows[number]] = True
        one_by_one: list[tuple[int, list[int]]] = []
        # before any of them is entered: then one that shows another is seen to
        first_behind = self.first.copy()
        for number, values in many.items():
            inside = (values >= 0) & (values < count)
            shown = np.where(inside, first_behind[np.where(inside, values, 0)], values)
            inside = (shown >= 0) & (shown < count)
            ordered = np.sort(shown, axis=1)
            plain = (ordered[:, 1:] != ordered[:, :-1]).all(axis=1)
            plain &= ~(inside & is_odd[np.where(inside, shown, 0)]).any(axis=1)
            at = rows[number]
            self.first[at[plain]] = shown[plain, 0]
            self.several.update(zip(at[plain].tolist(), map(tuple, shown[plain].tolist()), strict=True))
            one_by_one += zip(at[~plain].tolist(), values[~plain].tolist(), strict=True)
        if not one_by_one:
            return
        # in the order of ops: of a list that costs less than of an array
        first: list[int] = self.first.tolist()
        for at, seen in sorted(one_by_one):
            self._enter(at, seen, first)
        entered = [at for at, _ in one_by_one]
        self.first[entered] = [first[at] for at in entered]

    def _enter(self, at: int, seen: Sequence[int], first: list[int]) -> None:
        """A view of some values. `first`: by op, the first value behind it, as far as that is known."""
        several = self.several
        for _ in range(2):  # a view of one may show one of several
            behind: dict[int, None] = {}
            for value in seen:
                if value in several:
                    behind.update(dict.fromkeys(several[value]))
                else:
                    behind[first[value] if 0 <= value < len(first) else value] = None
            seen = [*behind]
        if len(seen) > 1:
            several[at] = tuple(seen)
        first[at] = seen[0]

    def behind(self, value: int) -> tuple[int, ...]:
        """The values behind one, which is itself if it is no view."""
        if value in self.several:
            return self.several[value]
        return (int(self.first[value]) if 0 <= value < len(self.first) else value,)


def places_of(numbers: Any, count: int) -> Callable[[int], Any]:
    """The places of each of so many numbers in a column, in order."""
    order = stable_order(numbers)
    ends = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=count))])
    return lambda number: order[ends[number] : ends[number + 1]]


def _shown(view: Op, names: Iterable[str]) -> Iterator[Shown]:
    """What a view shows, by the place of an input; of what was made beside that, the rest of its name."""
    inputs = [tensor.name for tensor in view.inputs]
    for name in names:
        if name in inputs:
            yield inputs.index(name), ""
        else:
            maker, what = maker_of(name)
            yield (inputs.index(maker), name.removeprefix(maker)) if what and maker in inputs else (0, "")
