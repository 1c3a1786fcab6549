"""Which dims of an instruction's operands and results are the same loop, so that a sharding of one is one of the others.

Model: each instruction is a nest of loops. A loop may run over dims of several arrays; one that no result has is summed, and
what is cut along it leaves partial sums. A dim without a loop (-1) must be whole on a chip.
Source: the StableHLO specification; Shardy's op sharding rules have the same factors.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scenarios.importers.hlo.costs import FLOPS, numbers
from scenarios.importers.hlo.module import Instruction, Shape

Dims = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Loops:
    """The loops of each operand's dims and of the results' dims; those that are summed; whether shapes are all that an
    instruction changes, so that it passes shardings on before others do."""

    given: tuple[Dims, ...]
    made: Dims
    summed: frozenset[int] = frozenset()
    plain: bool = False


Rule = Callable[[Instruction, Sequence[Shape], Shape], Loops]
_RULES: dict[str, Rule] = {}


def _rule(*opcodes: str) -> Callable[[Rule], Rule]:
    def add(made: Rule) -> Rule:
        _RULES.update(dict.fromkeys(opcodes, made))
        return made

    return add


def loops_of(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """The loops of an instruction; none for one that nobody knows."""
    rule = _RULES.get(each.opcode)
    if rule is not None:
        return rule(each, given, made)
    if each.opcode in FLOPS or each.opcode in _ELEMENTWISE:
        return _elementwise(each, given, made)
    return Loops(tuple((-1,) * len(shape.dims) for shape in given), (-1,) * len(made.dims))


_ELEMENTWISE = frozenset(
    ["copy", "copy-start", "all-reduce", "all-reduce-start", "collective-permute", "custom-call", "bitcast-convert"]
)


def _elementwise(_each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    own = tuple(range(len(made.dims)))
    return Loops(tuple(own if one.dims == made.dims else (-1,) * len(one.dims) for one in given), own, plain=True)


@_rule("iota", "constant", "rng", "rng-bit-generator", "parameter")
def _made(_each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    return Loops(tuple((-1,) * len(one.dims) for one in given), tuple(range(len(made.dims))), plain=True)


@_rule("dot")
def _dot(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    said = {key: numbers(each.attributes.get(key)) for key in _DOT}
    fresh = itertools.count()
    a, b = [-1] * len(given[0].dims), [-1] * len(given[1].dims)
    batch = [next(fresh) for _ in said["lhs_batch_dims"]]
    summed = [next(fresh) for _ in said["lhs_contracting_dims"]]
    for side, dims in ((a, "lhs"), (b, "rhs")):
        for loop, at in zip(
            (*batch, *summed), (*said[f"{dims}_batch_dims"], *said[f"{dims}_contracting_dims"]), strict=True
        ):
            side[at] = loop
    free = []
    for side in (a, b):
        for at, loop in enumerate(side):
            if loop < 0:
                side[at] = next(fresh)
                free.append(side[at])
    return Loops((tuple(a), tuple(b)), (*batch, *free)[: len(made.dims)], frozenset(summed))


_DOT = ("lhs_batch_dims", "lhs_contracting_dims", "rhs_batch_dims", "rhs_contracting_dims")


@_rule("broadcast")
def _broadcast(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    places = numbers(each.attributes.get("dimensions"))
    sizes = zip(given[0].dims, places, strict=False)
    mine = tuple(place if size == made.dims[place] else -1 for size, place in sizes)
    return Loops((mine,), tuple(range(len(made.dims))), plain=True)


@_rule("transpose")
def _transpose(each: Instruction, given: Sequence[Shape], _made_: Shape) -> Loops:
    order = numbers(each.attributes.get("dimensions"))
    return Loops((tuple(range(len(given[0].dims))),), order, plain=True)


@_rule("reshape", "bitcast")
def _reshape(_each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """The first dims of parts that hold the same elements are one loop: [8,64] and [512] are cut alike in up to 8."""
    a, b = [-1] * len(given[0].dims), [-1] * len(made.dims)
    at, to, loop = 0, 0, 0
    while at < len(a) and to < len(b):
        if given[0].dims[at] == 1 or made.dims[to] == 1:
            at, to = at + (given[0].dims[at] == 1), to + (made.dims[to] == 1)
            continue
        a[at] = b[to] = loop
        loop += 1
        left, right = given[0].dims[at], made.dims[to]
        at, to = at + 1, to + 1
        while left != right:
            if left < right and at < len(a):
                left, at = left * given[0].dims[at], at + 1
            elif right < left and to < len(b):
                right, to = right * made.dims[to], to + 1
            else:
                return Loops((tuple(a),), tuple(b), plain=True)
    return Loops((tuple(a),), tuple(b), plain=True)


@_rule("reduce")
def _reduce(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    gone = numbers(each.attributes.get("dimensions"))
    arrays = given[: max(1, len(given) // 2)]
    rank = len(arrays[0].dims)
    loops = [tuple(range(rank)) if one.dims == arrays[0].dims else (-1,) * len(one.dims) for one in given]
    kept = tuple(at for at in range(rank) if at not in gone)
    return Loops(tuple(loops), kept[: len(made.dims)], frozenset(gone))


_ALONG = """
all-gather reduce-scatter all-to-all slice pad dynamic-slice reverse concatenate reduce-window sort topk top-k fft
select-and-scatter dynamic-update-slice
"""


@_rule(*_ALONG.split())
def _same_sizes(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """Dims that stay as they are; the one along which something is done must be whole."""
    rank = len(made.dims)
    held = set(_along(each, rank))
    arrays = [one.dims for one in given if len(one.dims) == rank]
    kept = [at not in held and all(dims[at] == made.dims[at] for dims in arrays) for at in range(rank)]
    own = tuple(at if kept[at] else -1 for at in range(rank))
    return Loops(tuple(own if len(one.dims) == rank else (-1,) * len(one.dims) for one in given), own, plain=True)


def _along(each: Instruction, rank: int) -> Sequence[int]:
    """The dims along which an instruction works."""
    said = each.attributes
    if each.opcode in ("topk", "top-k"):
        return (rank - 1,)
    if each.opcode == "fft":
        return range(rank - max(1, len(numbers(said.get("fft_length")))), rank)
    if each.opcode in ("reduce-window", "select-and-scatter"):
        sizes = said.get("window", "").partition("size=")[2].split(" ")[0].strip("{}").split("x")
        return [at for at, size in enumerate(sizes) if size != "1"]
    if each.opcode in ("sort", "reverse", "concatenate"):
        return numbers(said.get("dimensions", said.get("dimension", said.get("dim", ""))))
    return ()


@_rule("convolution")
def _convolution(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """Batch and features; rows and columns must be whole, and features of a grouped one."""
    image, _, rest = each.attributes.get("dim_labels", "").partition("_")
    kernel, _, out = rest.partition("->")
    grouped = any(numbers(each.attributes.get(f"{key}_group_count", "1")) != (1,) for key in ("feature", "batch"))
    names = {"b": 0} if grouped else {"b": 0, "f": 1, "i": 1, "o": 2}
    sides = [[names.get(letter, -1) for letter in part] for part in (image, kernel)]
    result = [2 if letter == "f" and not grouped else 0 if letter == "b" else -1 for letter in out]
    lengths = [len(shape.dims) for shape in (*given[:2], made)]
    if [len(image), len(kernel), len(out)] != lengths:
        return Loops(tuple((-1,) * len(one.dims) for one in given), (-1,) * len(made.dims))
    return Loops((tuple(sides[0]), tuple(sides[1])), tuple(result), frozenset(() if grouped else (1,)))


@_rule("gather")
def _gather(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """Rows of a table by their numbers: numbers run over the result; where rows are cut, each chip has those that it has,
    and zeros, whose sum is the result."""
    said = each.attributes
    window = numbers(said.get("offset_dims"))
    gone = (*numbers(said.get("collapsed_slice_dims")), *numbers(said.get("operand_batching_dims")))
    taken = numbers(said.get("slice_sizes"))
    table, index = [-1] * len(given[0].dims), [-1] * len(given[1].dims)
    result = [-1] * len(made.dims)
    summed = set()
    for dim, at in zip((at for at in range(len(table)) if at not in gone), window, strict=False):
        if dim < len(taken) and taken[dim] == given[0].dims[dim]:
            table[dim] = result[at] = at
    vector = (numbers(said.get("index_vector_dim")) or (len(index),))[0]
    places = [at for at in range(len(made.dims)) if at not in window]
    for dim, at in zip((at for at in range(len(index)) if at != vector), places, strict=False):
        index[dim] = result[at] = at
    beside = zip(
        numbers(said.get("operand_batching_dims")), numbers(said.get("start_indices_batching_dims")), strict=False
    )
    for dim, at in beside:
        table[dim] = index[at]
    rows = len(made.dims)
    for dim in numbers(said.get("collapsed_slice_dims")):
        table[dim] = rows
        summed.add(rows)
        rows += 1
    return Loops((tuple(table), tuple(index)), tuple(result), frozenset(summed))


@_rule("scatter")
def _scatter(each: Instruction, given: Sequence[Shape], made: Shape) -> Loops:
    """Rows added to a table where numbers say: numbers cut into parts leave sums to be added up."""
    said = each.attributes
    if len(given) != 3:
        return Loops(tuple((-1,) * len(one.dims) for one in given), (-1,) * len(made.dims))
    window = numbers(said.get("update_window_dims"))
    gone = (*numbers(said.get("inserted_window_dims")), *numbers(said.get("input_batching_dims")))
    table, index, update = ([-1] * len(one.dims) for one in given)
    fresh = itertools.count()
    for dim, at in zip((at for at in range(len(table)) if at not in gone), window, strict=False):
        if given[2].dims[at] == given[0].dims[dim]:
            table[dim] = update[at] = next(fresh)
    for dim in numbers(said.get("inserted_window_dims")):
        table[dim] = next(fresh)
    vector = (numbers(said.get("index_vector_dim")) or (len(index),))[0]
    places = [at for at in range(len(update)) if at not in window]
    summed = set()
    for dim, at in zip((at for at in range(len(index)) if at != vector), places, strict=False):
        index[dim] = update[at] = next(fresh)
        summed.add(index[dim])
    beside = zip(
        numbers(said.get("input_batching_dims")), numbers(said.get("scatter_indices_batching_dims")), strict=False
    )
    for dim, at in beside:
        table[dim] = index[at]
        summed.discard(index[at])
    return Loops((tuple(table), tuple(index), tuple(update)), tuple(table), frozenset(summed))
