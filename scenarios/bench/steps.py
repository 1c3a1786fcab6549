"""Steps of whole models: training, prompts, tokens of a decode; a block alone; and what long load leaves of a burst's rate.

Model: a step is phases between marks of the device; each phase is a row, and `step` the whole of it. Training is a forward
pass with a loss, a backward pass and AdamW, fused, its states in the format of the weights. A decode is a token for each
sequence behind a context, its cache laid out before; in a graph it is recorded once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

from scenarios.bench.bench import Bench, Timed, Work
from scenarios.bench.models import MODELS, Model, Shape
from scenarios.bench.operators import captured

Phases = Sequence[tuple[str, Work]]
"""The parts of a step by name, in order."""

_TRAINING = [
    ("llama3_8b_x4", 1, 4096, "eager"), ("llama3_8b_x4", 2, 4096, "eager"), ("llama3_8b_x4", 1, 8192, "eager"),
    ("llama3_8b_x4", 4, 1024, "eager"), ("llama3_8b_x4", 1, 4096, "eager+full"), ("llama3_8b_x4", 2, 4096, "eager+full"),
    ("llama3_8b_x4", 1, 2048, "eager+standard"), ("llama3_8b_x4_vocab", 1, 4096, "eager"),
    ("llama3_8b_x4_vocab", 2, 2048, "eager"), ("llama2_7b_x4", 1, 4096, "eager"), ("llama2_7b_x4", 4, 2048, "eager"),
    ("llama3_70b_x1", 1, 4096, "eager"), ("llama3_70b_x1", 1, 8192, "eager"), ("gpt3_175b_x1", 1, 2048, "eager"),
    ("gpt3_175b_x1", 2, 2048, "eager"), ("gpt3_175b_x1", 1, 2048, "eager+standard"), ("gpt2_124m", 8, 1024, "eager"),
    ("gpt2_124m", 32, 1024, "eager"), ("gpt2_124m", 1, 1024, "eager"), ("gpt2_124m", 16, 1024, "eager+amp"),
    ("gpt2_355m", 8, 1024, "eager"), ("gpt2_355m", 16, 1024, "eager+full"), ("gpt2_774m", 8, 1024, "eager"),
    ("gpt2_1558m", 4, 1024, "eager"), ("gpt2_1558m", 8, 1024, "eager+full"), ("bert_large", 16, 512, "eager"),
    ("bert_large", 64, 128, "eager"), ("bert_large", 16, 512, "eager+amp"), ("tinyllama_1b", 4, 2048, "eager"),
    ("tinyllama_1b", 8, 2048, "eager"), ("tinyllama_1b", 8, 2048, "eager+full"), ("tinyllama_1b", 4, 2048, "eager+amp"),
    ("llama3_8b_x4", 2, 4096, "compile"), ("gpt2_124m", 32, 1024, "compile"), ("tinyllama_1b", 4, 2048, "compile"),
]  # fmt: skip
"""Model, batch, sequence; mode: eager or compile, with amp (weights in fp32, autocast), full (recomputation of every block),
standard (scores in memory)."""

_DRY_TRAINING = [
    ("llama3_8b_x4_vocab", 1, 32, "eager"),
    ("llama3_8b_x4", 1, 32, "eager+full"),
    ("gpt3_175b_x1", 1, 32, "eager+standard"),
    ("bert_large", 1, 32, "eager+amp"),
]

_INFERENCE = [
    ("llama3_8b", [(1, 512), (1, 2048), (1, 8192), (8, 512), (4, 2048)],
     [(1, 1024), (8, 1024), (32, 1024), (128, 1024), (1, 8192), (8, 8192), (32, 8192)]),
    ("llama2_7b", [(1, 1024), (4, 1024)], [(1, 1024), (16, 1024), (32, 2048)]),
]  # fmt: skip
"""Model; prompts: sequences and tokens; decodes: sequences and context."""


def train(bench: Bench) -> None:
    """Training steps."""
    for name, batch, seq, mode in _DRY_TRAINING if bench.dry else _TRAINING:
        bench.attempt(f"train {name} {mode}", partial(_train, bench, name, batch, seq, mode))
        _forgotten(bench)


def _train(bench: Bench, name: str, batch: int, seq: int, mode: str) -> None:
    torch, words = bench.torch, set(mode.split("+"))
    shape = _shape(bench, name, seq=seq, attention="standard" if "standard" in words else "flash")
    mixed = "amp" in words
    model = Model(bench, shape, "float32" if mixed else "bfloat16")
    stepper = torch.optim.AdamW(model.modules.parameters(), lr=1e-4, fused=True)
    x, labels = _batch(bench, shape, batch, torch.float32 if mixed else torch.bfloat16)
    rotation = model.rotation(0, shape.seq, torch.bfloat16)
    run = torch.compile(model.forward, dynamic=False) if "compile" in words else model.forward
    losses: list[Any] = []

    def forward() -> None:
        with torch.autocast(bench.device, torch.bfloat16, enabled=mixed):
            out = run(x, rotation, "full" in words).float()
            losses.append(_loss(torch, out, labels))

    def backward() -> None:
        losses.pop().backward()

    def optimizer() -> None:
        stepper.step()
        stepper.zero_grad(set_to_none=True)

    phases = (("forward", forward), ("backward", backward), ("optimizer", optimizer))
    told = {**shape.params, "batch": batch, "parameters": model.count}
    timed_step(bench, "train", name, mode, phases, told, repeats=8)


def _batch(bench: Bench, shape: Shape, batch: int, dtype: Any) -> tuple[Any, Any]:
    """What goes in, and the labels of what has a vocabulary."""
    torch = bench.torch
    if not shape.vocab:
        return torch.randn(batch, shape.seq, shape.d, device=bench.device).to(dtype), None
    x, labels = (torch.randint(0, shape.vocab, (batch, shape.seq), device=bench.device) for _ in range(2))
    return x, labels.view(-1)


def _loss(torch: Any, out: Any, labels: Any) -> Any:
    if labels is None:
        return out.square().mean()
    return torch.nn.functional.cross_entropy(out.view(-1, out.shape[-1]), labels)


def infer(bench: Bench) -> None:
    """Prompts, and tokens of a decode, eager and in a graph."""
    for name, prompts, decodes in _INFERENCE[:1] if bench.dry else _INFERENCE:
        bench.attempt(f"infer {name}", partial(_infer, bench, name, prompts, decodes))
        _forgotten(bench)


def _infer(bench: Bench, name: str, prompts: list[tuple[int, int]], decodes: list[tuple[int, int]]) -> None:
    with bench.torch.no_grad():
        model = Model(bench, _shape(bench, name, seq=8192))
        for batch, tokens in bench.shapes(prompts):
            bench.attempt(f"infer {name} prefill", partial(_prefill, bench, name, model, batch, tokens))
        for batch, context in bench.shapes(decodes):
            bench.attempt(f"infer {name} decode", partial(_decode, bench, name, model, batch, context))
            _forgotten(bench)


def _prefill(bench: Bench, name: str, model: Model, batch: int, tokens: int) -> None:
    """All blocks over the tokens of prompts, and the logits of the last of each."""
    x = bench.torch.randint(0, model.shape.vocab, (batch, tokens), device=bench.device)
    rotation = model.rotation(0, tokens, bench.torch.bfloat16)

    def forward() -> None:
        rows = model.embedded(x)
        for number in range(model.shape.layers):
            rows = model.block(number, rows, rotation)
        model.made(rows[:, -1:])

    told = {**model.shape.params, "seq": tokens, "batch": batch, "parameters": model.count}
    timed_step(bench, "infer", name, "prefill", (("forward", forward),), told, repeats=6)


def _decode(bench: Bench, name: str, model: Model, batch: int, context: int) -> None:
    torch, shape = bench.torch, model.shape
    form = (batch, shape.kv_heads, context + 1, shape.head)
    cache = [(bench.random(*form), bench.random(*form)) for _ in range(shape.layers)]
    x = torch.randint(0, shape.vocab, (batch, 1), device=bench.device)
    rotation = model.rotation(context, 1, torch.bfloat16)

    def token() -> None:
        model.token(x, rotation, cache, context)

    told = {**shape.params, "batch": batch, "context": context, "parameters": model.count}
    timed_step(bench, "infer", name, "decode_eager", (("forward", token),), told, repeats=6)
    if bench.on_gpu:
        graph = captured(bench, token)
        timed_step(bench, "infer", name, "decode_graph", (("forward", graph),), told, repeats=8)


def block(bench: Bench) -> None:
    """A decoder layer of Llama 3 8B without rotation, forward: a check of what is predicted, and nothing to fit to."""
    model = Model(bench, _shape(bench, "llama3_8b_x4"))
    shape = model.shape
    weights = 2 * shape.d**2 + 2 * shape.kv_heads * shape.head * shape.d + 3 * shape.d * shape.ff
    for batch, tokens in bench.shapes([(1, 128), (1, 1024), (1, 4096), (4, 2048), (1, 16384)]):
        x, rows = bench.random(batch, tokens, shape.d), batch * tokens
        told = {"flops": 2 * rows * weights + 2 * rows * tokens * shape.d, "nbytes": 2 * weights, "kernels": 20}
        with bench.torch.no_grad():
            work = partial(model.block, 0, x, None)
            bench.time("block", "llama8b_layer_fwd", work, {"b": batch, "s": tokens, **told})


def sustained(bench: Bench) -> None:
    """A matmul, a copy and a training step for some seconds each: what power leaves of what bursts reach."""
    a, b = (bench.random(*shape) for shape in bench.shapes([(8192, 8192)]) for _ in range(2))
    size = 2**10 if bench.dry else 2**31
    source, out = bench.bytes_of(size), bench.bytes_of(size)
    seconds = 0.01 if bench.dry else 8.0
    _long(bench, "matmul_8192", partial(bench.torch.mm, a, b), seconds)
    _long(bench, "copy_2gib", partial(out.copy_, source), seconds / 2)


def _long(bench: Bench, name: str, work: Work, seconds: float) -> None:
    """Tens of repetitions between marks until the time is over; the row is of the second half, `first_us` of the first."""
    begin, found = time.monotonic(), [_ten_us(bench, work)]
    while time.monotonic() - begin < seconds:
        found.append(_ten_us(bench, work))
    told = {"seconds": seconds, "first_us": round(statistics.median(found[:3]), 2), "l2": "warm"}
    bench.rows.append(Timed("sustained", name, tuple(found[len(found) // 2 :]), told))


def _ten_us(bench: Bench, work: Work) -> float:
    begin = bench.mark()
    for _ in range(10):
        work()
    end = bench.mark()
    bench.wait()
    return bench.between_us(begin, end) / 10


def timed_step(  # noqa: PLR0913 - what is measured, and how often
    bench: Bench, suite: str, name: str, mode: str, phases: Phases, told: Mapping[str, Any], repeats: int
) -> None:
    """Rows of the phases of a step and of all of it, with the most that was allocated, and what was before."""
    once = _once(bench, phases)
    for _ in range(1 if bench.dry else 3):
        once()
    cuda = bench.torch.cuda
    before = cuda.memory_allocated() if bench.on_gpu else 0
    if bench.on_gpu:
        cuda.reset_peak_memory_stats()
    found = [once() for _ in range(2 if bench.dry else repeats)]
    most = cuda.max_memory_allocated() if bench.on_gpu else 0
    for at, phase in enumerate((*(phase for phase, _ in phases), "step")):
        times = tuple(each[at] for each in found)
        bench.rows.append(Timed(suite, name, times, told, mode=mode, phase=phase, peak_bytes=most, static_bytes=before))


def _once(bench: Bench, phases: Phases) -> Callable[[], list[float]]:
    """One step: microseconds of each phase, and of all."""

    def once() -> list[float]:
        marks = [bench.mark()]
        for _, work in phases:
            work()
            marks.append(bench.mark())
        bench.wait()
        parts = [bench.between_us(begin, end) for begin, end in pairwise(marks)]
        return [*parts, bench.between_us(marks[0], marks[-1])]

    return once


def _shape(bench: Bench, name: str, **changed: Any) -> Shape:
    shape = replace(MODELS[name], **changed)
    return shape.small() if bench.dry else shape


def _forgotten(bench: Bench) -> None:
    """What a case held is given back before the next one."""
    if bench.on_gpu:
        bench.torch._dynamo.reset()
        bench.torch.cuda.empty_cache()
