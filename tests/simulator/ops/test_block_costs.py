"""What attention and a whole block cost, against figures that are printed, and a block's as a sum written out here.

Source: "How to Scale Your Model", chapter on transformers; Dao et al. 2022; Llama 3 model card and weight index.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import System
from simulator import RunOptions, parse_graph
from tests.support.strategies import chip_with, kernels_of, run, show_error

FULL = RunOptions(overlap="full")

# Attention, published: T = 2048, d = 128, 32 heads, bf16, A100 at 312e12 FLOP/s and 2.0e12 B/s

A100 = System(chip_with("a100_80gb_sxm", {"hbm.bandwidth": 2.0e12}))
QKV = "q:bf16[H,T,D], k:bf16[H,T,D], v:bf16[H,T,D]"


@pytest.mark.parametrize(
    ("kind", "time_s"),
    [
        ("standard", 32 * (4 * 2048 * 128 + 4 * 2048**2) * 2 / 2.0e12),  # three kernels, all bound by memory
        ("flash", 32 * 4 * 2048**2 * 128 / 312e12),  # bound by the matrix unit
        ("linear", 32 * 4 * 2048 * 128 * 2 / 2.0e12),  # bound by memory
    ],
)
def test_attention_takes_570_or_220_or_34_us(kind: str, time_s: float) -> None:
    printed = {"standard": 570.43e-6, "flash": 220.25e-6, "linear": 33.55e-6}[kind]
    got = run([f"o:bf16[H,T,D] = attention({QKV}, kind={kind})"], {"H": 32, "T": 2048, "D": 128}, A100, FULL).time_s
    print(show_error(f"{kind} attention, s", got, printed))
    assert got == pytest.approx(time_s, rel=1e-7)
    assert got == pytest.approx(printed, rel=2e-4)


@given(st.integers(1, 12), st.integers(0, 12))
def test_a_causal_mask_leaves_the_pairs_of_a_query_with_the_keys_up_to_it(queries: int, earlier: int) -> None:
    """The queries are the last of the keys. Flash skips the masked pairs; standard computes all and masks."""
    keys = queries + earlier
    pairs = sum(1 for q in range(queries) for k in range(keys) if k <= q + earlier)
    line = "o:bf16[H,Q,D] = attention(q:bf16[H,Q,D], k:bf16[H,S,D], v:bf16[H,S,D], causal=true, kind={})"
    sizes: dict[str, Any] = {"H": 3, "D": 8, "Q": queries, "S": keys}
    (flash,) = kernels_of(line.format("flash"), **sizes)
    assert flash.matrix_flops == pytest.approx(3 * pairs * 4 * 8)
    assert flash.vector_flops == pytest.approx(3 * pairs * 5)
    standard = kernels_of(line.format("standard"), **sizes)
    assert sum(kernel.matrix_flops for kernel in standard) == 3 * queries * keys * 4 * 8


# A GQA block: Llama-3-8B

LLAMA: dict[str, Any] = {"B": 2, "T": 1024, "D": 4096, "H": 32, "G": 8, "K": 128, "F": 14336, "V": 128256}
BLOCK = [
    "a:bf16[B,T,D] = rms_norm(x, ga:bf16[D])",
    "q:bf16[B,H,T,K] = matmul(a, wq:bf16[D,H,K])",
    "k:bf16[B,G,T,K] = matmul(a, wk:bf16[D,G,K])",
    "v:bf16[B,G,T,K] = matmul(a, wv:bf16[D,G,K])",
    "o:bf16[B,H,T,K] = attention(q, k, v)",
    "p:bf16[B,T,D] = matmul(o, wo:bf16[H,K,D])",
    "r:bf16[B,T,D] = add(x, p)",
    "n:bf16[B,T,D] = rms_norm(r, gn:bf16[D])",
    "g:bf16[B,T,F] = matmul(n, wg:bf16[D,F])",
    "u:bf16[B,T,F] = matmul(n, wu:bf16[D,F])",
    "s:bf16[B,T,F] = swiglu(g, u)",
    "d:bf16[B,T,D] = matmul(s, wd:bf16[F,D])",
    "y:bf16[B,T,D] = add(r, d)",
]
MODEL = [
    "x:bf16[B,T,D] = embedding(we:bf16[V,D], ids:int32[B,T])",
    {"repeat": 32, "carry": {"x": "y"}, "ops": BLOCK},
    "f:bf16[B,T,D] = rms_norm(y, gf:bf16[D])",
    "l:bf16[B,T,V] = matmul(f, wl:bf16[V,D])",
]


def test_a_gqa_block_costs_the_sum_of_its_parts() -> None:
    n = 2 * 1024  # tokens
    x, kv, wide = n * 4096, n * 1024, n * 14336  # elements
    weights = 4096 * (2 * 4096 + 2 * 1024 + 3 * 14336)
    matrix = 2 * n * weights + 2 * 32 * 4 * 1024**2 * 128
    vector = 2 * 4 * x + 5 * 2 * 32 * 1024**2 + 2 * x + 6 * wide
    moved = weights + 2 * (4096 + 2 * x)  # weights, two norms
    moved += x + x + 2 * (x + kv) + (x + 2 * kv + x) + 2 * x  # q, k and v, attention, output projection
    moved += 3 * x + 2 * (x + wide) + 3 * wide + wide + x + 3 * x  # residual, ffn, residual
    kernels = kernels_of("x:bf16[B,T,D] = relu(w:bf16[B,T,D])", *BLOCK, **LLAMA)[1:]
    assert sum(kernel.matrix_flops for kernel in kernels) == matrix
    assert sum(kernel.vector_flops for kernel in kernels) == vector
    assert sum(kernel.hbm_bytes for kernel in kernels) == 2 * moved


def test_llama_3_8b_has_the_parameters_of_its_published_shapes() -> None:
    """8 030 261 248 parameters; the index of the published bf16 weights says total_size 16 060 522 496."""
    flat = parse_graph(MODEL, LLAMA).flat()
    made = {op.name for op in flat}
    weights = {tensor for op in flat for tensor in op.inputs if tensor.name not in made and tensor.dtype == "bf16"}
    total = 0
    for tensor in weights:
        count = 2
        for dim in tensor.dims:
            count *= LLAMA[str(dim.size)]
        total += count
    print(show_error("Llama-3-8B, bytes of parameters", total, 16_060_522_496))
    assert total == 16_060_522_496
    assert len(flat) == 3 + 32 * 13
