"""Binding ops once for all that are alike, and stamping out the kernels of the others.

Model: kernels of ops that are alike differ in names only. A name of a kernel is that of a tensor of its op, or of what the
op makes beside its output, or, where kernels only read it, of what its maker made beside an input; such names say whose
they are (`simulator.ops.kernel.maker_of`). An op whose kernels name anything else is bound by itself. What an op is to come
after is told beside its kernels. Of ops that read several values through one view, those are alike that read as many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from hw.rows import equal_lines
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op
from simulator.ops.kernel import Kernel, maker_of
from simulator.ops.registry import ShapeError
from simulator.passes.stamping.alike import alike_ops
from simulator.passes.stamping.stamp import named_in
from simulator.passes.stamping.views import Views

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
        flat = self._flat
        reads, since = (np.asarray(column, dtype=np.int64) for column in (flat.reads, flat.first))
        behind = np.ones(len(flat), dtype=np.int64)
        behind[list(views.several)] = [len(values) for values in views.several.values()]
        # what is given is numbered below 0, and nothing lies behind it; there may be more of that than ops
        read = np.where(reads >= 0, behind[np.maximum(reads, 0)], 1)
        reader = np.repeat(np.arange(len(flat)), since[1:] - since[:-1])
        seen = np.unique(reader[read > 1])
        parts = []
        for group in np.unique(self.of[seen]).tolist():
            if not self.bound[group].kernels:
                continue
            at = seen[self.of[seen] == group]
            lengths = [read[since[at] + place] for place in range(len(self.bound[group].op.inputs))]
            number, first = equal_lines(*lengths)
            parts += [(int(at[one]), group, at[number == each]) for each, one in enumerate(first.tolist())]
        # groups are numbered in the order of their first ops
        for first_op, _, at in sorted(parts, key=lambda part: part[0]):
            self.of[at] = self._parted(first_op)
        for group in dict.fromkeys(group for _, group, _ in parts):
            left = np.flatnonzero(self.of == group)
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
