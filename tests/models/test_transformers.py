"""A config.json read here is the model that the transformers library builds from it: parameters, FLOPs, order of matmuls.

Parameters are compared on the meta device, where tensors have shapes and no memory; FLOPs, to the last digit, with what
PyTorch's own counter sees in a forward pass of a tiny model with eager attention, which computes what a mask hides. Where
the library is not installed there is nothing to compare with: `pip install torch transformers` in an environment of its
own.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from scenarios.importers import known_architectures
from scenarios.models import load_model
from simulator.models import Transformer, Work, block_weights, blocks, forward_flops, output_weights, parameters

torch = pytest.importorskip("torch", reason="the library to compare with is not installed: torch")
transformers = pytest.importorskip("transformers", reason="the library to compare with is not installed: transformers")

SMALL: dict[str, list[dict[str, Any]]] = {
    "llama": [{}, {"num_key_value_heads": 8}, {"head_dim": 64, "attention_bias": True, "mlp_bias": True}],
    "mistral": [{}, {"num_key_value_heads": 32, "sliding_window": None}],
    "mixtral": [{}, {"num_local_experts": 4, "num_experts_per_tok": 1, "tie_word_embeddings": True}],
    "qwen2": [{}, {"use_sliding_window": True, "max_window_layers": 3, "num_hidden_layers": 5}],
    "qwen3": [{}, {"attention_bias": True, "num_key_value_heads": 4, "tie_word_embeddings": True}],
    "qwen3_moe": [{}, {"mlp_only_layers": [0, 1], "num_hidden_layers": 4}, {"decoder_sparse_step": 2}],
    "gemma": [{}, {"attention_bias": True, "tie_word_embeddings": False}],
    "gemma2": [{}, {"num_hidden_layers": 3, "head_dim": 128}],
    "gemma3_text": [{}, {"num_hidden_layers": 7, "head_dim": 128, "sliding_window": 64}],
    "llama4_text": [
        {"num_hidden_layers": 4, "num_local_experts": 4},
        {"num_hidden_layers": 4, "num_local_experts": 4, "interleave_moe_layer_step": 2},
    ],
    "gpt2": [{}, {"n_inner": 100, "n_layer": 3, "tie_word_embeddings": False}],
    "deepseek_v2": [
        {"num_experts_per_tok": 6, "first_k_dense_replace": 1},
        {"num_experts_per_tok": 6, "q_lora_rank": None, "n_shared_experts": 1, "attention_bias": True},
    ],
    "deepseek_v3": [{"num_hidden_layers": 5}, {"num_hidden_layers": 4, "q_lora_rank": None, "attention_bias": True}],
    "gpt_oss": [{}, {"num_hidden_layers": 5, "attention_bias": False, "num_local_experts": 16}],
    "phi": [{}, {"qk_layernorm": True, "num_key_value_heads": 8}],
    "phi3": [{}, {"num_key_value_heads": 8, "tie_word_embeddings": True}],
    "bert": [{}, {"type_vocab_size": 3, "num_hidden_layers": 2}],
}
"""Configurations of each family beside its defaults."""

CASES = [
    (model_type, architecture, config)
    for model_type, configs in SMALL.items()
    for config in configs
    for architecture in known_architectures()[model_type]
]


def reference(architecture: str, config: dict[str, Any]) -> list[tuple[int, ...]]:
    """The shapes of all parameters as the library has them, tied ones once."""
    made = transformers.AutoConfig.for_model(**config)
    with torch.device("meta"):
        model = getattr(transformers, architecture)(made)
        model.tie_weights()
    return [tuple(each.shape) for each in model.parameters()]


def imported(architecture: str, config: dict[str, Any], folder: Path) -> Any:
    path = folder / "config.json"
    path.write_text(json.dumps({"architectures": [architecture], **config}), encoding="utf-8")
    return load_model(path).description


def test_every_family_is_compared() -> None:
    assert set(SMALL) == set(known_architectures())


@pytest.mark.parametrize(("model_type", "architecture", "config"), CASES)
def test_parameters_are_those_of_the_library(
    model_type: str, architecture: str, config: dict[str, Any], tmp_path: Path
) -> None:
    whole = {"model_type": model_type, **config}
    theirs = reference(architecture, whole)
    description = imported(architecture, whole, tmp_path)
    ours = parameters(description)
    assert ours.total == sum(map(math.prod, theirs))
    if description.moe is None:  # experts are kept in one tensor or in two, by version of the library
        sizes = Counter(math.prod(shape) for shape in ours.tensors.values())
        assert sizes == Counter(map(math.prod, theirs))


_TINY = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_TINY_MLA = {
    **_TINY,
    "num_key_value_heads": 4,
    "moe_intermediate_size": 32,
    "q_lora_rank": 24,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "first_k_dense_replace": 1,
}
TINY: dict[str, dict[str, Any]] = {
    "llama": _TINY,
    "mistral": {**_TINY, "sliding_window": 8},
    "mixtral": {**_TINY, "num_local_experts": 4},
    "qwen2": _TINY,
    "qwen3": {**_TINY, "head_dim": 32},
    "qwen3_moe": {**_TINY, "head_dim": 32, "moe_intermediate_size": 48, "num_experts": 8, "num_experts_per_tok": 3},
    "gemma": {**_TINY, "head_dim": 32},
    "gemma2": {**_TINY, "head_dim": 32, "sliding_window": 8},
    "gemma3_text": {**_TINY, "head_dim": 32, "sliding_window": 8},
    # the library lets every expert compute every token, so there is one
    "llama4_text": {**_TINY, "head_dim": 32, "num_local_experts": 1, "intermediate_size_mlp": 96},
    "gpt2": {"n_layer": 2, "n_embd": 64, "n_head": 4, "vocab_size": 100, "bos_token_id": 1, "eos_token_id": 2},
    "deepseek_v2": _TINY_MLA,
    "deepseek_v3": {**_TINY_MLA, "n_group": 2, "topk_group": 1},
    "gpt_oss": {**_TINY, "head_dim": 16, "num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": 8},
    "phi": _TINY,
    "phi3": _TINY,
    "bert": {key: value for key, value in _TINY.items() if key != "num_key_value_heads"},
}
TOKENS = 16


def forward(architecture: str, config: dict[str, Any]) -> tuple[float, list[tuple[int, int]]]:
    """FLOPs of one forward pass over one sequence, and the shapes [in, out] of its linear layers in the order of use."""
    counting = pytest.importorskip("torch.utils.flop_counter", reason="this torch does not count FLOPs")
    made = transformers.AutoConfig.for_model(**config)
    made._attn_implementation = made._experts_implementation = "eager"
    model = getattr(transformers, architecture)(made).eval()
    used: list[tuple[int, int]] = []
    for module in model.modules():
        if type(module).__name__ in ("Linear", "Conv1D"):
            module.register_forward_pre_hook(lambda module, _: used.append(_shape(module)))
    with counting.FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros((1, TOKENS), dtype=torch.long))
    return counter.get_total_flops(), used


def _shape(module: Any) -> tuple[int, int]:
    rows, columns = module.weight.shape
    return (rows, columns) if type(module).__name__ == "Conv1D" else (columns, rows)


def matmuls(model: Transformer) -> list[tuple[int, ...]]:
    """The shapes of our matmuls in order, but for the router and its experts, which are no linear layers there."""
    weights = [weight for block in blocks(model) for weight in block_weights(model, block)]
    listed = [*weights, *output_weights(model)]
    return [
        weight.shape
        for weight in listed
        if weight.use == "matmul" and not weight.name.startswith(("moe.router", "moe.experts"))
    ]


@pytest.mark.parametrize("model_type", TINY)
def test_flops_and_the_order_of_matmuls_are_those_of_the_library(model_type: str, tmp_path: Path) -> None:
    architecture = "BertForPreTraining" if model_type == "bert" else next(iter(known_architectures()[model_type]))
    whole = {"model_type": model_type, **TINY[model_type]}
    flops, used = forward(architecture, whole)
    ours = imported(architecture, whole, tmp_path)
    assert forward_flops(ours, Work(TOKENS, masked_too=True)).total == flops
    assert matmuls(ours) == used


def test_every_family_is_run() -> None:
    assert set(TINY) == set(known_architectures())
