"""Transformers as Hugging Face's library carries them out in PyTorch, eager or compiled: op by op, in fp32.

Model: what its modelling files do, op by op: scores of attention in memory, scaled, masked and normalised in kernels of
their own; copies of heads where a batch keeps them from being one matmul, and back; dropout in training; GPT-2's GELU
written out in eight element-wise ops (`NewGELUActivation`), OPT's scores cut off below. A compiler makes one kernel of
element-wise ops and the softmax or norm that they end in, and leaves out no copy. A training step is a forward and a
backward pass, without a loss and an optimizer; gradients are added to those of the passes before. Layers are alike: of many
each takes what one takes behind another.
Assumes: sequences of one length, a mask that is added, no work on a cache of keys and values; heads of a classifier or of
a pooled token are small.
Source: github:huggingface/transformers, modeling_gpt2.py, modeling_bert.py, modeling_opt.py, 2023, eager attention;
github:sitar-lab/NeuSight neusight/Tracing/trace.py (measure_e2e: what is timed).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from hw import System
from simulator import Op, OpGraph, RunOptions, Tensor, parse_graph, simulate, with_backward

Family = Literal["gpt2", "bert", "opt"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A transformer of one of the families, as its configuration file has it."""

    family: Family
    layers: int
    d_model: int
    heads: int
    d_ff: int
    vocab: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A batch of sequences of one length; `trains`: with a backward pass; `fused`: by a compiler."""

    batch: int
    seq: int
    trains: bool = False
    fused: bool = False


_STREAM, _WIDE, _SCORES = "fp32[B,S,D]", "fp32[B,S,F]", "fp32[B,H,S,T]"
_QUERIES, _KEYS, _ROWS = "fp32[B,H,S,E]", "fp32[B,H,T,E]", "fp32[B,S,H,E]"


def seconds(shape: Shape, asked: Asked, system: System) -> float:
    """How long a model takes on a chip: from models of one and of two layers."""
    options = RunOptions(calibration="measured", dispatch="compiled" if asked.fused else "eager")
    one, two = (simulate(model_graph(shape, asked, layers), system, options).time_s for layers in (1, 2))
    return one + (shape.layers - 1) * (two - one)


def model_graph(shape: Shape, asked: Asked, layers: int) -> OpGraph:
    """The ops of so many layers, an embedding before and a head behind them, and of their backward pass where they train."""
    graph = parse_graph([*_lines(shape, asked, layers)], _sizes(shape, asked))
    if not asked.trains:
        return graph
    made = {op.name for op in graph.every_op()}
    weights = {tensor.name for op in graph.every_op() for tensor in op.inputs if tensor.name not in made}
    both = with_backward(graph, "logits", weights - {"ids", "mask"})
    # gradients are never set back to nothing between the passes that are timed: each is added to those before
    new = [op.output for op in both.every_op() if op.name.removeprefix("d") in weights and op.name not in made]
    sums = [Op(replace(each, name=f"{each.name}sum"), "accumulate", (_old(each), each)) for each in new]
    return replace(both, items=(*both.items, *sums))


def _old(gradient: Tensor) -> Tensor:
    """The sum of a weight's gradients so far."""
    return replace(gradient, name=f"{gradient.name}old")


def _sizes(shape: Shape, asked: Asked) -> Mapping[str, int]:
    sizes = {"B": asked.batch, "S": asked.seq, "T": asked.seq, "D": shape.d_model, "F": shape.d_ff, "V": shape.vocab}
    return {**sizes, "H": shape.heads, "E": shape.d_model // shape.heads}


def _lines(shape: Shape, asked: Asked, layers: int) -> Iterator[str]:
    yield f"x0:{_STREAM} = embedding(table:fp32[V,D], ids:int32[B,S])"
    for number in range(layers):
        yield from _Layer(shape.family, asked, number).lines()
    last = f"x{layers}"
    if shape.family != "bert":
        yield f"nf:{_STREAM} = layer_norm({last}, gf:fp32[D], bf:fp32[D])"
        last = "nf"
    if shape.family != "bert" or asked.trains:
        yield f"logits:fp32[B,S,V] = matmul({last}, head:fp32[D,V])"


@dataclass(frozen=True, slots=True)
class _Layer:
    """The lines of one layer; names end in its number."""

    family: Family
    asked: Asked
    number: int

    def lines(self) -> Iterator[str]:
        at = self.number
        x, y, n = f"x{at}", f"x{at + 1}", f"n{at}"
        pre = self.family != "bert"
        if pre:
            yield self._norm(n, x, "1")
        yield from self._attention(n if pre else x)
        yield from self._residual(f"h{at}", x, f"o{at}", "1")
        middle = f"h{at}"
        if pre:
            yield self._norm(f"m{at}", middle, "2")
        else:
            yield self._norm(f"a1n{at}", middle, "1")
            middle = f"a1n{at}"
        yield from self._network(f"m{at}" if pre else middle)
        out = y if pre else f"t{at}"
        yield from self._residual(out, middle, f"d{at}", "2")
        if not pre:
            yield self._norm(y, out, "2")

    def _norm(self, out: str, x: str, which: str) -> str:
        at = self.number
        return f"{out}:{_STREAM} = layer_norm({x}, g{which}n{at}:fp32[D], b{which}n{at}:fp32[D])"

    def _residual(self, out: str, x: str, made: str, which: str) -> Iterator[str]:
        if self.asked.trains:
            yield f"{made}drop:{_STREAM} = dropout({made})"
            made = f"{made}drop"
        yield f"{out}:{_STREAM} = add({x}, {made})"

    def _attention(self, x: str) -> Iterator[str]:
        at, copies = self.number, self.asked.batch > 1 or self.family == "opt"
        for name, form in (("q", _QUERIES), ("k", _KEYS), ("v", _KEYS)):
            yield f"{name}m{at}:{_STREAM} = matmul({x}, w{name}{at}:fp32[D,D])"
            yield f"{name}{at}:{form} = view({name}m{at})"
            if copies:
                yield f"{name}c{at}:{form} = copy({name}{at})"
        q, k, v = (f"{name}c{at}" if copies else f"{name}{at}" for name in "qkv")
        yield f"s{at}:{_SCORES} = matmul({q}, {k})"
        scores = f"s{at}"
        for extra in () if self.asked.fused else self._on_scores():
            made = f"s{extra[0]}{at}"
            yield f"{made}:{_SCORES} = {extra[1].format(scores)}"
            scores = made
        yield f"p{at}:{_SCORES} = softmax({scores})"
        p = f"p{at}"
        if self.asked.trains:
            yield f"pd{at}:{_SCORES} = dropout({p})"
            p = f"pd{at}"
        yield f"a{at}:{_QUERIES} = matmul({p}, {v})"
        yield f"ac{at}:{_QUERIES} = copy(a{at})"
        yield f"av{at}:{_STREAM} = view(ac{at})"
        yield f"o{at}:{_STREAM} = matmul(av{at}, wo{at}:fp32[D,D])"

    def _on_scores(self) -> tuple[tuple[str, str], ...]:
        """What is done to scores before the softmax."""
        masked = ("k", "add({}, mask:fp32[S,T])")
        if self.family == "opt":
            return (masked, ("x", "relu({})"))
        return (("d", "scale({})"), masked)

    def _network(self, x: str) -> Iterator[str]:
        at = self.number
        yield f"f{at}:{_WIDE} = matmul({x}, w1{at}:fp32[D,F])"
        yield from self._activation(f"f{at}", f"e{at}")
        yield f"d{at}:{_STREAM} = matmul(e{at}, w2{at}:fp32[F,D])"

    def _activation(self, f: str, out: str) -> Iterator[str]:
        if self.family == "opt" or self.family == "bert" or self.asked.fused:
            yield f"{out}:{_WIDE} = {'relu' if self.family == 'opt' else 'gelu'}({f})"
            return
        steps = ("scale({f})", "scale({f}p0)", "add({f}, {f}p1)", "scale({f}p2)", "tanh({f}p3)", "scale({f}p4)")
        for number, step in enumerate((*steps, "scale({f})")):
            yield f"{f}p{number}:{_WIDE} = {step.format(f=f)}"
        yield f"{out}:{_WIDE} = mul({f}p6, {f}p5)"
