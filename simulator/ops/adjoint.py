"""How an op is differentiated: what a kind's backward rule sees, and what it may ask for.

Model: reverse mode. The rule of a kind is told the gradient of the op's output and makes, for each input that wants one,
ops whose sum is the gradient of that input. A gradient has the dims, the shards and the dtype of its tensor; that of a
tensor in a narrow format is as wide as what it is made of. Axes that
shard a loop which a backward op sums over leave partial sums over them: of the weights of a layer over the axes that
shard its tokens, of its activations over those that shard its weights.
Source: Griewank and Walther, "Evaluating Derivatives" (2008), for reverse mode; the rules stand beside each kind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from simulator.graph.dtypes import is_narrow
from simulator.graph.items import Op, Tensor

Options = Sequence[tuple[str, str]]


class Piece(NamedTuple):
    """The gradient of a part of a tensor along a dim."""

    tensor: Tensor
    axis: str


@dataclass
class Adjoint:
    """One op on the way back. `op`: with its inputs and its output as the backward pass can read them; `given`: the
    gradient of its output; `wanted`: which inputs want one; `named`: a new name for what this op makes of the gradient of a
    tensor."""

    op: Op
    given: Tensor
    wanted: Sequence[bool]
    named: Callable[[Tensor], str]
    ops: list[Op] = field(default_factory=list)
    found: list[tuple[int, Tensor]] = field(default_factory=list)
    pieces: list[tuple[int, Piece]] = field(default_factory=list)

    def wants(self, place: int) -> bool:
        """Whether an input wants its gradient."""
        return self.wanted[place]

    def give(self, place: int, tensor: Tensor) -> None:
        """`tensor` is a part of the gradient of an input, as it stands."""
        if self.wants(place):
            self.found.append((place, tensor))

    def place(self, place: int, tensor: Tensor, axis: str) -> None:
        """`tensor` is the gradient of a part of an input along `axis`, to be put together with those of the other parts."""
        if self.wants(place):
            self.pieces.append((place, Piece(tensor, axis)))

    def make(self, place: int, kind: str, *inputs: Tensor, options: Options = ()) -> None:
        """Give an input what an op of `kind` makes of some tensors."""
        if self.wants(place):
            self.give(place, self.emit(kind, inputs, self.op.inputs[place], options))

    def take(self, place: int, made: Tensor, side: str) -> None:
        """Give an input what the op that made `made` has made beside it; where it is whole over axes that shard `made`,
        every chip has made its part of the sum."""
        if self.wants(place):
            like = self.op.inputs[place]
            partial = "".join(axis for axis in made.axes if axis not in like.axes)
            self.give(place, self.emit("side", (made,), like, [("of", side)], partial))

    def emit(
        self,
        kind: str,
        inputs: Sequence[Tensor],
        like: Tensor,
        options: Options = (),
        partial: str | None = None,
    ) -> Tensor:
        """Add an op whose output is a gradient of `like`; its partial sums are those that follow unless they are said."""
        sums = "".join(like_partial(inputs, like)) if partial is None else partial
        dtype = self.given.dtype if is_narrow(like.dtype) else like.dtype
        out = replace(like, name=self.named(like), dtype=dtype, partial=sums, rounds=(), written="")
        self.ops.append(Op(out, kind, tuple(inputs), tuple(options)))
        return out


def like_partial(inputs: Sequence[Tensor], like: Tensor) -> Sequence[str]:
    """The axes over which an op with the dims of `like` has partial sums: those of its inputs, and those that shard a
    loop which `like` lacks."""
    kept = {dim.size for dim in like.dims}
    lost = [dim.axes for tensor in inputs for dim in tensor.dims if dim.size not in kept]
    summed = "".join([*lost, *(tensor.partial for tensor in inputs)])
    return [axis for axis in dict.fromkeys(summed) if axis not in like.axes]


Backward = Callable[[Adjoint], None]
"""The backward rule of a kind."""
