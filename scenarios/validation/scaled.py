"""Models that MaxText scales itself (`global_parameter_scale`), and its published steps of them, which say TFLOP/s alone.

Model: from a base of about a billion parameters heads and networks are doubled, then widths, then layers. A step's batch
and what is recomputed stand in the script of each size; its seconds follow from TFLOP/s as MaxText counts FLOPs: matmuls
three times, attention three times as if nothing were masked.
MaxText's policy `minimal` keeps what matmuls make and runs attention again: 'selective'. No script asks for a backward pass
of attention in one kernel, which had to be asked for (`backward` is `apart`).
Source: github:AI-Hypercomputer/maxtext src/maxtext/configs/tpu/v5e/{16b,32b,64b,128b}.sh and README.md, the same of v5p
(32b to 1024b); its base.yml, get_individual_scales and calculate_tflops_training_per_device.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from simulator.models import Attention, Embedding, Ffn, Head, Norm, Position, Transformer

Cells = Mapping[str, str]

SCALED = "maxtext-"
"""How the names of such models begin; then comes how many billions they have."""

SLICE = 256
"""Chips of a slice of TPU v5e; rows of other chips say how many slices they have."""

_SEQ = 2048

_SCRIPTS: Mapping[tuple[str, str], tuple[int, int, str]] = {
    ("TPU v5e", "maxtext-16B"): (6, 1, "full"),
    ("TPU v5e", "maxtext-32B"): (4, 1, "full"),
    ("TPU v5e", "maxtext-64B"): (2, 1, "full"),
    ("TPU v5e", "maxtext-128B"): (1, 16, "projected"),
    ("TPU v5p", "maxtext-32B"): (6, 4, "selective"),
    ("TPU v5p", "maxtext-64B"): (3, 4, "selective"),
    ("TPU v5p", "maxtext-128B"): (1, 8, "selective"),
    ("TPU v5p", "maxtext-256B"): (1, 8, "selective"),
    ("TPU v5p", "maxtext-512B"): (2, 8, "full"),
    ("TPU v5p", "maxtext-1024B"): (2, 16, "full"),
}
"""By chip and size: sequences a chip, tensor-parallel chips, what is recomputed."""


def scaled(name: str) -> Transformer:
    """A model by its size."""
    doublings = int(math.log2(int(name.removeprefix(SCALED).rstrip("B"))))
    base, rest = divmod(doublings, 3)
    heads = 16 * 2 ** (base + (rest > 0))
    return Transformer(
        name=name,
        family="decoder",
        layers=16 * 2**base,
        d_model=2048 * 2 ** (base + (rest > 1)),
        attention=Attention(heads=heads, kv_heads=heads, head_dim=128),
        ffn=Ffn(d_ff=7168 * 2 ** (base + (rest > 0)), gated=True, activation="silu"),
        norm=Norm(kind="rms"),
        position=Position(kind="rope", longest=_SEQ),
        head=Head(),
        embedding=Embedding(vocab=32000, tied=False),
    )


def completed(cells: Cells) -> Cells:
    """A row of such a step with what its script says; any other row as it is."""
    script = _SCRIPTS.get((cells.get("chip", ""), cells.get("model", "")))
    if script is None:
        return cells
    chips = int(float(cells["n_chips"]))
    batch, tp, recompute = script
    flops = _flops_a_token(scaled(cells["model"])) * batch * _SEQ
    tflops = float(cells.get("measured_tflops_per_chip") or "nan")
    return {
        **cells,
        "framework": "maxtext",
        "dispatch": "graph",
        "seq": str(_SEQ),
        "global_batch": str(batch * chips),
        "tp": str(tp),
        "pp": "1",
        "dp": str(chips // tp),
        "slices": cells.get("slices", "") or str(chips // SLICE),
        "recompute": recompute,
        "backward": "apart",
        "measured_seconds_per_iteration": str(flops / (tflops * 1e12)),
    }


def _flops_a_token(model: Transformer) -> float:
    """FLOPs a token as MaxText counts them."""
    width, heads = model.d_model, model.attention.heads * model.attention.head_dim
    block = 8.0 * width * heads + 6.0 * width * (model.ffn.d_ff or 0) + 4.0 * _SEQ * heads
    vocabulary = model.embedding.vocab if model.embedding is not None else 0
    return 3.0 * (model.layers * block + 2.0 * width * vocabulary)
