"""A repeated block bound once: the ops of later rounds are those of the first under other names.

Model: two ops are alike if kind, options and the types of all tensors are the same; then their kernels differ in names only.
A kernel is stamped out for an op by giving each name of the first op its counterpart. One whose kernels name anything
beyond the tensors of their op is bound anew: nothing is read off a name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Op, Tensor
from simulator.ops.kernel import Access, Kernel


def _type(tensor: Tensor) -> Hashable:
    return tensor.dtype, tensor.dims, tensor.partial, tensor.memory


def _names(op: Op) -> tuple[str, ...]:
    return (*(tensor.name for tensor in op.inputs), op.output.name)


class Stamps:
    """Kernels by what is alike about ops. `bind` makes those of an op that is the first of its sort."""

    def __init__(self, bind: Callable[[Op], list[Kernel]]) -> None:
        self._bind = bind
        self._known: dict[Hashable, tuple[tuple[str, ...], list[Kernel]]] = {}

    def kernels(self, op: Op) -> list[Kernel]:
        """The kernels of an op. Raises what binding raises."""
        if not op.turn and not op.output.written:
            return self._bind(op)
        names = _names(op)
        # a tensor that stands twice must stand twice in the first one, too
        places = tuple(names.index(name) for name in names)
        key = (op.kind, op.options, tuple(_type(tensor) for tensor in op.inputs), _type(op.output), places)
        known = self._known.get(key)
        if known is None:
            kernels = self._bind(op)
            if _names_only(kernels, set(names)):
                self._known[key] = names, kernels
            return kernels
        return _stamped(op, dict(zip(known[0], names, strict=True)), known[1])


def _names_only(kernels: Sequence[Kernel], names: set[str]) -> bool:
    """Whether kernels are one, called after its op, and name nothing but tensors of it."""
    if len(kernels) != 1 or kernels[0].parts or kernels[0].grown or kernels[0].schedule.after:
        return False
    (kernel,) = kernels
    accessed = {access.tensor for access in (*kernel.reads, *kernel.writes)}
    return accessed | {kernel.name, *kernel.ops} <= names


def _stamped(op: Op, named: Mapping[str, str], kernels: Sequence[Kernel]) -> list[Kernel]:
    (first,) = kernels
    return [
        replace(
            first,
            name=named[first.name],
            ops=tuple(named[name] for name in first.ops),
            reads=tuple(_renamed(access, named) for access in first.reads),
            writes=tuple(_renamed(access, named) for access in first.writes),
            written=(op.output.base,),
            turn=op.turn,
        )
    ]


def _renamed(access: Access, named: Mapping[str, str]) -> Access:
    return Access(named[access.tensor], access.nbytes, access.memory, access.item_bytes)
