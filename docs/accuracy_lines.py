"""The lines of the tables of accuracy.md: which group of rows, what it is called, and what others reach on the same rows.

Sources of others' figures: vTrain and Calculon on vTrain's rows, Calculon on those of Korthikanti and Narayanan: run on the
same rows; best fit known of matmuls: least squares of a roofline with starts and waves; AutoParallel: its port of NCCL's
tuning, on all-gathers and reduce-scatters above 1 MB.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Line:
    """A group of rows of a file. `recipe`: as whose steps they are told; `others`: what others reach, or what to know."""

    file: str
    group: str
    label: str
    others: str = ""
    recipe: str = ""


FITTED = {"simumax_2026_b200.csv": "dispatch"}
"""Tables of which one efficiency of a resource is fitted, too: what a machine's own steps say of it."""

_OWN, _EXTRA, _WHOLE = "h100_operators.csv", "h100_extra.csv", "h100_endtoend.csv"

_SPREAD = ", times that spread"
_SPOILED = "nine of ten end at more than 1.5 times the least: other work got in"

KERNELS = [
    Line(_OWN, "matmul", "matmuls (bf16, fp16, tf32, fp8)", "fitted to"),
    Line(_OWN, "attention", "attention: forward, backward, decode, standard", "fitted to"),
    Line(_OWN, "stream", "streams", "fitted to"),
    Line(
        _OWN, "stream, warm", "streams whose data were warm, up to 0.8 of the L2 there", "fitted to: their start alone"
    ),
    Line(_EXTRA, "norm", "norms and softmax, forward and backward", "fitted to"),
    Line(_EXTRA, "act", "activations", "fitted to"),
    Line(_EXTRA, "loss", "losses, casts", "fitted to"),
    Line(_EXTRA, "optimizer", "optimizers", "fitted to"),
    Line(_EXTRA, "memory", "embedding, dropout, rotation", "fitted to"),
    Line(_EXTRA, "moe", "experts: grouped matmul, router, dispatch, combine", "fitted to"),
    Line(_EXTRA, "conv", "convolutions, batch norm, pooling", "fitted to"),
    Line(
        _OWN,
        "fusion",
        "chains of element-wise ops, one by one and as one kernel; a linear layer and GELU",
        "never fitted",
    ),
    Line(_OWN, "block", "a block of Llama 3 8B, forward, in a burst", "never fitted; one more row spreads"),
    Line(_OWN, "stream, unsteady", f"streams{_SPREAD}", _SPOILED),
    Line(_EXTRA, "norm, unsteady", f"norms and softmax{_SPREAD}", _SPOILED),
    Line(_EXTRA, "conv, unsteady", f"convolutions{_SPREAD}", _SPOILED),
    Line(_OWN, "overlap", "two streams, alone and beside each other", ""),
    Line(_WHOLE, "train eager", "**training steps**, eager", "by the data sheet 29 to 50 % too fast"),
    Line(_WHOLE, "train eager+full", "training steps, eager with recomputation"),
    Line(_WHOLE, "train eager+standard", "training steps, eager with scores in memory"),
    Line(_WHOLE, "train eager+amp", "training steps, eager under autocast"),
    Line(_WHOLE, "train compile", "training steps, compiled"),
    Line(_WHOLE, "vision eager", "ResNet-50, training in TF32"),
    Line(_WHOLE, "vision eager+amp", "ResNet-50 and ViT-L/16, training under autocast"),
    Line(_WHOLE, "vision infer+amp", "ResNet-50, inference under autocast"),
    Line(_WHOLE, "infer prefill", "prefill"),
    Line(_WHOLE, "infer decode_graph", "decode, captured"),
    Line(_WHOLE, "infer decode_eager", "decode, eager"),
]
"""Own measurements."""

_NEUSIGHT, _SGLANG = "neusight_endtoend.csv", "sglang_prefill_decode.csv"

OPERATORS = [
    Line(
        "h100_gemm.csv", "bfloat16", "bf16 matmuls on an H100 (aiconfigurator, TensorRT-LLM)", "a fifth fitted; 10.6 %"
    ),
    Line(
        "h100_gemm.csv",
        "fp8",
        "fp8 matmuls, as above, with the scaling of activations before each",
        "never fitted",
    ),
    Line("a100_gemm.csv", "bfloat16", "bf16 matmuls on an A100 (aiconfigurator)", "a fifth fitted; 12.5 %"),
    Line("h100_nccl.csv", "all sizes", "NCCL on 2, 4, 8 H100, 512 B to 512 MiB (aiconfigurator)", "half fitted"),
    Line("h100_nccl.csv", "from 1 MiB", "from 1 MiB on", "AutoParallel 4 to 20 %"),
    Line("h100_nccl.csv", "from 64 MiB", "from 64 MiB on", "AutoParallel 1 to 3 %"),
    Line("a100_nccl.csv", "all sizes", "NCCL on 2, 4, 8 A100, 512 B to 512 MiB (aiconfigurator)", "half fitted"),
    Line("a100_nccl.csv", "from 64 MiB", "from 64 MiB on", "half fitted"),
    Line(
        "h100_prefill_attn.csv",
        "its own library",
        "attention of prompts on an H100, TensorRT-LLM",
        "the other half fitted",
    ),
    Line("h100_prefill_attn.csv", "all", "the same by PyTorch's kernels", "never fitted"),
    Line(
        "a100_prefill_attn.csv",
        "its own library",
        "attention of prompts on an A100, TensorRT-LLM",
        "the other half fitted",
    ),
    Line("a100_prefill_attn.csv", "all", "the same by GPT-NeoX's kernels", "never fitted"),
    Line(
        "h100_decode_attn.csv",
        "its own library",
        "attention of a token on an H100, TensorRT-LLM",
        "the other half fitted",
    ),
    Line("h100_decode_attn.csv", "all", "the same by PyTorch's kernels", "never fitted"),
    Line(
        "a100_decode_attn.csv",
        "its own library",
        "attention of a token on an A100, TensorRT-LLM",
        "the other half fitted; values are where keys are",
    ),
    Line("a100_decode_attn.csv", "all", "the same by GPT-NeoX's kernels", "never fitted"),
    Line(
        "a100_flash_atten_fp16.csv",
        "forward",
        "attention on an A100 (estimate-train-time), forward",
        "150 cases fitted",
    ),
    Line("a100_flash_atten_fp16.csv", "backward", "and backward", "150 cases fitted"),
    Line("allreduce_a100_2gpu.csv", "2 chips", "all-reduces of 1 MiB to 1 GiB on 2 A100 (vTrain)", "never fitted"),
    Line("allreduce_a100_4gpu.csv", "4 chips", "on 4", "never fitted"),
    Line("allreduce_a100_8gpu.csv", "8 chips", "on 8", "never fitted"),
    Line(
        _NEUSIGHT,
        "published inference",
        "inference in fp32 on 11 GPUs (NeuSight)",
        "never fitted; 9.4 %, roofline 31 %",
    ),
    Line(_NEUSIGHT, "published training", "training in fp32 on them", "never fitted; 10.4 %, roofline 32 %"),
    Line(_SGLANG, "served prefill", "prefill of sglang on 11 GPUs (PipeWeave)", "never fitted; 8.2 %, roofline 49 %"),
    Line(_SGLANG, "served decode", "decode on them", "never fitted; 13.4 %, roofline 100 %"),
]
"""Others' measurements of operators, and of whole models on GPUs of which most were never calibrated."""

_STEPS = "train_steps.csv"
_MEGATRON, _FSDP = "Megatron-LM", "FSDP"

STEPS = [
    Line(
        _STEPS,
        "vTrain-single",
        "vTrain, one node of A100",
        "vTrain with profiles of its GPU 8.4 %, Calculon 38 %",
        _MEGATRON,
    ),
    Line(_STEPS, "vTrain-multi", "vTrain, 64 to 512 A100", "vTrain 14.7 %, Calculon 14.0 %", _MEGATRON),
    Line(
        "korthikanti_2022.csv",
        "Korthikanti et al. 2022",
        "Korthikanti et al. 2022, table 5, 8 to 512 A100",
        "Calculon, tuned on it, 3.65 %",
        _MEGATRON,
    ),
    Line(
        "narayanan_2021.csv",
        "Narayanan et al. 2021",
        "Narayanan et al. 2021, table 1, 32 to 3,072 A100",
        "Calculon 7.4 %",
        _MEGATRON,
    ),
    Line(
        _STEPS,
        "Narayanan2021-Table1",
        "the same, with one sequence a micro-batch (two where the softmax asks for them)",
        "Calculon 7.4 %",
        _MEGATRON,
    ),
    Line(
        "megascale_2024.csv",
        "MegaScale 2024 (Megatron-LM)",
        "MegaScale 2024, table 2, 256 to 12,288 A100",
        "",
        _MEGATRON,
    ),
    Line(
        "simumax_2026_b200.csv",
        "SimuMax on B200",
        "SimuMax 2026, 8 B200, by the H100's kernels and the data sheet",
        "SimuMax with 514 measured shapes 5.6 %",
        "Megatron Core",
    ),
    Line(
        "simumax_2026_b200.csv",
        "SimuMax on B200, with its own dispatch",
        "the same after one efficiency, that of its host (38 %), fitted to these rows of one model",
        "one constant for all 3.7 %",
        "Megatron Core",
    ),
    Line(
        "megatron_bridge_h100.csv",
        "Megatron-Bridge on H100",
        "Megatron-Bridge, 8 to 1,024 H100, 2025 and 2026",
        "",
        "Megatron Core",
    ),
    Line(
        "llama3_2024.csv",
        "Llama 3 2024",
        "Llama 3 405B, 2024, table 4, 8,192 and 16,384 H100",
        "",
        "Megatron Core",
    ),
    Line(
        "deepseek_v3_2024.csv",
        "DeepSeek-V3 2024",
        "DeepSeek-V3, 2024, 2,048 H800",
        "",
        "Megatron Core",
    ),
    Line(
        "torchtitan.csv",
        "torchtitan, H100-96GB-HBM2e-500W",
        "torchtitan, 8 to 512 H100 of 500 W, 2024",
        "",
        "torchtitan",
    ),
    Line("torchtitan.csv", "torchtitan, H200", "torchtitan, 32 H200", "", "torchtitan"),
    Line("maxtext_tpu.csv", "MaxText, TPU v6e", "MaxText, 8 to 1,024 TPU v6e, 2025", "", "MaxText"),
    Line("maxtext_tpu.csv", "MaxText, TPU7x", "MaxText, 64 to 256 TPU7x", "", "MaxText"),
    Line("maxtext_tpu.csv", "MaxText, TPU v5p", "MaxText, 64 to 4,096 TPU v5p, 2023 to 2026", "", "MaxText"),
    Line(_STEPS, "MaxText-TPUv5e", "MaxText, 256 to 8,192 TPU v5e, 2024", "", "MaxText"),
    Line(_STEPS, "llm-foundry-bench, A100-40GB", "llm-foundry, 8 to 128 A100 of 40 GB", "", _FSDP),
    Line(_STEPS, "llm-foundry-bench, A100-80GB", "llm-foundry, 8 to 64 A100 of 80 GB", "", _FSDP),
    Line(_STEPS, "llm-foundry-bench, H100-80GB-SXM", "llm-foundry, 8 to 512 H100, 2023", "", _FSDP),
]
"""Training steps on many chips."""
