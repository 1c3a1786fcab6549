"""What Megatron-Bridge's performance recipes ask for beside what its tables say: one place for all rows of them.

Model: a recipe by model and, where these differ, GPU and format. `graphs`: a whole step is one CUDA graph; where attention
and router alone are graphs, kernels are taken to be issued by Python, as elsewhere. `flex`: tokens are sent to nodes (what
has one NVLink switch) first (HybridEP, DeepEP), else by an all-to-all. `paired`: exchanges of experts lie behind another
microbatch's pass (`moe_a2a_overlap`). `recompute` in our words: norms and activations of
experts ('light'), or a number of whole blocks. `pieces`: dense models with tensor parallelism cut matmuls and what goes
between chips so, but not in NVFP4. `layers`: DeepSeek-V3 trains one more block, which predicts a further token.
Not told: that releases before HybridEP (25.11, 26.02) had Qwen3 30B on H100 with an all-to-all, and its exchanges behind
another microbatch's pass; rows of experts that are padded to 16 in fp8, a copy each way (all-to-alls alone);
up-projections of latent attention and dense networks of DeepSeek-V3 that are made again (`mla_up_proj`, `mlp`: 3 % of its
FLOPs), the head of its further token, activations that lie in the host's memory.
Source: github:NVIDIA-NeMo/Megatron-Bridge scripts/performance/configs (*_workload_base_configs.py and *_llm_pretrain.py of
deepseek, gpt_oss, kimi, llama and qwen), utils/overrides.py, training/comm_overlap.py, training/mixed_precision.py; its
releases differ, and these are the last that were read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PIECES = 4
"""Pieces in which matmuls and their tensor-parallel communication overlap (`num_splits` of its userbuffers)."""

_BLACKWELL = ("b200", "b300", "gb200", "gb300")
_RACKS = ("gb200", "gb300")


@dataclass(frozen=True, slots=True)
class BridgeRecipe:
    """What a recipe asks for. `graphs`, `flex`, `light`, `paired`: on which GPUs; `further`: blocks beyond its own."""

    graphs: tuple[str, ...] = ()
    flex: tuple[str, ...] = ()
    light: tuple[str, ...] = ()
    paired: tuple[str, ...] = ()
    recompute: Mapping[tuple[str, str], str] = field(default_factory=dict)
    further: int = 0


RECIPES: Mapping[str, BridgeRecipe] = {
    "llama3_8b": BridgeRecipe(graphs=_BLACKWELL, recompute={("h100", "fp8"): "5"}),
    "llama3_70b": BridgeRecipe(),
    "llama3_405b": BridgeRecipe(),
    "deepseek_v3": BridgeRecipe(flex=("h100", *_BLACKWELL), further=1),
    "kimi_k2": BridgeRecipe(flex=_RACKS),
    "qwen3_30b_a3b": BridgeRecipe(flex=("h100", *_BLACKWELL)),
    "qwen3_235b_a22b": BridgeRecipe(flex=_RACKS, paired=("h100",)),
    "gpt_oss_120b": BridgeRecipe(flex=("b300",), light=("h100", "b200", "gb200")),
}
"""By model of the catalogue."""

NO_RECIPE = BridgeRecipe()
"""Of a model whose recipe is not known here."""
