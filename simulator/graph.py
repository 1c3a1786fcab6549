"""Op graphs: typed tensors, ops and repeated blocks, independent of any hardware.

Model: an op makes one tensor from others. A tensor has a dtype, dims (names bound in `OpGraph.dims`, or integers), the
mesh axes that shard each dim, the axes over which it is an unreduced partial sum, and the memory that holds it. An op's
options are kept as written, so that a graph prints back in the words it was read from.
A block repeats its ops: round r's names get `.r`, and a carried tensor is, from the second round on, what the last
round made of it. `OpGraph.flat()` is the graph with all blocks unrolled; everything downstream works on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from hw.errors import Mark

MEMORIES = ("hbm", "on_chip", "host", "disk")
"""Where a tensor can live; hbm unless said otherwise (`x:bf16[B,D]@on_chip`)."""


@dataclass(frozen=True, slots=True)
class Dim:
    """One dimension: a name or a size, and the mesh axes that shard it ('D_XY')."""

    size: str | int
    axes: str = ""

    def __str__(self) -> str:
        return f"{self.size}_{self.axes}" if self.axes else str(self.size)


@dataclass(frozen=True, slots=True)
class Tensor:
    """A typed tensor: `name:dtype[dims]{U_axes}@memory`."""

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    partial: str = ""
    memory: str = "hbm"

    @property
    def type_text(self) -> str:
        """The type as the language writes it, without the name."""
        partial = f"{{U_{self.partial}}}" if self.partial else ""
        memory = f"@{self.memory}" if self.memory != "hbm" else ""
        return f"{self.dtype}[{','.join(map(str, self.dims))}]{partial}{memory}"

    @property
    def axes(self) -> str:
        """All mesh axes that shard it."""
        return "".join(dim.axes for dim in self.dims)


@dataclass(frozen=True, slots=True)
class Source:
    """Where an op was written: its line, and the columns of its parts ('kind', 'out', 'in0', option names)."""

    mark: Mark
    columns: Mapping[str, int] = field(default_factory=dict)

    def at(self, part: str) -> Mark:
        """The place of a part of the op; its start if that part has no place."""
        return self.mark.moved(self.columns.get(part, 0))


NOWHERE = Source(Mark("graph"))


@dataclass(frozen=True, slots=True)
class Op:
    """One op: `output = kind(inputs, options)`. Its name is its output's."""

    output: Tensor
    kind: str
    inputs: tuple[Tensor, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    source: Source = field(default=NOWHERE, compare=False, repr=False)

    @property
    def name(self) -> str:
        """The name of the op and of the tensor that it makes."""
        return self.output.name

    def option(self, name: str) -> str | None:
        """An option as it was written, or None."""
        return next((raw for key, raw in self.options if key == name), None)


@dataclass(frozen=True, slots=True)
class Repeat:
    """A block of items run `count` times; `carry` pairs (name at the start of a round, name at the end of the last)."""

    count: int
    items: tuple[Op | Repeat, ...]
    carry: tuple[tuple[str, str], ...] = ()
    source: Source = field(default=NOWHERE, compare=False, repr=False)


Items = tuple[Op | Repeat, ...]


FuseRule = str | Sequence[Sequence[str]]
"""'none', 'elementwise', or lists of op names."""

SplitRule = str | Mapping[str, Sequence[float]]
"""'equal', 'proportional', or weights by mesh axis (`simulator.split`)."""


@dataclass(frozen=True)
class OpGraph:
    """A program over tensors: sizes of the named dims, ops and blocks in program order, and what to fuse.

    `fuse` is 'none', 'elementwise' or groups of op names (`simulator.fusion`). `uneven`: whether a dim that does not
    divide over its chips is refused, or padded so that each of them has as many elements as the first. `split`: whether
    unlike chips share a dim out equally, in proportion to their speed, or by weights along a mesh axis.
    """

    dims: Mapping[str, int]
    items: Items
    fuse: FuseRule = "none"
    uneven: Literal["refuse", "pad"] = "refuse"
    split: SplitRule = "equal"

    def with_dims(self, **sizes: int) -> OpGraph:
        """The same graph with some dims of another size."""
        return replace(self, dims={**self.dims, **sizes})

    def every_op(self) -> Iterator[Op]:
        """Each op as written, blocks entered once."""
        return every_op(self.items)

    @cached_property
    def sharing_out(self) -> tuple[Op, ...]:
        """The ops that say how a dim is shared out (`shares=`), in program order, blocks entered once."""
        return tuple(op for op in self.every_op() if op.option("shares") is not None)

    def flat(self) -> tuple[Op, ...]:
        """All ops in program order with blocks unrolled and names numbered."""
        return tuple(_unroll(self.items, {}, ""))


def every_op(items: Items) -> Iterator[Op]:
    """Each op in some items as written, blocks entered once."""
    for item in items:
        if isinstance(item, Op):
            yield item
        else:
            yield from every_op(item.items)


def op_count(items: Items) -> int:
    """How many ops there are with all blocks unrolled."""
    return sum(1 if isinstance(item, Op) else item.count * op_count(item.items) for item in items)


def _unroll(items: Items, scope: dict[str, Tensor], suffix: str) -> Iterator[Op]:
    """Yield the ops of `items`; `scope` maps names as written to tensors as numbered, and is filled on the way."""
    for item in items:
        if isinstance(item, Op):
            inputs = tuple(_seen(tensor, scope, suffix) for tensor in item.inputs)
            output = replace(item.output, name=item.name + suffix)
            scope[item.name] = output
            options = tuple((key, _renamed(key, raw, scope)) for key, raw in item.options)
            yield replace(item, output=output, inputs=inputs, options=options)
        else:
            yield from _unroll_block(item, scope, suffix)


def _unroll_block(block: Repeat, scope: dict[str, Tensor], suffix: str) -> Iterator[Op]:
    outside = dict(scope)
    inner: dict[str, Tensor] = {}
    for turn in range(block.count):
        carried = {start: inner[end] for start, end in block.carry} if turn else {}
        inner = {**outside, **carried}
        if not turn:
            for start, _ in block.carry:
                typed = _typed_inside(block, start)
                if start not in inner and typed is not None:
                    inner[start] = replace(typed, name=start + suffix)
        yield from _unroll(block.items, inner, f"{suffix}.{turn}")
    scope.update({name: tensor for name, tensor in inner.items() if name not in outside})


def _typed_inside(block: Repeat, name: str) -> Tensor | None:
    tensors = (tensor for op in every_op(block.items) for tensor in op.inputs)
    return next((tensor for tensor in tensors if tensor.name == name), None)


def _seen(tensor: Tensor, scope: dict[str, Tensor], suffix: str) -> Tensor:
    if tensor.name not in scope:
        scope[tensor.name] = replace(tensor, name=tensor.name + suffix)
    return scope[tensor.name]


def _renamed(key: str, raw: str, scope: Mapping[str, Tensor]) -> str:
    """Names inside `after=` follow the numbering; other options stay as they are."""
    if key != "after":
        return raw
    names = [name.strip() for name in raw.strip("[]").split(",")]
    numbered = ", ".join(scope[name].name if name in scope else name for name in names)
    return f"[{numbered}]" if raw.startswith("[") else numbered
