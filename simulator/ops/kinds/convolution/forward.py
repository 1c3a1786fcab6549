"""Op kinds that slide a window over rows and columns: convolution and pooling. Tensors are NCHW.

Positions: `stride=` (1; of a pooling: its window), `pad=` (0) and `dilation=` (1), each one number or [rows, columns]:
P = (H + 2 pad - dilation (R - 1) - 1) / stride + 1, rounded down, and Q likewise.
conv2d: x[N,C,H,W] with w[K,C/groups,R,S] -> y[N,K,P,Q]; each of `groups=` (1) takes C/groups channels to K/groups:
2 N K P Q (C/groups) R S FLOP, as `groups` implicit matmuls of [NPQ, RSC/groups] with [RSC/groups, K/groups]; groups = C
is a depthwise convolution, whose matmuls have one column (K = C), of which `padding` fills the unit's width.
Pooling: x[N,C,H,W] -> y[N,C,P,Q]; a maximum takes RS - 1 comparisons an element of the output, a mean RS - 1 additions and
a division, windows over the edge counted in full; on the vector unit.
Bytes: every input once, the output once. A chip that makes some rows or columns of the output reads what their windows
cover of the input.
Gradients stand in `simulator.ops.kinds.convolution.backward`.
Source: Dumoulin & Visin 2016, "A guide to convolution arithmetic for deep learning"; PyTorch's Conv2d and MaxPool2d.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Access, Contraction, Kernel, beside
from simulator.ops.kinds.matmul import contract
from simulator.ops.loops import Loops
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling

Pair = tuple[int, int]
"""Rows and columns."""

_ONE = (1, 1)

INDICES = "indices"
"""What a pooling keeps beside its output of where the largest elements were."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Where the windows of a call stand: their reach, step and edge, and how many there are, down and across."""

    reach: Pair
    stride: Pair
    pad: Pair
    sizes: Pair

    @property
    def places(self) -> Pair:
        """How many places the window has."""
        down, across = (
            (size + 2 * edge - reach) // step + 1
            for size, reach, step, edge in zip(self.sizes, self.reach, self.stride, self.pad, strict=True)
        )
        return down, across

    def covered(self, made: Shaped) -> float:
        """The share of the input under the windows of a chip that makes its part of the places, the last two dims of
        `made`; of all chips that make as many, the most. A chip that makes them all reads it all."""
        return math.prod(
            1.0 if made.sizes[2 + at] == whole else max(self._spans(at, made), default=0) / self.sizes[at]
            for at, whole in enumerate(self.places)
        )

    def _spans(self, at: int, made: Shaped) -> Iterator[int]:
        size, step, edge = self.sizes[at], self.stride[at], self.pad[at]
        here, whole = made.sizes[2 + at], made.whole[2 + at]
        for start in made.begins(2 + at):
            last = min(start + here, whole) - 1
            yield min(size, last * step - edge + self.reach[at]) - max(0, start * step - edge)


def windows_over(call: Call, sizes: Sequence[int], window: Pair, stride: Pair) -> Windows:
    """The windows of a call over an image [N,C,H,W]."""
    pad, dilation = call.options.get("pad", (0, 0)), call.options.get("dilation", _ONE)
    down, across = (apart * (length - 1) + 1 for length, apart in zip(window, dilation, strict=True))
    return Windows((down, across), stride, pad, (sizes[2], sizes[3]))


def _windows(call: Call, window: Pair, stride: Pair) -> Windows:
    """The windows of a call. Raises ShapeError unless the output has a place for each."""
    sizes = call.inputs[0].sizes
    windows = windows_over(call, sizes, window, stride)
    made = (*call.output.sizes[:2], *call.output.whole[2:])
    lead = (sizes[0], call.inputs[1].sizes[0] if len(call.inputs) > 1 else sizes[1])
    if min(windows.places) >= 1 and made == (*lead, *windows.places):
        return windows
    told = ", ".join(f"{name}={call.op.option(name)}" for name in ("pad", "dilation") if call.op.option(name))
    step = call.op.option("stride") or (stride[0] if stride[0] == stride[1] else list(stride))
    shown = ",".join(map(str, (*lead, *windows.places)))
    raise ShapeError(
        f"with stride={step}{' and ' if told else ''}{told} the output is [{shown}], not [{','.join(map(str, made))}]",
        "out",
    )


def _convolved(op: Op) -> Loops:
    """The loops of a convolution by place: the batch, channels in and out, positions, the window. With groups, channels
    in and out are one loop, over which each chip has whole groups."""
    bias = len(op.inputs) == 3
    if (op.option("groups") or "1") == "1":
        return ["NCHW", "KCRS", *(["K"] if bias else []), "NKPQ"]
    return ["NGHW", "GcRS", *(["G"] if bias else []), "NGPQ"]


def _convolved_whole(_op: Op) -> Sequence[str]:
    """Windows reach over the edges of a shard, and a filter of a group over all its channels."""
    return "HWRSc"


def _groups(call: Call) -> int:
    """The groups on one chip."""
    groups, x, w = call.options.get("groups", 1), call.inputs[0], call.inputs[1]
    if x.whole[1] % groups or w.whole[0] % groups:
        raise ShapeError(f"{x.whole[1]} channels in and {w.whole[0]} out do not make {groups} equal groups", "groups")
    if x.whole[1] // groups != w.whole[1]:
        of_one = f" in {groups} groups" if groups > 1 else ""
        raise ShapeError(f"x has {x.whole[1]} channels{of_one}, w wants {w.whole[1]}", "in1")
    if groups == 1:
        return 1
    here = x.sizes[1] // w.sizes[1]
    if here * w.sizes[1] != x.sizes[1] or here * (w.whole[0] // groups) != w.sizes[0]:
        raise ShapeError(f"{groups} groups do not divide over the chips of the channels", "groups")
    return here


def _conv_backward(adjoint: Adjoint) -> None:
    """Two convolutions, each as large as that of the forward pass, and a sum for the bias."""
    x, w = adjoint.op.inputs[:2]
    adjoint.make(0, "conv2d_backward_input", adjoint.given, w, options=adjoint.op.options)
    adjoint.make(1, "conv2d_backward_weight", x, adjoint.given, options=adjoint.op.options)
    if len(adjoint.op.inputs) == 3:
        adjoint.make(2, "reduce", adjoint.given)


@kind(
    "conv2d",
    (2, 3),
    ("stride", "pad", "dilation", "groups"),
    row_dims=_convolved_whole,
    loops=_convolved,
    backward=_conv_backward,
)
def conv2d(call: Call) -> Sequence[Kernel]:
    """x[N,C,H,W] with w[K,C/groups,R,S] -> y[N,K,P,Q], optional bias[K]; see the module for positions and FLOPs."""
    x, w, y = call.inputs[0].sizes, call.inputs[1].sizes, call.output.sizes
    if not len(x) == len(w) == len(y) == 4:
        raise ShapeError("conv2d takes x[N,C,H,W] and w[K,C/groups,R,S] and makes y[N,K,P,Q]")
    groups, stride = _groups(call), call.options.get("stride", _ONE)
    windows = _windows(call, (w[2], w[3]), stride)
    if len(call.inputs) == 3 and call.inputs[2].sizes != (w[0],):
        raise ShapeError(f"the bias has one element per channel of the output, [{w[0]}]", "in2")
    contraction = Contraction(groups, y[0] * y[2] * y[3], w[0] // groups, w[1] * w[2] * w[3])
    return [contract(call, contraction, windows.covered(call.output))]


def _pooled(_op: Op) -> Loops:
    """The loops of a pooling by place."""
    return ["NCHW", "NCPQ"]


def _pooled_whole(_op: Op) -> Sequence[str]:
    """Windows reach over the edges of a shard."""
    return "HW"


def _pool(call: Call, mean: bool) -> list[Kernel]:
    x, y = call.inputs[0], call.output
    if not len(x.sizes) == len(y.sizes) == 4:
        raise ShapeError(f"{call.op.kind} takes x[N,C,H,W] and makes y[N,C,P,Q]")
    window = call.options.get("window")
    if window is None:
        raise ShapeError(f"{call.op.kind} needs window=, its rows and columns, as in window=3 or window=[3, 2]")
    stride = call.options.get("stride", window)
    covered = _windows(call, window, stride).covered(y)
    taken = window[0] * window[1]
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in (x, y))
    return [
        call.kernel(
            reads=(replace(x.access, nbytes=x.nbytes * covered),),
            vector_flops=float(y.elements * (taken if mean else taken - 1)),
            vector_dtype=call.input_dtype,
            tiling=StreamTiling(max(x.elements, y.elements), live, len(call.reads)),
        )
    ]


def _max_pool_backward(adjoint: Adjoint) -> None:
    """The gradient goes to the largest element of each window, found again in x, or by what the pooling kept of where."""
    known, y, options = adjoint.op.inputs[0], adjoint.op.output, window_options(adjoint.op)
    if adjoint.op.option(INDICES) == "true":
        known = adjoint.emit("side", (y,), replace(y, dtype="int64"), [("of", INDICES)])
        options.append((INDICES, "true"))
    adjoint.make(0, "max_pool2d_backward", known, adjoint.given, options=options)


def _avg_pool_backward(adjoint: Adjoint) -> None:
    adjoint.make(0, "avg_pool2d_backward", adjoint.given, options=window_options(adjoint.op))


def window_options(op: Op) -> list[tuple[str, str]]:
    """What an op says of its windows; a pooling without a stride has that of its window."""
    told = [(key, raw) for key, raw in op.options if key in ("window", "stride", "pad", "dilation")]
    return told if op.option("stride") else [*told, ("stride", op.option("window") or "")]


@kind(
    "max_pool2d",
    (1, 1),
    ("window", "stride", "pad", "dilation", "indices"),
    row_dims=_pooled_whole,
    loops=_pooled,
    backward=_max_pool_backward,
)
def max_pool2d(call: Call) -> Sequence[Kernel]:
    """The largest element of each window. `window=` is needed; `stride=` is the window unless said. `indices=true` writes
    where it was found beside it, int64 as PyTorch does, for the backward pass."""
    (kernel,) = _pool(call, mean=False)
    if not call.options.get("indices", False):
        return [kernel]
    where = Access(beside(call.op.name, INDICES), call.output.elements * DTYPE_BYTES["int64"], item_bytes=8.0)
    return [replace(kernel, writes=(*kernel.writes, where))]


@kind(
    "avg_pool2d",
    (1, 1),
    ("window", "stride", "pad"),
    row_dims=_pooled_whole,
    loops=_pooled,
    backward=_avg_pool_backward,
)
def avg_pool2d(call: Call) -> Sequence[Kernel]:
    """The mean of each window. `window=` is needed; `stride=` is the window unless said."""
    return _pool(call, mean=True)
