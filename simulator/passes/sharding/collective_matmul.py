"""Collective matmul: collectives of tensor parallelism and the matmuls beside them in pieces that overlap.

Model: where matmuls read what is gathered over some axes, or what they make is added up or scattered over them, both are cut
into as many pieces: a matmul begins when the first piece is there, a collective when the first piece is made. What stands
between them element by element (casts, sums of gradients, a bias in the matmul's kernel) is cut alike. FLOPs and bytes
stay what they are.
Law: time moves from the sum of the two towards the larger one as pieces grow, and is never below it.
Source: Wang et al. 2023 (Overlap Communication with Dependent Computation via Decomposition).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat
from simulator.graph.op_graph import OpGraph

_MATMULS = ("matmul", "matmul_add")
_BETWEEN = ("cast", "add")
"""What may stand between a matmul and its collective."""

_REDUCES = ("reduce_scatter", "all_reduce")


def collective_matmuls(graph: OpGraph, axes: str, pieces: int) -> OpGraph:
    """A graph whose matmuls and collectives over `axes` are cut into pieces."""
    if pieces == 1 or not axes:
        return graph
    fused = () if isinstance(graph.fuse, str) else tuple(tuple(group) for group in graph.fuse)
    return replace(graph, items=in_pieces(graph.items, axes, pieces, fused))


def in_pieces(items: Items, axes: str, pieces: int, fused: Sequence[Sequence[str]] = ()) -> Items:
    """Items whose matmuls and collectives over `axes` are cut into pieces; `fused`: ops that are one kernel."""
    chosen = _chosen([item for item in items if isinstance(item, Op)], axes, fused)
    made: list[Op | Repeat] = []
    for item in items:
        if isinstance(item, Repeat):
            made.append(replace(item, items=in_pieces(item.items, axes, pieces, fused)))
        elif item.name in chosen:
            made.append(replace(item, options=(*item.options, ("chunks", f"{pieces}"))))
        else:
            made.append(item)
    return tuple(made)


def _chosen(ops: Sequence[Op], axes: str, fused: Sequence[Sequence[str]]) -> Collection[str]:
    """The names of the ops of one block that are cut."""
    by_name = {op.name: op for op in ops}
    readers: dict[str, list[Op]] = {}
    for op in ops:
        for tensor in op.inputs:
            if not tensor.rounds:
                readers.setdefault(tensor.name, []).append(op)

    def behind(op: Op) -> Iterable[Op]:
        return readers.get(op.name, ())

    def before(op: Op) -> Iterable[Op]:
        return (by_name[tensor.name] for tensor in op.inputs if not tensor.rounds and tensor.name in by_name)

    found: set[str] = set()
    for op in ops:
        over = op.option("over") or ""
        if not over or not set(over) <= set(axes):
            continue
        if op.kind == "all_gather":
            found |= _with_matmuls(op, behind)
        elif op.kind in _REDUCES:
            found |= _with_matmuls(op, before)
    for group in fused:
        if found.intersection(group):
            found.update(name for name in group if name in by_name)
    return found


def _with_matmuls(op: Op, neighbours: Callable[[Op], Iterable[Op]]) -> set[str]:
    """A collective with the matmuls that it feeds or that feed it, and what stands between; nothing where there are none."""
    seen: dict[str, Op] = {}
    todo = list(neighbours(op))
    while todo:
        other = todo.pop()
        if other.name in seen or other.kind not in (*_MATMULS, *_BETWEEN):
            continue
        seen[other.name] = other
        if other.kind in _BETWEEN:
            todo += neighbours(other)
    kept = _leading(seen, neighbours)
    return {op.name, *kept} if kept else set()


def _leading(seen: Mapping[str, Op], neighbours: Callable[[Op], Iterable[Op]]) -> set[str]:
    """Of what was met, the matmuls and what leads to one."""
    kept = {name for name, op in seen.items() if op.kind in _MATMULS}
    grows = True
    while grows:
        more = {
            name
            for name, op in seen.items()
            if name not in kept and any(other.name in kept for other in neighbours(op))
        }
        kept |= more
        grows = bool(more)
    return kept
