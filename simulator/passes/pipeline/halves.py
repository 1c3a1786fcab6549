"""A backward pass in two halves, as zero-bubble pipelines have it: gradients of activations first, those of weights when
there is time.

Source: Qi et al. 2023 (Zero Bubble Pipeline Parallelism), section 2.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from simulator.graph.items import Op, Repeat, Round, every_op

_HERE = (Round(0, relative=True),)


def split_backward(
    items: Sequence[Op | Repeat], weights: Collection[str]
) -> tuple[list[Op | Repeat], list[Op | Repeat]]:
    """A backward pass in two: the gradients of activations, then those of `weights` (by name) and what becomes of them. A
    block becomes two, of which the second reads what the first left in the same round."""
    late = set(weights)
    for op in every_op(tuple(items)):
        if late.intersection(tensor.name for tensor in op.inputs):
            late.add(op.name)
    first: list[Op | Repeat] = []
    second: list[Op | Repeat] = []
    for item in items:
        if isinstance(item, Op):
            (second if item.name in late else first).append(item)
            continue
        soon = tuple(op for op in item.items if isinstance(op, Op) and op.name not in late)
        left = {op.name for op in soon} | {start for start, _ in item.carry}
        rest = tuple(_elsewhere(op, left) for op in item.items if isinstance(op, Op) and op.name in late)
        first.append(replace(item, items=soon))
        if rest:
            second.append(replace(item, items=rest, carry=()))
    return first, second


def _elsewhere(op: Op, left: Collection[str]) -> Op:
    """An op in a block of its own, which asks for what another block left in the same round."""
    inputs = (replace(each, rounds=_HERE) if each.name in left and not each.rounds else each for each in op.inputs)
    return replace(op, inputs=tuple(inputs))
