"""Which dims of a matmul are the same loop: what it contracts, and what its output keeps.

Three readings, the first that holds; a dim is known by its name, or by its size where it has none.
- By name: no dim stands twice in a tensor. Dims that both inputs have and the output lacks are contracted, those in all
  three are batch, those of one input alone are in the output. The order of dims does not matter.
- By place, as Python's `@`: a[...,m,k] with b[...,k,n] makes [...,m,n]; a vector has no m, or no n; the dims before the
  last two are batch, lined up at the right, where a 1 may stand for any size.
- By count, for what is transposed: a dim that stands ca, cb and co times in the inputs and the output is contracted
  (ca + cb - co) / 2 times, and once batch if that leaves a rest; a[N,D] with b[N,D] makes [N,N].
Whether a size and a name that meet by place are equal only a call can tell (`meeting`).
Source: NumPy's matmul for the second; the first is Einstein's convention with the output written out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from simulator.graph.items import Dim, Op
from simulator.ops.loops import Loops, Names, may_meet, named_loops

Labels = Sequence[str]


def matmul_loops(op: Op) -> Loops:
    """The loops of a matmul; of one that has no reading, its dims by name."""
    return read_loops(op) or named_loops(op)


def read_loops(op: Op) -> Loops | None:
    """The loops of both inputs and the output, or None if nothing says what is contracted."""
    tensors = (*op.inputs, op.output)
    if len(tensors) != 3:
        return None
    first, second, out = ([str(dim.size) for dim in tensor.dims] for tensor in tensors)
    by_name = _by_name(first, second, out)
    return by_name or _by_place(*(tensor.dims for tensor in tensors)) or _by_count(first, second, out)


def _by_name(first: Labels, second: Labels, out: Labels) -> Loops | None:
    if any(len(set(labels)) < len(labels) for labels in (first, second, out)):
        return None
    everything = {*first, *second, *out}
    known = all(sum(label in labels for labels in (first, second, out)) >= 2 for label in everything)
    return [first, second, out] if known else None


def _by_place(first: Sequence[Dim], second: Sequence[Dim], out: Sequence[Dim]) -> Loops | None:
    if not first or not second:
        return None
    row, column = len(first) > 1, len(second) > 1
    k, rest_a = first[-1], first[: -2 if row else -1]
    other_k, rest_b = (second[-2], second[:-2]) if column else (second[-1], second[:-1])
    kept = [*([first[-2]] if row else []), *([second[-1]] if column else [])]
    lead = out[: len(out) - len(kept)] if kept else out
    if len(lead) != max(len(rest_a), len(rest_b)) or not may_meet(k, other_k):
        return None
    if not all(map(may_meet, kept, out[len(lead) :])):
        return None
    names = Names()
    batch = _batch(rest_a, rest_b, lead, names)
    if batch is None:
        return None
    of_a, of_b, of_out = batch
    loop_k = names.fresh(k.size)
    loops_kept = names.each(kept)
    m, n = loops_kept[:1] if row else [], loops_kept[-1:] if column else []
    return [[*of_a, *m, loop_k], [*of_b, loop_k, *n], [*of_out, *loops_kept]]


def _batch(
    first: Sequence[Dim], second: Sequence[Dim], out: Sequence[Dim], names: Names
) -> tuple[list[str], list[str], list[str]] | None:
    """The batch loops of both inputs and the output, from the right; None if they do not line up."""
    loops: tuple[list[str], list[str], list[str]] = ([], [], [])
    for back in range(1, len(out) + 1):
        loop = names.fresh(out[-back].size)
        loops[2].insert(0, loop)
        wide = False
        for dims, found in ((first, loops[0]), (second, loops[1])):
            if back > len(dims):
                continue
            dim = dims[-back]
            alike = dim.size == out[-back].size or (dim.size != 1 and may_meet(dim, out[-back]))
            if not alike and dim.size != 1:
                return None
            wide = wide or alike
            found.insert(0, loop if alike else names.fresh(dim.size))
        if not wide:
            return None
    return loops


def _by_count(first: Labels, second: Labels, out: Labels) -> Loops | None:
    names = Names()
    loops: list[list[str]] = [[""] * len(labels) for labels in (first, second, out)]
    for label in dict.fromkeys((*first, *second, *out)):
        at = [[place for place, each in enumerate(labels) if each == label] for labels in (first, second, out)]
        shared, batch = divmod(len(at[0]) + len(at[1]) - len(at[2]), 2)
        rows, columns = (len(places) - shared - batch for places in at[:2])
        if min(shared, rows, columns) < 0:
            return None
        for roles in _roles(at, batch, rows, shared):
            loop = names.fresh(label)
            for tensor, place in roles:
                loops[tensor][place] = loop
    return loops


def _roles(at: list[list[int]], batch: int, rows: int, shared: int) -> Iterator[list[tuple[int, int]]]:
    """The dims of one name that are one loop, as (tensor, place): batch first, then rows of the first input, what is
    contracted, columns of the second."""
    first, second, out = at
    for a, b, c in zip(first[:batch], second[:batch], out[:batch], strict=True):
        yield [(0, a), (1, b), (2, c)]
    for a, c in zip(first[batch : batch + rows], out[batch : batch + rows], strict=True):
        yield [(0, a), (2, c)]
    for a, b in zip(first[batch + rows :], second[batch : batch + shared], strict=True):
        yield [(0, a), (1, b)]
    for b, c in zip(second[batch + shared :], out[batch + rows :], strict=True):
        yield [(1, b), (2, c)]
