"""Ops written one after the other, with tensors typed as they come: what the builders of models write with.

Model: a `Writer` collects ops; each call makes one and returns its output. Weights are told apart from other inputs, with
what their gradient is a sum over. Where weights are wider than activations, matmuls take both in the narrow format, cast
anew in each step, and all else goes on in the wide one: what mixes the two is wide (torch.autocast).
Source: PyTorch's aten/src/ATen/autocast_mode.h for what is cast.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from simulator.graph.dtypes import DTYPE_BYTES, widest
from simulator.graph.items import Dim, Op, Tensor
from simulator.graph.owners import Owner
from simulator.passes.differentiate import Remake

WeightGroup = Literal["dense", "copied", "expert"]
"""Weights that all data-parallel chips have, those of them that some chips of the tensor axis have in copies, and those of
experts."""


def dims(*parts: str | tuple[str, str]) -> tuple[Dim, ...]:
    """Dims from names, or names with the mesh axes that shard them."""
    return tuple(Dim(part) if isinstance(part, str) else Dim(*part) for part in parts)


@dataclass
class Writer:
    """Ops in program order. `suffix` is put behind every name; `weights` are the weights that were asked for, by group;
    `fuse` the groups of ops that are one kernel; `roles` whose memory tensors take that are no activations; `eager`: ops are
    those of a framework without fused kernels; `memory` is where what is made lives, unless another is said; `matmul` is the
    format in which matmuls take both operands, `narrowed` what was cast to it already, by name, `casts` what was cast to
    that of activations; `wide`: the format of what no matmul makes, the wider one of activations and weights; `remakes`:
    what the backward pass makes again in another way, by name; `in_rows`: collectives gather and scatter rows of the batch,
    so that parts of sequences are copied to their places behind the one and before the other; `joins_sums`: a bias, what is
    dropped and the sum with the stream are one kernel; `by_heads`: attention makes its output as rotated queries lie."""

    dtype: str
    weight_dtype: str
    suffix: str = ""
    memory: str = "hbm"
    ops: list[Op] = field(default_factory=list)
    weights: list[tuple[WeightGroup, Tensor]] = field(default_factory=list)
    fuse: list[tuple[str, ...]] = field(default_factory=list)
    roles: dict[str, Owner] = field(default_factory=dict)
    eager: bool = False
    matmul: str | None = None
    narrowed: dict[str, Tensor] = field(default_factory=dict)
    remakes: dict[str, Remake] = field(default_factory=dict)
    casts: dict[tuple[str, str], Tensor] = field(default_factory=dict)
    wide: str = ""
    in_rows: bool = False
    joins_sums: bool = False
    by_heads: bool = False

    def __post_init__(self) -> None:
        self.wide = self.wide or widest((self.dtype, self.weight_dtype))

    def gathered(self, x: Tensor, out: str, shape: Iterable[Dim], axes: str) -> Tensor:
        """Parts of sequences from all chips along some axes."""
        if not self.in_rows:
            return self.op("all_gather", x, out=out, shape=shape, dtype=x.dtype, over=axes)
        shape = tuple(shape)
        rows = self.op("all_gather", x, out=f"{out}rows", shape=shape, dtype=x.dtype, over=axes)
        return self.op("copy", rows, out=out, shape=shape, dtype=x.dtype)

    def scattered(self, x: Tensor, out: str, shape: Iterable[Dim], axes: str, dtype: str = "") -> Tensor:
        """Sums over chips along some axes, of which each gets its part of the sequences."""
        if self.in_rows:
            x = self.op("copy", x, out=f"{out}rows", shape=x.dims, partial=x.partial, dtype=x.dtype)
        return self.op("reduce_scatter", x, out=out, shape=shape, over=axes, dtype=dtype)

    def narrow(self, x: Tensor, user: str = "") -> Tensor:
        """A tensor as wide as activations: cast where it is wider, once, or (without a compiler) for each `user`; a weight,
        which has none, once."""
        if DTYPE_BYTES[x.dtype] <= DTYPE_BYTES[self.dtype]:
            return x
        by = user if self.eager else ""
        if (x.name, by) not in self.casts:
            base = x.name.removesuffix(self.suffix) if self.suffix else x.name
            told = self.op("cast", x, out=f"{base}c{by}", shape=x.dims, partial=x.partial, memory=x.memory)
            self.casts[x.name, by] = told
        return self.casts[x.name, by]

    def tensor(self, name: str, shape: Iterable[Dim], dtype: str = "", memory: str = "") -> Tensor:
        """A tensor of the activations' dtype, in their memory, unless another is said."""
        return Tensor(f"{name}{self.suffix}", dtype or self.dtype, tuple(shape), memory=memory or self.memory)

    def weight(self, name: str, shape: Iterable[Dim], group: WeightGroup = "dense") -> Tensor:
        """A weight."""
        made = Tensor(f"{name}{self.suffix}", self.weight_dtype, tuple(shape))
        self.weights.append((group, made))
        return made

    def in_copies(self, first: int) -> None:
        """The weights from a number on are such that some chips of the tensor axis have copies of each other's."""
        self.weights[first:] = [("copied", weight) for _, weight in self.weights[first:]]

    def op(
        self,
        kind: str,
        *inputs: Tensor,
        out: str,
        shape: Iterable[Dim],
        partial: str = "",
        dtype: str = "",
        memory: str = "",
        **options: object,
    ) -> Tensor:
        """Add an op; returns what it makes. Option `from_=` means `from=`."""
        made = replace(self.tensor(out, shape, dtype, memory), partial=partial)
        told = tuple((key.rstrip("_"), _text(value)) for key, value in options.items() if value is not None)
        self.ops.append(Op(made, kind, inputs, told))
        return made

    def operand(self, x: Tensor, user: str = "") -> Tensor:
        """A tensor as a matmul takes it: cast to the format of matmuls, once for all that read it, or as wide as
        activations."""
        if self.matmul is None or x.dtype == self.matmul:
            return self.narrow(x, user)
        if x.name not in self.narrowed:
            name = f"{x.name.removesuffix(self.suffix) if self.suffix else x.name}cast"
            self.narrowed[x.name] = self.op("cast", x, out=name, shape=x.dims, dtype=self.matmul)
        return self.narrowed[x.name]

    @property
    def cast_weights(self) -> frozenset[str]:
        """The names of weights that were cast for matmuls."""
        weights = {tensor.name for _, tensor in self.weights}
        return frozenset(cast.name for name, cast in self.narrowed.items() if name in weights)

    def owned(self, owner: Owner, *tensors: Tensor) -> None:
        """Some tensors take memory of an owner other than activations."""
        self.roles.update((each.name, owner) for each in tensors)

    def together(self, *tensors: Tensor) -> None:
        """The ops that make some tensors are one kernel."""
        self.fuse.append(tuple(each.name for each in tensors))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
