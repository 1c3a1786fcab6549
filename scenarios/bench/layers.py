"""Operators of layers and of training: norms, activations, losses, optimizers, moves in memory, experts, convolutions.

Names and params are those that `validate` knows (scenarios.validation.operators).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from scenarios.bench.bench import Bench, Work
from scenarios.bench.operators import gradient

_ROWS = [(4096, 768), (16384, 1024), (4096, 4096), (8192, 8192), (32768, 2048)]


def norm(bench: Bench) -> None:
    """Norms and the softmax over rows, forward and backward."""
    functional = bench.torch.nn.functional
    for rows, columns in bench.shapes(_ROWS):
        x = bench.random(rows, columns, gradient=True)
        w, b = (bench.random(columns, gradient=True) for _ in range(2))
        works: tuple[tuple[str, Work, tuple[Any, ...]], ...] = (
            ("rms_norm", partial(functional.rms_norm, x, (columns,), w, 1e-5), (x, w)),
            ("layer_norm", partial(functional.layer_norm, x, (columns,), w, b), (x, w, b)),
            ("softmax", partial(x.softmax, -1), (x,)),
        )
        sizes = {"rows": rows, "cols": columns}
        for name, work, inputs in works:
            with bench.torch.no_grad():
                bench.time("norm", f"{name}_fwd", work, {"nbytes": 4 * rows * columns, **sizes})
            gradient(bench, "norm", f"{name}_bwd", work, inputs, {"nbytes": 6 * rows * columns, **sizes})


def act(bench: Bench) -> None:
    """Activations, forward and backward, and a sum, whose gradient is what it is given."""
    functional = bench.torch.nn.functional
    for rows, columns in bench.shapes(_ROWS):
        x, u = (bench.random(rows, columns, gradient=True) for _ in range(2))
        gelu = partial(functional.gelu, x, approximate="tanh")
        gated = partial(_gated, bench, x, u)
        count, sizes = rows * columns, {"rows": rows, "cols": columns}
        with bench.torch.no_grad():
            bench.time("act", "gelu_fwd", gelu, {"nbytes": 4 * count, **sizes})
            bench.time("act", "silu_mul_fwd", gated, {"nbytes": 6 * count, "kernels": 2, **sizes})
            bench.time("act", "add_fwd", partial(bench.torch.add, x, u), {"nbytes": 6 * count, **sizes})
        gradient(bench, "act", "gelu_bwd", gelu, (x,), {"nbytes": 6 * count, **sizes})
        gradient(bench, "act", "silu_mul_bwd", gated, (x, u), {"nbytes": 12 * count, "kernels": 2, **sizes})


def _gated(bench: Bench, x: Any, u: Any) -> Any:
    return bench.torch.nn.functional.silu(x) * u


def loss(bench: Bench) -> None:
    """Cross-entropy in fp32, forward and backward, and the cast before it."""
    torch = bench.torch
    cross_entropy = torch.nn.functional.cross_entropy
    for tokens, vocab in bench.shapes([(2048, 32000), (8192, 32000), (8192, 50304), (4096, 128256)]):
        logits = torch.randn(tokens, vocab, device=bench.device).requires_grad_()
        labels = torch.randint(0, vocab, (tokens,), device=bench.device)
        sizes = {"tokens": tokens, "vocab": vocab}
        told = {"nbytes": 8 * tokens * vocab, "kernels": 2, "dtype": "fp32", **sizes}
        work = partial(cross_entropy, logits, labels)
        with torch.no_grad():
            bench.time("loss", "cross_entropy_fwd", work, told)
        gradient(bench, "loss", "cross_entropy_bwd", work, (logits,), told)
        narrow = bench.random(tokens, vocab)
        bench.time("loss", "cast_bf16_fp32", narrow.float, {"nbytes": 6 * tokens * vocab, **sizes})


def optimizer(bench: Bench) -> None:
    """Fused steps of AdamW and of SGD with momentum, with weights and states in bf16 and in fp32."""
    torch = bench.torch
    for dtype, word in ((torch.bfloat16, "bf16"), (torch.float32, "fp32")):
        for (count,) in bench.shapes([(10**6,), (10**7,), (10**8,), (10**9,)]):
            weights = torch.zeros(count, device=bench.device, dtype=dtype).requires_grad_()
            weights.grad = torch.ones_like(weights)
            adamw = torch.optim.AdamW([weights], fused=True)
            sgd = torch.optim.SGD([weights], lr=0.1, momentum=0.9, fused=True)
            for name, step, words in (("adamw_fused", adamw.step, 7), ("sgd_momentum_fused", sgd.step, 5)):
                moved = words * count * weights.element_size()
                bench.time("optimizer", name, step, {"nbytes": moved, "dtype": word, "params": count}, repeats=8)


def memory(bench: Bench) -> None:
    """Casts, dropout, a transpose, embeddings and their gradients, a rotation op by op."""
    functional = bench.torch.nn.functional
    for (count,) in bench.shapes([(2**22,), (2**26,), (2**29,)]):
        x = bench.random(count)
        square = x.view(-1, min(2048, count))
        turned = square.t()
        bench.time("memory", "cast_bf16_fp32", x.float, {"nbytes": 6 * count, "n": count})
        bench.time("memory", "dropout", partial(functional.dropout, x, 0.1), {"nbytes": 5 * count, "n": count})
        bench.time("memory", "transpose_copy", turned.contiguous, {"nbytes": 4 * count, "n": count})
    _rows_of_tables(bench)
    _rotation(bench)


def _rows_of_tables(bench: Bench) -> None:
    torch, functional = bench.torch, bench.torch.nn.functional
    for vocab, width, tokens in bench.shapes([(32000, 4096, 8192), (128256, 4096, 8192), (50304, 768, 32768)]):
        table = bench.random(vocab, width, gradient=True)
        ids = torch.randint(0, vocab, (tokens,), device=bench.device)
        sizes = {"vocab": vocab, "d": width, "tokens": tokens}
        read = partial(functional.embedding, ids, table)
        with torch.no_grad():
            bench.time("memory", "embedding_fwd", read, {"nbytes": 4 * tokens * width, **sizes})
        moved = 2 * vocab * width + 4 * tokens * width
        gradient(bench, "memory", "embedding_bwd", read, (table,), {"nbytes": moved, **sizes})


def _rotation(bench: Bench) -> None:
    """Halves of heads turned, op by op."""
    for b, s, h, d in bench.shapes([(1, 4096, 32, 128), (8, 1024, 12, 64)]):
        x = bench.random(b, s, h, d).transpose(1, 2)
        cos, sin = bench.random(s, d // 2), bench.random(s, d // 2)
        told = {"nbytes": 4 * x.numel(), "kernels": 7, "b": b, "s": s, "h": h, "d": d}
        bench.time("memory", "rope_eager", partial(rotated, bench.torch, x, cos, sin), told)


def rotated(torch: Any, x: Any, cos: Any, sin: Any) -> Any:
    """Heads turned by the angles of their positions."""
    one, other = x.chunk(2, -1)
    return torch.cat((one * cos - other * sin, other * cos + one * sin), -1)


def moe(bench: Bench) -> None:
    """Experts as one grouped matmul, what picks them, and rows to them and back."""
    torch = bench.torch
    for tokens, width, hidden, experts, top in bench.shapes(
        [(4096, 4096, 14336, 8, 2), (16384, 4096, 14336, 8, 2), (8192, 2048, 1408, 64, 6)]
    ):
        rows = tokens * top
        x, w = bench.random(rows, width), bench.random(experts, width, hidden)
        ends = torch.arange(1, experts + 1, device=bench.device, dtype=torch.int32) * (rows // experts)
        y, gate = bench.random(tokens, width), bench.random(width, experts)
        order = torch.randperm(rows, device=bench.device) // top
        out = torch.zeros(tokens, width, device=bench.device, dtype=torch.bfloat16)
        moved = 2 * (rows * (width + hidden) + experts * width * hidden)
        works: tuple[tuple[str, Work, dict[str, int]], ...] = (
            (
                "grouped_mm",
                partial(torch._grouped_mm, x, w, offs=ends),
                {"flops": 2 * rows * width * hidden, "nbytes": moved, "ff": hidden, "experts": experts},
            ),
            (
                "router",
                partial(_picked, torch, y, gate, top),
                {"flops": 2 * tokens * width * experts, "nbytes": 2 * tokens * width, "kernels": 4, "experts": experts},
            ),
            ("dispatch_gather", partial(y.__getitem__, order), {"nbytes": 4 * rows * width}),
            (
                "combine_scatter_add",
                partial(out.index_add_, 0, order, x),
                {"nbytes": 6 * rows * width},
            ),
        )
        for name, work, told in works:
            bench.time("moe", name, work, {"tokens": tokens, "d": width, "top": top, **told})


def _picked(torch: Any, rows: Any, gate: Any, top: int) -> Any:
    """The experts of each row."""
    return torch.topk((rows @ gate).float().softmax(-1), top)


_CONVOLUTIONS = [
    (3, 64, 7, 2, 224),
    (64, 64, 1, 1, 56),
    (64, 64, 3, 1, 56),
    (64, 256, 1, 1, 56),
    (256, 128, 1, 1, 56),
    (128, 128, 3, 2, 56),
    (128, 512, 1, 1, 28),
    (256, 256, 3, 1, 14),
    (256, 1024, 1, 1, 14),
    (512, 512, 3, 1, 7),
    (512, 2048, 1, 1, 7),
    (2048, 512, 1, 1, 7),
]
"""Of a ResNet-50: channels in and out, window, stride, side."""


def conv(bench: Bench) -> None:
    """Convolutions of a ResNet-50 with channels last, forward and backward; a batch norm, a ReLU and a pooling."""
    convolved, last = bench.torch.nn.functional.conv2d, bench.torch.channels_last
    for (batch,) in bench.shapes([(32,), (128,)]):
        for cin, cout, window, stride, side in bench.shapes(_CONVOLUTIONS):
            x = bench.random(batch, cin, side, side).to(memory_format=last).requires_grad_()
            w = bench.random(cout, cin, window, window).to(memory_format=last).requires_grad_()
            made = side // stride
            work = partial(convolved, x, w, stride=stride, padding=window // 2)
            flops = 2 * batch * cout * made * made * cin * window * window
            moved = 2 * (x.numel() + w.numel() + batch * cout * made * made)
            sizes = {"b": batch, "cin": cin, "cout": cout, "kernel": window, "stride": stride, "hw": side}
            with bench.torch.no_grad():
                bench.time("conv", "conv2d_fwd", work, {"flops": flops, "nbytes": moved, **sizes})
            gradient(bench, "conv", "conv2d_bwd", work, (x, w), {"flops": 2 * flops, "nbytes": 2 * moved, **sizes})
        _between_convolutions(bench, batch)


def _between_convolutions(bench: Bench, batch: int) -> None:
    functional = bench.torch.nn.functional
    ((channels, side),) = bench.shapes([(256, 56)])
    x = bench.random(batch, channels, side, side).to(memory_format=bench.torch.channels_last).requires_grad_()
    w, b = (bench.torch.ones(channels, device=bench.device).requires_grad_() for _ in range(2))
    sizes = {"b": batch, "c": channels, "hw": side}
    normed = partial(functional.batch_norm, x, None, None, w, b, training=True)
    count = x.numel()
    with bench.torch.no_grad():
        bench.time("conv", "batch_norm_train_fwd", normed, {"nbytes": 6 * count, **sizes})
        bench.time("conv", "relu_fwd", partial(functional.relu, x), {"nbytes": 4 * count, **sizes})
        pooled = partial(functional.max_pool2d, x, 3, 2, 1)
        bench.time("conv", "max_pool_fwd", pooled, {"nbytes": 5 * count // 2, **sizes})
    gradient(bench, "conv", "batch_norm_train_bwd", normed, (x, w, b), {"nbytes": 10 * count, **sizes})
