"""What the recipes of published TPU steps ask for: their tables of results do not say it.

Model: a recipe by its folder, or, of TPU7x, by what its table names: model, sequence, format, chips. Batches follow from
seconds and tokens a second. `recompute` in our words: 'projected' keeps blocks' inputs, queries, keys and values,
'attended' what attention made of them as well, 'surrounded' in place of that what the matmul behind it makes (out_proj),
'joined' the inputs and this, 'full' the inputs alone. `offload`: all of that is kept in the host's memory (`offload` of each
in a recipe's remat policy); where a part of it is, as queries, keys and values of Llama 2 70B and what attention made of
Llama 3.1 405B on v5p, it is taken to be on the chip.
`apart`: recipes without sa_use_fused_bwd_kernel=True, which MaxText leaves off.
Source: github:AI-Hypercomputer/tpu-recipes c8cfe2f, training/trillium and training/v5p (READMEs and the scripts of MaxText
that they name), training/ironwood (run_recipe.sh).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from scenarios.validation.tables.cells import Cells


@dataclass(frozen=True, slots=True)
class TpuRecipe:
    """A recipe: chip as rows name it, chips, model of the catalogue, tokens of a sequence, what is recomputed, the format of
    matmuls, chips that share a tensor or a sequence, the capacity of experts over their mean, chips that share out weights
    (0: all of a slice), whether attention goes back in two kernels, among how many slices chips are, and whether what blocks
    keep lies in the host's memory."""

    chip: str
    chips: int
    model: str
    seq: int
    recompute: str = "full"
    dtype: str = "bf16"
    tp: int = 1
    cp: int = 1
    capacity: str = ""
    shard: int = 0
    apart: bool = False
    slices: int = 1
    offload: bool = False

    @property
    def cells(self) -> dict[str, str]:
        """The recipe in the columns of training rows."""
        return {
            "chip": self.chip,
            "n_chips": str(self.chips),
            "model": self.model,
            "seq": str(self.seq),
            "recompute": self.recompute,
            "dtype": self.dtype,
            "tp": str(self.tp),
            "pp": "1",
            "cp": str(self.cp),
            "dp": str(self.chips // (self.tp * self.cp)),
            "capacity": self.capacity,
            "shard": str(self.shard or ""),
            "backward": "apart" if self.apart else "",
            "slices": str(self.slices),
            "offload": "activations" if self.offload else "",
        }


def recipe_of(row: Cells) -> TpuRecipe | None:
    """The recipe of a line of a table; None if it is not known here."""
    if "recipe" in row:
        return RECIPES.get(row["recipe"].removeprefix("training/").rpartition("/")[0])
    key = (row.get("model", ""), row.get("seq", ""), row.get("precision", ""))
    found = TPU7X.get(key)
    return replace(found, chips=int(row["chips"])) if found is not None else None


_V6E, _V5P, _V7X = "TPU v6e", "TPU v5p", "TPU7x"
_LLAMA_8B, _LLAMA_70B = "trillium/Llama3.1-8B-MaxText", "trillium/Llama3.1-70B-MaxText"

RECIPES: Mapping[str, TpuRecipe] = {
    "trillium/GPT3-175B-MaxText/bf16": TpuRecipe(_V6E, 256, "gpt3_175b", 2048, apart=True),
    # in int8, whatever its folder is called
    "trillium/GPT3-175B-MaxText/fp8": TpuRecipe(_V6E, 256, "gpt3_175b", 2048, dtype="int8", apart=True),
    **{
        f"trillium/Gemma3-12B-MaxText/{name}": TpuRecipe(_V6E, 256 * n, "gemma3_12b", 32768, apart=True, slices=n)
        for name, n in (("v6e-256", 1), ("2x-v6e-256", 2), ("4x-v6e-256", 4))
    },
    # its weights are shared out over both slices
    "trillium/Llama3.1-405B-MaxText": TpuRecipe(_V6E, 512, "llama3_405b", 8192, shard=512, apart=True, slices=2),
    "trillium/Llama2-70B-MaxText": TpuRecipe(_V6E, 256, "llama2_70b", 4096, "projected", apart=True),
    **{
        f"{_LLAMA_70B}/v6e-{n}": TpuRecipe(_V6E, n, "llama3_70b", 8192, "projected", offload=True)
        for n in (32, 64, 128, 256)
    },
    **{
        f"{_LLAMA_8B}/v6e-{n}": TpuRecipe(_V6E, n, "llama3_8b", 8192, "surrounded", offload=True)
        for n in (8, 16, 32, 64, 128, 256)
    },
    "trillium/Mistral-7B-MaxText": TpuRecipe(_V6E, 8, "mistral_7b", 8192, "surrounded", offload=True),
    "trillium/Mixtral-8x7B-MaxText": TpuRecipe(
        _V6E, 256, "mixtral_8x7b", 4096, "surrounded", capacity="1.25", apart=True, offload=True
    ),
    "v5p/DeepSeek3-671B-MaxText": TpuRecipe(_V5P, 512, "deepseek_v3", 8192, "joined", apart=True, offload=True),
    "v5p/GPT3-175B-MaxText": TpuRecipe(_V5P, 512, "gpt3_175b", 2048, dtype="int8", tp=8, apart=True),
    "v5p/Llama2-7B-Maxtext": TpuRecipe(_V5P, 256, "llama2_7b", 4096, "selective", apart=True),
    "v5p/Llama3.1-405B-MaxText": TpuRecipe(_V5P, 512, "llama3_405b", 8192, apart=True),
    "v5p/Llama4-Maverick-17B-128E-Maxtext": TpuRecipe(
        _V5P, 128, "llama4_maverick", 8192, "surrounded", tp=4, apart=True, offload=True
    ),
    "v5p/Llama4-Scout-17B-16E-Maxtext": TpuRecipe(_V5P, 128, "llama4_scout", 8192, apart=True),
    "v5p/Mixtral-8X7B-Maxtext": TpuRecipe(_V5P, 64, "mixtral_8x7b", 4096, apart=True),
}
"""By the folder of a recipe. Those of v5p, and these of v6e that are told by `run_recipe.sh` alone, are of 2026."""

TPU7X: Mapping[tuple[str, str, str], TpuRecipe] = {
    ("llama3.1-70b", "8192", "bf16"): TpuRecipe(_V7X, 0, "llama3_70b", 8192, "attended"),
    ("llama3.1-70b", "8192", "fp8_full"): TpuRecipe(_V7X, 0, "llama3_70b", 8192, "attended", "fp8"),
    ("llama3.1-70b", "131072", "bf16"): TpuRecipe(_V7X, 0, "llama3_70b", 131072, "attended", cp=4),
    ("llama3.1-70b", "131072", "fp8_full"): TpuRecipe(_V7X, 0, "llama3_70b", 131072, "attended", "fp8", cp=4),
    ("llama3.1-405b", "8192", "bf16"): TpuRecipe(_V7X, 0, "llama3_405b", 8192, "full", offload=True),
    ("llama3.1-405b", "8192", "fp8_full"): TpuRecipe(_V7X, 0, "llama3_405b", 8192, "full", "fp8", offload=True),
    ("deepseek-v3", "4096", "bf16"): TpuRecipe(_V7X, 0, "deepseek_v3", 4096, "full", offload=True),
    ("deepseek-v3", "4096", "fp8_full"): TpuRecipe(_V7X, 0, "deepseek_v3", 4096, "full", "fp8", offload=True),
    ("gpt-oss-120b", "8192", "bf16"): TpuRecipe(_V7X, 0, "gpt_oss_120b", 8192, "full", shard=32, offload=True),
    ("qwen3-235b-a22b", "4096", "bf16"): TpuRecipe(_V7X, 0, "qwen3_235b_a22b", 4096, "full", offload=True),
    ("qwen3-235b-a22b", "4096", "fp8_full"): TpuRecipe(_V7X, 0, "qwen3_235b_a22b", 4096, "full", "fp8", offload=True),
}
"""Of TPU7x by model, sequence and format, on as many chips (of two cores each) as a row says. GPT-OSS shares out its weights
among 64 cores (ici_fsdp_parallelism), of which the others have copies."""
