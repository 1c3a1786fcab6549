"""The feed-forward network of a block that has experts: its forward ops.

Model: the router scores every expert for every token; tokens are copied to slots of the experts that are best
for them, sent to the chips that have those (an all-to-all over the expert axis), go through each expert's network as a
batched matmul, come back and are added up by weight. Slots: tokens x top_k / experts, times how much fuller than the mean
the fullest expert is. Shared experts are one network that every token goes through.
Source: Shazeer et al. 2017; Lepikhin et al. 2021 (GShard); Dai et al. 2024 (DeepSeekMoE).
"""

from __future__ import annotations

from dataclasses import replace

from simulator.graph.items import Dim, Tensor
from simulator.models.description import Moe
from simulator.models.steps.pieces import linear, network, without
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def expert_ops(write: Writer, shapes: Shapes, moe: Moe, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the experts' last matmuls."""
    layout = shapes.layout
    x = write.narrow(x)
    scores = linear(write, x, "router", dims("model", "experts"), shapes.tokens("experts"))
    chosen = write.op("route", scores, out="chosen", shape=shapes.tokens("top"))
    own = layout.batch + layout.seq
    apart = dims(shapes.used, ("slots", own), "model")
    e = write.op("dispatch", x, chosen, out="e", shape=apart)
    here = dims((shapes.used, layout.experts), ("slots", without(own, layout.experts)), "model")
    if layout.experts:
        e = write.op("all_to_all", e, out="es", shape=here, over=layout.experts)
    made = _batched_network(write, shapes, e)
    if layout.experts:
        made = write.op("all_to_all", made, out="eb", shape=apart, partial=made.partial, over=layout.experts)
    y = write.op("combine", made, chosen, out="ey", shape=shapes.inside, partial=made.partial)
    if not moe.shared_experts:
        return y
    shared = network(write, shapes, x, "sff", "sh")
    if moe.shared_gate:
        gate = linear(write, x, "shgate", dims("model", "one"), shapes.tokens("one"))
        open_gate = write.op("sigmoid", gate, out="shopen", shape=shapes.tokens("one"))
        shared = write.op("mul", shared, open_gate, out="shg", shape=shapes.inside, partial=shared.partial)
    return write.op("add", y, shared, out="both", shape=shapes.inside, partial=y.partial)


def _batched_network(write: Writer, shapes: Shapes, e: Tensor) -> Tensor:
    """The experts' networks, one batched matmul for each weight."""
    axes, ffn = shapes.layout.tensor, shapes.model.ffn
    used, slots, _ = e.dims
    experts = replace(used, size="experts")
    wide, hidden = (experts, *dims("model", ("eff", axes))), (used, slots, *dims(("eff", axes)))

    def matmul(x: Tensor, out: str, weight: tuple[Dim, ...], shape: tuple[Dim, ...], partial: str = "") -> Tensor:
        w = write.weight(f"w{out}", weight, "expert")
        if shapes.used != "experts":
            # of experts that no token goes to nothing is read
            w = write.op("view", w, out=f"u{out}", shape=(x.dims[0], *weight[1:]), dtype=w.dtype, memory=w.memory)
        return write.op("matmul", write.operand(x), write.operand(w), out=out, shape=shape, partial=partial)

    if ffn.gated:
        gate, up = matmul(e, "egate", wide, hidden), matmul(e, "eup", wide, hidden)
        s = write.op("swiglu", gate, up, out="eact", shape=hidden)
    else:
        s = write.op("gelu", matmul(e, "eup", wide, hidden), out="eact", shape=hidden)
    return matmul(s, "ed", (experts, *dims(("eff", axes), "model")), e.dims, axes)
