"""Op graphs: a program over tensors, independent of any hardware.

Model: sizes of the named dims, and ops and repeated blocks in program order (`simulator.graph.items`). `OpGraph.flat()` is
the graph with all blocks unrolled (`simulator.graph.unroll`), `OpGraph.unrolled` the same as columns; everything downstream
works on that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from hw.input import few
from simulator.graph.copied import Copied, once
from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Items, Op, every_op
from simulator.graph.owners import Owner, Roles, owners_of
from simulator.graph.unroll import unrolled

FuseRule = str | Sequence[Sequence[str]]
"""'none', 'elementwise', or lists of op names."""

SplitRule = str | Mapping[str, Sequence[float]]
"""'equal', 'proportional', or weights by mesh axis (`simulator.graph.split`)."""


_DIMS_NAMED = 8
"""Dims that the line about a graph names."""


@dataclass(frozen=True)
class OpGraph:
    """A program over tensors: sizes of the named dims, ops and blocks in program order, and what to fuse.

    `fuse` is 'none', 'elementwise' or groups of op names (`simulator.passes.fusion`). `uneven`: whether a dim that does not
    divide over its chips is refused, or padded so that each of them has as many elements as the first. `split`: whether
    unlike chips share a dim out equally, in proportion to their speed, or by weights along a mesh axis. `roles`: whose
    memory tensors take, by what they are called as written (`simulator.graph.owners`); no text says it.
    """

    dims: Mapping[str, int]
    items: Items
    fuse: FuseRule = "none"
    uneven: Literal["refuse", "pad"] = "refuse"
    split: SplitRule = "equal"
    roles: Roles = field(default_factory=dict, compare=False)

    def __repr__(self) -> str:
        dims = few((f"{name}={size}" for name, size in self.dims.items()), _DIMS_NAMED)
        count = sum(1 for _ in self.every_op())
        return f"OpGraph({count} op{'' if count == 1 else 's'}, {dims or 'no dims'})"

    def with_dims(self, **sizes: int) -> OpGraph:
        """The same graph with some dims of another size."""
        return replace(self, dims={**self.dims, **sizes})

    def every_op(self) -> Iterator[Op]:
        """Each op as written, blocks entered once."""
        return every_op(self.items)

    @cached_property
    def sharing_out(self) -> tuple[Op, ...]:
        """The ops that say how a dim is shared out (`shares=`), in program order, blocks entered once."""
        if all(op.option("shares") is None for op in every_op(once(self.items))):
            return ()
        return tuple(op for op in self.every_op() if op.option("shares") is not None)

    @cached_property
    def owners(self) -> dict[str, Owner]:
        """Whose memory each tensor takes, by its name in `flat`."""
        return owners_of(self.unrolled, self.roles)

    def flat(self) -> tuple[Op, ...]:
        """All ops in program order with blocks unrolled and names numbered. Raises SpecError where a round is asked for
        that there is not."""
        return tuple(self.unrolled)

    @cached_property
    def unrolled(self) -> FlatOps:
        """The same as columns: for whoever goes through many rounds. Raises the same."""
        if isinstance(self.items, Copied):
            return self.items.unrolled(self.dims)
        return unrolled(self.items, self.dims)
