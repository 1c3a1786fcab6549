"""Training of published models on several GPUs of one node, by Megatron-LM.

Model: the three models that are decoders like GPT, in fp32, as Megatron-LM has them (`scenarios.validation.recipes`): one
matmul for queries, keys and values, scores in memory, dropout, gradients reduced behind the backward pass; a whole step, its
optimizer included. `option` says how many GPUs share what: dp4 (the batch), tp4 (each layer), pp4_1 (the layers; the second
number is how many microbatches a batch has).
Source: github:sitar-lab/NeuSight, scripts/asplos/run_label_distributed.py and collect_label_distributed.py, which train by
Hugging Face's accelerate with its Megatron-LM engine (`train_step`): no mixed precision, no sequence parallelism, nothing
recomputed, gradients clipped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from scenarios.validation.published.hugging_face import Shape
from scenarios.validation.rows import Row
from scenarios.validation.training import trained
from scenarios.validation.training_rows import TrainingRow

_LAYOUT = re.compile(r"(?P<axis>dp|tp|pp)(?P<gpus>[1-9]\d*)(?:_(?P<microbatches>[1-9]\d*))?")

_TRAINED_ON = {"NVIDIA_H100_80GB_HBM3": "H100-80GB-SXM", "NVIDIA_A100-SXM4-40GB": "A100-40GB"}
"""GPUs with links of their own to others, as rows of training steps call them."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Over so many GPUs along one axis (dp, tp, pp); of a pipeline, how many microbatches a batch has."""

    axis: str
    gpus: int
    microbatches: int = 1


def layout_of(option: str) -> Layout | None:
    """What an option says of several GPUs; None if it says nothing of them."""
    found = _LAYOUT.fullmatch(option)
    if found is None or (found["microbatches"] and found["axis"] != "pp"):
        return None
    return Layout(found["axis"], int(found["gpus"]), int(found["microbatches"] or 1))


def shared_seconds(shape: Shape, row: Row, layout: Layout) -> float | None:
    """How long a step takes; None for GPUs and models that are not known here, and batches that cannot be shared so."""
    chip, batch = _TRAINED_ON.get(row.params["device"]), row.params["batch"]
    parts = (layout.gpus if layout.axis == "dp" else 1) * layout.microbatches
    if shape.family != "gpt2" or chip is None or batch % parts:
        return None
    cells = {
        "source": "published",
        "model": row.name,
        "layers": str(shape.layers),
        "hidden": str(shape.d_model),
        "heads": str(shape.heads),
        "ffn": str(shape.d_ff),
        "vocab": str(shape.vocab),
        "seq": str(row.params["seq"]),
        "global_batch": str(batch),
        "micro_batch": str(batch // parts),
        **dict.fromkeys(("dp", "tp", "pp"), "1"),
        layout.axis: str(layout.gpus),
        "recompute": "none",
        "dtype": "fp32",
        "n_chips": str(layout.gpus),
        "chip": chip,
    }
    (found,) = trained([TrainingRow(row.mark, cells, row.measured_s)])
    return found.predicted_s
