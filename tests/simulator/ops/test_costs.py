"""What each op kind costs: FLOPs, HBM bytes and unit, from formulas written out here.

Law: every distinct input is read once and the output written once; contractions run on the matrix unit at 2 FLOP a
multiply-add, everything else on the vector unit. A kind that is registered but has no case here fails a test.
Source: "How to Scale Your Model", chapter on transformers; Dao et al. 2022.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import SpecError
from simulator import KINDS, RunOptions
from tests.support.strategies import kernels_of, many

FULL = RunOptions(overlap="full")
DIMS: dict[str, Any] = {"M": 6, "N": 10, "K": 14, "B": 3, "H": 4, "G": 2, "T": 8, "S": 12, "D": 16, "E": 20, "V": 1000}
PAIR = many("line(2)", {"X": 2})


class Counted:
    """A number that counts the operations done on it, a transcendental as one."""

    done = 0

    def _step(self, *_others: object) -> Counted:
        Counted.done += 1
        return self

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __neg__ = _step


def f(x: Counted, *_more: object) -> Counted:
    """Any function that counts as one."""
    return x._step()


def _silu_backward(x: Counted, s: Counted, dy: Counted) -> Counted:
    return dy * (s * (1.0 + x * (1.0 - s)))


def _gelu_backward(x: Counted, t: Counted, dy: Counted) -> Counted:
    return dy * (0.5 * (1.0 + t) + ((x * 0.5) * (1.0 - t * t)) * (0.8 * (1.0 + 0.12 * (x * x))))


# The element-wise kinds as formulas
FORMULAS: dict[str, Callable[..., Counted]] = {
    "relu": f, "abs": f, "neg": lambda x: -x, "square": lambda x: x * x, "exp": f, "sqrt": f, "tanh": f, "cast": f,
    "scale": lambda x: 3.0 * x,
    "rsqrt": lambda x: 1.0 / f(x),
    "sigmoid": lambda x: 1.0 / (1.0 + f(-x)),
    "silu": lambda x: x * (1.0 / (1.0 + f(-x))),
    "gelu": lambda x: (x / 2.0) * (1.0 + f(0.8 * (x + 0.04 * (x * x * x)))),
    "dropout": lambda x: (x * 1.0) * 1.1,
    "rope": lambda x: x * 0.5 + x * 0.8,
    "add": lambda x, y: x + y, "sub": lambda x, y: x - y, "mul": lambda x, y: x * y, "div": lambda x, y: x / y,
    "max": lambda x, y: f(x, y), "min": lambda x, y: f(x, y),
    "swiglu": lambda x, y: (x * (1.0 / (1.0 + f(-x)))) * y,
    "where": lambda x, y, z: f(x, y, z),
    "clamp": lambda x: f(f(x)),
    "relu_backward": lambda y, dy: f(dy, y),
    "clamp_backward": lambda x, dy: dy * f(x, f(x)),
    "tanh_backward": lambda y, dy: dy * (1.0 - y * y),
    "sigmoid_backward": lambda y, dy: dy * y * (1.0 - y),
    "silu_backward": lambda x, dy: _silu_backward(x, 1.0 / (1.0 + f(-x)), dy),
    "gelu_backward": lambda x, dy: _gelu_backward(x, f(0.8 * (x + 0.04 * (x * x * x))), dy),
}  # fmt: skip

Case = tuple[str, float, float, float]
"""A line, and FLOPs on the matrix unit, FLOPs on the vector unit, and HBM bytes."""


def _elementwise_case(name: str, formula: Callable[..., Counted]) -> Case:
    inputs = formula.__code__.co_argcount
    Counted.done = 0
    formula(*(Counted() for _ in range(inputs)))
    names = ", ".join(f"x{at}:bf16[M,N]" for at in range(inputs))
    return f"y:bf16[M,N] = {name}({names})", 0, Counted.done * 6 * 10, (inputs + 1) * 6 * 10 * 2


CASES: dict[str, list[Case]] = {name: [_elementwise_case(name, formula)] for name, formula in FORMULAS.items()}
CASES["add"] += [
    ("y:bf16[M,N] = add(x:bf16[M,N], b:fp32[N])", 0, 60, 2 * 60 * 2 + 10 * 4),
    ("y:bf16[M,N] = add(x:bf16[M,N], x)", 0, 60, 2 * 60 * 2),
]
CASES |= {
    "elementwise": [
        ("y:bf16[M,N] = elementwise(x:bf16[M,N])", 0, 60, 240),
        ("y:fp32[M,N] = elementwise(x:bf16[M,N], z:int8[M,N], flops=3)", 0, 180, 60 * (2 + 1 + 4)),
    ],
    "matmul": [
        ("y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", 2 * 6 * 10 * 14, 0, (84 + 140 + 60) * 2),
        ("y:bf16[M,N] = matmul(x:bf16[M,K], w:int8[N,K])", 2 * 6 * 10 * 14, 0, 84 * 2 + 140 + 60 * 2),
        ("y:bf16[N,B,M] = matmul(x:bf16[B,M,K], w:bf16[B,K,N])", 3 * 1680, 0, 3 * 284 * 2),
        ("y:fp32[M,N] = matmul(x:bf16[B,M,K], w:bf16[B,K,N])", 3 * 1680, 0, 3 * (84 + 140) * 2 + 60 * 4),
        ("y:bf16[M] = matmul(x:bf16[M,K], v:bf16[K])", 2 * 6 * 14, 0, (84 + 14 + 6) * 2),
        ("y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N], efficiency=30 %)", 1680, 0, (84 + 140 + 60) * 2),
    ],
    "sparse_matmul": [
        ("y:bf16[M,N] = sparse_matmul(a:bf16[M,K], x:bf16[K,N], density=25 %)",
         0, 2 * 21 * 10, 21 * (2 + 4) + 7 * 4 + 140 * 2 + 60 * 2),
        ("y:bf16[M,N] = sparse_matmul(a:bf16[M,K], x:bf16[K,N], density=0.25, access=random)",
         0, 2 * 21 * 10, 21 * (2 + 4) + 7 * 4 + 21 * 32 + 60 * 2),
        ("y:bf16[M,E] = sparse_matmul(a:bf16[M,K], x:bf16[K,E], density=1, access=random, line=64 B, unit=matrix)",
         2 * 84 * 20, 0, 84 * (2 + 4) + 7 * 4 + 84 * 64 + 120 * 2),
    ],
    "aggregate": [
        ("y:bf16[M,D] = aggregate(e:int32[S], h:bf16[N,D])", 0, 12 * 16, 12 * 4 + (10 + 6) * 16 * 2),
        ("y:bf16[M,D] = aggregate(e:int32[S], h:bf16[N,D], w:fp32[S], access=random)",
         0, 2 * 12 * 16, 12 * (4 + 4 + 32) + 6 * 16 * 2),
    ],
    "conv2d": [
        ("y:bf16[2,5,9,9] = conv2d(x:bf16[2,3,9,9], w:bf16[5,3,3,3], pad=1)", 2 * 810 * 27, 0, (486 + 135 + 810) * 2),
        ("y:bf16[2,5,4,4] = conv2d(x:bf16[2,3,9,9], w:bf16[5,3,3,3], b:bf16[5], stride=2)",
         2 * 160 * 27, 0, (486 + 135 + 5 + 160) * 2),
        ("y:bf16[2,6,9,9] = conv2d(x:bf16[2,6,9,9], w:bf16[6,1,3,3], pad=1, groups=6)",
         2 * 2 * 6 * 81 * 9, 0, (972 + 54 + 972) * 2),
        ("y:bf16[2,4,4,9] = conv2d(x:bf16[2,6,9,9], w:bf16[4,3,3,3], stride=[2, 1], pad=[0, 2], dilation=[1, 2], groups=2)",
         2 * 2 * 4 * 36 * 27, 0, (972 + 108 + 288) * 2),
    ],
    "max_pool2d": [
        ("y:bf16[2,3,4,4] = max_pool2d(x:bf16[2,3,9,9], window=2)", 0, 96 * 3, (486 + 96) * 2),
        ("y:bf16[2,3,4,4] = max_pool2d(x:bf16[2,3,9,9], window=2, indices=true)", 0, 96 * 3, (486 + 96) * 2 + 96 * 8),
        ("y:bf16[2,3,5,9] = max_pool2d(x:bf16[2,3,9,9], window=[3, 1], stride=[2, 1], pad=[1, 0])", 0, 270 * 2, 756 * 2),
    ],
    "conv2d_backward_input": [
        ("d:bf16[2,3,9,9] = conv2d_backward_input(dy:bf16[2,5,4,4], w:bf16[5,3,3,3], stride=2)",
         2 * 160 * 27, 0, (160 + 135 + 486) * 2),
        ("d:bf16[2,6,9,9] = conv2d_backward_input(dy:bf16[2,6,9,9], w:bf16[6,1,3,3], pad=1, groups=6)",
         2 * 2 * 6 * 81 * 9, 0, (972 + 54 + 972) * 2),
    ],
    "conv2d_backward_weight": [
        ("d:fp32[5,3,3,3] = conv2d_backward_weight(x:bf16[2,3,9,9], dy:bf16[2,5,4,4], stride=2)",
         2 * 160 * 27, 0, (160 + 486) * 2 + 135 * 4),
        ("d:bf16[4,3,3,3] = conv2d_backward_weight(x:bf16[2,6,9,9], dy:bf16[2,4,4,9], stride=[2, 1], pad=[0, 2], "
         "dilation=[1, 2], groups=2)", 2 * 2 * 4 * 36 * 27, 0, (972 + 108 + 288) * 2),
    ],
    "max_pool2d_backward": [
        ("d:bf16[2,3,9,9] = max_pool2d_backward(x:bf16[2,3,9,9], dy:bf16[2,3,4,4], window=2)",
         0, 96 * 4, (486 + 96 + 486) * 2),
        ("d:bf16[2,3,9,9] = max_pool2d_backward(i:int64[2,3,4,4], dy:bf16[2,3,4,4], window=2, indices=true)",
         0, 96, 96 * 10 + 486 * 2),
    ],
    "avg_pool2d_backward": [
        ("d:bf16[2,3,9,9] = avg_pool2d_backward(dy:fp32[2,3,1,1], window=9)", 0, 6 * 81, 486 * 2 + 6 * 4),
    ],
    "batch_norm_backward": [
        ("d:bf16[B,M,N] = batch_norm_backward(x:bf16[B,M,N], g:fp32[M], dy:bf16[B,M,N])",
         0, 9 * 180, 5 * 360 + 3 * 24),
    ],
    "first": [("y:bf16[B,N] = first(x:bf16[B,M,N])", 0, 0, 0)],
    "first_backward": [("d:bf16[B,M,N] = first_backward(dy:bf16[B,N])", 0, 0, 2 * (180 + 30))],
    "avg_pool2d": [("y:fp32[2,3,1,1] = avg_pool2d(x:bf16[2,3,9,9], window=9)", 0, 6 * 81, 486 * 2 + 6 * 4)],
    "append": [("c:bf16[H,S,D] = append(k:bf16[H,T,D], n:fp32[H,4,D])", 0, 0, 4 * 4 * 16 * (4 + 2))],
    "update": [("c:bf16[H,S,D] = update(k:bf16[H,S,D], n:bf16[H,1,D])", 0, 0, 2 * 4 * 16 * 2)],
    "attention": [
        ("o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E])",
         4 * 2 * 8 * 12 * (16 + 20), 5 * 4 * 8 * 12, (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20) * 2),
        ("o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], kind=standard)",
         4 * 2 * 8 * 12 * (16 + 20), 5 * 4 * 8 * 12,
         (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20 + 4 * (4 * 8 * 12)) * 2),
        ("o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], kind=fused_softmax, dropout=true)",
         4 * 2 * 8 * 12 * (16 + 20), (5 + 2) * 4 * 8 * 12,
         (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20 + 6 * (4 * 8 * 12)) * 2),
        # scores and weights by the matmuls, 2 each; between them casts 6 + 6, a scale, a mask and a softmax in fp32 8 each
        ("o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], kind=scripted_softmax)",
         4 * 2 * 8 * 12 * (16 + 20), (5 + 4) * 4 * 8 * 12,
         (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20) * 2 + (2 + 6 + 8 + 8 + 8 + 6 + 2) * (4 * 8 * 12)),
        ("o:bf16[H,T,D] = attention(q:bf16[H,T,D], k:bf16[H,T,D], v:bf16[H,T,D], kind=linear)",
         4 * 4 * 8 * 16 * 16, 0, 4 * 4 * 8 * 16 * 2),
        ("o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], kind=linear)",
         2 * 2 * 12 * 16 * 20 + 4 * 2 * 8 * 16 * 20, 0,
         (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20) * 2),
    ],
    "attention_block": [
        ("o:bf16[H,T,E] = attention_block(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E])",
         4 * 2 * 8 * 12 * (16 + 20), 5 * 4 * 8 * 12, (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20) * 2),
        ("o:bf16[H,T,E] = attention_block(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], before:bf16[H,T,E], share=1/2, "
         "last=true)",
         4 * 2 * 8 * 12 * (16 + 20) / 2, 5 * 4 * 8 * 12 / 2 + 3 * 4 * 8 * 20,
         (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 2 * 4 * 8 * 20) * 2),
        ("o:bf16[H,T,E] = attention_block(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], causal=true)",
         4 * 2 * 68 * (16 + 20), 5 * 4 * 68, (4 * 8 * 16 + 2 * 12 * 16 + 2 * 12 * 20 + 4 * 8 * 20) * 2),
    ],
    "softmax": [("y:bf16[M,N] = softmax(x:bf16[M,N])", 0, 300, 240),
                ("y:bf16[M,N] = softmax(x:bf16[M,N], axis=M)", 0, 300, 240)],
    "layer_norm": [("y:bf16[M,N] = layer_norm(x:bf16[M,N], g:bf16[N], b:bf16[N])", 0, 420, 280)],
    "rms_norm": [("y:bf16[M,N] = rms_norm(x:bf16[M,N], g:bf16[N])", 0, 240, 260)],
    "batch_norm": [
        ("y:bf16[B,M,N] = batch_norm(x:bf16[B,M,N], m:bf16[M], v:bf16[M], g:bf16[M], b:bf16[M])", 0, 360, 720 + 48),
        ("y:bf16[B,M,N] = batch_norm(x:bf16[B,M,N], g:bf16[M], b:bf16[M], train=true)", 0, 900, 3 * 360 + 24),
    ],
    "reduce": [("y:bf16[M] = reduce(x:bf16[M,N])", 0, 54, 132), ("y:bf16[] = reduce(x:bf16[M,N])", 0, 59, 122),
               ("y:bf16[M,1] = reduce(x:bf16[M,N])", 0, 54, 132), ("y:bf16[1] = reduce(x:bf16[M,N])", 0, 59, 122)],
    "dot": [("s:bf16[] = dot(x:bf16[N], y:bf16[N])", 0, 19, 42), ("s:bf16[] = dot(x:bf16[N], x)", 0, 19, 22)],
    "embedding": [("y:bf16[M,D] = embedding(t:bf16[V,D], i:int32[M])", 0, 0, 2 * 6 * 16 * 2 + 6 * 4)],
    "gather": [("y:bf16[M] = gather(x:bf16[V], i:int32[M])", 0, 0, 2 * 6 * 2 + 6 * 4)],
    "copy": [("y:fp32[M,N] = copy(x:bf16[M,N])", 0, 0, 60 * 6), ("y:bf16[M] = copy(x:bf16[M]@host)", 0, 0, 12)],
    "custom": [("y:bf16[M] = custom(flops=1 MFLOP, bytes=3 kB, unit=matrix)", 1e6, 0, 3000),
               ("y:bf16[M] = custom(x:bf16[V], bytes=0)", 0, 0, 0),
               ("y:bf16[M] = custom(x:bf16[V], flops=7, bytes=0)", 0, 7, 0),
               ("y:bf16[M] = custom(x:bf16[V], time=1 us)", 0, 0, 0),
               ("y:bf16[M] = custom(x:bf16[V], time=1 us, delay=2 us)", 0, 0, 0),
               ("y:fp32[M] = custom(x:bf16[V], z:int8[N], flops=7)", 0, 7, 2000 + 10 + 24),
               ("y:bf16[M] = custom(x:bf16[V], x, flops=7 FLOP, time=1 us)", 0, 7, 2000 + 12)],
    "all_reduce": [("y:bf16[M,N] = all_reduce(x:bf16[M,N]{U_X}, over=X)", 0, 0, 240)],
    "all_gather": [("y:bf16[M,N] = all_gather(x:bf16[M_X,N], over=X)", 0, 0, 60 + 120)],
    "reduce_scatter": [("y:bf16[M_X,N] = reduce_scatter(x:bf16[M,N]{U_X}, over=X)", 0, 0, 120 + 60)],
    "broadcast": [("y:bf16[M,N] = broadcast(x:bf16[M,N], over=X, root=1)", 0, 0, 120 + 120)],
    "reduce_to": [("y:bf16[M,N] = reduce_to(x:bf16[M,N]{U_X}, over=X)", 0, 0, 120 + 120)],
    "gather_to": [("y:bf16[M,N] = gather_to(x:bf16[M_X,N], over=X)", 0, 0, 60 + 120)],
    "scatter": [("y:bf16[M_X,N] = scatter(x:bf16[M,N], over=X)", 0, 0, 120 + 60)],
    "permute": [("y:bf16[M,N] = permute(x:bf16[M,N], over=X)", 0, 0, 120 + 120)],
    "all_to_all": [("y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)", 0, 0, 60 + 60)],
    "slice": [("y:bf16[M_X,N] = slice(x:bf16[M,N], over=X)", 0, 0, 0)],
    "view": [("y:bf16[60] = view(x:bf16[M,N])", 0, 0, 0), ("y:bf16[N] = view(x:bf16[M,N])", 0, 0, 0)],
    "part": [("y:bf16[4,N] = part(x:bf16[M,N], axis=M)", 0, 0, 0)],
    "own": [("y:bf16[4,N] = own(x:bf16[M,N])", 0, 0, 0)],
    "own_backward": [("d:bf16[M,N] = own_backward(dy:bf16[4,N])", 0, 0, 2 * (60 + 40))],
    "side": [("y:bf16[M,N] = side(x:bf16[M,N], of=k)", 0, 0, 0)],
    "pack": [("y:bf16[80] = pack(x:bf16[M,N], z:bf16[E])", 0, 0, 0)],
    "concat": [
        ("y:bf16[B,M,26] = concat(a:bf16[B,M,N], b:bf16[M,D])", 0, 0, 2 * (180 + 96 + 3 * 6 * 26)),
        ("y:bf16[7,N] = concat(a:bf16[M,N], b:bf16[N], axis=0)", 0, 0, 2 * (60 + 10 + 70)),
    ],
    "concat_backward": [
        ("d:bf16[B,M,N] = concat_backward(dy:bf16[B,M,26], a:bf16[B,M,N], b:bf16[M,D])",
         0, 3 * 6 * 26 - 180 - 96, 2 * (3 * 6 * 26 + 180 + 96)),
    ],
    "route": [("r:fp32[T,2] = route(s:fp32[T,E])", 0, 6 * 160, 4 * (160 + 16))],
    "route_backward": [("d:fp32[T,E] = route_backward(s:fp32[T,E], r:fp32[T,2])", 0, 4 * 160, 4 * (160 + 16 + 160))],
    "dispatch": [("e:bf16[E,3,D] = dispatch(x:bf16[T,D], r:fp32[T,2])", 0, 0, 2 * 2 * 960 + 64)],
    "combine": [("y:bf16[T,D] = combine(e:bf16[E,3,D], r:fp32[T,2])", 0, 2 * 960, 2 * 960 + 64 + 2 * 128)],
    "combine_backward": [
        ("d:bf16[E,3,D] = combine_backward(e:bf16[E,3,D], r:fp32[T,2], dy:bf16[T,D])", 0, 3 * 960, 3 * 2 * 960 + 2 * 64),
    ],
    "expert_rows": [("r:bf16[E,3,D] = expert_rows(b:bf16[E,D])", 0, 0, 2 * 2 * 960)],
    "expert_rows_backward": [("d:bf16[E,D] = expert_rows_backward(g:bf16[E,3,D])", 0, 960, 2 * 960 + 2 * 320)],
    "expert_bias": [
        ("y:bf16[E,3,D] = expert_bias(x:bf16[E,3,D], b:bf16[E,D])", 0, 2 * 960, 28 * 960 + 2 * 320),
    ],
    "expert_bias_backward": [
        ("d:bf16[E,3,D] = expert_bias_backward(g:bf16[E,3,D], b:bf16[E,D])", 0, 2 * 960, 40 * 960 + 2 * 2 * 320),
    ],
    "swiglu_backward": [("y:bf16[M,N] = swiglu_backward(g:bf16[M,N], u:bf16[M,N], d:bf16[M,N])", 0, 720, 5 * 120)],
    "softmax_backward": [("d:bf16[M,N] = softmax_backward(y:bf16[M,N], dy:bf16[M,N])", 0, 240, 360)],
    "layer_norm_backward": [
        ("d:bf16[M,N] = layer_norm_backward(x:bf16[M,N], g:bf16[N], dy:bf16[M,N])", 0, 660, 360 + 20),
    ],
    "rms_norm_backward": [("d:bf16[M,N] = rms_norm_backward(x:bf16[M,N], g:bf16[N], dy:bf16[M,N])", 0, 420, 360 + 20)],
    "norm_weight_backward": [("d:fp32[N] = norm_weight_backward(x:bf16[M,N], dy:bf16[M,N])", 0, 180, 240 + 40)],
    "attention_backward": [
        ("d:bf16[H,T,D] = attention_backward(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], o:bf16[H,T,E], do:bf16[H,T,E])",
         4 * 2 * 8 * 12 * (3 * 16 + 2 * 20), 5 * 4 * 8 * 12,
         2 * (2 * 4 * 8 * 16 + 2 * 2 * 12 * 16 + 2 * 2 * 12 * 20 + 2 * 4 * 8 * 20)),
        ("d:bf16[H,T,D] = attention_backward(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], o:bf16[H,T,E], do:bf16[H,T,E], "
         "kind=standard)",
         4 * 2 * 8 * 12 * (2 * 16 + 2 * 20), 4 * 4 * 8 * 12,
         2 * (2 * 4 * 8 * 16 + 2 * 2 * 12 * 16 + 2 * 2 * 12 * 20 + 4 * 8 * 20 + 6 * (4 * 8 * 12))),
        # the matmuls move 2 + 2 + 2 of a pair; weights and their gradients are 4 + 4 in fp32, of which 4 are made
        ("d:bf16[H,T,D] = attention_backward(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], o:bf16[H,T,E], do:bf16[H,T,E], "
         "kind=scripted_softmax)",
         4 * 2 * 8 * 12 * (2 * 16 + 2 * 20), (4 + 4) * 4 * 8 * 12,
         2 * (2 * 4 * 8 * 16 + 2 * 2 * 12 * 16 + 2 * 2 * 12 * 20 + 4 * 8 * 20)
         + (2 + 2 + 6 + 12 + 8 + 8 + 6 + 2) * (4 * 8 * 12)),
        ("d:bf16[H,T,D] = attention_backward(q:bf16[H,T,D], k:bf16[H,T,D], v:bf16[H,T,D], o:bf16[H,T,D], do:bf16[H,T,D], "
         "kind=linear)",
         2 * 4 * 4 * 8 * 16 * 16, 0, 8 * 4 * 8 * 16 * 2),
    ],
    "attention_block_backward": [
        ("d:bf16[H,T,D] = attention_block_backward(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], do:bf16[H,T,E], share=1/4)",
         4 * 2 * 8 * 12 * (3 * 16 + 2 * 20) / 4, 5 * 4 * 8 * 12 / 4,
         2 * (2 * 4 * 8 * 16 + 2 * 2 * 12 * 16 + 2 * 2 * 12 * 20 + 4 * 8 * 20)),
        ("d:bf16[H,T,D] = attention_block_backward(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], do:bf16[H,T,E], "
         "o:bf16[H,T,E], causal=true)",
         4 * 2 * 68 * (3 * 16 + 2 * 20), 5 * 4 * 68,
         2 * (2 * 4 * 8 * 16 + 2 * 2 * 12 * 16 + 2 * 2 * 12 * 20 + 2 * 4 * 8 * 20)),
    ],
    "cross_entropy": [
        ("l:fp32[M] = cross_entropy(x:fp32[M,V], i:int32[M])", 0, 5 * 6000, 6000 * 4 + 6 * 4 + 6 * 4),
        ("l:fp32[M] = cross_entropy(x:fp32[M,V], i:int32[M], logprobs=true)", 0, 6, 3 * 6 * 4),
    ],
    "log_softmax": [("y:fp32[M,V] = log_softmax(x:fp32[M,V], s:fp32[M])", 0, 6000, 2 * 6000 * 4 + 6 * 4)],
    "log_softmax_backward": [
        ("d:fp32[M,V] = log_softmax_backward(t:fp32[M,V], y:fp32[M,V], dy:fp32[M,V])", 0, 6000, 2 * 6000 * 4),
    ],
    "cross_entropy_backward": [
        ("d:bf16[M,V] = cross_entropy_backward(x:fp32[M,V], i:int32[M])", 0, 4 * 6000, 6000 * 4 + 6 * 4 + 6000 * 2),
        ("d:bf16[M,V] = cross_entropy_backward(x:fp32[M,V], i:int32[M], logprobs=true)", 0, 6, 6 * 4 + 6000 * 2),
    ],
    "embedding_backward": [
        ("d:bf16[V,D] = embedding_backward(i:int32[M], dy:bf16[M,D])", 0, 96, 6 * 4 + 2 * 96 * 2 + 16000 * 2),
    ],
    "matmul_add": [
        ("s:fp32[M,N] = matmul_add(x:bf16[B,M], y:bf16[B,N], t:fp32[M,N])",
         2 * 3 * 6 * 10, 0, 2 * (3 * 6 + 3 * 10) + 2 * 4 * 6 * 10),
    ],
    "grouped_matmul": [
        ("y:bf16[M,N] = grouped_matmul(x:bf16[M,K], w:bf16[B,K,N])",
         2 * 6 * 10 * 14, 0, 2 * (6 * 14 + 3 * 14 * 10 + 6 * 10)),
        ("y:bf16[M,N] = grouped_matmul(x:bf16[M,K], w:bf16[B,K,N], b:bf16[B,N], met=0.5)",
         2 * 6 * 10 * 14, 6 * 10, 2 * (6 * 14 + 3 * (14 + 1) * 10 / 2 + 6 * 10)),
    ],
    "accumulate": [("s:fp32[N] = accumulate(g:fp32[N], n:bf16[N])", 0, 10, 10 * (4 + 2 + 4))],
    "rescale": [("n:fp32[N] = rescale(g:fp32[N])", 0, 10, 10 * (4 + 4))],
    "adamw": [
        ("n:bf16[N] = adamw(w:bf16[N], g:fp32[N], m:fp32[N], v:fp32[N], p:fp32[N])", 0, 130, 10 * (16 + 2 + 12)),
        ("n:fp32[N] = adamw(w:fp32[N], g:fp32[N], m:fp32[N], v:fp32[N])", 0, 130, 10 * (16 + 12)),
    ],
    "sgd": [
        ("n:fp32[N] = sgd(w:fp32[N], g:fp32[N], m:fp32[N])", 0, 40, 10 * (12 + 8)),
        ("n:bf16[N] = sgd(w:bf16[N], g:bf16[N], m:fp32[N], p:fp32[N])", 0, 40, 10 * (2 + 8 + 2 + 8)),
    ],
    "send": [("s:bf16[M,N] = send(x:bf16[M,N], from=0, to=1)", 0, 0, 120)],
    "recv": [("y:bf16[M,N] = recv(from=0, to=1)", 0, 0, 120)],
}  # fmt: skip


def test_every_registered_kind_has_a_case_and_every_case_a_kind() -> None:
    assert set(CASES) == set(KINDS)


@pytest.mark.parametrize("case", [case for cases in CASES.values() for case in cases], ids=lambda case: str(case[0]))
def test_flops_unit_and_bytes(case: Case) -> None:
    line, matrix, vector, nbytes = case
    kernels = kernels_of(line, system=PAIR, **DIMS)
    assert sum(kernel.matrix_flops for kernel in kernels) == matrix
    assert sum(kernel.vector_flops for kernel in kernels) == vector
    assert sum(kernel.hbm_bytes for kernel in kernels) == nbytes
    assert all(bool(kernel.matrix_dtype) == bool(kernel.matrix_flops) for kernel in kernels)


def test_the_tiles_of_a_kernel_say_how_often_each_of_its_reads_happens() -> None:
    """One figure for each read, those of held tensors of which nothing moves among them."""
    for line, *_ in (case for cases in CASES.values() for case in cases):
        for kernel in kernels_of(line, system=PAIR, **DIMS):
            for tile in kernel.tiling.tiles(1e6, (16, 16)) if kernel.tiling is not None else ():
                assert len(tile.rereads) == len(kernel.reads), line


def test_a_tensor_that_is_all_three_of_q_k_and_v_is_read_once_by_each_kernel() -> None:
    scores, _, context = kernels_of("o:bf16[H,T,D] = attention(x:bf16[H,T,D], x, x, kind=standard)", **DIMS)
    x, square = 4 * 8 * 16 * 2, 4 * 8 * 8 * 2
    assert context.hbm_bytes == square + x + x
    assert scores.hbm_bytes == x + square


# Shapes


@given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3))
def test_conv2d_makes_as_many_positions_as_the_window_has_places(size: int, window: int, stride: int, pad: int) -> None:
    places = len([at for at in range(-pad, size + pad - window + 1) if (at + pad) % stride == 0])
    line = "y:bf16[1,1,{0},{0}] = conv2d(x:bf16[1,1,{1},{1}], w:bf16[1,1,{2},{2}], stride={3}, pad={4})"
    if places:
        (kernel,) = kernels_of(line.format(places, size, window, stride, pad))
        assert kernel.matrix_flops == 2 * places**2 * window**2
    with pytest.raises(SpecError, match="the output is"):
        kernels_of(line.format(places + 1, size, window, stride, pad))


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("y:bf16[1,1,9,9] = conv2d(x:bf16[1,3,9,9], w:bf16[1,4,1,1])", 43, "x has 3 channels, w wants 4"),
        ("y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[D,N])", 15, "dim K is in one input only"),
        ("y:bf16[M,E] = matmul(x:bf16[M,K], w:bf16[K,N])", 1, "dim E of the output is in neither input"),
        ("y:bf16[M,4] = matmul(x:bf16[M,15], w:bf16[K,4])", 36, "dim K = 14 of w is to be the dim of 15 of x"),
        (
            "y:bf16[M,M] = matmul(x:bf16[M,N], w:bf16[K,M])",
            15,
            "neither names nor places say how x:bf16[M,N] and w:bf16[K,M] make bf16[M,M]",
        ),
        ("y:bf16[M,N] = sparse_matmul(x:bf16[M,K], w:bf16[K,N])", 15, "sparse_matmul needs density="),
        (
            "y:bf16[M,N] = sparse_matmul(x:bf16[M,K], w:bf16[K,N], density=2)",
            55,
            "wants a share, more than 0 and at most 1",
        ),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,6,9,9], w:bf16[4,2,1,1], groups=2)", 43, "x has 6 channels in 2 groups"),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,6,9,9], w:bf16[4,2,1,1], groups=4)", 60, "do not make 4 equal groups"),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,6,9,9], w:bf16[4,6,1,1], stride=[1, 2, 3])", 60, "[rows, columns]"),
        ("y:bf16[1,6,9,9] = max_pool2d(x:bf16[1,6,9,9])", 19, "needs window="),
        ("y:bf16[1,6,9,9] = max_pool2d(x:bf16[1,6,9,9], window=3)", 1, "with stride=3 the output is [1,6,3,3]"),
        ("y:bf16[M,S] = append(k:bf16[M,T], n:bf16[M,5])", 1, "append makes cache[..,C,..]"),
        ("y:fp32[M,S] = append(k:bf16[M,T], n:bf16[M,4])", 1, "in place: its output is bf16 in hbm"),
        ("y:bf16[M,T] = update(k:bf16[M,T], n:bf16[M,S])", 1, "update writes a part of a cache"),
        ("y:bf16[M] = copy(x:bf16[M], efficiency=0.5)", 29, "copy does no arithmetic"),
        ("y:bf16[M] = relu(x:bf16[M], efficiency=1.5)", 29, "more than 0 and at most 1"),
        ("y:bf16[M,N] = add(x:bf16[M,N], b:bf16[M,K])", 32, "does not broadcast"),
        ("y:bf16[M,N] = softmax(x:bf16[N,M])", 1, "must have the dims of x"),
        ("y:bf16[M,N] = softmax(x:bf16[M,N], axis=K)", 36, "axis 'K' is not a dim of x"),
        ("y:bf16[N] = reduce(x:bf16[M,K])", 1, "is not bf16[M,K] with some dims summed away"),
        ("s:bf16[] = dot(x:bf16[N], y:bf16[M])", 12, "two vectors of one length"),
        ("y:bf16[M,N] = embedding(t:bf16[V,D], i:int32[M])", 15, "embedding takes table[V,D]"),
        ("y:bf16[M] = copy(x:bf16[N])", 1, "a copy keeps the elements: 10 in, 6 out"),
        ("y:bf16[M] = custom(x:bf16[N])", 13, "needs at least one of flops=, bytes=, time="),
        ("o:bf16[H,T,D] = attention(q:bf16[H,T,D], k:bf16[B,S,D], v:bf16[B,S,D])", 42, "cannot share 3 heads"),
        ("o:bf16[H,S,D] = attention(q:bf16[H,S,D], k:bf16[H,T,D], v:bf16[H,T,D], causal=true)", 72, "than keys"),
        ("y:bf16[M] = relu(x:bf16[M], over=X)", 29, "unknown option of relu 'over'"),
        ("y:bf16[M] = relu(x:bf16[M], tiles=0)", 29, "tiles= wants a whole number from 1"),
        ("y:bf16[M] = relux(x:bf16[M])", 13, "unknown op kind 'relux', did you mean 'relu'?"),
        ("y:bf16[M] = relu(x:bf16[M], z:bf16[M])", 13, "relu takes 1 inputs, not 2"),
        ("y:bf16[M,Q] = relu(x:bf16[M,Q])", 29, "unknown dim 'Q'"),
        ("y:bf16[1,5,9,9] = conv2d(x:bf16[1,3,9,9], w:bf16[5,3,1,1], b:bf16[999])", 60, "b"),
        ("y:bf16[M,N] = layer_norm(x:bf16[M,N], g:bf16[V])", 39, "g"),
        ("y:bf16[M,N] = rms_norm(x:bf16[M,N], g:bf16[V])", 37, "g"),
        ("y:bf16[M,N] = batch_norm(x:bf16[M,N], g:bf16[V])", 39, "g"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_part_of_the_line(line: str, place: int, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        kernels_of(line, **DIMS)
    assert str(caught.value).startswith(f"ops:1:{place}: "), str(caught.value)
    assert words in str(caught.value)


def test_a_kind_is_registered_once() -> None:
    from simulator import kind

    with pytest.raises(ValueError, match="op kind 'matmul' is already registered; known: abs, "):
        kind("matmul", (2, 2))(lambda _call: [])
