"""What Megatron-LM's optimizer does to all gradients before it steps the weights.

Model: gradients that were added up and reduced in a narrow format are copied into fp32 where the optimizer steps masters in
it. Those of a step in fp16 were made of a loss that was multiplied by a large number, so that they are divided by that
and looked through for what is not finite: a pass over all of them. Where they are clipped, they are multiplied by what their
norm asks for: another pass, behind the norm. Both read and write the sums where they are.
Assumes: norms are above what they are clipped to, as they are when a run begins; else the second pass is left out.
Source: Megatron-LM, megatron/optimizer/optimizer.py (_copy_model_grads_to_main_grads,
_unscale_main_grads_and_check_for_nan), clip_grads.py (clip_grad_norm_fp32: multi_tensor_scale).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from simulator.graph.dtypes import DTYPE_BYTES
from simulator.graph.items import Op, Tensor
from simulator.models.steps.buffers import Stored
from simulator.models.steps.storage.buffer import Buffer


def over_all(
    buffers: Iterable[Buffer], found: dict[str, Tensor], passed: Callable[[Buffer, Tensor], list[Op]]
) -> list[Op]:
    """Passes over the gradients of some buffers; `found`: where gradients lie by buffer, before and then behind them."""
    ops: list[Op] = []
    for buffer in buffers:
        made = passed(buffer, found[buffer.name])
        if made:
            found[buffer.name] = made[-1].output
        ops += made
    return ops


def unscaled(buffer: Buffer, gradients: Tensor, stored: Stored, after: Sequence[str]) -> list[Op]:
    """Gradients as wide as masters, those of a scaled loss divided by its scale; nothing where neither is needed."""
    if not stored.megatron:
        return []
    ops: list[Op] = []
    master = stored.precision.master
    if master is not None and DTYPE_BYTES[gradients.dtype] < DTYPE_BYTES[master]:
        wide = replace(gradients, name=f"wide{buffer.name}", dtype=master, rounds=(), written="")
        ops.append(Op(wide, "cast", (buffer.here(gradients),)).waiting_for(after))
        gradients = wide
    if stored.precision.compute == "fp16":
        ops.append(_passed(buffer, gradients, "unscaled", after))
    return ops


def clipped(buffer: Buffer, gradients: Tensor, stored: Stored, norms: Sequence[str]) -> list[Op]:
    """Gradients multiplied by what the norms of all of them ask for."""
    return [_passed(buffer, gradients, "clipped", norms)] if stored.megatron and norms else []


def _passed(buffer: Buffer, gradients: Tensor, what: str, after: Sequence[str]) -> Op:
    made = replace(gradients, name=f"{what}{buffer.name}", rounds=(), written="")
    return Op(made, "rescale", (buffer.here(gradients),)).waiting_for(after)
