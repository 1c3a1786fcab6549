"""Qwen2, Qwen3 and Qwen3 with experts: biases of q, k and v; later norms of the heads of q and k instead.

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
    all_sliding,
    biases,
    heads_of,
    kinds_of_layers,
    kinds_said,
    theta_and_rotary,
    without,
)
from simulator.models import AttentionKind

_QWEN2: Mapping[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 4096,
    "intermediate_size": 22016,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "layer_types": None,
    **ROPE_KEYS,
}


def _window_from(values: Values) -> dict[Dotted, Said]:
    """Qwen's window: over the blocks from `max_window_layers` on, where it is used at all."""
    used = values.flag("use_sliding_window") and values["sliding_window"] is not None
    if values["layer_types"] is not None:
        return kinds_of_layers(values)
    if not used:
        return {}
    layers = values.whole("num_hidden_layers")
    first = min(values.whole("max_window_layers", 0), layers)
    full: list[AttentionKind] = ["full"] * first
    sliding: list[AttentionKind] = ["sliding"] * (layers - first)
    return kinds_said([*full, *sliding], "max_window_layers", values, "sliding_window")


def _qwen2(values: Values) -> Mapping[Dotted, Said]:
    found = {"ffn.activation": activation(values, "hidden_act"), **theta_and_rotary(values, 1e4)}
    return {**found, **_window_from(values)}


QWEN2 = ConfigFamily("qwen2", _QWEN2, WORDS, {**ALWAYS, "attention.qkv_bias": True}, heads_of("Qwen2"), _qwen2)

_QWEN3_ALWAYS = {**ALWAYS, "attention.qk_norm": "head"}


def _qwen3(values: Values) -> Mapping[Dotted, Said]:
    return {**_qwen2(values), **biases(values)}


QWEN3 = ConfigFamily(
    "qwen3",
    {**_QWEN2, "head_dim": 128, "attention_bias": False},
    WORDS,
    _QWEN3_ALWAYS,
    heads_of("Qwen3"),
    _qwen3,
)

_QWEN3_MOE: Mapping[str, Any] = {
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 24,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "max_window_layers": 28,
    "decoder_sparse_step": 1,
    "moe_intermediate_size": 768,
    "num_experts_per_tok": 8,
    "num_experts": 128,
    "norm_topk_prob": False,
    "mlp_only_layers": None,
    **ROPE_KEYS,
}


def _qwen3_moe(values: Values) -> Mapping[Dotted, Said]:
    found = {"ffn.activation": activation(values, "hidden_act"), **theta_and_rotary(values, 1e4), **biases(values)}
    window = all_sliding(values) if values.flag("use_sliding_window") else {}
    return {**found, **window, **_dense_layers(values)}


def _dense_layers(values: Values) -> dict[Dotted, Said]:
    """Which blocks have no experts: the first ones, and those that `decoder_sparse_step` leaves out."""
    listed = values["mlp_only_layers"] or []
    if not isinstance(listed, list) or listed != list(range(len(listed))):
        raise ConfigError("mlp_only_layers", "blocks without experts are known at the beginning only: [0, 1, ...]")
    step = values.whole("decoder_sparse_step")
    said = {"moe.first_dense": Said(len(listed), "mlp_only_layers"), "moe.every": Said(step, "decoder_sparse_step")}
    if listed or step > 1:
        said["ffn.d_ff"] = Said(values["intermediate_size"], "intermediate_size")
    return said


QWEN3_MOE = ConfigFamily(
    "qwen3_moe",
    _QWEN3_MOE,
    {
        **without(WORDS, "ffn.d_ff"),
        "moe.experts": "num_experts",
        "moe.top_k": "num_experts_per_tok",
        "moe.d_expert": "moe_intermediate_size",
        "moe.normalized": "norm_topk_prob",
    },
    _QWEN3_ALWAYS,
    heads_of("Qwen3Moe"),
    _qwen3_moe,
    aliases={"num_local_experts": "num_experts"},
)
