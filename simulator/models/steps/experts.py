"""The feed-forward network of a block that has experts: its forward ops.

Model: the router scores every expert for every token; tokens are copied to slots of the experts that are best for them,
sent to the chips that have those (an all-to-all over the expert axis), go through each expert's network as a batched
matmul, come back and are added up by weight. They are copied there and back, so that experts have as many rows as ask for
them, or brought by matmuls with masks, which make as many for each (`one_hot`). Slots: tokens x top_k / experts, times how
much fuller than the mean the fullest expert is. Where expert-parallel chips lie on several nodes and tokens are sent to
nodes first, a token crosses nodes once for each node that has experts for it, to the chip that stands where its own does,
and goes on from there; a router that is limited to some groups of experts limits nodes so. Where the all-to-all is one that
knows nothing of experts (`by_experts`) what it brings lies chip by chip, and is copied into the order of experts, and back
before it goes. A bias of an expert is added by its matmul's own kernel, or `biased` says how: gathered for every row, or
as Megatron-LM's grouped experts do, the last one expert by expert, with what clamps gates in kernels of its own, for whose
bound the host waits. Shared experts are one network that every token goes through. Inference has rows and no slots
(`simulator.models.steps.mixture.rows`).
Source: Shazeer et al. 2017; Lepikhin et al. 2021 (GShard); Dai et al. 2024 (DeepSeekMoE);
DeepSeek-AI 2024 (DeepSeek-V3, section 3.2.2: at most four nodes a token, InfiniBand first, then NVLink);
NVIDIA Megatron-LM, core/transformer/moe/token_dispatcher.py (`sort_chunks_by_idxs` behind its all-to-all), experts.py
(TEGroupedMLP: `linear_fc2` leaves its bias to `_apply_bias`) and core/fusions/fused_bias_geglu.py
(`weighted_bias_quick_geglu_impl`: two clamps, a concatenation, and `torch.tensor` on the device, a copy from pageable
memory); AI-Hypercomputer/maxtext, layers/moe.py (`transform_bias`).
"""

from __future__ import annotations

from dataclasses import replace

from simulator.graph.items import Dim, Tensor
from simulator.models.description import Moe
from simulator.models.steps.mixture.rows import rows_through_experts
from simulator.models.steps.pieces import enter, leave, linear, network, without
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def expert_ops(write: Writer, shapes: Shapes, moe: Moe, x: Tensor) -> Tensor:
    """From tokens inside a region to the sums of the experts' last matmuls."""
    x = write.narrow(x)
    scores = linear(write, x, "router", dims("model", "experts"), shapes.tokens("experts"))
    awaited = shapes.dropless or None
    chosen = write.op("route", scores, out="chosen", shape=shapes.tokens("top"), awaited=awaited)
    if shapes.met is not None:
        y = rows_through_experts(write, shapes, x, chosen)
    else:
        made = _batched_network(write, shapes, _sent(write, shapes, x, chosen))
        y = _brought_back(write, shapes, made, chosen)
    if not moe.shared_experts:
        return y
    shared = _shared(write, shapes, moe, x)
    return write.op("add", y, shared, out="both", shape=shapes.inside, partial=y.partial)


def whole_expert_ops(write: Writer, shapes: Shapes, moe: Moe, x: Tensor) -> Tensor:
    """From a chip's own tokens, between tensor-parallel regions, to what experts make of them that lie whole on the chips of
    all axes; experts that every token sees stand in a region of their own."""
    own = shapes.of_own_tokens
    y = expert_ops(write, own, replace(moe, shared_experts=0), x)
    if not moe.shared_experts:
        return y
    inside = enter(write, shapes, x)
    shared = leave(write, shapes, _shared(write, shapes, moe, inside), shapes.model.ffn.bias)
    return write.op("add", y, shared, out="both", shape=shapes.stream)


def _shared(write: Writer, shapes: Shapes, moe: Moe, x: Tensor) -> Tensor:
    """What experts make that every token sees."""
    shared = network(write, shapes, x, "sff", "sh")
    if moe.shared_gate:
        gate = linear(write, x, "shweigh", dims("model"), shapes.tokens())
        open_gate = write.op("sigmoid", gate, out="shopen", shape=shapes.tokens())
        shared = write.op("mul", shared, open_gate, out="shg", shape=shapes.inside, partial=shared.partial)
    return shared


def _sent(write: Writer, shapes: Shapes, x: Tensor, chosen: Tensor) -> Tensor:
    """Tokens in slots of their experts, on the chips that have those."""
    own, left, inner = _shared_by(shapes)
    nodes = shapes.layout.nodes
    if nodes:
        x = write.op("dispatch", x, chosen, out="en", shape=dims("nodes", ("copies", own), "model"))
        here = dims(("nodes", nodes), ("copies", left), "model")
        x = write.op("all_to_all", x, out="enx", shape=here, over=nodes)
    slots = dims(("experts", nodes), ("slots", left), "model")
    e = write.op("dispatch", x, chosen, out="sent", shape=slots, one_hot=shapes.one_hot or None)
    if inner:
        here = dims(("experts", nodes + inner), ("slots", without(left, inner)), "model")
        e = write.op("all_to_all", e, out="es", shape=here, over=inner)
        if shapes.by_experts:
            e = write.op("copy", e, out="eo", shape=here)
    return e


def _brought_back(write: Writer, shapes: Shapes, made: Tensor, chosen: Tensor) -> Tensor:
    """What experts made of a chip's tokens, added up by weight: on the node of the experts first, where tokens are sent to
    nodes, so that one sum for each node comes back."""
    own, left, inner = _shared_by(shapes)
    nodes, sums = shapes.layout.nodes, made.partial
    if inner:
        here = dims(("experts", nodes), ("slots", left), "model")
        if shapes.by_experts:
            made = write.op("copy", made, out="eu", shape=made.dims, partial=sums)
        made = write.op("all_to_all", made, out="eb", shape=here, partial=sums, over=inner)
    if nodes:
        here = dims(("nodes", nodes), ("copies", left), "model")
        made = write.op("combine", made, chosen, out="ec", shape=here, partial=sums)
        home = dims("nodes", ("copies", own), "model")
        made = write.op("all_to_all", made, out="ecx", shape=home, partial=sums, over=nodes)
    by_masks = shapes.one_hot or None
    return write.op("combine", made, chosen, out="ey", shape=shapes.inside, partial=sums, one_hot=by_masks)


def _shared_by(shapes: Shapes) -> tuple[str, str, str]:
    """The axes that share out tokens: all of them, without those of nodes; and those of experts inside a node."""
    layout = shapes.layout
    own = layout.batch + layout.seq
    return own, without(own, layout.nodes), without(layout.experts, layout.nodes)


def _biased(write: Writer, shapes: Shapes, made: Tensor, b: Tensor, out: str) -> Tensor:
    """What a matmul of experts made, with the bias of each."""
    shape = made.dims
    if shapes.biased == "grouped" and out == "ed":
        return write.op("expert_bias", made, b, out=out, shape=shape)
    if shapes.biased == "gathered":
        rows = write.op("expert_rows", b, out=f"{out}rows", shape=shape)
        return write.op("add", made, rows, out=out, shape=shape)
    added = write.op("add", made, b, out=out, shape=shape)
    write.together(made, added)
    return added


def _clamped(write: Writer, x: Tensor, called: str, awaited: bool = False) -> Tensor:
    """Clamped, and put beside its other half; the host waits where a bound has to be on the chip."""
    made = write.op("clamp", x, out=f"{called}c", shape=x.dims, awaited=awaited or None)
    return write.op("copy", made, out=f"{called}p", shape=x.dims)


def _batched_network(write: Writer, shapes: Shapes, e: Tensor) -> Tensor:
    """The experts' networks, one batched matmul for each weight."""
    axes, ffn = shapes.layout.expert_tensor, shapes.model.ffn
    experts, slots, _ = e.dims
    # einsums with masks make as many slots for each expert
    ragged = None if shapes.one_hot else slots.size
    filled = None if shapes.filled == 1 else shapes.filled
    wide, hidden = (experts, *dims("model", ("eff", axes))), (experts, slots, *dims(("eff", axes)))

    def matmul(x: Tensor, out: str, weight: tuple[Dim, ...], shape: tuple[Dim, ...], partial: str = "") -> Tensor:
        w = write.weight(f"w{out}", weight, "expert")
        # the bias of sums over chips is added when they are whole
        biased = ffn.bias and not partial
        called = f"{out}m" if biased else out
        x, w = write.operand(x), write.operand(w)
        made = write.op("matmul", x, w, out=called, shape=shape, partial=partial, ragged=ragged, filled=filled)
        if not biased:
            return made
        b = write.weight(f"b{out}", (weight[0], weight[-1]), "expert")
        return _biased(write, shapes, made, b, out)

    if ffn.gated:
        gate, up = matmul(e, "egate", wide, hidden), matmul(e, "eup", wide, hidden)
        if shapes.biased == "grouped" and ffn.activation == "clamped_silu":
            gate, up = _clamped(write, gate, "egate", awaited=True), _clamped(write, up, "eup")
        s = write.op("swiglu", gate, up, out="eact", shape=hidden)
        if shapes.biased == "gathered" and ffn.bias:
            write.together(gate, up, s)
    else:
        s = write.op("gelu", matmul(e, "eup", wide, hidden), out="eact", shape=hidden)
    return matmul(s, "ed", (experts, *dims(("eff", axes), "model")), e.dims, axes)
