"""A flat buffer: the weights of a part of a model, as they are stored together.

Model: on a chip a buffer holds the chip's shards of all weights, padded so that the chips that share it out can do so
evenly.
Source: Zhao et al. 2023 (FSDP, FlatParameter).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.graph.items import Dim, Round, Tensor
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.writer import WeightGroup

HERE = (Round(0, relative=True),)
"""The same round of the block around the op."""


@dataclass(frozen=True, slots=True)
class Buffer:
    """The weights of one group of a part. `name`: of the part; `sharded`: the axes over which a chip has its own
    weights; `data`: those over which it is shared out, and gradients summed; `copies`: those over which gradients
    are summed, too, and nothing is shared out; `size`: elements over all chips of `sharded`; `repeated`: whether
    there is one for each round of a block; `layer`: of which of the layers of a round, where these are several;
    `copied`: the names of weights of which `key_copies` chips of `sharded` have one copy each."""

    name: str
    weights: tuple[Tensor, ...]
    sharded: str
    data: str
    copies: str
    size: int
    repeated: bool
    layer: int = 0
    copied: frozenset[str] = frozenset()
    key_copies: int = 1

    @property
    def sums(self) -> str:
        """All axes over which gradients are summed."""
        return self.data + self.copies

    @property
    def dtype(self) -> str:
        """The format of its weights."""
        return self.weights[0].dtype

    @property
    def dim(self) -> str:
        """The name of its dim."""
        return f"params{self.name}"

    def tensor(self, name: str, dtype: str, more: str = "", partial: str = "") -> Tensor:
        """A tensor as large as the buffer, sharded over `more` axes, too."""
        return Tensor(f"{name}{self.name}", dtype, (Dim(self.dim, self.sharded + more),), partial)

    def here(self, tensor: Tensor) -> Tensor:
        """A tensor of the buffer as the ops of a part ask for it."""
        return replace(tensor, rounds=HERE) if self.repeated else tensor


def buffers(
    name: str,
    weights: Sequence[tuple[WeightGroup, Tensor]],
    parallel: Parallel,
    sizes: Mapping[str, int],
    repeated: bool,
    key_copies: int = 1,
) -> tuple[Buffer, ...]:
    """The buffers of a part: one of its dense weights, and one of its experts' if it has any; `key_copies`: how many chips
    have a copy of each weight that is in copies."""
    layout = Layout.of(parallel)
    copied = frozenset(tensor.name for of, tensor in weights if of == "copied")
    found = []
    for called, groups, sharded, data in (
        (name, ("dense", "copied"), layout.tensor, layout.data),
        (f"{name}X", ("expert",), layout.experts + layout.expert_tensor, layout.expert_data),
    ):
        members = tuple(tensor for of, tensor in weights if of in groups)
        if not members:
            continue
        unsized = Buffer(called, members, sharded, data, layout.copies, 0, repeated)
        if called == name:
            unsized = replace(unsized, copied=copied, key_copies=key_copies)
        found.append(replace(unsized, size=size_of(unsized, parallel.extents, sizes)))
    return tuple(found)


def size_of(buffer: Buffer, extents: Mapping[str, int], sizes: Mapping[str, int]) -> int:
    """Elements of a buffer over all chips of the axes over which a chip has its own weights; `extents`: of mesh axes."""
    local = sum(_local_elements(tensor, sizes, extents) for tensor in buffer.weights)
    shares = math.prod(extents[axis] for axis in buffer.data)
    padded = -(-local // shares) * shares
    return padded * math.prod(extents[axis] for axis in buffer.sharded)


def _local_elements(tensor: Tensor, sizes: Mapping[str, int], extents: Mapping[str, int]) -> int:
    """Elements of a tensor on one chip."""
    count = 1
    for dim in tensor.dims:
        whole = sizes[dim.size] if isinstance(dim.size, str) else dim.size
        count *= -(-whole // math.prod([extents[axis] for axis in dim.axes])) if dim.axes else whole
    return count
