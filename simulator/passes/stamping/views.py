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
from simulator.ops.registry import find_kind

Beside = Callable[[int, str], int | None]
"""The value that an op made beside its output, by the rest of its name; None if it made no such thing."""


class Views:
    """`views`: the ops that are views; `first`: by op, the first value behind it, itself if it is no view; `several`: by
    view that shows more than one value, all of them."""

    def __init__(self, flat: FlatOps, beside: Beside) -> None:
        shows = [tuple(_shown(site, kind.shows(site))) if (kind := find_kind(site)).view else () for site in flat.sites]
        site = np.asarray(flat.site, dtype=np.int64)
        is_view = np.asarray([bool(each) for each in shows], dtype=bool)
        self.views: list[int] = np.flatnonzero(is_view[site]).tolist()
        self._first = list(range(len(flat)))
        self.several: dict[int, tuple[int, ...]] = {}
        for at in self.views:
            since, seen = flat.first[at], []
            for place, rest in shows[flat.site[at]]:
                value: int | None = flat.reads[since + place]
                if rest:
                    value = beside(flat.reads[since + place], rest)
                    # what nobody made beside anything is the input itself
                    value = flat.reads[since] if value is None else value
                assert value is not None
                seen.append(value)
            self._enter(at, seen)
        self.first: Any = np.asarray(self._first, dtype=np.int64)

    def _enter(self, at: int, shown: list[int]) -> None:
        """A view of some values."""
        if len(shown) > 1 or shown[0] in self.several:
            behind = tuple(dict.fromkeys(each for value in shown for each in self.behind(value)))
            if len(behind) > 1:
                self.several[at] = behind
            self._first[at] = behind[0]
        else:
            self._first[at] = self.behind(shown[0])[0]

    def behind(self, value: int) -> tuple[int, ...]:
        """The values behind one, which is itself if it is no view."""
        if value in self.several:
            return self.several[value]
        return (self._first[value] if 0 <= value < len(self._first) else value,)


def _shown(view: Op, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """What a view shows, by the place of an input; of what was made beside that, the rest of its name."""
    inputs = [tensor.name for tensor in view.inputs]
    for name in names:
        if name in inputs:
            yield inputs.index(name), ""
        else:
            beside = ((place, name.removeprefix(each)) for place, each in enumerate(inputs) if name.startswith(each))
            yield next(beside, (0, ""))
