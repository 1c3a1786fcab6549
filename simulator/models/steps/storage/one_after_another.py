"""Gradients that are reduced one after another with the backward pass, and not beside it.

Model: from ZeRO-2 on the gradients of a group (the weights of a part of a model; of a block: in one of its rounds) are
reduced as soon as they are complete, for a chip has no room for all of them. Where nothing of that is to go on beside
compute, the kernel that comes next in the program waits for all that was reduced before it: a block says it of its own
rounds, what stands behind it of the last one.
Assumes: what computes is what goes to the chip's queue of kernels; gathers of weights and copies from the host go on.
Behind a pass no kernel waits: there stands the optimizer, or gradients are added up, which waits in the queue itself.
Source: PyTorch, torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py, without a stream of its own for reductions.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from simulator.graph.items import Items, Op, Repeat, Round, reference
from simulator.ops.registry import find_kind


def one_after_another(items: Sequence[Op | Repeat], reductions: Collection[str], inside: Collection[str]) -> Items:
    """Some items of a backward pass in which kernels wait for `reductions`, by name. Ops of the names `inside` begin no
    kernel: they are fused with some before."""
    return _walked(items, reductions, inside, ())[0]


def _walked(
    items: Sequence[Op | Repeat], reductions: Collection[str], inside: Collection[str], left: Sequence[str]
) -> tuple[Items, list[str]]:
    """Items whose kernels wait, the first of them for what is `left` from before; and what is left behind them."""
    found: list[Op | Repeat] = []
    waiting = list(left)
    for item in items:
        if isinstance(item, Repeat):
            _, behind = _walked(item.items, reductions, inside, ())
            before = [reference(name, (Round(1, relative=True),)) for name in behind]
            rounds, behind = _walked(item.items, reductions, inside, [*waiting, *before])
            found.append(replace(item, items=rounds))
            waiting = behind
        elif item.name in reductions:
            found.append(item)
            waiting.append(item.name)
        elif waiting and _computes(item) and item.name not in inside:
            found.append(item.waiting_for(waiting))
            waiting = []
        else:
            found.append(item)
    return tuple(found), waiting


def _computes(op: Op) -> bool:
    """Whether an op is a kernel of the chip's own queue."""
    moved = (op.output, *op.inputs)
    return (
        not find_kind(op).view
        and not find_kind(op).network
        and op.option("queue") is None
        and all(each.memory == "hbm" for each in moved)
    )
