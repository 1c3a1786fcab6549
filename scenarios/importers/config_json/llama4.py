"""Llama 4: experts in every or every other block, one of which a token takes beside a shared one; blocks that attend in
chunks.

Left out, since they cost next to nothing: that every fourth block does not rotate (here all do), norms of q and k, which
have no scale, and how scores grow with the place of a token. Longer than one chunk is not known.
Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigError, ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import (
    ALWAYS,
    ROPE_KEYS,
    WORDS,
    activation,
    biases,
    theta_and_rotary,
    without,
)

_LLAMA4: Mapping[str, Any] = {
    "vocab_size": 202048,
    "hidden_size": 5120,
    "intermediate_size": 8192,
    "intermediate_size_mlp": 16384,
    "num_hidden_layers": 48,
    "num_attention_heads": 40,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "num_experts_per_tok": 1,
    "num_local_experts": 16,
    "moe_layers": None,
    "interleave_moe_layer_step": 1,
    "attention_chunk_size": 8192,
    "layer_types": None,
    "use_qk_norm": True,
    "no_rope_layers": None,
    "no_rope_layer_interval": 4,
    "attn_temperature_tuning": True,
    "floor_scale": 8192,
    "attn_scale": 0.1,
    **ROPE_KEYS,
}

_TYPES = ("chunked_attention", "full_attention")


def _llama4(values: Values) -> Mapping[Dotted, Said]:
    return {
        "ffn.activation": activation(values, "hidden_act"),
        **biases(values),
        **theta_and_rotary(values, 5e5),
        **_experts(values),
        **_chunks(values),
    }


def _experts(values: Values) -> dict[Dotted, Said]:
    """Which blocks have experts: each whose number the step divides. Raises ConfigError for a list of others."""
    step, layers = values.whole("interleave_moe_layer_step"), values.whole("num_hidden_layers")
    if values["moe_layers"] is not None and values["moe_layers"] != list(range(step - 1, layers, step)):
        raise ConfigError("moe_layers", f"'moe_layers' lists other blocks than every {step}. one: that is not known")
    said = {
        "moe.every": Said(step, "interleave_moe_layer_step"),
        "moe.d_shared": Said(values["intermediate_size"], "intermediate_size"),
    }
    if step > 1:
        said["ffn.d_ff"] = Said(values["intermediate_size_mlp"], "intermediate_size_mlp")
    return said


def _chunks(values: Values) -> dict[Dotted, Said]:
    """The chunks in which blocks attend, where some do. Raises ConfigError for layers of other types."""
    listed = values.names("layer_types") if values["layer_types"] is not None else _TYPES
    strange = next((each for each in listed if each not in _TYPES), None)
    if strange is not None:
        raise ConfigError("layer_types", f"layers of type '{strange[:40]}' are not known: only {', '.join(_TYPES)}")
    if values["attention_chunk_size"] is None or "chunked_attention" not in listed:
        return {}
    return {"attention.chunk": Said(values["attention_chunk_size"], "attention_chunk_size")}


LLAMA4 = ConfigFamily(
    "llama4_text",
    _LLAMA4,
    {
        **without(WORDS, "ffn.d_ff"),
        "moe.experts": "num_local_experts",
        "moe.top_k": "num_experts_per_tok",
        "moe.d_expert": "intermediate_size",
    },
    {**ALWAYS, "moe.router": "sigmoid", "moe.normalized": False, "moe.shared_experts": 1},
    {"Llama4ForCausalLM": {"head.kind": "tokens"}, "Llama4TextModel": {"head.kind": "none"}},
    _llama4,
)
