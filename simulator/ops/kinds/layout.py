"""Op kinds that say how tensors lie in memory: view, part, own, side, first, pack, and concat, which moves them.

`y:bf16[M] = view(x:bf16[B,S,D])`: the bytes of x, or some of them, under another name and other dims: a reshape, a
weight in the flat buffer of a layer. `q:bf16[B,H,S,E] = part(qkv:bf16[B,N,S,E], axis=N)`: some of it along a dim, such as
the queries of one matmul's queries, keys and values; parts lie one behind the other as they are written.
`k:bf16[B,H_T,S,E] = own(all:bf16[B,S,W])`: what a chip itself needs of what it has whole, such as its heads.
`dk:bf16[...] = side(dq, of=k)`: what an op made beside its output. `b:bf16[N] = pack(g, h)`: a buffer in which the inputs
lie one behind the other, as gradients lie in a bucket. `y:bf16[B,D] = first(x:bf16[B,S,D])`: the first element along the
dim that y lacks, such as the class token of a sequence.
None of these six is a kernel: who reads one reads what lies behind it (`simulator.ops.views`), and that stays for as long.
Assumes: whoever wrote the tensors wrote them where the view or the buffer has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hw.input import Dimension, show, unknown
from hw.rows import distinct
from simulator.graph.items import Op, Tensor
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Kernel, beside
from simulator.ops.options import name_of
from simulator.ops.registry import Call, ShapeError, kind
from simulator.ops.tiling import StreamTiling


def _unissued(call: Call, *allowed: str) -> None:
    """Raise ShapeError for what a view cannot have: another memory, and options of issued ops."""
    source, target = call.inputs[0].tensor, call.output.tensor
    if source.memory != target.memory:
        raise ShapeError(f"a {call.op.kind} stays where {source.name} is, @{source.memory}; copy it apart", "out")
    for name, _ in call.op.options:
        if name not in allowed:
            message = f"a {call.op.kind} is a view, which nothing issues: {name}= belongs to the op that reads it"
            raise ShapeError(message, name)


def _view_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "view", adjoint.given)


@kind("view", (1, 1), as_written=True, view=True, backward=_view_backward)
def view(call: Call) -> Sequence[Kernel]:
    """Some or all bytes of the input, under other dims. No kernel."""
    _unissued(call)
    _no_more(call)
    return []


def _no_more(call: Call) -> None:
    """Raise ShapeError for a view of more than there is."""
    source, target = call.inputs[0], call.output
    if target.nbytes > source.nbytes:
        has, whole = (show(each.nbytes, Dimension.DATA) for each in (target, source))
        raise ShapeError(f"a view has no more bytes than what it shows: {has} of {whole}", "out")


def _part_backward(adjoint: Adjoint) -> None:
    """The gradient of a part, which is put together with those of the others."""
    adjoint.place(0, adjoint.given, str(adjoint.op.option("axis") or -1))


@kind("part", (1, 1), {"axis": str}, as_written=True, view=True, backward=_part_backward)
def part(call: Call) -> Sequence[Kernel]:
    """Some of the input along its last dim, or the one called `axis=` (name or number), and all of its others. No kernel."""
    _unissued(call, "axis")
    source, target = call.inputs[0], call.output
    axis = str(call.options.get("axis", -1))
    place = _place_of(axis, source.tensor)
    others = [(*sizes[:place], *sizes[place + 1 :]) for sizes in (source.sizes, target.sizes)]
    if others[0] != others[1] or target.sizes[place] > source.sizes[place]:
        raise ShapeError(f"{target.tensor.type_text} is no part of {source.tensor.type_text} along {axis}", "out")
    return []


def _own_backward(adjoint: Adjoint) -> None:
    """Zeros around the gradient; where chips have parts of what stands whole on each, those of all add up."""
    source, target = adjoint.op.inputs[0], adjoint.op.output
    parts = "".join(axis for axis in target.axes if axis not in source.axes)
    if adjoint.wants(0):
        partial = "".join(dict.fromkeys(adjoint.given.partial + parts))
        adjoint.give(0, adjoint.emit("own_backward", (adjoint.given,), source, partial=partial))


@kind("own", (1, 1), as_written=True, view=True, backward=_own_backward)
def own(call: Call) -> Sequence[Kernel]:
    """What a chip needs of what it has more of, such as its heads of those of all chips, under other dims. No kernel."""
    _unissued(call)
    _no_more(call)
    return []


@kind("own_backward", (1, 1), as_written=True)
def own_backward(call: Call) -> Sequence[Kernel]:
    """The gradient of a chip's own makes that of all it has: zeros written, and the one read. No FLOPs."""
    live = 2.0 * call.output.access.item_bytes
    return [call.kernel(tiling=StreamTiling(call.output.elements, live, len(call.reads)))]


def _made_beside(op: Op) -> Sequence[str]:
    return (beside(op.inputs[0].name, op.option("of") or ""),)


@kind("side", (1, 1), {"of": name_of}, as_written=True, view=True, shows=_made_beside)
def side(call: Call) -> Sequence[Kernel]:
    """What an op made beside its output, called by its `of=`. No kernel."""
    _unissued(call, "of")
    if "of" not in call.options:
        raise ShapeError("side needs of=, the name of what was made beside, as in dk:bf16[S,D] = side(dq, of=k)")
    return []


def _first_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "first_backward", adjoint.given)


@kind("first", (1, 1), as_written=True, view=True, backward=_first_backward)
def first(call: Call) -> Sequence[Kernel]:
    """The first element along a dim that the output lacks; that dim must stand whole on the chip. No kernel."""
    _unissued(call)
    _lacking(call.inputs[0].tensor, call.output.tensor)
    return []


@kind("first_backward", (1, 1), as_written=True)
def first_backward(call: Call) -> Sequence[Kernel]:
    """The gradient of the first element makes that of all of them: zeros written, and the one read. No FLOPs."""
    _lacking(call.output.tensor, call.inputs[0].tensor)
    live = 2.0 * call.output.access.item_bytes
    return [call.kernel(tiling=StreamTiling(call.output.elements, live, len(call.reads)))]


def _lacking(whole: Tensor, part: Tensor) -> None:
    """Raise ShapeError unless `part` lacks exactly one dim of `whole`, which stands whole on the chip."""
    gone = [at for at in range(len(whole.dims)) if (*whole.dims[:at], *whole.dims[at + 1 :]) == part.dims]
    if not gone:
        raise ShapeError(f"{part.type_text} is not {whole.type_text} without one dim", "out")
    if all(whole.dims[at].axes for at in gone):
        raise ShapeError(f"the first element of a dim lies on one chip alone where it is {whole.dims[gone[0]]}", "in0")


def _part(place: int) -> str:
    """What the gradient of a part is called beside that of the first."""
    return f"part{place}"


def _concat_backward(adjoint: Adjoint) -> None:
    """The first part's gradient, and the others' beside it; of one that was broadcast, a sum."""
    made = adjoint.emit("concat_backward", (adjoint.given, *adjoint.op.inputs), adjoint.op.inputs[0])
    adjoint.give(0, made)
    for place in range(1, len(adjoint.op.inputs)):
        adjoint.take(place, made, _part(place))


@kind("concat", (2, None), ("axis",), as_written=True, backward=_concat_backward)
def concat(call: Call) -> Sequence[Kernel]:
    """Inputs one behind the other along the last dim, or the one called `axis=`, whose other inputs are called otherwise
    at the same place; one that lacks other dims stands for all of them, and one that lacks this one is one row. Each read
    once, the output written; no FLOPs."""
    place = _joined(call)
    back = len(call.output.sizes) - place
    counts = [shaped.sizes[-back] if len(shaped.sizes) >= back else 1 for shaped in call.inputs]
    if sum(counts) != call.output.sizes[place]:
        name = call.options.get("axis", "the last dim")
        raise ShapeError(f"concat puts its inputs one behind the other along {name}: their sizes add up", "out")
    live = 2.0 * call.output.access.item_bytes
    return [call.kernel(tiling=StreamTiling(call.output.elements, live, len(call.reads)))]


def _joined(call: Call) -> int:
    """The place of the dim along which inputs are put together: that of `axis=`, its name or its number, or the last."""
    return _place_of(str(call.options.get("axis", -1)), call.output.tensor)


def _place_of(said: str, tensor: Tensor) -> int:
    """The place of a dim by its name or its number. Raises ShapeError."""
    names = [str(dim.size) for dim in tensor.dims]
    if said.lstrip("-").isdigit() and -len(names) <= int(said) < len(names):
        return int(said) % len(names)
    if said not in names:
        raise ShapeError(unknown("dim", said, names), "axis")
    return len(names) - 1 - names[::-1].index(said)


@kind("concat_backward", (3, None), as_written=True)
def concat_backward(call: Call) -> Sequence[Kernel]:
    """The gradient of what was put together, and its parts, make the gradient of the first part and, beside it, of each
    other by its place (`side(da, of=part1)`). Reads the gradient alone; a sum where a part was broadcast."""
    given, *parts = call.inputs
    sides = [
        replace(part.access, tensor=beside(call.op.name, _part(place))) for place, part in enumerate(parts[1:], start=1)
    ]
    unread = [replace(part.access, nbytes=0.0) for part in parts]
    return [
        call.kernel(
            reads=tuple(distinct((given.access, *unread))),
            writes=(call.output.access, *sides),
            vector_flops=float(given.elements - sum(part.elements for part in parts)),
            vector_dtype=given.dtype,
        )
    ]


def _all_inputs(op: Op) -> Sequence[str]:
    return tuple(tensor.name for tensor in op.inputs)


@kind("pack", (1, None), as_written=True, view=True, shows=_all_inputs)
def pack(call: Call) -> Sequence[Kernel]:
    """The inputs one behind the other in a buffer that has room for them. No kernel."""
    _unissued(call)
    held = sum(shaped.elements for shaped in call.inputs)
    if held > call.output.elements:
        raise ShapeError(f"{held} elements do not lie in a buffer of {call.output.elements}", "out")
    return []
