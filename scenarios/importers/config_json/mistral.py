"""Mistral and Mixtral: as Llama, over a window; with experts in place of every FFN.

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import (
    ALWAYS,
    ROPE_KEYS,
    WORDS,
    activation,
    all_sliding,
    heads_of,
    theta_and_rotary,
    without,
)

_MISTRAL: Mapping[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "sliding_window": 4096,
    **ROPE_KEYS,
}


def _mistral(values: Values) -> Mapping[Dotted, Said]:
    found = {"ffn.activation": activation(values, "hidden_act"), **theta_and_rotary(values, 1e4)}
    return {**found, **all_sliding(values)}


MISTRAL = ConfigFamily("mistral", _MISTRAL, WORDS, ALWAYS, heads_of("Mistral"), _mistral)

_MIXTRAL: Mapping[str, Any] = {
    **_MISTRAL,
    "rms_norm_eps": 1e-5,
    "sliding_window": None,
    "num_experts_per_tok": 2,
    "num_local_experts": 8,
}


def _mixtral(values: Values) -> Mapping[Dotted, Said]:
    found = {"ffn.activation": activation(values, "hidden_act"), **theta_and_rotary(values, 1e6)}
    return {**found, **all_sliding(values)}


MIXTRAL = ConfigFamily(
    "mixtral",
    _MIXTRAL,
    {
        **without(WORDS, "ffn.d_ff"),
        "moe.experts": "num_local_experts",
        "moe.top_k": "num_experts_per_tok",
        "moe.d_expert": "intermediate_size",
    },
    ALWAYS,
    heads_of("Mixtral"),
    _mixtral,
    aliases={"num_experts": "num_local_experts"},
)
