"""Dims that are cut unevenly by `shares=`: what part of a dim is at each place of a group, a part of 0 included.

Model: over some axes a dim is cut in one way, wherever it stands. `y:bf16[I,J_X] = all_to_all(x:bf16[I_X,J], over=X,
shares=[0.7, 0.1, 0.2, 0])` sends that part of what each chip holds to the chip at each place, and cuts J over X so: in
y, in what is computed from it, in weights over J_X, and in the collectives that follow. all_to_all, reduce_scatter and
scatter speak of the dim that they share out, all_gather and gather_to of the one that they put together.
A chip has whole elements: what rounding down leaves goes to the largest remainders (`simulator.graph.split`). The wires
carry the shares as they are written: a dim of few elements, such as experts, may stand for many tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from hw import System
from simulator.graph.items import Dim, Op, Tensor
from simulator.graph.op_graph import OpGraph
from simulator.graph.split import Cut, Own, places_along, uneven_axes
from simulator.ops.options import read_axes, read_shares
from simulator.ops.registry import ShapeError

_SHARED_OUT = ("all_to_all", "reduce_scatter", "scatter")
_PUT_TOGETHER = ("all_gather", "gather_to")
UNEVEN_KINDS = (*_SHARED_OUT, *_PUT_TOGETHER)
"""Collectives that can move unequal parts."""


def _dim_of(op: Op, over: str) -> Dim | None:
    """The dim that the shares of a collective speak of: the one that has all of its axes."""
    tensors = (op.output,) if op.kind in _SHARED_OUT else op.inputs
    return next((dim for tensor in tensors for dim in tensor.dims if set(over) <= set(dim.axes)), None)


def _shared(graph: OpGraph) -> Iterator[tuple[Op, str, Dim | None, tuple[Fraction, ...]]]:
    """Each op with shares: its axes, its dim, its shares. What cannot be read is left to `simulator.passes.soundness`."""
    for op in graph.sharing_out:
        over, raw = op.option("over"), op.option("shares")
        if raw is None or over is None or op.kind not in UNEVEN_KINDS:
            continue
        try:
            axes, shares = "".join(sorted(read_axes(over))), read_shares(raw)
        except ValueError:
            continue
        yield op, axes, _dim_of(op, axes), shares


def own_cuts(graph: OpGraph) -> Own:
    """By dim and axes, the parts of those that ops cut unevenly."""
    found: dict[str | int, dict[str, Sequence[Fraction]]] = {}
    for _, axes, dim, shares in _shared(graph):
        if dim is not None and len(set(shares)) > 1:
            found.setdefault(dim.size, {}).setdefault(axes, shares)
    return found


def share_problems(graph: OpGraph, system: System) -> Mapping[str, str]:
    """What is wrong with shares, by the name of the op: no one dim that they cut, or a dim that is cut otherwise."""
    known: dict[tuple[str | int, str], tuple[Op, tuple[Fraction, ...]]] = {}
    found: dict[str, str] = {}
    split = uneven_axes(graph, system)
    for op, axes, dim, shares in _shared(graph):
        if dim is None:
            found[op.name] = f"shares= wants one dim that is over {axes} on the side that {op.kind} cuts"
            continue
        if not split.isdisjoint(axes):
            found[op.name] = f"{dim.size} over {axes} is cut by split: already; write the parts there or in shares="
        for (size, other), (first, before) in known.items():
            if size == dim.size and set(other) & set(axes) and (other, before) != (axes, shares):
                found[op.name] = f"{dim.size} over {axes} is cut otherwise by {first.name}; a dim is cut in one way"
        known.setdefault((dim.size, axes), (op, shares))
    return found


def even_cut(graph: OpGraph, system: System, probed: bool = False) -> Cut:
    """What a chip has where no chip in particular is meant: of a dim cut by shares, the largest part.

    `probed`: with unequal weights, whichever, wherever dims may be cut unevenly, to see what that would do to an op.
    """
    own = own_cuts(graph)
    places = {
        axes: max(range(len(parts)), key=parts.__getitem__) for cut in own.values() for axes, parts in cut.items()
    }
    weights = {axis: (Fraction(1), Fraction(2)) for axis in uneven_axes(graph, system)} if probed else {}
    return Cut(weights, places, system.mesh.extent, own)


@dataclass(frozen=True, slots=True)
class Cutting:
    """How a graph's dims are cut on a system, worked out once for all of its ops: the mesh axes along which they may be cut
    unevenly, and what a chip has where none in particular is meant (`probed`: see `even_cut`)."""

    axes: frozenset[str]
    even: Cut
    probed: Cut


def cutting(graph: OpGraph, system: System) -> Cutting:
    """How the dims of a graph are cut on a system."""
    return Cutting(uneven_axes(graph, system), even_cut(graph, system), even_cut(graph, system, probed=True))


def _parts_over(tensor: Tensor, over: str, cut: Cut) -> tuple[float, ...]:
    """The part of a tensor's dim over some axes at each place of a group; none where it is cut evenly.

    Raises ValueError where it is cut unevenly over only some of them, or over them and others together.
    """
    found: tuple[float, ...] = ()
    for dim in tensor.dims:
        for axes, parts in cut.parts(dim.size, dim.axes).items():
            if set(axes) == set(over):
                total = sum(parts)
                found = tuple(float(part / total) for part in parts)
            elif set(axes) & set(over):
                raise ValueError(
                    f"{tensor.name} is cut unevenly over {axes}; a collective moves such parts over {axes} alone"
                )
    return found


def _at(cut: Cut, system: System, chips: Sequence[int]) -> list[Cut]:
    """The same for other chips."""
    along = dict.fromkeys((*cut.weights, *(axes for own in cut.own.values() for axes in own)))
    places = {axes: places_along(system, axes) for axes in along}
    return [replace(cut, place={axes: found[chip] for axes, found in places.items()}) for chip in chips]


def unequal(op: Op, over: str, system: System, cut: Cut, nbytes: Callable[[Tensor, Cut], float]) -> Mapping[str, Any]:
    """Of a collective that something is cut unevenly for: what part of all that a group has is `held` at each place
    before and is `given` to each, and V of each group. `nbytes`: of a tensor on a chip. Raises ShapeError where it cannot
    be done."""
    tensors = [*op.inputs, op.output]
    held, to = parts_moved(op, over, cut)
    elsewhere = any(cut.parts(dim.size, _without(dim.axes, over)) for tensor in tensors for dim in tensor.dims)
    if not held and not to and not elsewhere:
        return {}
    side = next((tensor for tensor in tensors if set(over) & set(tensor.axes)), tensors[0])
    bare = replace(side, dims=tuple(dim._replace(axes=_without(dim.axes, over)) for dim in side.dims))
    first = [members[0] for members in system.groups(over)] if elsewhere else [0]
    of_group = [nbytes(bare, each) for each in _at(cut, system, first)]
    return {"held": held, "given": to, "group_bytes": tuple(of_group)}


def parts_moved(op: Op, over: str, cut: Cut) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The parts at each place before a collective and after. Raises ShapeError where it cannot move unequal ones."""
    for tensor in (*op.inputs, op.output):
        part = "in0" if tensor in op.inputs else "out"
        try:
            uneven = _parts_over(tensor, over, cut)
        except ValueError as error:
            raise ShapeError(str(error), part) from None
        if uneven and op.kind not in UNEVEN_KINDS:
            raise ShapeError(f"{op.kind} moves equal shards, {tensor.name} is cut unevenly over {over}", part)
    before = op.inputs[0] if op.inputs else op.output  # a recv takes in nothing
    return _parts_over(before, over, cut), _parts_over(op.output, over, cut)


def _without(axes: str, over: str) -> str:
    return "".join(axis for axis in axes if axis not in over)
