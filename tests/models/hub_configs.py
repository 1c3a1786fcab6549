"""Files `config.json` of the Hugging Face hub, as they stand there, and how one is read.

The values are those of the files on the hub, under the names of their repositories, without the keys that change no shape.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from scenarios.models import LoadedModel, load_model

QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128, "hidden_act": "silu",
    "attention_bias": False, "max_position_embeddings": 40960, "max_window_layers": 36, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
QWEN3_MOE = {
    **QWEN3, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "decoder_sparse_step": 1,
    "mlp_only_layers": [], "norm_topk_prob": True, "num_experts": 128, "num_experts_per_tok": 8,
    "num_key_value_heads": 4, "rope_theta": 1000000.0, "tie_word_embeddings": False, "router_aux_loss_coef": 0.001,
}  # fmt: skip
LLAMA3 = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "hidden_act": "silu",
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
    "rope_theta": 500000.0, "tie_word_embeddings": False, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
GEMMA2 = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "attention_bias": False, "sliding_window": 4096,
    "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "final_logit_softcapping": 30.0,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "vocab_size": 256000,
}  # fmt: skip
GEMMA3 = {"model_type": "gemma3_text", "sliding_window": 1024, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
LLAMA4 = {
    "model_type": "llama4_text", "attention_bias": False, "attention_chunk_size": 8192, "attn_temperature_tuning": True,
    "floor_scale": 8192, "attn_scale": 0.1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
    "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_experts_per_tok": 1,
    "num_hidden_layers": 48, "num_key_value_heads": 8, "output_router_logits": False, "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0, "router_aux_loss_coef": 0.001, "tie_word_embeddings": False, "vocab_size": 202048,
}  # fmt: skip
DEEPSEEK = {
    "attention_bias": False, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_layer_freq": 1,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 40}, "tie_word_embeddings": False, "hidden_act": "silu", "ep_size": 1,
}  # fmt: skip
GPT_OSS = {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True, "head_dim": 64,
    "experts_per_token": 4, "num_experts_per_tok": 4, "hidden_act": "silu", "hidden_size": 2880,
    "intermediate_size": 2880, "max_position_embeddings": 131072, "num_attention_heads": 64, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 150000, "sliding_window": 128, "swiglu_limit": 7.0,
    "tie_word_embeddings": False, "vocab_size": 201088,
}  # fmt: skip
GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024,
    "layer_norm_epsilon": 1e-05, "n_positions": 1024, "vocab_size": 50257, "summary_type": "cls_index",
}  # fmt: skip
BERT = {
    "architectures": ["BertForPreTraining"], "model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512, "type_vocab_size": 2, "vocab_size": 30522, "position_embedding_type": "absolute",
}  # fmt: skip


def shape(layers: int, d_model: int, heads: int, d_ff: int) -> dict[str, int]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": d_model,
        "num_attention_heads": heads,
        "intermediate_size": d_ff,
    }


HUB: dict[str, dict[str, Any]] = {
    "llama2_7b": {
        **shape(32, 4096, 32, 11008),
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_key_value_heads": 32,
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "vocab_size": 32000,
    },
    "llama3_8b": {**LLAMA3, **shape(32, 4096, 32, 14336), "max_position_embeddings": 8192},
    "llama3_70b": {**LLAMA3, **shape(80, 8192, 64, 28672), "max_position_embeddings": 8192},
    "llama3_405b": {
        **LLAMA3,
        **shape(126, 16384, 128, 53248),
        "max_position_embeddings": 131072,
        "mlp_bias": False,
        "rope_scaling": {"factor": 8.0, "rope_type": "llama3"},
    },
    "mistral_7b": {
        **shape(32, 4096, 32, 14336),
        "architectures": ["MistralForCausalLM"],
        "model_type": "mistral",
        "num_key_value_heads": 8,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": 4096,
        "vocab_size": 32000,
    },
    "mixtral_8x7b": {
        **shape(32, 4096, 32, 14336),
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "max_position_embeddings": 32768,
        "num_experts_per_tok": 2,
        "num_key_value_heads": 8,
        "num_local_experts": 8,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "vocab_size": 32000,
    },
    "qwen2.5_7b": {
        **shape(28, 3584, 28, 18944),
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "max_position_embeddings": 131072,
        "max_window_layers": 28,
        "num_key_value_heads": 4,
        "rope_theta": 1000000.0,
        "sliding_window": 131072,
        "use_sliding_window": False,
        "use_mrope": False,
        "vocab_size": 152064,
    },
    "qwen3_0.6b": {**QWEN3, **shape(28, 1024, 16, 3072), "tie_word_embeddings": True},
    "qwen3_32b": {**QWEN3, **shape(64, 5120, 64, 25600), "tie_word_embeddings": False},
    "qwen3_30b_a3b": {**QWEN3_MOE, **shape(48, 2048, 32, 6144), "moe_intermediate_size": 768},
    "qwen3_235b_a22b": {**QWEN3_MOE, **shape(94, 4096, 64, 12288), "moe_intermediate_size": 1536},
    "gemma2_2b": {
        **GEMMA2,
        **shape(26, 2304, 8, 9216),
        "num_key_value_heads": 4,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
    },
    "gemma2_27b": {
        **GEMMA2,
        **shape(46, 4608, 32, 36864),
        "num_key_value_heads": 16,
        "head_dim": 128,
        "query_pre_attn_scalar": 144,
    },
    "gemma3_1b": {
        **GEMMA2,
        **shape(26, 1152, 4, 6912),
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "num_key_value_heads": 1,
        "head_dim": 256,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "max_position_embeddings": 32768,
        "query_pre_attn_scalar": 256,
        "rope_local_base_freq": 10000,
        "rope_theta": 1000000,
        "sliding_window": 512,
        "sliding_window_pattern": 6,
        "vocab_size": 262144,
    },
    "gemma3_4b": {**GEMMA3, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},
    "gemma3_12b": {**GEMMA3, **shape(48, 3840, 16, 15360), "num_key_value_heads": 8},
    "gemma3_27b": {
        **GEMMA3,
        **shape(62, 5376, 32, 21504),
        "num_key_value_heads": 16,
        "head_dim": 128,
        "query_pre_attn_scalar": 168,
    },
    "llama4_scout": {
        **LLAMA4,
        "interleave_moe_layer_step": 1,
        "max_position_embeddings": 10485760,
        "num_local_experts": 16,
        "use_qk_norm": True,
        "no_rope_layers": [],
    },
    "llama4_maverick": {
        **LLAMA4,
        "interleave_moe_layer_step": 2,
        "max_position_embeddings": 1048576,
        "moe_layers": [*range(1, 48, 2)],
        "num_local_experts": 128,
        "use_qk_norm": False,
    },
    "gpt2": {**GPT2, "n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2_xl": {**GPT2, "n_layer": 48, "n_embd": 1600, "n_head": 25},
    "deepseek_v3": {
        **DEEPSEEK,
        **shape(61, 7168, 128, 18432),
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "num_key_value_heads": 128,
        "q_lora_rank": 1536,
        "n_routed_experts": 256,
        "n_shared_experts": 1,
        "num_experts_per_tok": 8,
        "moe_intermediate_size": 2048,
        "first_k_dense_replace": 3,
        "n_group": 8,
        "topk_group": 4,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": 2.5,
        "num_nextn_predict_layers": 1,
        "quantization_config": {"quant_method": "fp8"},
        "vocab_size": 129280,
    },
    "deepseek_v2_lite": {
        **DEEPSEEK,
        **shape(27, 2048, 16, 10944),
        "architectures": ["DeepseekV2ForCausalLM"],
        "model_type": "deepseek_v2",
        "num_key_value_heads": 16,
        "q_lora_rank": None,
        "n_routed_experts": 64,
        "n_shared_experts": 2,
        "num_experts_per_tok": 6,
        "moe_intermediate_size": 1408,
        "first_k_dense_replace": 1,
        "n_group": 1,
        "topk_group": 1,
        "topk_method": "greedy",
        "scoring_func": "softmax",
        "norm_topk_prob": False,
        "routed_scaling_factor": 1.0,
        "vocab_size": 102400,
    },
    "gpt_oss_20b": {
        **GPT_OSS,
        "num_hidden_layers": 24,
        "num_local_experts": 32,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "quantization_config": {"quant_method": "mxfp4"},
    },
    "gpt_oss_120b": {**GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128},
    "phi_2": {
        **shape(32, 2560, 32, 10240),
        "architectures": ["PhiForCausalLM"],
        "model_type": "phi",
        "hidden_act": "gelu_new",
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": 2048,
        "num_key_value_heads": 32,
        "partial_rotary_factor": 0.4,
        "qk_layernorm": False,
        "rope_theta": 10000.0,
        "vocab_size": 51200,
    },
    "phi_3_mini": {
        **shape(32, 3072, 32, 8192),
        "architectures": ["Phi3ForCausalLM"],
        "model_type": "phi3",
        "max_position_embeddings": 4096,
        "num_key_value_heads": 32,
        "rms_norm_eps": 1e-05,
        "rope_theta": 10000.0,
        "sliding_window": 2047,
        "vocab_size": 32064,
    },
    "bert_base": {**BERT, **shape(12, 768, 12, 3072)},
    "bert_large": {**BERT, **shape(24, 1024, 16, 4096)},
}


def read(folder: Path, config: dict[str, Any]) -> LoadedModel:
    """The model of a file that lies in a folder."""
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return load_model(path)
