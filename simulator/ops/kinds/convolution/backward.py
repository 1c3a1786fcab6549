"""Gradients of convolution and pooling: one kind for each tensor that has one.

conv2d_backward_input: dy[N,K,P,Q] and w[K,C/groups,R,S] make dx[N,C,H,W]; conv2d_backward_weight: x and dy make dw. Each is
as many FLOPs as the convolution, 2 N K P Q (C/groups) R S: every product of the forward pass has one in either.
max_pool2d_backward: x and dy make dx: R S - 1 comparisons an element of dy to find the place of the largest again, and an
addition; or where that was, if the pooling kept it, and dy. avg_pool2d_backward: dy makes dx, R S additions an element of
dy.
Options are those of the forward op. Bytes: every input once, the output once.
Assumes: rows and columns stand whole on a chip; gradients of images that are cut over chips are not exchanged.
Source: Dumoulin & Visin 2016; PyTorch's convolution_backward, max_pool2d_with_indices_backward.
"""

from __future__ import annotations

from collections.abc import Sequence

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op
from simulator.ops.kernel import Contraction, Kernel
from simulator.ops.kinds.convolution.forward import Pair, windows_over
from simulator.ops.kinds.matmul import contract
from simulator.ops.loops import Loops
from simulator.ops.registry import Call, Shaped, ShapeError, kind
from simulator.ops.tiling import StreamTiling

_CONV_OPTIONS = ("stride", "pad", "dilation", "groups")
_POOL_OPTIONS = ("window", "stride", "pad", "dilation")


def _grouped(op: Op) -> bool:
    return (op.option("groups") or "1") != "1"


def _input_loops(op: Op) -> Loops:
    """Channels of both images are one loop where there are groups: a chip has whole groups."""
    return ["NGPQ", "GcRS", "NGHW"] if _grouped(op) else ["NKPQ", "KCRS", "NCHW"]


def _weight_loops(op: Op) -> Loops:
    return ["NGHW", "NGPQ", "GcRS"] if _grouped(op) else ["NCHW", "NKPQ", "KCRS"]


def _whole(_op: Op) -> Sequence[str]:
    """Windows reach over the edges of a shard."""
    return "HWPQRSc"


def _fits(call: Call, x: Shaped, w: Pair, dy: Shaped, stride: Pair) -> None:
    """Raise ShapeError unless dy has an element for every window over x, and images are whole on the chip."""
    if len(x.sizes) != 4 or len(dy.sizes) != 4:
        raise ShapeError(f"{call.op.kind} takes images [N,C,H,W]")
    places = windows_over(call, x.whole, w, stride).places
    if places != dy.whole[2:]:
        shown, said = (",".join(map(str, each)) for each in (places, dy.whole[2:]))
        raise ShapeError(f"windows over {x.name} have {shown} places, {dy.name} has {said}")
    if x.sizes[2:] != x.whole[2:]:
        raise ShapeError(f"{call.op.kind} needs images whole on each chip", "out")


def _contracted(call: Call, x: Shaped, w: Shaped, dy: Shaped) -> tuple[int, int, int, int]:
    """Groups, positions, channels out of a group, and products of a position on one chip."""
    if len(w.sizes) != 4:
        raise ShapeError(f"{call.op.kind} has weights [K,C/groups,R,S]")
    _fits(call, x, (w.whole[2], w.whole[3]), dy, call.options.get("stride", (1, 1)))
    groups = call.options.get("groups", 1)
    if x.whole[1] != groups * w.whole[1] or w.whole[0] != dy.whole[1] or w.whole[0] % groups:
        raise ShapeError(f"{x.whole[1]} channels in and {dy.whole[1]} out are not those of {w.tensor.type_text}")
    here = max(1, x.sizes[1] // w.sizes[1]) if groups > 1 else 1
    return here, dy.sizes[0] * dy.sizes[2] * dy.sizes[3], dy.sizes[1] // here, w.sizes[1] * w.sizes[2] * w.sizes[3]


@kind("conv2d_backward_input", (2, 2), _CONV_OPTIONS, partial="one", row_dims=_whole, loops=_input_loops)
def conv2d_backward_input(call: Call) -> Sequence[Kernel]:
    """dy[N,K,P,Q] and w[K,C/groups,R,S] make dx[N,C,H,W]; see the module for FLOPs."""
    dy, w = call.inputs
    groups, places, channels, products = _contracted(call, call.output, w, dy)
    return [contract(call, Contraction(groups, places, products, channels))]


@kind("conv2d_backward_weight", (2, 2), _CONV_OPTIONS, partial="one", row_dims=_whole, loops=_weight_loops)
def conv2d_backward_weight(call: Call) -> Sequence[Kernel]:
    """x[N,C,H,W] and dy[N,K,P,Q] make dw[K,C/groups,R,S]; see the module for FLOPs."""
    x, dy = call.inputs
    groups, places, channels, products = _contracted(call, x, call.output, dy)
    return [contract(call, Contraction(groups, products, channels, places))]


def _pool_loops(op: Op) -> Loops:
    """The image before, or where its largest elements were, which lies as dy does; dy and dx."""
    return ["NCPQ" if _knows(op) else "NCHW", "NCPQ", "NCHW"]


def _knows(op: Op) -> bool:
    return op.option("indices") == "true"


def _pooled_back(call: Call, flops: int) -> list[Kernel]:
    """A kernel that makes dx, with so many FLOPs an element of dy."""
    dy, window = call.inputs[-1], call.options.get("window")
    if window is None:
        raise ShapeError(f"{call.op.kind} needs window=, its rows and columns")
    _fits(call, call.output, window, dy, call.options.get("stride", window))
    live = sum(DTYPE_BYTES[shaped.dtype] for shaped in (*call.inputs, call.output))
    return [
        call.kernel(
            vector_flops=float(dy.elements * flops),
            vector_dtype=dy.dtype,
            tiling=StreamTiling(call.output.elements, live, len(call.reads)),
        )
    ]


def _taken(call: Call) -> int:
    window: Pair = call.options.get("window", (1, 1))
    return window[0] * window[1]


@kind("max_pool2d_backward", (2, 2), (*_POOL_OPTIONS, "indices"), row_dims=_whole, loops=_pool_loops)
def max_pool2d_backward(call: Call) -> Sequence[Kernel]:
    """x and dy make dx: the place of the largest element is found again; `indices=true`: where it was, and dy."""
    return _pooled_back(call, 1 if call.options.get("indices", False) else _taken(call))


@kind("avg_pool2d_backward", (1, 1), _POOL_OPTIONS, row_dims=_whole, loops=lambda _op: ["NCPQ", "NCHW"])
def avg_pool2d_backward(call: Call) -> Sequence[Kernel]:
    """dy makes dx: each element goes to all of its window."""
    return _pooled_back(call, _taken(call))
