"""What a measured operator is in the words of a workload: one table, by suite and name.

A line may use `{t}` for the row's dtype; sizes come from the row's params. An operator that PyTorch carries out at once and
that is several ops here (the gradient of a norm and of its weights) has several lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from hw.input import shown
from scenarios.validation.rows import Row, of_params
from simulator import OpGraph, parse_graph

Sizes = Callable[[Mapping[str, Any]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Operator:
    """The ops of a measured operator, the sizes of their dims, and which ops are one kernel."""

    lines: Sequence[str]
    sizes: Sizes
    fuse: Sequence[Sequence[str]] = ()


def _given(**names: str) -> Sizes:
    """Dims that are params under other names."""
    return lambda params: {dim: int(params[name]) for dim, name in names.items()}


_ROWS, _N = _given(R="rows", C="cols"), _given(N="n")
_TOKENS = _given(T="tokens", V="vocab")
_TABLE = _given(T="tokens", V="vocab", D="d")
_HEADS = _given(B="b", H="h", S="s", D="d")
_PARAMETERS = _given(N="params")


def _stream(params: Mapping[str, Any]) -> Mapping[str, int]:
    return {"N": int(params["mib"] * 2**20 / 2)}


def _decode(params: Mapping[str, Any]) -> Mapping[str, int]:
    return {"B": params["b"], "K": 8, "G": 4, "S": params["s"], "D": 128}


def _block(params: Mapping[str, Any]) -> Mapping[str, int]:
    return {"B": params["b"], "S": params["s"], "D": 4096, "H": 32, "K": 8, "E": 128, "F": 14336}


def _matmul(params: Mapping[str, Any]) -> Mapping[str, int]:
    return {"B": params.get("b", 1), "M": params["m"], "N": params["n"], "K": params["k"]}


def _experts(params: Mapping[str, Any]) -> Mapping[str, int]:
    experts = params.get("experts", 8)
    slots = params["tokens"] * params["top"] // experts
    sizes = {"T": params["tokens"], "D": params["d"], "E": experts, "K": params["top"], "C": slots}
    return {**sizes, "F": params.get("ff", 1)}


def _layer(params: Mapping[str, Any]) -> Mapping[str, int]:
    return {"M": params["m"], "K": 4096, "N": 16384}


def _beside(side: int, nbytes: int) -> Sizes:
    """A square matmul, and a copy of so many bytes in bf16 at scale 1."""
    return lambda params: {"M": side, "N": int(nbytes * params["scale"] / 2)}


def _image(params: Mapping[str, Any]) -> Mapping[str, int]:
    side = params["hw"]
    return {"B": params["b"], "C": params["c"], "H": side, "W": side, "P": side // 2, "Q": side // 2}


_X, _QKV = "x:bf16[R,C]", "q:bf16[B,H,S,D], k:bf16[B,H,S,D], v:bf16[B,H,S,D]"
_WEIGHT = "dw:bf16[C] = norm_weight_backward(x, dy)"
_SQUARE = "y:bf16[M,M] = matmul(x:bf16[M,M], w:bf16[M,M])"
_COPY, _FROM_HOST = (f"c:bf16[N] = copy(s:bf16[N]{where}, queue=side)" for where in ("", "@host"))
_STREAMS = {"hbm": (_COPY, _beside(8192, 2**31)), "h2d": (_FROM_HOST, _beside(8192, 2**28))}
"""Two streams: a matmul in one, a copy in the other."""

_ACROSS = 2**28
"""Elements of bf16 that go between a GPU and its host in one copy."""

_LINEAR = ["m:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", "y:bf16[M,N] = add(m, b:bf16[N])", "z:bf16[M,N] = gelu(y)"]
"""A linear layer and a GELU. PyTorch's matmul adds the bias; its compiler has the bias added by the GELU's kernel."""

_STATES = "w:{t}[N], g:{t}[N], m:{t}[N]"

OPERATORS: Mapping[tuple[str, str], Operator] = {
    ("stream", "copy"): Operator(["y:bf16[N] = copy(x:bf16[N])"], _stream),
    ("stream", "scale"): Operator(["y:bf16[N] = scale(x:bf16[N])"], _stream),
    ("stream", "add"): Operator(["y:bf16[N] = add(x:bf16[N], z:bf16[N])"], _stream),
    ("stream", "sum"): Operator(["y:bf16[] = reduce(x:bf16[N])"], _stream),
    ("stream", "h2d"): Operator(["y:bf16[N] = copy(x:bf16[N]@host)"], lambda _: {"N": _ACROSS}),
    ("stream", "d2h"): Operator(["y:bf16[N]@host = copy(x:bf16[N])"], lambda _: {"N": _ACROSS}),
    ("attention", "flash_fwd_full"): Operator([f"o:bf16[B,H,S,D] = attention({_QKV})"], _HEADS),
    ("attention", "flash_fwd_causal"): Operator([f"o:bf16[B,H,S,D] = attention({_QKV}, causal=true)"], _HEADS),
    ("attention", "naive_fwd"): Operator([f"o:bf16[B,H,S,D] = attention({_QKV}, kind=standard)"], _HEADS),
    ("attention", "flash_bwd_causal"): Operator(
        [f"g:bf16[B,H,S,D] = attention_backward({_QKV}, o:bf16[B,H,S,D], d:bf16[B,H,S,D], causal=true)"], _HEADS
    ),
    ("attention", "decode_gqa"): Operator(
        ["o:bf16[B,K,G,1,D] = attention(q:bf16[B,K,G,1,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D])"], _decode
    ),
    ("block", "llama8b_layer_fwd"): Operator(
        [
            "n:bf16[B,S,D] = rms_norm(x:bf16[B,S,D], g:bf16[D])",
            "q:bf16[B,H,S,E] = matmul(n, wq:bf16[D,H,E])",
            "k:bf16[B,K,S,E] = matmul(n, wk:bf16[D,K,E])",
            "v:bf16[B,K,S,E] = matmul(n, wv:bf16[D,K,E])",
            "a:bf16[B,H,S,E] = attention(q, k, v, causal=true)",
            "o:bf16[B,S,D] = matmul(a, wo:bf16[H,E,D])",
            "h:bf16[B,S,D] = add(x, o)",
            "m:bf16[B,S,D] = rms_norm(h, g)",
            "u:bf16[B,S,F] = matmul(m, wg:bf16[D,F])",
            "t:bf16[B,S,F] = matmul(m, wu:bf16[D,F])",
            "s:bf16[B,S,F] = swiglu(u, t)",
            "d:bf16[B,S,D] = matmul(s, wd:bf16[F,D])",
            "y:bf16[B,S,D] = add(h, d)",
        ],
        _block,
    ),
    ("norm", "rms_norm_fwd"): Operator([f"y:bf16[R,C] = rms_norm({_X}, w:bf16[C])"], _ROWS),
    ("norm", "rms_norm_bwd"): Operator(
        [f"dx:bf16[R,C] = rms_norm_backward({_X}, w:bf16[C], dy:bf16[R,C])", _WEIGHT], _ROWS
    ),
    ("norm", "layer_norm_fwd"): Operator([f"y:bf16[R,C] = layer_norm({_X}, w:bf16[C], b:bf16[C])"], _ROWS),
    ("norm", "layer_norm_bwd"): Operator(
        [f"dx:bf16[R,C] = layer_norm_backward({_X}, w:bf16[C], dy:bf16[R,C])", _WEIGHT, "db:bf16[C] = reduce(dy)"],
        _ROWS,
    ),
    ("norm", "softmax_fwd"): Operator([f"y:bf16[R,C] = softmax({_X})"], _ROWS),
    ("norm", "softmax_bwd"): Operator(["d:bf16[R,C] = softmax_backward(y:bf16[R,C], dy:bf16[R,C])"], _ROWS),
    ("fusion", "softmax"): Operator([f"y:bf16[R,C] = softmax({_X})"], _ROWS),
    ("fusion", "layer_norm"): Operator([f"y:bf16[R,C] = layer_norm({_X}, w:bf16[C])"], _ROWS),
    ("fusion", "gemm_gelu_unfused"): Operator(_LINEAR, _layer, [["m", "y"]]),
    ("fusion", "gemm_gelu_compiled"): Operator(_LINEAR, _layer, [["y", "z"]]),
    ("act", "gelu_fwd"): Operator([f"y:bf16[R,C] = gelu({_X})"], _ROWS),
    ("act", "gelu_bwd"): Operator([f"d:bf16[R,C] = gelu_backward({_X}, dy:bf16[R,C])"], _ROWS),
    ("act", "silu_mul_fwd"): Operator([f"y:bf16[R,C] = swiglu({_X}, u:bf16[R,C])"], _ROWS),
    ("act", "silu_mul_bwd"): Operator([f"d:bf16[R,C] = swiglu_backward({_X}, u:bf16[R,C], dy:bf16[R,C])"], _ROWS),
    ("act", "add_fwd"): Operator([f"y:bf16[R,C] = add({_X}, u:bf16[R,C])"], _ROWS),
    ("loss", "cross_entropy_fwd"): Operator(["l:fp32[T] = cross_entropy(z:fp32[T,V], y:int32[T])"], _TOKENS),
    ("loss", "cross_entropy_bwd"): Operator(["d:fp32[T,V] = cross_entropy_backward(z:fp32[T,V], y:int32[T])"], _TOKENS),
    ("loss", "cast_bf16_fp32"): Operator(["y:fp32[T,V] = cast(z:bf16[T,V])"], _TOKENS),
    ("optimizer", "adamw_fused"): Operator([f"n:{{t}}[N] = adamw({_STATES}, v:{{t}}[N])"], _PARAMETERS),
    ("optimizer", "sgd_momentum_fused"): Operator([f"n:{{t}}[N] = sgd({_STATES})"], _PARAMETERS),
    ("memory", "cast_bf16_fp32"): Operator(["y:fp32[N] = cast(x:bf16[N])"], _N),
    ("memory", "dropout"): Operator(["y:bf16[N] = dropout(x:bf16[N])"], _N),
    ("memory", "embedding_fwd"): Operator(["y:bf16[T,D] = embedding(w:bf16[V,D], i:int32[T])"], _TABLE),
    ("memory", "embedding_bwd"): Operator(["d:bf16[V,D] = embedding_backward(i:int32[T], y:bf16[T,D])"], _TABLE),
    ("memory", "rope_eager"): Operator(["y:bf16[B,S,H,D] = rope(x:bf16[B,S,H,D])"], _HEADS),
    ("moe", "grouped_mm"): Operator(["y:bf16[E,C,F] = matmul(x:bf16[E,C,D], w:bf16[E,D,F])"], _experts),
    ("moe", "router"): Operator(
        [
            "s:bf16[T,E] = matmul(y:bf16[T,D], g:bf16[D,E])",
            "c:fp32[T,E] = cast(s)",
            "p:fp32[T,E] = softmax(c)",
            "r:fp32[T,K] = route(p)",
        ],
        _experts,
    ),
    ("moe", "dispatch_gather"): Operator(["e:bf16[E,C,D] = dispatch(x:bf16[T,D], r:int32[T,K])"], _experts),
    ("moe", "combine_scatter_add"): Operator(["y:bf16[T,D] = combine(e:bf16[E,C,D], r:bf16[T,K])"], _experts),
    ("conv", "batch_norm_train_fwd"): Operator(
        ["y:bf16[B,C,H,W] = batch_norm(x:bf16[B,C,H,W], g:fp32[C], b:fp32[C], train=true)"], _image
    ),
    ("conv", "batch_norm_train_bwd"): Operator(
        ["d:bf16[B,C,H,W] = batch_norm_backward(x:bf16[B,C,H,W], g:fp32[C], y:bf16[B,C,H,W])"], _image
    ),
    ("conv", "relu_fwd"): Operator(["y:bf16[B,C,H,W] = relu(x:bf16[B,C,H,W])"], _image),
    ("conv", "max_pool_fwd"): Operator(
        ["y:bf16[B,C,P,Q] = max_pool2d(x:bf16[B,C,H,W], window=3, stride=2, pad=1)"], _image
    ),
    **{("overlap", f"{name}_gemm_alone"): Operator([_SQUARE], sizes) for name, (_, sizes) in _STREAMS.items()},
    **{("overlap", f"{name}_copy_alone"): Operator([copy], sizes) for name, (copy, sizes) in _STREAMS.items()},
    **{("overlap", f"{name}_both"): Operator([_SQUARE, copy], sizes) for name, (copy, sizes) in _STREAMS.items()},
}


@of_params
def operator_graph(row: Row) -> OpGraph | None:
    """The workload of a measured operator; None for one that is not known."""
    if row.suite == "matmul":
        out, batch = ("bf16" if row.dtype == "fp8" else row.dtype), "B," if "b" in row.params else ""
        line = f"y:{out}[{batch}M,N] = matmul(x:{row.dtype}[{batch}M,K], w:{row.dtype}[{batch}K,N])"
        sizes = _matmul(row.params)
        return _graph([line], {name: size for name, size in sizes.items() if batch or name != "B"})
    if row.suite == "conv" and row.name.startswith("conv2d_"):
        return _convolution(row.params, row.name == "conv2d_bwd")
    if row.suite == "fusion" and row.name in _CHAINS:
        return _chain(row.params, fused=_CHAINS[row.name])
    found = OPERATORS.get((row.suite, row.name))
    if found is None:
        return None
    graph = _graph([line.replace("{t}", row.dtype) for line in found.lines], dict(found.sizes(row.params)))
    return replace(graph, fuse=found.fuse) if found.fuse else graph


_CHAINS = {"unfused": False, "fused": True}
"""Whether a compiler made one kernel of a chain of element-wise links."""


def _chain(params: Mapping[str, Any], fused: bool) -> OpGraph:
    """So many element-wise links one behind the other: every second one is a product and a sum, the others cut off below."""
    lines, last = list[str](), "x0:bf16[N]"
    for link in range(params["k"]):
        for kind in ("scale", "scale") if link % 2 else ("relu",):
            made = f"x{len(lines) + 1}"
            lines.append(f"{made}:bf16[N] = {kind}({last})")
            last = made
    graph = _graph(lines, {"N": params["n"]})
    names = [op.name for op in graph.every_op()]
    return replace(graph, fuse=[names]) if fused and len(names) > 1 else graph


def _graph(lines: Sequence[str], sizes: Mapping[str, Any]) -> OpGraph:
    """Lines with sizes that a measurement may have. Raises ValueError, SpecError."""
    for name, size in sizes.items():
        if not isinstance(size, int) or size < 1:
            raise ValueError(f"the size of {name} is {shown(size)}, and no whole number of 1 or more")
    return parse_graph(lines, dict(sizes))


def _convolution(params: Mapping[str, Any], backward: bool) -> OpGraph:
    side, made, window = params["hw"], params["hw"] // params["stride"], params["kernel"]
    how = f"stride={params['stride']}, pad={window // 2}"
    x, w, y = "x:bf16[N,C,H,W]", "w:bf16[K,C,R,S]", "y:bf16[N,K,P,Q]"
    forward = [f"{y} = conv2d({x}, {w}, {how})"]
    gradients = [
        f"dx:bf16[N,C,H,W] = conv2d_backward_input({y}, {w}, {how})",
        f"dw:bf16[K,C,R,S] = conv2d_backward_weight({x}, y, {how})",
    ]
    sizes = {"N": params["b"], "C": params["cin"], "K": params["cout"], "R": window, "S": window}
    return _graph(gradients if backward else forward, {**sizes, "H": side, "W": side, "P": made, "Q": made})
