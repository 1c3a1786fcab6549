"""What lies behind the views of a graph, as values.

Model: a view shows some of its inputs, or what an op made beside its output; of views, what lies behind those. Of several
values behind one view the first has the bytes, the others are waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op
from simulator.ops.kernel import maker_of
from simulator.ops.registry import find_kind

Beside = Callable[[int, str], int | None]
"""The value that an op made beside its output, by the rest of its name; None if it made no such thing."""


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
        place = np.asarray([each[0][0] if len(each) == 1 and not each[0][1] else -1 for each in shows], dtype=np.int64)
        plain = np.flatnonzero(place[site] >= 0) if len(place) else np.zeros(0, dtype=np.int64)
        self.first[plain] = reads[since[plain] + place[site[plain]]]
        self._see_through(plain)
        odd = np.flatnonzero(is_view[site] & (place[site] < 0)).tolist()
        # one by one: of a list that costs less than of an array
        first: list[int] = self.first.tolist() if odd else []
        for at in odd:
            self._enter(at, self._seen(flat, at, shows[site[at]], beside), first)
        self.first[odd] = [first[at] for at in odd]
        # behind a view of one that shows several stands what stands behind that
        for at in plain[np.isin(self.first[plain], odd)].tolist() if odd else ():
            shown = self.first[at]
            self.first[at] = self.first[shown]
            if shown in self.several:
                self.several[at] = self.several[shown]

    def _see_through(self, plain: Any) -> None:
        """Follow views of one value to what is none of them."""
        is_plain = np.zeros(len(self.first), dtype=bool)
        is_plain[plain] = True
        left = plain
        while len(left):
            shown = self.first[left]
            # inputs are numbered below 0: there may be more of them than ops
            left = left[(shown >= 0) & is_plain[np.maximum(shown, 0)]]
            self.first[left] = self.first[self.first[left]]

    @staticmethod
    def _seen(flat: FlatOps, at: int, shown: Iterable[tuple[int, str]], beside: Beside) -> Iterator[int]:
        """The values that a view shows."""
        read = flat.values_of(at)
        for place, rest in shown:
            value = beside(read[place], rest) if rest else read[place]
            # what nobody made beside anything is the input itself
            yield read[0] if value is None else value

    def _enter(self, at: int, shown: Iterable[int], first: list[int]) -> None:
        """A view of some values. `first`: by op, the first value behind it, as far as that is known."""
        several, seen = self.several, list(shown)
        for _ in range(2):  # a plain view may show one that is none
            behind: dict[int, None] = {}
            for value in seen:
                if value in several:
                    behind.update(dict.fromkeys(several[value]))
                else:
                    behind[first[value] if value >= 0 and value < len(first) else value] = None
            seen = [*behind]
        if len(seen) > 1:
            several[at] = tuple(seen)
        first[at] = seen[0]

    def behind(self, value: int) -> tuple[int, ...]:
        """The values behind one, which is itself if it is no view."""
        if value in self.several:
            return self.several[value]
        return (int(self.first[value]) if 0 <= value < len(self.first) else value,)


def _shown(view: Op, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """What a view shows, by the place of an input; of what was made beside that, the rest of its name."""
    inputs = [tensor.name for tensor in view.inputs]
    for name in names:
        if name in inputs:
            yield inputs.index(name), ""
        else:
            maker, what = maker_of(name)
            yield (inputs.index(maker), name.removeprefix(maker)) if what and maker in inputs else (0, "")
