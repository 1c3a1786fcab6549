"""gpt-oss: biases, sinks, every other block over a window, experts with clamped SwiGLU.

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import ROPE_KEYS, heads_of, kinds_of_layers, theta_and_rotary

_GPT_OSS: Mapping[str, Any] = {
    "num_hidden_layers": 36,
    "num_local_experts": 128,
    "vocab_size": 201088,
    "hidden_size": 2880,
    "intermediate_size": 2880,
    "head_dim": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "sliding_window": 128,
    "tie_word_embeddings": False,
    "hidden_act": "silu",
    "max_position_embeddings": 131072,
    "rms_norm_eps": 1e-5,
    "num_experts_per_tok": 4,
    "experts_per_token": None,
    "layer_types": None,
    "attention_bias": True,
    **ROPE_KEYS,
}


def _gpt_oss(values: Values) -> Mapping[Dotted, Said]:
    bias = values.flag("attention_bias")
    if values["layer_types"] is not None:
        kinds = kinds_of_layers(values)
    else:
        pattern = Said(["sliding", "full"], "sliding_window")
        kinds = {"attention.kinds": pattern, "attention.window": Said(values["sliding_window"], "sliding_window")}
    return {
        "attention.qkv_bias": Said(bias, "attention_bias"),
        "attention.out_bias": Said(bias, "attention_bias"),
        **kinds,
        **theta_and_rotary(values, 1.5e5),
    }


GPT_OSS = ConfigFamily(
    "gpt_oss",
    _GPT_OSS,
    {
        "layers": "num_hidden_layers",
        "d_model": "hidden_size",
        "attention.heads": "num_attention_heads",
        "attention.kv_heads": "num_key_value_heads",
        "attention.head_dim": "head_dim",
        "norm.eps": "rms_norm_eps",
        "position.longest": "max_position_embeddings",
        "embedding.vocab": "vocab_size",
        "embedding.tied": "tie_word_embeddings",
        "moe.experts": "num_local_experts",
        "moe.top_k": "num_experts_per_tok",
        "moe.d_expert": "intermediate_size",
    },
    {
        "family": "decoder",
        "attention.sinks": True,
        "ffn.gated": True,
        "ffn.activation": "clamped_silu",
        "ffn.bias": True,
        "ffn.fused": True,
        "norm.kind": "rms",
        "norm.places": "pre",
        "position.kind": "rope",
        "moe.router": "top_k",
        "moe.router_bias": True,
    },
    heads_of("GptOss"),
    _gpt_oss,
    aliases={"num_experts": "num_local_experts"},
    only={"hidden_act": ("silu", None)},
)
