"""What of a block is kept for the backward pass, and what is run again there, by the kinds of its ops.

Model: a rule goes through the ops of one block at a time. `none` runs nothing again, `full` and `whole` all but what blocks
take in; the others are between those, and named after what they keep or run again.
Source: Korthikanti et al. 2022 (selective recomputation); Megatron-LM (its modules layernorm and moe_act);
pytorch/torchtitan, its policy by op (`alternate`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from simulator.graph.items import Op


def recomputed(ops: Sequence[Op], recompute: str, kept: Collection[str]) -> frozenset[str]:
    """What of a block is run again in the backward pass: nothing, attention, what is light, or all but what blocks take in
    and is kept."""
    if recompute == "selective":
        return frozenset(op.name for op in ops if op.kind in _ATTENTION)
    if recompute == "light":
        return frozenset(_light(ops))
    if recompute in ("full", "whole", *_KEEPING):
        return frozenset(op.name for op in ops if op.name not in kept)
    return frozenset()


def _light(ops: Sequence[Op]) -> Iterator[str]:
    """Norms of the stream and what activates, with what puts its clamped halves beside each other (Megatron-LM's modules
    layernorm, which has the two norms of a block and none of heads or of latents, and moe_act)."""
    made = {
        op.name for op in ops if op.kind in _ACTIVATES or (op.kind in _NORMS and op.output.dims[-1].size == "model")
    }
    yield from made
    yield from (op.name for op in ops if op.kind == "copy" and op.inputs[0].name in made)


def kept_of(ops: Sequence[Op], recompute: str) -> frozenset[str]:
    """What is kept of a block by a rule of its own."""
    return frozenset(_KEEPING[recompute](ops)) if recompute in _KEEPING else frozenset()


def _alternate(ops: Sequence[Op]) -> Iterator[str]:
    """By the kind of its ops: attention, what was scattered over chips, and every second matmul, from the first one on."""
    yield from [op.name for op in ops if op.kind == "matmul"][::2]
    yield from (op.name for op in ops if op.kind in (*_ATTENTION, "reduce_scatter"))


def _projected(ops: Sequence[Op]) -> Iterator[str]:
    """What matmuls make that stand before attention: queries, keys and values."""
    attention = next((at for at, op in enumerate(ops) if op.kind in _ATTENTION), 0)
    yield from (op.name for op in ops[:attention] if op.kind == "matmul")


def _attended(ops: Sequence[Op]) -> Iterator[str]:
    """The same, and what attention makes of them."""
    yield from _projected(ops)
    yield from (op.name for op in ops if op.kind in _ATTENTION)


def _joined(ops: Sequence[Op]) -> Iterator[str]:
    """What the matmul behind attention makes, and its sum over chips."""
    attention = next((at for at, op in enumerate(ops) if op.kind in _ATTENTION), len(ops))
    made = next((op.name for op in ops[attention:] if op.kind == "matmul"), "")
    yield from (op.name for op in ops if op.name == made)
    yield from (op.name for op in ops if op.kind in _SUMS and op.inputs[0].name == made)


def _surrounded(ops: Sequence[Op]) -> Iterator[str]:
    """What matmuls in front of attention make, and the one behind it."""
    yield from _projected(ops)
    yield from _joined(ops)


_ATTENTION = ("attention", "attention_block")

_SUMS = ("reduce_scatter", "all_reduce")

_NORMS = ("rms_norm", "layer_norm")

_ACTIVATES = ("swiglu", "gelu", "relu", "clamp")

_KEEPING = {
    "alternate": _alternate,
    "projected": _projected,
    "attended": _attended,
    "joined": _joined,
    "surrounded": _surrounded,
}
"""Of rules by which all of a block is recomputed but something: what they keep."""
