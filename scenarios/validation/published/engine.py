"""Prefill and decode of a decoder as a serving engine carries them out: few kernels, made by hand, recorded once.

Model: of a layer a norm with the sum before it, one matmul for queries, keys and values, norms of the heads of queries and
of keys where the model has them (Qwen3), their rotation, a write into the cache, fused attention, a matmul, the norm with
its sum, one matmul for gate and up, their product, a matmul; all-reduces behind the two where chips share a layer. A decode
is captured: nobody issues its kernels. Layers are alike: of many each takes what one takes behind another. Sums of shared
layers go round rings: the engine forbids its library what switches add up (NCCL_NVLS_ENABLE is 0 unless it is asked for).
Assumes: requests of one length; formats of 16 bits; sampling and scheduling between steps take no time.
Source: github:sgl-project/sglang 18bfdd1679, python/sglang/srt/models/qwen2.py, qwen3.py and llama.py,
python/sglang/srt/entrypoints/engine.py (`_set_envs_and_config`); github:zksainx/pipeweave 55e0317, workload/ (`send_recv`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from hw import System
from simulator import OpGraph, RunOptions, parse_graph, simulate


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder with a gated network, as its configuration file has it. `head_norms`: of queries and keys."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    head: int
    d_ff: int
    vocab: int
    head_norms: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """A prefill of requests of so many tokens, or one token of each behind so many (`decode`); each of `stages` is shared by
    `chips`."""

    requests: int
    tokens: int
    decode: bool = False
    chips: int = 1
    stages: int = 1


def engine_seconds(model: Decoder, step: Step, system: System) -> float:
    """How long a step takes: from models of one and of two layers. `system`: the chips of a stage."""
    options = RunOptions(calibration="measured", collectives="ring")
    one, two = (simulate(engine_graph(model, step, layers), system, options).time_s for layers in (1, 2))
    between = simulate(_handed_over(model, step), system, options).time_s if step.stages > 1 else 0.0
    return one + (model.layers - 1) * (two - one) + (step.stages - 1) * between


def _handed_over(model: Decoder, step: Step) -> OpGraph:
    """What a stage sends to the next one. All chips are as far from each other: a neighbour stands for the one there."""
    lines = []
    for name in ("hidden", "residual"):
        lines.append(f"{name}_sent:bf16[T,D_X] = permute({name}:bf16[T,D_X], over=X)")
        lines.append(f"{name}_all:bf16[T,D] = all_gather({name}_sent, over=X)")
    return parse_graph(lines, {"T": step.requests * (1 if step.decode else step.tokens), "D": model.d_model})


def engine_graph(model: Decoder, step: Step, layers: int) -> OpGraph:
    """The ops of so many layers, an embedding before and a head behind them; over the axis X where chips share them."""
    of_keys = model.kv_heads * model.head
    sizes = {
        "B": step.requests,
        "S": 1 if step.decode else step.tokens,
        "T": step.tokens,
        "D": model.d_model,
        "C": model.heads * model.head + 2 * of_keys,
        "W": 2 * of_keys,
        "K": model.kv_heads,
        "G": model.heads // model.kv_heads,
        "E": model.head,
        "A": model.heads * model.head,
        "F": model.d_ff,
        "P": 2 * model.d_ff,
        "V": model.vocab,
    }
    graph = parse_graph([*_lines(model, step, layers)], sizes)
    sums = [[f"h{at}", f"m{at}"] for at in range(layers)] + [[f"x{at + 1}", f"n{at + 1}"] for at in range(layers)]
    return replace(graph, fuse=sums)


def _lines(model: Decoder, step: Step, layers: int) -> Iterator[str]:
    shard = "_X" if step.chips > 1 else ""
    yield "x0:bf16[B,S,D] = embedding(table:bf16[V,D], ids:int32[B,S])"
    yield "n0:bf16[B,S,D] = rms_norm(x0, g0:bf16[D])"
    for at in range(layers):
        yield from _layer(at, shard, step, model.head_norms)
    yield f"last:bf16[B,1,D] = view(n{layers})"
    yield f"logits:bf16[B,1,V{shard}] = matmul(last, head:bf16[D,V{shard}])"


def _layer(at: int, shard: str, step: Step, head_norms: bool) -> Iterator[str]:
    mask = "" if step.decode else ", causal=true"
    yield f"c{at}:bf16[B,S,C{shard}] = matmul(n{at}, wc{at}:bf16[D,C{shard}])"
    behind = ""
    if head_norms:
        # queries and keys are two kernels
        yield f"cq{at}:bf16[B,S,K{shard},G,E] = view(c{at})"
        yield f"ck{at}:bf16[B,S,K{shard},E] = view(c{at})"
        yield f"nq{at}:bf16[B,S,K{shard},G,E] = rms_norm(cq{at}, gq{at}:bf16[E])"
        yield f"nk{at}:bf16[B,S,K{shard},E] = rms_norm(ck{at}, gk{at}:bf16[E])"
        behind = f", after=[nq{at}, nk{at}]"
    yield f"r{at}:bf16[B,S,C{shard}] = scale(c{at}{behind})"
    yield f"w{at}:bf16[B,S,W{shard}] = copy(new{at}:bf16[B,S,W{shard}])"
    yield f"q{at}:bf16[B,K{shard},G,S,E] = view(r{at})"
    cache = f"k{at}:bf16[B,K{shard},T,E], v{at}:bf16[B,K{shard},T,E]"
    yield f"a{at}:bf16[B,K{shard},G,S,E] = attention(q{at}, {cache}{mask})"
    yield f"av{at}:bf16[B,S,A{shard}] = view(a{at})"
    yield from _summed(f"o{at}", f"matmul(av{at}, wo{at}:bf16[A{shard},D])", shard)
    yield f"h{at}:bf16[B,S,D] = add(x{at}, {_whole(f'o{at}', shard)})"
    yield f"m{at}:bf16[B,S,D] = rms_norm(h{at}, gm{at}:bf16[D])"
    yield f"p{at}:bf16[B,S,P{shard}] = matmul(m{at}, wp{at}:bf16[D,P{shard}])"
    yield f"gate{at}:bf16[B,S,F{shard}] = view(p{at})"
    yield f"up{at}:bf16[B,S,F{shard}] = view(p{at})"
    yield f"s{at}:bf16[B,S,F{shard}] = mul(gate{at}, up{at})"
    yield from _summed(f"d{at}", f"matmul(s{at}, wd{at}:bf16[F{shard},D])", shard)
    yield f"x{at + 1}:bf16[B,S,D] = add(h{at}, {_whole(f'd{at}', shard)})"
    yield f"n{at + 1}:bf16[B,S,D] = rms_norm(x{at + 1}, gn{at}:bf16[D])"


def _summed(out: str, made: str, shard: str) -> Iterator[str]:
    """What a matmul makes; where chips share its contraction their sums are added up."""
    yield f"{out}:bf16[B,S,D]{'{U_X}' if shard else ''} = {made}"
    if shard:
        yield f"{out}all:bf16[B,S,D] = all_reduce({out}, over=X)"


def _whole(out: str, shard: str) -> str:
    return f"{out}all" if shard else out


SHAPES: Mapping[str, Decoder] = {
    "Llama-3.1-70B": Decoder(80, 8192, 64, 8, 128, 28672, 128256),
    "Qwen2.5-14B": Decoder(48, 5120, 40, 8, 128, 13824, 152064),
    "Qwen3-32B": Decoder(64, 5120, 64, 8, 128, 25600, 151936, head_norms=True),
}
"""By the names that rows use. Source: the models' configuration files on huggingface.co."""
