"""The forward ops of a transformer's block.

Model: a block takes the stream `x` and makes `y`: attention and a feed-forward network, each with a norm and a residual.
Attention is training's unless another is given: inference attends over a cache.
Source: Vaswani et al. 2017; the modelling files named in `simulator.models.weights` for where norms stand.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.graph.items import Tensor
from simulator.models.blocks import Block
from simulator.models.steps.attention import attention_ops
from simulator.models.steps.experts import expert_ops, whole_expert_ops
from simulator.models.steps.pieces import dropped, enter, leave, network, norm
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer

Attend = Callable[[Writer, Shapes, Block, Tensor], Tensor]
"""Ops from tokens inside a region to the sums of the matmul behind attention."""


def block_ops(
    write: Writer, shapes: Shapes, block: Block, x: Tensor, out: str, attention: Attend = attention_ops
) -> Tensor:
    """Write the ops of one block behind `x`; returns what it makes, called `out`."""
    if shapes.model.parallel:
        return _side_by_side(write, shapes, block, x, out, attention)
    model = shapes.model

    def attend(normed: Tensor) -> Tensor:
        inside = enter(write, shapes, normed, as_operand=True)
        return leave(write, shapes, attention(write, shapes, block, inside), model.attention.out_bias)

    def feed(normed: Tensor) -> Tensor:
        if block.has_experts and model.moe is not None and shapes.whole_experts:
            return whole_expert_ops(write, shapes, model.moe, normed)
        inside = enter(write, shapes, normed, as_operand=not block.has_experts)
        return leave(write, shapes, _feed_forward(write, shapes, block, inside), model.ffn.bias)

    h = _residual(write, shapes, x, "1", "h", attend)
    return _residual(write, shapes, h, "2", out, feed)


def _residual(
    write: Writer, shapes: Shapes, x: Tensor, number: str, out: str, inner: Callable[[Tensor], Tensor]
) -> Tensor:
    """x and what `inner` makes of it, with norms where the model has them."""
    places = shapes.model.norm.places
    inside = x if places == "post" else norm(write, shapes, x, f"n{number}")
    made = inner(inside)
    joined = [made] if write.ops[-1].kind == "add" and not any(made.name in group for group in write.fuse) else []
    if shapes.dropout:
        made = dropped(write, made)
        joined.append(made)
    if places == "sandwich":
        made, joined = norm(write, shapes, made, f"p{number}"), []
    total = f"t{number}" if places == "post" else out
    summed = write.op("add", x, made, out=total, shape=shapes.stream, dtype=write.wide)
    if write.joins_sums and joined:
        write.together(*joined, summed)
    return summed if places != "post" else norm(write, shapes, summed, out, f"n{number}")


def _side_by_side(write: Writer, shapes: Shapes, block: Block, x: Tensor, out: str, attention: Attend) -> Tensor:
    """Attention and feed-forward network on one normed input, their sums added up before they leave the region."""
    inside = enter(write, shapes, norm(write, shapes, x, "n1"), as_operand=not block.has_experts)
    attended, fed = attention(write, shapes, block, inside), _feed_forward(write, shapes, block, inside)
    both = write.op("add", attended, fed, out="both", shape=shapes.inside, partial=attended.partial)
    biased = bool(both.partial) and (shapes.model.attention.out_bias or shapes.model.ffn.bias)
    left = leave(write, shapes, both, biased)
    return write.op("add", x, left, out=out, shape=shapes.stream, dtype=write.wide)


def _feed_forward(write: Writer, shapes: Shapes, block: Block, x: Tensor) -> Tensor:
    """The block's network, or its experts."""
    if block.has_experts and shapes.model.moe is not None:
        return expert_ops(write, shapes, shapes.model.moe, x)
    return network(write, shapes, x, "ff")
