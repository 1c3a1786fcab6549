"""Casts to the format of matmuls with what numbers are scaled by, as libraries carry them out.

Model: numbers are scaled so as to use what little a narrow format has. `current`: by the largest of the whole tensor, which
a kernel of its own finds first, reading all of it; a norm finds that of what it makes on its way, and where a compiler
makes kernels so does all that it makes. `delayed`: by the largest of steps before; `blocks`: by that of each block of
numbers (1 x 128, or 32 in MX formats); both in the kernel that casts. Where it is a library's (`turned`) it
writes its output twice, the second time turned: fp8 matmuls of GPUs take both operands along the contraction, and that of a
weight's gradient goes along tokens.
Assumes: scales, and maxima that chips bring together, are few bytes; what is kept of a tensor is one of the two (Blackwell,
which takes operands either way, needs both only of blocks).
Source: NVIDIA Transformer Engine, common/recipe (DelayedScaling, Float8CurrentScaling, Float8BlockScaling) and
pytorch/csrc/extensions (norms that find maxima); pytorch/ao, torchao/float8 (tensorwise scaling).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Items, Op, Repeat, Tensor
from simulator.models.steps.precision import Precision
from simulator.ops.registry import KINDS

_SHARED = ("each", "recompute")
"""Options of a cast that what finds its scale has, too."""

_MATRIX = ("matmul", "matmul_add", "attention", "attention_block", "attention_backward", "attention_block_backward")
"""Kinds whose kernels a compiler takes from a library."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """How casts are scaled; `kinds`: those of all ops, by name; `turned`: both copies are written; `compiled`: a compiler
    makes what no library has."""

    precision: Precision
    kinds: Mapping[str, str]
    turned: bool = False
    compiled: bool = False

    def of(self, items: Items) -> Items:
        """Items with what scales their casts."""
        return tuple(self._items(items)) if self.precision.matmul is not None else items

    def _items(self, items: Items) -> Iterator[Op | Repeat]:
        for item in items:
            if isinstance(item, Repeat):
                yield replace(item, items=tuple(self._items(item.items)))
            elif self._narrows(item):
                yield from self._cast(item)
            else:
                yield item

    def _narrows(self, op: Op) -> bool:
        """Whether an op casts an operand to the format of matmuls."""
        if op.kind != "cast" or op.output.dtype != self.precision.matmul:
            return False
        return DTYPE_BYTES[op.inputs[0].dtype] > DTYPE_BYTES[op.output.dtype]

    def _cast(self, op: Op) -> Iterator[Op]:
        options = (*op.options, ("turned", "true")) if self.turned else op.options
        if self.precision.scaling == "current" and not self._finds_largest(op.inputs[0]):
            x = op.inputs[0]
            largest = Tensor(f"{op.name}top", "fp32", (), partial="".join(dim.axes for dim in x.dims))
            yield Op(largest, "reduce", (x,), tuple(each for each in op.options if each[0] in _SHARED))
            options = (*options, ("after", largest.name))
        yield replace(op, options=options)

    def _finds_largest(self, x: Tensor) -> bool:
        """Whether what makes a tensor finds its largest number as well."""
        kind = self.kinds.get(x.name, "")
        if kind.endswith("_norm"):
            return True
        return self.compiled and kind in KINDS and kind not in _MATRIX and not KINDS[kind].network
