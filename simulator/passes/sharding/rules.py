"""What sharding annotations demand of an op, on one chip's share of the work.

Model: each mesh axis is assigned to one loop dim of an op or to none. A dim must therefore be sharded alike wherever it
appears; a contracted dim sharded over X leaves partial sums over X, to be declared on the output (`{U_X}`); partial sums
pass only through linear ops. What cannot be met without moving data between chips is named here as the collective that
is missing: the planner (`simulator.passes.planner`) inserts it, and inserts nothing where this module finds nothing.
A dim that a kind takes coarsely (heads of k and v that several heads of q share) may be whole instead, or sharded over
the first of its loop's axes, in the mesh's order: what a chip needs of it is then there, and is all that the kind reads.
Assumes: the order of axes within a dim has no meaning. Each axis that shards a dim owns a digit of its index, in the
mesh's order ('D_XY' and 'D_YX' alike have X major), so axes come and go one by one without the others moving.
Source: "How to Scale Your Model", chapter on sharding (the four cases of a sharded matmul).
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Sequence

from simulator.graph.items import Dim, Op, Tensor
from simulator.ops.loops import Loops
from simulator.ops.options import read_axes
from simulator.ops.registry import Kind

Order = Sequence[str]
"""The axes of the mesh, the first of them major."""

Finding = tuple[str, str]
"""What to point at ('kind', 'out', 'in0', an option) and the message."""

Layout = tuple[tuple[frozenset[str], ...], frozenset[str]]
"""The axes of each dim, and those of the partial sums."""


def sharding_findings(op: Op, kind: Kind, order: Order) -> Iterator[Finding]:
    """Everything in the sharding of an op that its kind cannot do on its own, on a mesh whose axes have this order."""
    if kind.network:
        rule = _COLLECTIVE_RULES.get(op.kind)
        if rule is not None and op.inputs and op.output.dtype != op.inputs[0].dtype:
            yield (
                "out",
                f"{op.kind} keeps the dtype: {op.inputs[0].dtype} in, {op.output.dtype} out; cast apart from it",
            )
        elif rule is not None and op.inputs and (over := op.option("over")):
            yield from rule(op, op.inputs[0], read_axes(over))
        return
    if kind.as_written:
        if kind.partial != "own":
            yield from _sums_taken(op)
        return
    if not is_sharded(op):
        return
    loops = kind.loops(op)
    for find in (
        _row_findings(op, kind, loops),
        _conflicts(op, kind, loops, order),
        _partial_findings(op, kind, loops),
    ):
        found = list(find)
        yield from found
        if found:
            return


def is_sharded(op: Op) -> bool:
    """Whether chips have parts or partial sums of any tensor of an op: of one that is not, nothing is demanded."""
    return any(tensor.partial or tensor.axes for tensor in (*op.inputs, op.output))


def _loop_dims(tensor: Tensor, loops: Sequence[str]) -> dict[str, Dim]:
    """The dims of a tensor by the loop that runs over them."""
    return dict(zip(loops, tensor.dims, strict=False))


def leading(fine: str, coarse: str, order: Order) -> str:
    """The longest run of the first axes of `fine`, in the mesh's order, that `coarse` has all of."""
    ranked = sorted(fine, key=order.index)
    return "".join(itertools.takewhile(coarse.__contains__, ranked))


def _conflicts(op: Op, kind: Kind, loops: Loops, order: Order) -> Iterator[Finding]:
    """A dim sharded in two ways, or an axis that splits two loops, within one op."""
    first: dict[str, tuple[Tensor, Dim]] = {}
    users: dict[str, str] = {axis: "the partial sums" for tensor in op.inputs for axis in tensor.partial}
    coarse = set(kind.coarse(op))
    for place, tensor in enumerate((*op.inputs, op.output)):
        part = f"in{place}" if place < len(op.inputs) else "out"
        for at, (name, dim) in enumerate(zip(loops[place], tensor.dims, strict=False)):
            for axis in dim.axes:
                user = users.setdefault(axis, name)
                if user != name:
                    yield (
                        part,
                        (
                            f"mesh axis {axis} splits both {user} and {dim.size}; it can split one loop of an op: a "
                            f"collective is missing, e.g. all_gather({tensor.name}, over={axis})"
                        ),
                    )
                    return
            other, before = first.setdefault(name, (tensor, dim))
            if (place, at) in coarse:
                there = set(leading(before.axes, dim.axes, order))
                if there != set(dim.axes):
                    yield part, _misplaced(other, before, tensor, dim, there)
                    return
            elif set(before.axes) != set(dim.axes):
                yield part, _missing(str(dim.size), other, before, tensor, dim)
                return


def _misplaced(other: Tensor, before: Dim, tensor: Tensor, dim: Dim, there: Collection[str]) -> str:
    """What is wrong with a coarse dim that is not cut over the first axes of its loop."""
    axes = "".join(axis for axis in dim.axes if axis not in there)
    return (
        f"{dim} in {tensor.name} is shared by {before} in {other.name}, and what a chip needs of it is elsewhere: a "
        f"collective is missing, e.g. all_gather({tensor.name}, over={axes})"
    )


def _missing(name: str, other: Tensor, before: Dim, tensor: Tensor, dim: Dim) -> str:
    def words(owner: Tensor, part: Dim) -> str:
        return f"{part} in {owner.name}" if part.axes else f"whole in {owner.name}"

    wide = tensor if len(dim.axes) > len(before.axes) else other
    axes = "".join(sorted(set(dim.axes) ^ set(before.axes)))
    return (
        f"dim {name} is {words(other, before)} but {words(tensor, dim)}: a collective is missing, "
        f"e.g. all_gather({wide.name}, over={axes})"
    )


def _row_findings(op: Op, kind: Kind, loops: Loops) -> Iterator[Finding]:
    rows = set(kind.row_dims(op))
    for place, tensor in enumerate(op.inputs):
        for name, dim in zip(loops[place], tensor.dims, strict=False):
            if name in rows and dim.axes:
                yield (
                    f"in{place}",
                    (
                        f"{op.kind} needs dim {dim.size} whole on each chip, it is {dim} in {tensor.name}: a collective "
                        f"is missing, e.g. all_gather({tensor.name}, over={dim.axes})"
                    ),
                )
                return


def _sums_taken(op: Op) -> Iterator[Finding]:
    """Partial sums of inputs that the output does not have: an op that is given by its numbers does not add them up."""
    for place, tensor in enumerate(op.inputs):
        lost = "".join(axis for axis in tensor.partial if axis not in op.output.partial)
        if lost:
            yield (
                f"in{place}",
                f"{op.kind} cannot take the partial sums {tensor.name}:{tensor.type_text}: a collective is missing, "
                f"e.g. all_reduce({tensor.name}, over={lost})",
            )
            return


def _partial_findings(op: Op, kind: Kind, loops: Loops) -> Iterator[Finding]:
    partial = [tensor for tensor in op.inputs if tensor.partial]
    incoming = {axis for tensor in partial for axis in tensor.partial}
    passes = {
        "none": not partial,
        "every": not partial or all(set(tensor.partial) == incoming for tensor in op.inputs),
        "one": len(partial) <= 1,
    }
    if not passes[kind.partial]:
        sums = partial[0]
        yield (
            f"in{op.inputs.index(sums)}",
            (
                f"{op.kind} cannot take the partial sums {sums.name}:{sums.type_text}: a collective is missing, "
                f"e.g. all_reduce({sums.name}, over={sums.partial})"
            ),
        )
        return
    kept = _loop_dims(op.output, loops[-1])
    summed = {
        axis
        for tensor, names in zip(op.inputs, loops, strict=False)
        for name, dim in _loop_dims(tensor, names).items()
        if name not in kept
        for axis in dim.axes
    }
    made = "".join(sorted(summed | incoming))
    if set(made) == set(op.output.partial):
        return
    if made:
        yield (
            "out",
            (
                f"the output is a partial sum over {made}: declare {op.name}:{op.output.dtype}[...]{{U_{made}}} and "
                f"follow it with all_reduce or reduce_scatter over={made}"
            ),
        )
    else:
        yield "out", f"{op.name} is declared a partial sum over {op.output.partial}, but nothing sharded is summed"


def _strip(dims: tuple[Dim, ...], axes: str) -> tuple[Dim, ...]:
    return tuple(Dim(dim.size, "".join(axis for axis in dim.axes if axis not in axes)) for dim in dims)


def layout(tensor: Tensor) -> Layout:
    """What of a tensor's type says where its elements are; the order of axes does not."""
    return tuple(frozenset(dim.axes) for dim in tensor.dims), frozenset(tensor.partial)


def _alike(dims: tuple[Dim, ...], others: tuple[Dim, ...]) -> bool:
    """Whether dims have the same sizes and are sharded alike."""
    return [(dim.size, frozenset(dim.axes)) for dim in dims] == [(dim.size, frozenset(dim.axes)) for dim in others]


def _all_reduce(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    if not set(over) <= set(source.partial):
        yield "in0", f"{op.kind} over {over} wants partial sums {{U_{over}}}, {source.name} is {source.type_text}"
    elif not _alike(op.output.dims, source.dims) or set(op.output.partial) != set(source.partial) - set(over):
        yield (
            "out",
            f"{op.kind} over {over} keeps the dims of {source.name}:{source.type_text} and resolves {{U_{over}}}",
        )


def _all_gather(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    if not set(over) <= set(source.axes):
        yield "in0", f"{op.kind} over {over} wants a dim sharded over it, {source.name} is {source.type_text}"
    elif not _alike(op.output.dims, _strip(source.dims, over)) or set(op.output.partial) != set(source.partial):
        yield "out", f"{op.kind} over {over} turns {source.name}:{source.type_text} into the same without {over}"


def _reduce_scatter(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    if not set(over) <= set(source.partial):
        yield "in0", f"reduce_scatter over {over} wants partial sums {{U_{over}}}, {source.name} is {source.type_text}"
    elif (
        not _alike(_strip(op.output.dims, over), source.dims)
        or not set(over) <= set(op.output.axes)
        or set(op.output.partial) != set(source.partial) - set(over)
    ):
        yield "out", f"reduce_scatter over {over} resolves {{U_{over}}} and shards a dim of {source.name} over it"


def _all_to_all(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    before = {axis: at for at, dim in enumerate(source.dims) for axis in dim.axes}
    after = {axis: at for at, dim in enumerate(op.output.dims) for axis in dim.axes}
    if not set(over) <= set(before):
        yield "in0", f"all_to_all over {over} wants a dim sharded over it, {source.name} is {source.type_text}"
    elif (
        not _alike(_strip(op.output.dims, over), _strip(source.dims, over))
        or set(before) != set(after)
        or any(before[axis] == after[axis] for axis in over)
        or set(op.output.partial) != set(source.partial)
    ):
        yield "out", f"all_to_all over {over} keeps {source.name}:{source.type_text} and moves {over} to other dims"


def _slice(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    taken = set(over) & set(source.axes + source.partial)
    if taken:
        yield "in0", f"{op.kind} over {over} wants a tensor whole over it, {source.name} is {source.type_text}"
    elif (
        not _alike(_strip(op.output.dims, over), source.dims)
        or not set(over) <= set(op.output.axes)
        or set(op.output.partial) != set(source.partial)
    ):
        yield "out", f"{op.kind} over {over} keeps {source.name}:{source.type_text} and shards a dim of it over {over}"


def _as_it_is(op: Op, source: Tensor, over: str) -> Iterator[Finding]:
    if layout(op.output) != layout(source) or not _alike(op.output.dims, source.dims):
        yield "out", f"{op.kind} over {over} keeps {source.name}:{source.type_text} as it is"


_COLLECTIVE_RULES = {
    "all_reduce": _all_reduce,
    "reduce_to": _all_reduce,
    "all_gather": _all_gather,
    "gather_to": _all_gather,
    "reduce_scatter": _reduce_scatter,
    "all_to_all": _all_to_all,
    "slice": _slice,
    "scatter": _slice,
    "broadcast": _as_it_is,
    "permute": _as_it_is,
}
