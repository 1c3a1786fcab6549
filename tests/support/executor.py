"""An SPMD interpreter: every chip runs the same ops on its own numpy block, collectives exchange blocks in their groups.

Model: each mesh axis owns a digit of the index of a dim, in the mesh's order, X major in 'D_XY'; a chip has, of a dim
sharded over an axis, the part whose digit is the chip's place on that axis. A block is therefore an array of one digit
per mesh axis (of size 1 where sharded) and a rest, for each dim. A chip only ever sees its own block, and a collective the
blocks of one group (`Mesh.groups`).
Assumes: every dim is a multiple of the mesh's size (or is padded to one, with zeros). Whole numbers, so sums are exact.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hw import Mesh
from simulator import Op, OpGraph, Tensor

Array = NDArray[np.float64]

UNARY: Mapping[str, Callable[[Array], Array]] = {
    "relu": lambda x: np.maximum(x, 0),
    "neg": lambda x: -x,
    "scale": lambda x: 2 * x,
    "square": lambda x: x * x,
    "copy": lambda x: x,
}
BINARY: Mapping[str, Callable[[Array, Array], Array]] = {"add": np.add, "sub": np.subtract, "mul": np.multiply}


def _softmax(x: Array, axis: int) -> Array:
    grown = np.exp(x - x.max(axis=axis, keepdims=True))
    return np.asarray(grown / grown.sum(axis=axis, keepdims=True))


def _layer_norm(x: Array, axis: int) -> Array:
    centred = x - x.mean(axis=axis, keepdims=True)
    return np.asarray(centred / np.sqrt(1 + (centred**2).mean(axis=axis, keepdims=True)))


def _rms_norm(x: Array, axis: int) -> Array:
    return np.asarray(x / np.sqrt(1 + (x**2).mean(axis=axis, keepdims=True)))


ROWS: Mapping[str, Callable[[Array, int], Array]] = {
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
}


def whole_value(name: str, shape: Sequence[int]) -> Array:
    """What a graph input holds: whole numbers that depend on its name only."""
    return np.random.default_rng(zlib.crc32(name.encode())).integers(-3, 4, tuple(shape)).astype(np.float64)


@dataclass
class Spmd:
    """Chips in a mesh, and the blocks that they have, by tensor and chip. `given`: graph inputs, else made by name."""

    mesh: Mesh
    dims: Mapping[str, int]
    given: Mapping[str, Array] = field(default_factory=dict)
    blocks: dict[str, list[Array]] = field(default_factory=dict)
    types: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.extents = list(self.mesh.axes.values())
        self.chips = list(itertools.product(*(range(extent) for extent in self.extents)))

    # Where elements are

    def sizes(self, tensor: Tensor) -> list[int]:
        """The whole sizes, padded to a multiple of the mesh."""
        step = math.prod(self.extents)
        named = (self.dims[dim.size] if isinstance(dim.size, str) else dim.size for dim in tensor.dims)
        return [-(-size // step) * step for size in named]

    def digits(self, tensor: Tensor) -> list[int]:
        """The shape of the whole tensor, a digit an axis."""
        return [part for size in self.sizes(tensor) for part in (*self.extents, size // math.prod(self.extents))]

    def held(self, tensor: Tensor, chip: int, over: str | None = None) -> tuple[slice, ...]:
        """What a chip has of the whole tensor's digits, regarding the axes of `over` only."""
        found: list[slice] = []
        for dim in tensor.dims:
            for place, axis in enumerate(self.mesh.axes):
                own = axis in dim.axes and (over is None or axis in over)
                at = self.chips[chip][place]
                found.append(slice(at, at + 1) if own else slice(None))
            found.append(slice(None))
        return tuple(found)

    def local(self, tensor: Tensor) -> list[int]:
        """The sizes of a chip's block, a number a dim."""
        return [
            size // math.prod(self.mesh.axes[axis] for axis in dim.axes)
            for size, dim in zip(self.sizes(tensor), tensor.dims, strict=True)
        ]

    def scatter(self, tensor: Tensor, value: Array) -> list[Array]:
        """A whole value as blocks; partial sums are parts that add up to it."""
        padded = np.zeros(self.sizes(tensor))
        padded[tuple(slice(size) for size in value.shape)] = value
        parts = self._parts(tensor, padded.reshape(self.digits(tensor)))
        return [parts[self._partial_place(tensor, chip)][self.held(tensor, chip)] for chip in range(len(self.chips))]

    def _partial_place(self, tensor: Tensor, chip: int) -> tuple[int, ...]:
        return tuple(at for axis, at in zip(self.mesh.axes, self.chips[chip], strict=True) if axis in tensor.partial)

    def _parts(self, tensor: Tensor, value: Array) -> dict[tuple[int, ...], Array]:
        places = sorted({self._partial_place(tensor, chip) for chip in range(len(self.chips))})
        parts = {place: whole_value(f"{tensor.name}{place}", value.shape) for place in places[1:]}
        return {**parts, places[0]: value - sum(parts.values())}

    def whole(self, name: str) -> Array:
        """The value of a tensor put together from all chips; replicas must agree."""
        tensor, blocks = self.types[name], self.blocks[name]
        sums: dict[tuple[int, ...], Array] = {}
        for chip, block in enumerate(blocks):
            place = self._partial_place(tensor, chip)
            part = sums.setdefault(place, np.full(self.digits(tensor), np.nan))
            here = self.held(tensor, chip)
            new = np.isnan(part[here])
            np.testing.assert_allclose(
                np.where(new, block, part[here]), block, atol=1e-9, err_msg=f"replicas of {name}"
            )
            part[here] = block
        full = np.asarray(sum(sums.values())).reshape(self.sizes(tensor))
        named = (self.dims[dim.size] if isinstance(dim.size, str) else dim.size for dim in tensor.dims)
        return np.asarray(full[tuple(slice(size) for size in named)])

    # Running

    def run(self, graph: OpGraph) -> Spmd:
        """Run all ops, blocks unrolled."""
        for op in graph.flat():
            for tensor in op.inputs:
                if tensor.name not in self.blocks:
                    named = [self.dims[dim.size] if isinstance(dim.size, str) else dim.size for dim in tensor.dims]
                    value = self.given.get(tensor.name)
                    self.types[tensor.name] = tensor
                    self.blocks[tensor.name] = self.scatter(
                        tensor, whole_value(tensor.name, named) if value is None else value
                    )
                assert self.types[tensor.name] == tensor
            self.types[op.name] = op.output
            self.blocks[op.name] = self._collective(op) if op.kind in _EXCHANGES else self._on_every_chip(op)
        return self

    def _collective(self, op: Op) -> list[Array]:
        source, over = op.inputs[0], op.option("over") or ""
        made: list[Array] = [np.empty(0)] * len(self.chips)
        for group in self.mesh.groups(over):
            for chip, block in _EXCHANGES[op.kind](self, op, source, group).items():
                made[chip] = block
        return made

    def put_together(self, op: Op, source: Tensor, group: Sequence[int]) -> Array:
        """The blocks of a group joined along the digits of the axes of the collective."""
        over = op.option("over") or ""
        blocks = self.blocks[source.name]
        shape = [
            part
            for dim, block in zip(source.dims, self._digits_of(blocks[group[0]]), strict=True)
            for part in (
                *(
                    extent if axis in dim.axes and axis in over else size
                    for (axis, extent), size in zip(self.mesh.axes.items(), block, strict=False)
                ),
                block[-1],
            )
        ]
        joined = np.full(shape, np.nan)
        for chip in group:
            joined[self.held(source, chip, over)] = blocks[chip]
        return joined

    def _digits_of(self, block: Array) -> list[tuple[int, ...]]:
        width = len(self.extents) + 1
        return [block.shape[at : at + width] for at in range(0, block.ndim, width)]

    def _on_every_chip(self, op: Op) -> list[Array]:
        made = []
        for chip in range(len(self.chips)):
            inputs = [self.blocks[tensor.name][chip].reshape(self.local(tensor)) for tensor in op.inputs]
            found = _compute(op, inputs, self.local(op.output))
            shape = [
                1 if axis in dim.axes else extent
                for dim in op.output.dims
                for axis, extent in (*self.mesh.axes.items(), ("", 0))
            ]
            width = len(self.extents) + 1
            for at, size in enumerate(self.sizes(op.output)):
                shape[at * width + width - 1] = size // math.prod(self.extents)
            made.append(found.reshape(shape))
        return made


def _gather(spmd: Spmd, op: Op, source: Tensor, group: Sequence[int]) -> dict[int, Array]:
    joined = spmd.put_together(op, source, group)
    return dict.fromkeys(group, joined)


def _reduce(spmd: Spmd, op: Op, source: Tensor, group: Sequence[int]) -> dict[int, Array]:
    added = np.asarray(sum(spmd.blocks[source.name][chip] for chip in group))
    return dict.fromkeys(group, added)


def _own(spmd: Spmd, op: Op, blocks: Mapping[int, Array]) -> dict[int, Array]:
    return {chip: block[spmd.held(op.output, chip, op.option("over"))] for chip, block in blocks.items()}


def _scatter(spmd: Spmd, op: Op, source: Tensor, group: Sequence[int]) -> dict[int, Array]:
    return _own(spmd, op, _reduce(spmd, op, source, group))


def _exchange(spmd: Spmd, op: Op, source: Tensor, group: Sequence[int]) -> dict[int, Array]:
    return _own(spmd, op, _gather(spmd, op, source, group))


def _slice(spmd: Spmd, op: Op, source: Tensor, group: Sequence[int]) -> dict[int, Array]:
    return _own(spmd, op, {chip: spmd.blocks[source.name][chip] for chip in group})


_EXCHANGES: Mapping[str, Callable[[Spmd, Op, Tensor, Sequence[int]], dict[int, Array]]] = {
    "all_gather": _gather,
    "all_reduce": _reduce,
    "reduce_scatter": _scatter,
    "all_to_all": _exchange,
    "slice": _slice,
}


def einsum(op: Op, inputs: Sequence[Array]) -> Array:
    """The contraction of two arrays whose dims are named as those of the op's tensors."""
    letters: dict[Any, str] = {}
    words = [
        "".join(letters.setdefault(dim.size, chr(ord("a") + len(letters))) for dim in tensor.dims)
        for tensor in (*op.inputs, op.output)
    ]
    return np.asarray(np.einsum(f"{words[0]},{words[1]}->{words[2]}", *inputs, optimize=True))


def _compute(op: Op, inputs: Sequence[Array], sizes: Sequence[int]) -> Array:
    """One op on one chip: it knows its block and nothing else."""
    names = [dim.size for dim in op.output.dims]
    if op.kind == "matmul":
        return einsum(op, inputs)
    if op.kind == "reduce":
        gone = tuple(at for at, dim in enumerate(op.inputs[0].dims) if dim.size not in names)
        return np.asarray(inputs[0].sum(axis=gone))
    if op.kind in ROWS:
        return ROWS[op.kind](inputs[0], names.index(op.option("axis") or names[-1]))
    if op.kind in UNARY:
        return UNARY[op.kind](inputs[0])
    spread = [
        array.reshape(
            [size if name in {dim.size for dim in tensor.dims} else 1 for name, size in zip(names, sizes, strict=True)]
        )
        for tensor, array in zip(op.inputs, inputs, strict=True)
    ]
    return BINARY[op.kind](*spread)
