"""Gemma 1 to 3: scaled embeddings, GeGLU; from the second on norms on both sides and blocks over a window, with soft caps
in the second, norms of the heads of q and k in the third.

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
    kinds_of_layers,
    kinds_said,
    theta_and_rotary,
)
from simulator.models import AttentionKind

_GEMMA: Mapping[str, Any] = {
    "vocab_size": 256000,
    "hidden_size": 3072,
    "intermediate_size": 24576,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 16,
    "head_dim": 256,
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": None,
    "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "use_bidirectional_attention": None,
    **ROPE_KEYS,
}

_GEMMA_ALWAYS = {**ALWAYS, "embedding.scaled": True}


def _gemma(values: Values) -> Mapping[Dotted, Said]:
    key = "hidden_activation" if values["hidden_activation"] else "hidden_act"
    act = activation(values, key)
    if act.value == "gelu":  # early files say gelu and mean its approximation
        act = Said("gelu_tanh", key)
    both_ways = values.flag("use_bidirectional_attention")
    return {
        "ffn.activation": act,
        "attention.causal": Said(not both_ways, "use_bidirectional_attention"),
        **biases(values),
        **theta_and_rotary(values, 1e4),
    }


GEMMA = ConfigFamily("gemma", _GEMMA, WORDS, _GEMMA_ALWAYS, heads_of("Gemma"), _gemma)

_GEMMA2: Mapping[str, Any] = {
    **_GEMMA,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "hidden_activation": "gelu_pytorch_tanh",
    "query_pre_attn_scalar": 256,
    "sliding_window": 4096,
    "layer_types": None,
    "final_logit_softcapping": 30.0,
    "attn_logit_softcapping": 50.0,
}


def _gemma2(values: Values) -> Mapping[Dotted, Said]:
    if values["layer_types"] is not None:
        kinds = kinds_of_layers(values)
    else:
        pattern = Said(["sliding", "full"], "sliding_window")
        kinds = {"attention.kinds": pattern, "attention.window": Said(values["sliding_window"], "sliding_window")}
    return {**_gemma(values), **kinds}


GEMMA2 = ConfigFamily(
    "gemma2",
    _GEMMA2,
    {
        **WORDS,
        "attention.scale": "query_pre_attn_scalar",
        "attention.softcap": "attn_logit_softcapping",
        "head.softcap": "final_logit_softcapping",
    },
    {**_GEMMA_ALWAYS, "norm.places": "sandwich"},
    heads_of("Gemma2"),
    _gemma2,
)

_GEMMA3: Mapping[str, Any] = {
    **_GEMMA2,
    "vocab_size": 262208,
    "max_position_embeddings": 131072,
    "final_logit_softcapping": None,
    "attn_logit_softcapping": None,
    "sliding_window_pattern": 6,
    "rope_local_base_freq": 1e4,
}


def _gemma3(values: Values) -> Mapping[Dotted, Said]:
    if values["layer_types"] is not None:
        kinds = kinds_of_layers(values)
    else:
        kinds = _every_nth_full(values, "sliding_window_pattern")
    return {**_gemma(values), **kinds, **theta_and_rotary(values, 1e6)}


def _every_nth_full(values: Values, key: str) -> dict[Dotted, Said]:
    """Blocks over a window, but for each one whose number is divided by what `key` says."""
    every, layers = values.whole(key), values.whole("num_hidden_layers")
    listed: list[AttentionKind] = ["sliding" if at % every else "full" for at in range(1, layers + 1)]
    return kinds_said(listed, key, values, "sliding_window")


GEMMA3 = ConfigFamily(
    "gemma3_text",
    _GEMMA3,
    GEMMA2.words,
    {**_GEMMA_ALWAYS, "norm.places": "sandwich", "attention.qk_norm": "head"},
    {"Gemma3ForCausalLM": {"head.kind": "tokens"}, "Gemma3TextModel": {"head.kind": "none"}},
    _gemma3,
    aliases={"_sliding_window_pattern": "sliding_window_pattern"},
)
