"""An op's annotations as loops and axes: where each mesh axis is, where it may go, and what an assignment makes of the op.

Model: an assignment sends each mesh axis that the op mentions to one loop of the op, to none, or (partial sums that the
op can pass on) through from inputs to the output. It fixes the layout of every input, and the one in which the output
comes out of the op: an axis on a loop that the output lacks leaves partial sums.
Assumes: axes that the op does not mention are not used; a loop is split only if its kind does not want it whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from simulator.graph.items import Op, Tensor
from simulator.ops.loops import Loops
from simulator.ops.registry import Kind
from simulator.passes.sharding.moves import PARTIAL, WHOLE, arranged, place_of
from simulator.passes.sharding.rules import Order, leading


@dataclass(frozen=True)
class Site:
    """What planning asks of a graph on a system: the order of the mesh's axes, do the dims of a tensor divide, do the
    local shapes of an op fit its kind, what does a chip hold of a tensor, and (None: plan canonically) what does an op
    cost alone, in seconds."""

    order: Order
    fits: Callable[[Tensor], bool]
    runs: Callable[[Op], bool]
    nbytes: Callable[[Tensor], float]
    cost: Callable[[Op], float] | None = None


@dataclass(frozen=True, slots=True)
class To:
    """Where an axis goes: to a loop, to none, or, as partial sums, from some inputs through to the output."""

    loop: str | None = None
    passing: tuple[int, ...] = ()


Assignment = Mapping[str, To]
"""Where each axis goes."""


@dataclass
class Annotated:
    """An op, taken apart. Tensors are numbered: the inputs, then the output."""

    op: Op
    kind: Kind
    site: Site

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """The inputs, then the output."""
        return (*self.op.inputs, self.op.output)

    @cached_property
    def loops(self) -> Loops:
        """The loop that runs over each dim of each tensor."""
        return [list(names) for names in self.kind.loops(self.op)]

    @cached_property
    def axes(self) -> list[str]:
        """The mesh axes that the op mentions, in the mesh's order: what they are called decides nothing."""
        mentioned = {axis for tensor in self.tensors for axis in tensor.axes + tensor.partial}
        return sorted(mentioned, key=self.site.order.index)

    @cached_property
    def free(self) -> list[str]:
        """The loops that an axis may split: all but those over what must be whole. A loop that only the output has
        needs nothing of the inputs but what is whole there."""
        whole = set(self.kind.row_dims(self.op))
        return list(dict.fromkeys(name for names in self.loops for name in names if name not in whole))

    @cached_property
    def coarse(self) -> frozenset[tuple[int, int]]:
        """The dims, as (input, place), that may be cut more coarsely than their loop."""
        return frozenset(self.kind.coarse(self.op))

    def summed(self, loop: str) -> bool:
        """Whether the output lacks the loop."""
        return loop not in self.loops[-1]

    def owners(self, loop: str) -> list[int]:
        """The inputs over which the loop runs."""
        return [at for at in range(len(self.op.inputs)) if loop in self.loops[at]]

    def user(self, axis: str, at: int) -> str | None:
        """The loop that the axis splits in a tensor."""
        place = place_of(axis, self.tensors[at])
        return self.loops[at][place] if place >= 0 else None

    def sums(self, axis: str) -> tuple[int, ...]:
        """The inputs that are partial sums over the axis."""
        return tuple(at for at, tensor in enumerate(self.op.inputs) if axis in tensor.partial)

    def splits(self, axis: str, loop: str | None) -> bool:
        """Whether the axis may split the loop: it is free, and divides."""
        return loop in self.free and all(
            self.site.fits(arranged(tensor, {axis: list(names).index(loop)}))
            for at, (names, tensor) in enumerate(zip(self.loops, self.tensors, strict=False))
            if loop in names and (at, list(names).index(loop)) not in self.coarse
        )

    def options(self, axis: str) -> list[To]:
        """Where the axis may go."""
        sums = self.sums(axis)
        passing: list[tuple[int, ...]] = [(at,) for at in sums] if self.kind.partial == "one" else []
        if self.kind.partial == "every" and sums and len(sums) == len(self.op.inputs):
            passing = [sums]
        loops = [To(loop) for loop in self.free if self.splits(axis, loop)]
        return [To(), *loops, *(To(passing=inputs) for inputs in passing)]

    def local(self, assigned: Assignment) -> Op:
        """The op on the types that an assignment gives its tensors."""
        tensors = [arranged(tensor, self._places(at, assigned)) for at, tensor in enumerate(self.tensors)]
        return replace(self.op, inputs=tuple(tensors[:-1]), output=tensors[-1])

    def _places(self, at: int, assigned: Assignment) -> dict[str, int]:
        """Where an assignment wants each axis in a tensor."""
        return {axis: self._place(at, axis, assigned) for axis in assigned}

    def _place(self, at: int, axis: str, assigned: Assignment) -> int:
        to, output = assigned[axis], at == len(self.op.inputs)
        names = list(self.loops[at])
        if to.loop is None:
            return PARTIAL if at in to.passing or (output and to.passing) else WHOLE
        if to.loop not in names:
            return PARTIAL if output and self.summed(to.loop) else WHOLE
        place = names.index(to.loop)
        if (at, place) in self.coarse:
            # as it is declared, where that has what the chip needs; a whole one is not cut: the kind reads a part of it
            fine = "".join(axis for axis, other in assigned.items() if other.loop == to.loop)
            return place if axis in leading(fine, self.tensors[at].dims[place].axes, self.site.order) else WHOLE
        return place
