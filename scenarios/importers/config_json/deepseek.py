"""DeepSeek-V2 and V3: latent attention, experts beside shared ones, the first blocks without.

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigError, ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import ROPE_KEYS, activation, heads_of, theta_and_rotary

_DEEPSEEK_WORDS = {
    "layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "attention.heads": "num_attention_heads",
    "attention.latent.q_lora_rank": "q_lora_rank",
    "attention.latent.kv_lora_rank": "kv_lora_rank",
    "attention.latent.qk_nope_head_dim": "qk_nope_head_dim",
    "attention.latent.qk_rope_head_dim": "qk_rope_head_dim",
    "attention.latent.v_head_dim": "v_head_dim",
    "norm.eps": "rms_norm_eps",
    "position.longest": "max_position_embeddings",
    "embedding.vocab": "vocab_size",
    "embedding.tied": "tie_word_embeddings",
    "moe.experts": "n_routed_experts",
    "moe.top_k": "num_experts_per_tok",
    "moe.d_expert": "moe_intermediate_size",
    "moe.shared_experts": "n_shared_experts",
    "moe.first_dense": "first_k_dense_replace",
    "moe.normalized": "norm_topk_prob",
    "moe.scaling": "routed_scaling_factor",
}

_DEEPSEEK_ALWAYS = {
    "family": "decoder",
    "ffn.gated": True,
    "norm.kind": "rms",
    "norm.places": "pre",
    "position.kind": "rope",
}

_DEEPSEEK_V2: Mapping[str, Any] = {
    "vocab_size": 102400,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "head_dim": None,
    "first_k_dense_replace": 0,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "n_group": None,
    "n_routed_experts": 64,
    "n_shared_experts": 2,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "routed_scaling_factor": 1.0,
    "topk_group": None,
    "topk_method": "greedy",
    "norm_topk_prob": False,
    "v_head_dim": 128,
    "num_experts_per_tok": None,
    "moe_intermediate_size": 1407,
    "moe_layer_freq": 1,
    "scoring_func": "softmax",
    **ROPE_KEYS,
}

_DEEPSEEK_V3: Mapping[str, Any] = {
    **_DEEPSEEK_V2,
    "vocab_size": 129280,
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "routed_scaling_factor": 2.5,
    "n_group": 8,
    "topk_group": 4,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "norm_topk_prob": True,
    "max_position_embeddings": 4096,
    "topk_method": "noaux_tc",
    "scoring_func": "sigmoid",
}


def _deepseek(values: Values) -> dict[Dotted, Said]:
    bias = values.flag("attention_bias")
    said = {
        "ffn.activation": activation(values, "hidden_act"),
        "attention.qkv_bias": Said(bias, "attention_bias"),
        "attention.out_bias": Said(bias, "attention_bias"),
        **theta_and_rotary(values, 1e4),
    }
    if values.whole("first_k_dense_replace", 0):
        said["ffn.d_ff"] = Said(values["intermediate_size"], "intermediate_size")
    if values["num_experts_per_tok"] is None:
        raise ConfigError("num_experts_per_tok", "'num_experts_per_tok' is missing: experts that a token chooses")
    return said


def _groups(values: Values) -> dict[Dotted, Said]:
    return {
        "moe.groups": Said(values["n_group"], "n_group"),
        "moe.top_groups": Said(values["topk_group"], "topk_group"),
    }


def _deepseek_v2(values: Values) -> Mapping[Dotted, Said]:
    limited = values["topk_method"] == "group_limited_greedy"
    return {**_deepseek(values), **(_groups(values) if limited else {})}


def _deepseek_v3(values: Values) -> Mapping[Dotted, Said]:
    return {**_deepseek(values), **_groups(values)}


_EVERY_BLOCK = {"moe_layer_freq": (1, None)}

DEEPSEEK_V2 = ConfigFamily(
    "deepseek_v2",
    _DEEPSEEK_V2,
    _DEEPSEEK_WORDS,
    {**_DEEPSEEK_ALWAYS, "moe.router": "softmax"},
    heads_of("DeepseekV2"),
    _deepseek_v2,
    aliases={"num_experts": "n_routed_experts"},
    only={
        **_EVERY_BLOCK,
        "scoring_func": ("softmax", None),
        "topk_method": ("greedy", "group_limited_greedy", None),
        "mlp_bias": (False, None),
    },
)

DEEPSEEK_V3 = ConfigFamily(
    "deepseek_v3",
    _DEEPSEEK_V3,
    _DEEPSEEK_WORDS,
    {**_DEEPSEEK_ALWAYS, "moe.router": "sigmoid", "moe.correction": True},
    heads_of("DeepseekV3"),
    _deepseek_v3,
    aliases={"num_local_experts": "n_routed_experts"},
    only={
        **_EVERY_BLOCK,
        "scoring_func": ("sigmoid", None),
        "topk_method": ("noaux_tc", None),
        "mlp_bias": (False, None),
    },
)
