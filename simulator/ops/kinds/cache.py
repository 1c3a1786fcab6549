"""Op kinds that write into a tensor in place: append and update, as a KV cache needs them.

`append(cache, new)` writes the new tokens behind those of the cache, and its output is the grown cache: the same memory
and what was added to it. `update(cache, new)` writes them over a part of it (a cache allocated in full, or the ring of a
sliding window), and its output is the cache as it is then.
Bytes: the new elements read once, and written once; the cache is not moved. No FLOPs.
Memory: output and cache are one; only what an append adds is counted again (`Kernel.grown`). Both are there to the end of
the run: a cache is for whoever comes next.
A cache may be sharded along the dim that is written along, as its output then is. What is new is whole, and is written by
the chip that has its place, or is sharded alike, and each chip writes its own.
Assumes: room for what is added was set aside behind the cache (or in a page of it); of chips that share a cache, the one
that writes what is new counts, so all of it is counted on each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from simulator.graph.items import Op
from simulator.ops.kernel import Kernel
from simulator.ops.loops import Loops
from simulator.ops.registry import Call, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _written(call: Call) -> list[Kernel]:
    cache, new = call.inputs
    if call.output.tensor.memory != cache.tensor.memory or call.output.dtype != cache.dtype:
        there = f"{cache.dtype} in {cache.tensor.memory}"
        raise ShapeError(f"{call.op.kind} is in place: its output is {there}, as {cache.name} is", "out")
    written = replace(call.output.access, nbytes=new.elements * call.output.access.item_bytes, stays=True)
    live = new.access.item_bytes + written.item_bytes
    return [
        call.kernel(
            reads=(replace(cache.access, nbytes=0.0), new.access),
            writes=(written,),
            grown=((call.op.name, cache.name),),
            tiling=StreamTiling(new.elements, live, 2),
        )
    ]


def _check_places(call: Call) -> None:
    shapes = [shaped.sizes for shaped in (*call.inputs, call.output)]
    if len({len(sizes) for sizes in shapes}) > 1 or not shapes[0]:
        raise ShapeError(f"{call.op.kind} takes a cache and what is new with the same dims in the same order")


def _grown_place(op: Op) -> int | None:
    """The dim along which an append goes: the one that is another in the output than in the cache."""
    before, after = ([dim.size for dim in tensor.dims] for tensor in (op.inputs[0], op.output))
    found = [place for place, (one, other) in enumerate(zip(before, after, strict=False)) if one != other]
    return found[0] if len(found) == 1 else None


def _new_place(op: Op) -> int | None:
    """The dim of an update along which less is written than there is."""
    cache, new = ([dim.size for dim in tensor.dims] for tensor in op.inputs)
    found = [place for place, (one, other) in enumerate(zip(cache, new, strict=False)) if one != other]
    return found[0] if len(found) == 1 else None


def _written_place(op: Op) -> int | None:
    """The dim along which an op of this module writes."""
    return _grown_place(op) if op.kind == "append" else _new_place(op)


def _by_place(op: Op) -> Loops:
    """One loop for each place; what is new has its own along the place that is written, unless it is cut as the cache is."""
    own = _written_place(op)
    cache, new = op.inputs[0], op.inputs[-1]
    apart = own is not None and own < len(new.dims) and set(new.dims[own].axes) != set(cache.dims[own].axes)
    return [
        [f"{place} of what is new" if tensor is new and apart and place == own else f"{place}" for place in places]
        for tensor, places in ((each, range(len(each.dims))) for each in (*op.inputs, op.output))
    ]


def _along(op: Op) -> Sequence[str]:
    """What is new must be whole where the cache is not cut along it alike."""
    own = _written_place(op)
    return [f"{own} of what is new"] if own is not None else []


@kind("append", (2, 2), loops=_by_place, row_dims=_along)
def append(call: Call) -> Sequence[Kernel]:
    """cache[..,C,..] and new[..,T,..] make the grown cache [..,C+T,..] in place: writes T alone."""
    _check_places(call)
    at = _grown_place(call.op)
    cache, new, out = (shaped.whole for shaped in (*call.inputs, call.output))
    fits = at is not None and all(
        after == before + more if place == at else before == more == after
        for place, (before, more, after) in enumerate(zip(cache, new, out, strict=True))
    )
    if not fits:
        shapes = f"{list(cache)}, {list(new)} and {list(out)}"
        raise ShapeError(
            f"append makes cache[..,C,..] and new[..,T,..] into [..,C+T,..], in one dim, unlike {shapes}", "out"
        )
    return _written(call)


@kind("update", (2, 2), loops=_by_place, row_dims=_along)
def update(call: Call) -> Sequence[Kernel]:
    """new, no larger than the cache in one dim and as large in the others, written over a part of the cache in place."""
    _check_places(call)
    cache, new, out = (shaped.whole for shaped in (*call.inputs, call.output))
    smaller = [more < before for before, more in zip(cache, new, strict=True)]
    if cache != out or sum(smaller) > 1 or any(more > before for before, more in zip(cache, new, strict=True)):
        shapes = f"{list(cache)}, {list(new)} and {list(out)}"
        raise ShapeError(
            f"update writes a part of a cache over it, less than the whole in one dim, unlike {shapes}", "out"
        )
    return _written(call)
