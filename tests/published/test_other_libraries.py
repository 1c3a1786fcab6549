"""Operators of TensorRT-LLM as others have measured them, beside what its profile makes of them.

Source: github:ai-dynamo/aiconfigurator 095f58a51 (H100 80 GB HBM3 with TensorRT-LLM 1.3.0rc20, A100 SXM4 80 GB with 1.0.0),
rows that attention was not fitted to; nothing was fitted to matmuls in fp8. These begin with activations in bf16: a place
is cleared, the largest of them found there, all scaled by it (github:NVIDIA/TensorRT-LLM
cpp/tensorrt_llm/common/cudaFp8Utils.cu). Attention has the rotation of queries and keys and the writing of the cache in it.
"""

from __future__ import annotations

import pytest

from hw import System, load_chip
from simulator import RunOptions, parse_graph, simulate

BURST = RunOptions(calibration="measured", clocks="burst")

QUANTISED = [
    "clear:fp32[O] = scale(none:fp32[O])",
    "most:fp32[] = reduce(x:bf16[M,K], after=clear)",
    "a:fp8[M,K] = cast(x, after=most)",
    "y:bf16[M,N] = matmul(a, b:fp8[K,N])",
]

FP8 = ["y:bf16[M,N] = matmul(a:fp8[M,K], b:fp8[K,N])"]

PROMPTS = "a:bf16[B,K,G,S,E] = attention(q:bf16[B,K,G,S,E], k:bf16[B,K,S,E], v:bf16[B,K,S,E], causal=true)"


@pytest.mark.parametrize(
    ("m", "n", "k", "measured_us"),
    [(1, 4096, 4096, 18.5), (16, 8192, 8192, 37.7), (256, 12288, 12288, 83.3), (4096, 8192, 8192, 446.6)],
)
def test_a_matmul_in_fp8_begins_with_scaling_what_it_is_given(m: int, n: int, k: int, measured_us: float) -> None:
    system = System(load_chip("h100_sxm"))
    sizes = {"M": m, "N": n, "K": k, "O": 1}
    whole, alone = (1e6 * simulate(parse_graph(lines, sizes), system, BURST).time_s for lines in (QUANTISED, FP8))
    print(f"{m} x {n} x {k}: measured {measured_us} us, profile {whole:.1f} us, the matmul alone {alone:.1f} us")
    assert abs(whole / measured_us - 1) < 0.2
    assert alone < measured_us


@pytest.mark.parametrize(
    ("gpu", "batch", "tokens", "heads", "of_keys", "measured_us"),
    [
        ("h100", 1, 4096, 8, 8, 132.2),
        ("h100", 8, 10240, 64, 8, 28377.9),
        ("h100", 8, 64, 32, 8, 24.0),
        ("h100", 32, 1024, 16, 16, 646.9),
        ("a100", 2, 512, 64, 8, 139.8),
        ("a100", 4, 6144, 64, 1, 17698.6),
        ("a100", 16, 64, 32, 8, 52.4),
        ("a100", 128, 256, 32, 8, 1464.7),
    ],
)
def test_prompts_in_an_engines_attention(
    gpu: str, batch: int, tokens: int, heads: int, of_keys: int, measured_us: float
) -> None:
    chip, kernels = {
        "h100": ("h100_sxm", "hopper_tensorrt_llm"),
        "a100": ("a100_80gb_sxm", "ampere_tensorrt_llm"),
    }[gpu]
    sizes = {"B": batch, "K": of_keys, "G": heads // of_keys, "S": tokens, "E": 128}
    system = System(load_chip(chip, set={"calibration.measured.kernels": kernels}))
    got_us = 1e6 * simulate(parse_graph([PROMPTS], sizes), system, BURST).time_s
    print(f"{gpu}, {batch} x {tokens}: measured {measured_us} us, profile {got_us:.1f} us")
    assert abs(got_us / measured_us - 1) < 0.25


A5000 = {
    "matrix_unit.cores": 64,
    "matrix_unit.peak": {"fp16": "111.1 TFLOP/s", "bf16": "111.1 TFLOP/s"},
    "vector_unit.peak": {"fp32": "27.77 TFLOP/s"},
    "power": "230 W",
}


TOKEN = "a:bf16[B,K,G,S,E] = attention(q:bf16[B,K,G,S,E], k:bf16[B,K,T,E], {values})"
VALUES = {"h100": "v:bf16[B,K,T,E]", "a100": "k"}
"""The A100's cache was one of keys alone, read as values as well (github:ai-dynamo/aiconfigurator issue 1379)."""


@pytest.mark.parametrize(
    ("gpu", "batch", "context", "heads", "of_keys", "measured_us"),
    [
        ("h100", 256, 2, 64, 64, 164.4),
        ("h100", 64, 2, 32, 8, 24.6),
        ("h100", 256, 2, 64, 8, 82.8),
        ("h100", 64, 1024, 8, 8, 98.9),
        ("h100", 1, 16384, 64, 8, 40.5),
        ("h100", 64, 16384, 8, 1, 194.0),
        ("h100", 256, 256, 64, 1, 416.5),
        ("h100", 1, 4096, 32, 1, 37.1),
        ("h100", 1, 8192, 32, 1, 20.5),
        ("h100", 1, 131072, 8, 8, 263.5),
        ("a100", 256, 2, 64, 64, 269.0),
        ("a100", 64, 2, 32, 8, 38.4),
        ("a100", 64, 256, 64, 8, 54.4),
        ("a100", 256, 1024, 16, 16, 1235.8),
        ("a100", 1, 16384, 64, 8, 52.6),
        ("a100", 8, 131072, 16, 8, 1253.0),
        ("a100", 1, 131072, 8, 8, 447.0),
        ("a100", 1, 65536, 8, 8, 235.0),
    ],
)
def test_a_token_in_an_engines_attention(
    gpu: str, batch: int, context: int, heads: int, of_keys: int, measured_us: float
) -> None:
    """Many short contexts are bound by blocks of heads, others by HBM, 64 heads of the same keys by the on-chip memory.
    32 heads of the same keys take longer along 4,096 of these than along 8,192, from where on the library has them in one
    block; eight heads of one sequence are 112 blocks (136), four more than the cores of an A100 (H100)."""
    chip, kernels = {
        "h100": ("h100_sxm", "hopper_tensorrt_llm"),
        "a100": ("a100_80gb_sxm", "ampere_tensorrt_llm"),
    }[gpu]
    system = System(load_chip(chip, set={"calibration.measured.kernels": kernels}))
    sizes = {"B": batch, "K": of_keys, "G": heads // of_keys, "S": 1, "T": context, "E": 128}
    got_us = 1e6 * simulate(parse_graph([TOKEN.format(values=VALUES[gpu])], sizes), system, BURST).time_s
    print(f"{gpu}, {batch} x {context}: measured {measured_us} us, profile {got_us:.1f} us")
    assert abs(got_us / measured_us - 1) < 0.3


@pytest.mark.parametrize(
    ("chip", "card", "batch", "tokens", "teraflops"),
    [
        ("a100_80gb_sxm", {}, 2, 8192, 179.5),
        ("rtx_a6000", A5000, 16, 1024, 81.02),
        ("rtx_a6000", A5000, 8, 2048, 81.31),
        ("rtx_a6000", A5000, 2, 8192, 81.86),
    ],
)
def test_flash_attention_2_on_two_dies(
    chip: str, card: dict[str, object], batch: int, tokens: int, teraflops: float
) -> None:
    """Forward, no mask, 32 heads of 64 (github:Azure/AI-benchmarking-guide 8fd0c6e1bd; github:gpu-mode/ring-attention issue
    10, an RTX A5000 by its data sheet): what the file was fitted to."""
    system = System(load_chip(chip, set={**card, "calibration.measured.attention_like": "ampere_flash_2"}))
    line = "o:fp16[B,H,S,E] = attention(q:fp16[B,H,S,E], k:fp16[B,H,S,E], v:fp16[B,H,S,E])"
    graph = parse_graph([line], {"B": batch, "H": 32, "S": tokens, "E": 64})
    got = 4 * batch * 32 * tokens**2 * 64 / simulate(graph, system, BURST).time_s / 1e12
    print(f"{chip}, {batch} x {tokens}: measured {teraflops} TFLOP/s, profile {got:.1f}")
    assert abs(got / teraflops - 1) < 0.04


@pytest.mark.parametrize(("head", "padded"), [(40, 64), (80, 96), (104, 128), (96, 96)])
def test_heads_are_padded_to_what_kernels_are_made_for(head: int, padded: int) -> None:
    """Beside what such heads took forward on an A100 (github:DebarghaG/estimate-train-time 1ac4d5e, means of about twenty
    shapes): those of 40 59 % more than the model without padding, of 104 36 %."""
    system = System(load_chip("a100_80gb_sxm"))
    line = "o:fp16[B,H,S,E] = attention(q:fp16[B,H,S,E], k:fp16[B,H,S,E], v:fp16[B,H,S,E], causal=true)"
    sizes = {"B": 8, "H": 32, "S": 4096}
    got, next_one = (
        simulate(parse_graph([line], {**sizes, "E": size}), system, BURST).time_s for size in (head, padded)
    )
    assert (got < next_one) == (head < padded)  # it moves fewer bytes
    assert got == pytest.approx(next_one, rel=0.12)
