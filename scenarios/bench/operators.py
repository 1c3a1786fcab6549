"""Operators that every model is made of: starts of kernels, streams over memory, matmuls, attention, two streams, a block.

Names and params are those that `validate` knows (scenarios.validation.operators).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from scenarios.bench.bench import Bench, Work

_BF16 = 2
_HEAD, _KEY_HEADS = 128, 8
"""Of a token of a decode, and of the block: the width of a head, heads of keys and values."""


def launch(bench: Bench) -> None:
    """Tiny kernels, one behind the other: as fast as the host issues them, and as fast as a graph does."""
    x = bench.torch.zeros(1, device=bench.device)
    for count in (1, 10, 100, 1000):

        def burst(count: int = count) -> None:
            for _ in range(count):
                x.add_(1)

        told = {"kernels": count, "dtype": "fp32", "n": count}
        bench.time("launch", "eager", burst, told, warm=True, spins=False)
        if bench.on_gpu:
            bench.time("launch", "graph", captured(bench, burst), told, warm=True)


def captured(bench: Bench, work: Work) -> Work:
    """The same work as a graph that is replayed."""
    graph = bench.torch.cuda.CUDAGraph()
    with bench.torch.cuda.graph(graph):
        work()
    replay: Work = graph.replay
    return replay


def stream(bench: Bench) -> None:
    """Copies, products, sums and a reduction over more and more memory, flushed and warm; copies from and to the host."""
    torch = bench.torch
    for mib in (0.25,) if bench.dry else (0.25, 1, 4, 16, 32, 64, 256, 1024, 4096):
        count = int(mib * 2**20 / _BF16)
        x, z, out = bench.random(count), bench.random(count), bench.random(count)
        works: tuple[tuple[str, Work, int, int], ...] = (
            ("copy", partial(out.copy_, x), 2, 1),
            ("scale", partial(torch.mul, x, 2.0, out=out), 2, 1),
            ("add", partial(torch.add, x, z, out=out), 3, 1),
            ("sum", x.sum, 1, 2),
        )
        for warm in (False, True):
            for name, work, passes, kernels in works:
                told = {"nbytes": passes * _BF16 * count, "kernels": kernels, "mib": mib}
                bench.time("stream", name, work, told, warm=warm)
    size = 2**10 if bench.dry else 2**29
    near, far = bench.bytes_of(size), bench.bytes_of(size, pinned=True)
    bench.time("stream", "h2d", partial(near.copy_, far, non_blocking=True), {"nbytes": size}, repeats=5)
    bench.time("stream", "d2h", partial(far.copy_, near, non_blocking=True), {"nbytes": size}, repeats=5)


_SQUARES = [(n, n, n) for n in (128, 256, 512, 1024, 2048, 3072, 4096, 6144, 8192, 12288, 16384)]
_WAVES = [(m, 4096, 4096) for m in (*range(256, 4097, 256), 2049, 2176, 4097)]
_FEW_ROWS = [
    (m, n, k) for m in (1, 8, 16, 32, 64, 128, 256, 512) for n, k in ((4096, 4096), (14336, 4096), (8192, 28672))
]
_ODD = [(4096, n, 4096) for n in (10922, 10944, 11008)]
_SHALLOW = [(8192, 8192, k) for k in (64, 128, 256, 512, 1024)]


def matmul(bench: Bench) -> None:
    """Squares, waves, few rows, rows that are not aligned, shallow ones, batches, and other formats."""
    mm = bench.torch.mm
    named = (("square", _SQUARES), ("wave", _WAVES), ("skinny", _FEW_ROWS), ("align", _ODD), ("smallk", _SHALLOW))
    for name, shapes in named:
        for m, n, k in bench.shapes(shapes):
            a, b = bench.random(m, k), bench.random(n, k).t()  # activations by rows, times the weight of a Linear
            bench.time("matmul", name, partial(mm, a, b), _sizes(m, n, k, _BF16))
    for dtype, word in (("float16", "fp16"), ("float32", "tf32")):
        for (n,) in bench.shapes([(2048,), (4096,), (8192,)]):
            a, b = bench.random(n, n, dtype=dtype), bench.random(n, n, dtype=dtype)
            bench.time("matmul", "dtype", partial(mm, a, b), {"dtype": word, **_sizes(n, n, n, a.element_size())})
    for count, m in bench.shapes([(32, 512), (128, 512), (16, 2048)]):
        a, b = bench.random(count, m, 128), bench.random(count, 128, m)
        told = {"flops": 2 * count * m * m * 128, "nbytes": _BF16 * count * (2 * m * 128 + m * m)}
        sizes = {"b": count, "m": m, "n": m, "k": 128}
        bench.time("matmul", "batched", partial(bench.torch.bmm, a, b), {**told, **sizes})
    _in_fp8(bench)


def _in_fp8(bench: Bench) -> None:
    torch = bench.torch
    one = torch.ones((), device=bench.device)
    for (n,) in bench.shapes([(2048,), (4096,), (8192,), (16384,)]):
        a, b = bench.random(n, n, dtype="float8_e4m3fn"), bench.random(n, n, dtype="float8_e4m3fn").t()
        work = partial(torch._scaled_mm, a, b, one, one, out_dtype=torch.bfloat16)
        told = {"dtype": "fp8", "flops": 2 * n**3, "nbytes": 4 * n * n, "m": n, "n": n, "k": n}
        bench.time("matmul", "dtype", work, told)


def _sizes(m: int, n: int, k: int, item_bytes: int) -> dict[str, int]:
    nbytes = item_bytes * (m * k + k * n + m * n)
    return {"flops": 2 * m * n * k, "nbytes": nbytes, "m": m, "n": n, "k": k}


def attention(bench: Bench) -> None:
    """Scores in memory beside the fused kernel, forward and backward, with a mask and without; tokens of a decode."""
    torch, fused = bench.torch, bench.torch.nn.functional.scaled_dot_product_attention
    shapes = [(8, 32, 512, 128), (4, 32, 1024, 128), (2, 32, 2048, 128), (1, 32, 4096, 128), (1, 32, 8192, 128)]
    for b, h, s, d in bench.shapes([*shapes, (1, 32, 16384, 128), (4, 64, 2048, 64)]):
        q, k, v = (bench.random(b, h, s, d, gradient=True) for _ in range(3))
        flops, moved = 4 * b * h * s * s * d, 8 * b * h * s * d
        sizes = {"b": b, "h": h, "s": s, "d": d}

        masked = partial(fused, q, k, v, is_causal=True)
        with torch.no_grad():
            told = {"flops": flops, "nbytes": moved + 12 * b * h * s * s, "kernels": 4, **sizes}
            bench.time("attention", "naive_fwd", partial(_standard, q, k, v), told, repeats=8)
            told = {"flops": flops, "nbytes": moved, **sizes}
            bench.time("attention", "flash_fwd_full", partial(fused, q, k, v), told)
            bench.time("attention", "flash_fwd_causal", masked, {**told, "flops": flops // 2})
        told = {"flops": 5 * flops // 4, "nbytes": 2 * moved, "kernels": 3, **sizes}
        gradient(bench, "attention", "flash_bwd_causal", masked, (q, k, v), told)
    _decode(bench)


def _standard(q: Any, k: Any, v: Any) -> Any:
    """With scores in memory."""
    return ((q @ k.transpose(-1, -2)) * (1 / math.sqrt(q.shape[-1]))).softmax(-1) @ v


def _decode(bench: Bench) -> None:
    fused = bench.torch.nn.functional.scaled_dot_product_attention
    for b, s in bench.shapes([(1, 4096), (16, 4096), (64, 4096), (1, 65536)]):
        q = bench.random(b, 4 * _KEY_HEADS, 1, _HEAD)
        k, v = (bench.random(b, _KEY_HEADS, s, _HEAD) for _ in range(2))
        told = {"flops": 16 * b * _KEY_HEADS * s * _HEAD, "nbytes": 4 * b * _KEY_HEADS * s * _HEAD, "b": b, "s": s}
        bench.time("attention", "decode_gqa", partial(fused, q, k, v, enable_gqa=True), told)


def gradient(bench: Bench, suite: str, name: str, made: Work, inputs: tuple[Any, ...], told: Mapping[str, Any]) -> None:
    """Time the gradient of what some work makes, by its inputs; its graph is kept."""

    def measured() -> None:
        out = made()
        work = partial(bench.torch.autograd.grad, out, inputs, bench.torch.randn_like(out), retain_graph=True)
        bench.time(suite, name, work, told)

    bench.attempt(f"{suite} {name}", measured)


def overlap(bench: Bench) -> None:
    """A matmul beside a copy in another stream, on the device and from the host: each alone, and both."""
    if not bench.on_gpu:
        bench.left_out.append("overlap: a CPU has no streams")
        return
    a, b = bench.random(8192, 8192), bench.random(8192, 8192)
    product = partial(bench.torch.mm, a, b)
    for name, most, from_host in (("hbm", 2**31, False), ("h2d", 2**28, True)):
        for scale in (0.25, 0.5, 1, 2):
            count = int(most * scale)
            source, out = bench.bytes_of(count, pinned=from_host), bench.bytes_of(count)
            copy = partial(out.copy_, source, non_blocking=True)
            flops, moved = {"flops": 2 * 8192**3}, {"nbytes": count if from_host else 2 * count}
            bench.time("overlap", f"{name}_gemm_alone", product, {**flops, "scale": scale})
            bench.time("overlap", f"{name}_copy_alone", copy, {**moved, "scale": scale})
            told = {**flops, **moved, "kernels": 2, "scale": scale}
            bench.time("overlap", f"{name}_both", _beside(bench, product, copy), told)


def _beside(bench: Bench, one: Work, other: Work) -> Work:
    """Two pieces of work, each in a stream of its own."""
    cuda = bench.torch.cuda
    streams = cuda.Stream(), cuda.Stream()

    def both() -> None:
        current = cuda.current_stream()
        for side, work in zip(streams, (one, other), strict=True):
            side.wait_stream(current)
            with cuda.stream(side):
                work()
        for side in streams:
            current.wait_stream(side)

    return both
