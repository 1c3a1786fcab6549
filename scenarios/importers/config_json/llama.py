"""Llama: RMS norms before attention and FFN, rotated heads, SwiGLU; no biases unless said.

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
    biases,
    heads_of,
    theta_and_rotary,
)

_LLAMA: Mapping[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    **ROPE_KEYS,
}


def _llama(values: Values) -> Mapping[Dotted, Said]:
    return {
        "ffn.activation": activation(values, "hidden_act"),
        "ffn.bias": Said(values.flag("mlp_bias"), "mlp_bias"),
        **biases(values),
        **theta_and_rotary(values, 1e4),
    }


LLAMA = ConfigFamily("llama", _LLAMA, WORDS, ALWAYS, heads_of("Llama"), _llama)
