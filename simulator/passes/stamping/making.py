"""Binding ops once for all that are alike, and stamping out the kernels of the others.

Model: kernels of ops that are alike differ in names only. A name of a kernel is that of a tensor of its op, or of what the
op makes beside its output, or, where kernels only read it, of what its maker made beside an input; such names say whose
they are (`simulator.ops.kernel.maker_of`). An op whose kernels name anything else is bound by itself. What an op is to come
after is told beside its kernels. Of ops that read several values through one view, those are alike that read as many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

import numpy as np

from hw.records import dataclass
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op
from simulator.ops.kernel import Kernel, maker_of
from simulator.ops.registry import ShapeError
from simulator.passes.stamping.alike import alike_ops
from simulator.passes.stamping.stamp import named_in
from simulator.passes.stamping.views import Views

_ALONE = (0,)
"""As many values as lie behind one that is no view of several."""

Failed = Callable[[Op, ShapeError], None]
"""Who is told of an op that cannot be bound."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The kernels of an op, by its number, and the names in them that are neither its own nor of what it reads. `usual`:
    these follow from the op, so that its kernels are stamped out for all like it. `beside`: by their names, what kernels
    read that was made beside an input: the place of that, and what follows in the name."""

    at: int
    op: Op
    kernels: list[Kernel]
    made_up: tuple[str, ...] = ()
    usual: bool = True
    beside: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    @property
    def rests(self) -> tuple[str, ...]:
        """What follows the name of the op in the names that it made up."""
        return tuple(name.removeprefix(self.op.name) for name in self.made_up)


class Groups:
    """Ops in groups of alike ones. `of`: by op, its group; `bound`: by group, its first op as it was bound."""

    def __init__(self, flat: FlatOps, bind: Callable[[Op], list[Kernel]], failed: Failed) -> None:
        self._flat, self._bind = flat, bind
        self.of, firsts = alike_ops(flat)
        self.bound: list[Bound] = []
        wrong: list[tuple[int, ShapeError]] = []
        alone = [group for group, first in enumerate(firsts) if not self._enter(first, wrong)]
        for group in alone:
            for at in np.flatnonzero(self.of == group)[1:].tolist():
                self.of[at] = len(self.bound)
                self._enter(at, wrong)
        for at, error in sorted(wrong, key=lambda each: each[0]):
            failed(flat[at], error)

    def _enter(self, at: int, wrong: list[tuple[int, ShapeError]]) -> bool:
        """Bind an op as the first of a group; whether others may be stamped out like it."""
        try:
            self.bound.append(self._bound(at))
        except ShapeError as error:
            wrong.append((at, error))
            self.bound.append(Bound(at, self._flat[at], [], usual=False))
        return self.bound[-1].usual

    def _bound(self, at: int) -> Bound:
        op = self._flat.unawaiting(at)
        kernels = self._bind(op)
        own = {*(tensor.name for tensor in op.inputs), op.name}
        beyond = dict.fromkeys(name for kernel in kernels for name in named_in(kernel) if name not in own)
        read = _beside_inputs(op, kernels)
        made_up = tuple(name for name in beyond if name not in read)
        distinct = len(own) == len({*self._flat.values_of(at)}) + 1
        usual = distinct and all(maker_of(name)[0] == op.name for name in made_up)
        return Bound(at, op, kernels, made_up, usual, read)

    def part(self, views: Views) -> None:
        """Part the ops that read several values through one view by how many these are."""
        if not views.several:
            return
        flat, known = self._flat, dict[tuple[int, tuple[int, ...]], int]()
        reads, first_read = (np.asarray(column, dtype=np.int64) for column in (flat.reads, flat.first))
        reader = np.repeat(np.arange(len(flat)), first_read[1:] - first_read[:-1])
        seen = [
            (at, tuple([len(views.several.get(value, _ALONE)) for value in flat.values_of(at)]))
            for at in np.unique(reader[np.isin(reads, list(views.several))]).tolist()
            if self.bound[self.of[at]].kernels
        ]
        first = {self.of[at] for at, _ in seen}
        plain = self.of.copy()
        plain[[at for at, _ in seen]] = -1
        for at, lengths in seen:
            key = int(self.of[at]), lengths
            if key not in known:
                known[key] = self._parted(at)
            self.of[at] = known[key]
        for group in first:
            left = np.flatnonzero(plain == group)
            if len(left) and self.bound[group].at != left[0]:
                self.bound[group] = self._bound(int(left[0]))

    def _parted(self, at: int) -> int:
        """The number of a new group with an op as its first."""
        known = self.bound[self.of[at]]
        self.bound.append(known if known.at == at else self._bound(at))
        return len(self.bound) - 1


def _beside_inputs(op: Op, kernels: Sequence[Kernel]) -> dict[str, tuple[int, str]]:
    """What kernels of an op only read, and who made an input made beside that: by name, place and rest of the name."""
    made = {name for kernel in kernels for name in (op.name, *(access.tensor for access in kernel.writes))}
    read = dict.fromkeys(access.tensor for kernel in kernels for access in kernel.reads)
    places = {tensor.name: place for place, tensor in enumerate(op.inputs)}
    found: dict[str, tuple[int, str]] = {}
    for name in (each for each in read if each not in made):
        maker, what = maker_of(name)
        if what and maker in places:
            found[name] = places[maker], name.removeprefix(maker)
    return found
