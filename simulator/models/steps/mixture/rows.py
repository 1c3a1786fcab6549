"""Tokens through experts row by row: as many rows as tokens have experts, whatever experts those are.

Model: each token is copied once for each of its experts, these rows are sent to the chips that have the experts (an
all-to-all), multiplied each with the matrices of its expert by grouped matmuls, sent back and added up by weight. A chip has
as many rows as its tokens have experts, times how much fuller than the mean the fullest chip is, before and behind the
exchange: experts are asked for evenly. What is exchanged is cut into equal parts, so that rows may be fewer than chips. Of
matrices those are read that some token goes to. Nodes come first, where tokens are sent to nodes: a token goes as often as
its experts lie on nodes, as expected.
Assumes: what is exchanged is a whole number of bytes a chip; where it is not, there are as few rows more as make it so.
Source: Gale et al. 2023 (MegaBlocks); DeepSeek-AI, DeepEP (its low-latency kernels for decode send rows, not slots).
"""

from __future__ import annotations

import math

from simulator.graph.items import Dim, Tensor
from simulator.models.description import Moe
from simulator.models.steps.layout import Parallel
from simulator.models.steps.pieces import without
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.sizes import nodes_of_token
from simulator.models.steps.writer import Writer, dims


def rows_through_experts(write: Writer, shapes: Shapes, x: Tensor, chosen: Tensor) -> Tensor:
    """From tokens inside a region to the sums of their experts' last matmuls."""
    layout = shapes.layout
    own, inner = layout.batch + layout.seq, without(layout.experts, layout.nodes)
    rows, copies = dims(("rows", own), "model"), dims(("copies", own), "model")
    there = x
    if layout.nodes:
        there = write.op("dispatch", x, chosen, out="en", shape=copies)
        there = _exchanged(write, there, ("nodes", "nparts"), own, layout.nodes)
    sent = write.op("dispatch", there, chosen, out="sent", shape=rows)
    if inner:
        sent = _exchanged(write, sent, ("peers", "parts"), own, inner)
    made = _networks(write, shapes, sent)
    if inner:
        made = _exchanged(write, made, ("peers", "parts"), own, inner)
    if layout.nodes:
        made = write.op("combine", made, chosen, out="ec", shape=copies, partial=made.partial)
        made = _exchanged(write, made, ("nodes", "nparts"), own, layout.nodes)
    return write.op("combine", made, chosen, out="ey", shape=shapes.inside, partial=made.partial)


def _exchanged(write: Writer, x: Tensor, names: tuple[str, str], own: str, over: str) -> Tensor:
    """Rows of all chips along some axes, an equal part of each chip's for each."""
    chips, parts = names
    called = x.name.removesuffix(write.suffix)
    cut, brought = dims(chips, (parts, own)), dims((chips, over), (parts, without(own, over)))

    def told(kind: str, source: Tensor, mark: str, shape: tuple[Dim, ...], **how: str) -> Tensor:
        return write.op(kind, source, out=f"{called}{mark}", shape=shape, partial=x.partial, dtype=x.dtype, **how)

    sent = told("all_to_all", told("view", x, "p", cut), "x", brought, over=over)
    return told("view", sent, "r", x.dims)


def _networks(write: Writer, shapes: Shapes, x: Tensor) -> Tensor:
    """The experts' networks, one grouped matmul for each weight."""
    axes, ffn = shapes.layout.expert_tensor, shapes.model.ffn
    experts, rows = dims(("experts", shapes.layout.experts)), x.dims[0]
    hidden = (rows, *dims(("eff", axes)))
    filled = None if shapes.filled == 1 else shapes.filled

    def matmul(x: Tensor, out: str, depth: tuple[str, str], columns: tuple[str, str], partial: str = "") -> Tensor:
        weight = write.weight(f"w{out}", (*experts, *dims(depth, columns)), "expert")
        inputs = [write.operand(x), write.operand(weight)]
        if ffn.bias and not partial:
            # the bias of sums over chips is added when they are whole
            inputs.append(write.narrow(write.weight(f"b{out}", (*experts, *dims(columns)), "expert")))
        shape = (rows, *dims(columns))
        return write.op("grouped_matmul", *inputs, out=out, shape=shape, partial=partial, met=shapes.met, filled=filled)

    model, wide = ("model", ""), ("eff", axes)
    if ffn.gated:
        gate, up = matmul(x, "egate", model, wide), matmul(x, "eup", model, wide)
        s = write.op("swiglu", gate, up, out="eact", shape=hidden)
    else:
        s = write.op("gelu", matmul(x, "eup", model, wide), out="eact", shape=hidden)
    return matmul(s, "ed", wide, model, axes)


def share_met(moe: Moe, tokens: int) -> float:
    """The share of the experts that some of so many tokens go to, as expected where each chooses at random."""
    return float(1 - (1 - moe.top_k / moe.experts) ** tokens)


def row_sizes(moe: Moe, parallel: Parallel, width: int, tokens: int) -> dict[str, int]:
    """The sizes of dims of rows, for so many tokens of all chips, each of so wide a row."""
    chips, nodes = parallel.replicas * parallel.cp, parallel.expert_nodes
    peers, each = parallel.ep // nodes, tokens / chips
    rows = _exchangeable(each * moe.top_k * parallel.imbalance, peers, width)
    found = {"rows": rows * chips}
    if peers > 1:
        found |= {"peers": peers, "parts": rows * width // peers * chips}
    if nodes > 1:
        copies = _exchangeable(each * nodes_of_token(moe, nodes), nodes, width)
        found |= {"copies": copies * chips, "nodes": nodes, "nparts": copies * width // nodes * chips}
    return found


def _exchangeable(rows: float, chips: int, width: int) -> int:
    """Rows, as near to so many as those come of which each chip has a whole part for each."""
    unit = chips // math.gcd(chips, width)
    return max(1, round(rows / unit)) * unit
