"""phi (attention and FFN side by side, part of a head rotated) and phi3 (as Llama, matmuls in one).

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import (
    ALWAYS,
    LAYER_NORM_BIASED,
    ROPE_KEYS,
    WORDS,
    activation,
    all_sliding,
    heads_of,
    theta_and_rotary,
)

_PHI: Mapping[str, Any] = {
    "vocab_size": 51200,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 24,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "hidden_act": "gelu_new",
    "max_position_embeddings": 2048,
    "layer_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "qk_layernorm": False,
    **ROPE_KEYS,
}


def _phi(values: Values) -> Mapping[Dotted, Said]:
    qk_norm = "head" if values.flag("qk_layernorm") else "none"
    return {
        "ffn.activation": activation(values, "hidden_act"),
        "attention.qk_norm": Said(qk_norm, "qk_layernorm"),
        **theta_and_rotary(values, 1e4, rotary=0.5),
    }


PHI = ConfigFamily(
    "phi",
    _PHI,
    {
        "layers": "num_hidden_layers",
        "d_model": "hidden_size",
        "attention.heads": "num_attention_heads",
        "attention.kv_heads": "num_key_value_heads",
        "ffn.d_ff": "intermediate_size",
        "norm.eps": "layer_norm_eps",
        "position.longest": "max_position_embeddings",
        "embedding.vocab": "vocab_size",
        "embedding.tied": "tie_word_embeddings",
    },
    {
        **LAYER_NORM_BIASED,
        "family": "decoder",
        "norm.places": "pre",
        "position.kind": "rope",
        "parallel": True,
    },
    {"PhiForCausalLM": {"head.kind": "tokens", "head.bias": True}, "PhiModel": {"head.kind": "none"}},
    _phi,
)


_PHI3: Mapping[str, Any] = {
    "vocab_size": 32064,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "sliding_window": None,
    **ROPE_KEYS,
}


def _phi3(values: Values) -> Mapping[Dotted, Said]:
    found = {"ffn.activation": activation(values, "hidden_act"), **theta_and_rotary(values, 1e4)}
    return {**found, **all_sliding(values)}


PHI3 = ConfigFamily(
    "phi3",
    _PHI3,
    WORDS,
    {**ALWAYS, "attention.fused": True, "ffn.fused": True},
    heads_of("Phi3"),
    _phi3,
    only={"attention_bias": (False, None)},
)
