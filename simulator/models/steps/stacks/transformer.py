"""A transformer as a stack: one that reads tokens, or patches of images.

Model: tokens of a sequence are asked for, those of an image follow from the model.
"""

from __future__ import annotations

from dataclasses import replace

from hw import Mark, Problem, Problems, SpecError
from simulator.models.description import Transformer
from simulator.models.steps.buffers import Stored
from simulator.models.steps.layout import Parallel
from simulator.models.steps.megatron.softmax import softmax_of
from simulator.models.steps.parts import PartMaker, Slice
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.sizes import beyond_table, filled_share, gathers_heads, microbatches, sizes_of
from simulator.models.steps.stacks.stack import Asked, Stack


def sequence_of(model: Transformer, seq: int) -> int:
    """Tokens of one sequence, or of one image. Raises SpecError where they are missing, too many, or asked for in vain."""
    if model.patches is not None:
        tokens = model.patches.tokens
        if seq not in (0, tokens):
            raise SpecError([Problem(Mark("seq"), f"{model.name} reads images of {tokens} tokens each; leave seq out")])
        return tokens
    problems = Problems()
    if seq < 1:
        problems.add(Mark("seq"), f"seq is missing: the tokens of a sequence of {model.name}")
    elif told := beyond_table(model, seq):
        problems.add(Mark("seq"), told)
    problems.raise_if_any()
    return seq


def _attention(model: Transformer, parallel: Parallel, asked: Asked, seq: int) -> str:
    """The `kind` of attention's ops: Megatron-LM's kernel of scores is not for every number of heads."""
    if asked.attention != "fused_softmax" or not asked.megatron:
        return asked.attention
    heads = parallel.tp * (parallel.cp if parallel.context == "all_to_all" else 1)
    queries = seq // parallel.cp if parallel.context != "all_to_all" else seq
    return softmax_of(model.attention.heads // heads, parallel.microbatch, queries)


def transformer_stack(model: Transformer, parallel: Parallel, asked: Asked) -> Stack:
    """The blocks of a transformer with what stands before and behind them."""
    seq = sequence_of(model, asked.seq)
    shapes = Shapes.of(model, parallel, seq)
    shapes = replace(shapes, attention=_attention(model, parallel, asked, seq), dropout=asked.dropout)
    shapes = replace(shapes, dropless=asked.dropless, one_hot=asked.one_hot, biased=asked.biased)
    kept = asked.megatron and asked.recompute == "selective"
    shapes = replace(shapes, fuses_qkv=asked.megatron, keeps_attended=kept)
    if asked.megatron and gathers_heads(model, parallel.tp):
        shapes = replace(shapes, gathers_heads=True, key_copies=1)
    several = model.moe is not None and model.moe.experts > parallel.expert_chips > 1
    shapes = replace(shapes, by_experts=asked.megatron and several and parallel.expert_nodes == 1)
    sizes = sizes_of(model, parallel, asked.batch, seq)
    shapes = replace(shapes, filled=filled_share(model, sizes))

    def maker(where: Slice, stored: Stored) -> PartMaker:
        return PartMaker(model, shapes, stored, sizes, asked.recompute, where, asked.eager, asked.trains)

    return Stack(model.layers, microbatches(parallel, asked.batch), sizes, maker)
