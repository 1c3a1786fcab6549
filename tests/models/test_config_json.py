"""A `config.json` of the Hugging Face hub is read into the description that the catalogue has of the same model.

The values are those of the files on the hub, under the names of their repositories, without the keys that change no shape.
Where the transformers library is installed, `test_transformers.py` compares tensor by tensor.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw import Problems, SpecError
from hw.input import Document
from scenarios.importers import config_words, known_architectures
from scenarios.models import LoadedModel, load_model, read_model
from simulator.models import Transformer, parameters

_QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "head_dim": 128, "hidden_act": "silu",
    "attention_bias": False, "max_position_embeddings": 40960, "max_window_layers": 36, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-06, "rope_scaling": None, "rope_theta": 1000000, "sliding_window": None,
    "use_sliding_window": False, "vocab_size": 151936,
}  # fmt: skip
_QWEN3_MOE = {
    **_QWEN3, "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "decoder_sparse_step": 1,
    "mlp_only_layers": [], "norm_topk_prob": True, "num_experts": 128, "num_experts_per_tok": 8,
    "num_key_value_heads": 4, "rope_theta": 1000000.0, "tie_word_embeddings": False, "router_aux_loss_coef": 0.001,
}  # fmt: skip
_LLAMA3 = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "attention_bias": False, "hidden_act": "silu",
    "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
    "rope_theta": 500000.0, "tie_word_embeddings": False, "vocab_size": 128256, "torch_dtype": "bfloat16",
}  # fmt: skip
_GEMMA2 = {
    "architectures": ["Gemma2ForCausalLM"], "model_type": "gemma2", "attention_bias": False, "sliding_window": 4096,
    "attn_logit_softcapping": 50.0, "cache_implementation": "hybrid", "final_logit_softcapping": 30.0,
    "hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh", "max_position_embeddings": 8192,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "vocab_size": 256000,
}  # fmt: skip
_GEMMA3 = {"model_type": "gemma3_text", "sliding_window": 1024, "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}
_LLAMA4 = {
    "model_type": "llama4_text", "attention_bias": False, "attention_chunk_size": 8192, "attn_temperature_tuning": True,
    "floor_scale": 8192, "attn_scale": 0.1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 5120,
    "intermediate_size": 8192, "intermediate_size_mlp": 16384, "num_attention_heads": 40, "num_experts_per_tok": 1,
    "num_hidden_layers": 48, "num_key_value_heads": 8, "output_router_logits": False, "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0, "router_aux_loss_coef": 0.001, "tie_word_embeddings": False, "vocab_size": 202048,
}  # fmt: skip
_DEEPSEEK = {
    "attention_bias": False, "kv_lora_rank": 512, "max_position_embeddings": 163840, "moe_layer_freq": 1,
    "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128, "rms_norm_eps": 1e-06, "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 40}, "tie_word_embeddings": False, "hidden_act": "silu", "ep_size": 1,
}  # fmt: skip
_GPT_OSS = {
    "architectures": ["GptOssForCausalLM"], "model_type": "gpt_oss", "attention_bias": True, "head_dim": 64,
    "experts_per_token": 4, "num_experts_per_tok": 4, "hidden_act": "silu", "hidden_size": 2880,
    "intermediate_size": 2880, "max_position_embeddings": 131072, "num_attention_heads": 64, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 150000, "sliding_window": 128, "swiglu_limit": 7.0,
    "tie_word_embeddings": False, "vocab_size": 201088,
}  # fmt: skip
_GPT2 = {
    "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "activation_function": "gelu_new", "n_ctx": 1024,
    "layer_norm_epsilon": 1e-05, "n_positions": 1024, "vocab_size": 50257, "summary_type": "cls_index",
}  # fmt: skip
_BERT = {
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
    "llama3_8b": {**_LLAMA3, **shape(32, 4096, 32, 14336), "max_position_embeddings": 8192},
    "llama3_70b": {**_LLAMA3, **shape(80, 8192, 64, 28672), "max_position_embeddings": 8192},
    "llama3_405b": {
        **_LLAMA3,
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
    "qwen3_0.6b": {**_QWEN3, **shape(28, 1024, 16, 3072), "tie_word_embeddings": True},
    "qwen3_32b": {**_QWEN3, **shape(64, 5120, 64, 25600), "tie_word_embeddings": False},
    "qwen3_30b_a3b": {**_QWEN3_MOE, **shape(48, 2048, 32, 6144), "moe_intermediate_size": 768},
    "qwen3_235b_a22b": {**_QWEN3_MOE, **shape(94, 4096, 64, 12288), "moe_intermediate_size": 1536},
    "gemma2_2b": {
        **_GEMMA2,
        **shape(26, 2304, 8, 9216),
        "num_key_value_heads": 4,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
    },
    "gemma2_27b": {
        **_GEMMA2,
        **shape(46, 4608, 32, 36864),
        "num_key_value_heads": 16,
        "head_dim": 128,
        "query_pre_attn_scalar": 144,
    },
    "gemma3_1b": {
        **_GEMMA2,
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
    "gemma3_4b": {**_GEMMA3, "hidden_size": 2560, "intermediate_size": 10240, "num_hidden_layers": 34},
    "gemma3_12b": {**_GEMMA3, **shape(48, 3840, 16, 15360), "num_key_value_heads": 8},
    "gemma3_27b": {
        **_GEMMA3,
        **shape(62, 5376, 32, 21504),
        "num_key_value_heads": 16,
        "head_dim": 128,
        "query_pre_attn_scalar": 168,
    },
    "llama4_scout": {
        **_LLAMA4,
        "interleave_moe_layer_step": 1,
        "max_position_embeddings": 10485760,
        "num_local_experts": 16,
        "use_qk_norm": True,
        "no_rope_layers": [],
    },
    "llama4_maverick": {
        **_LLAMA4,
        "interleave_moe_layer_step": 2,
        "max_position_embeddings": 1048576,
        "moe_layers": [*range(1, 48, 2)],
        "num_local_experts": 128,
        "use_qk_norm": False,
    },
    "gpt2": {**_GPT2, "n_layer": 12, "n_embd": 768, "n_head": 12},
    "gpt2_xl": {**_GPT2, "n_layer": 48, "n_embd": 1600, "n_head": 25},
    "deepseek_v3": {
        **_DEEPSEEK,
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
        **_DEEPSEEK,
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
        **_GPT_OSS,
        "num_hidden_layers": 24,
        "num_local_experts": 32,
        "layer_types": ["sliding_attention", "full_attention"] * 12,
        "quantization_config": {"quant_method": "mxfp4"},
    },
    "gpt_oss_120b": {**_GPT_OSS, "num_hidden_layers": 36, "num_local_experts": 128},
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
    "bert_base": {**_BERT, **shape(12, 768, 12, 3072)},
    "bert_large": {**_BERT, **shape(24, 1024, 16, 4096)},
}


def read(folder: Path, config: dict[str, Any]) -> LoadedModel:
    path = folder / "config.json"
    path.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return load_model(path)


@pytest.mark.parametrize("name", HUB)
def test_a_file_of_the_hub_is_the_model_of_the_catalogue(name: str, tmp_path: Path) -> None:
    imported, ours = read(tmp_path, HUB[name]).description, load_model(name).description
    assert isinstance(imported, Transformer)
    assert replace(imported, name=name) == ours


def test_every_family_but_gemma_is_compared_with_the_catalogue() -> None:
    compared = {config["model_type"] for config in HUB.values()}
    assert set(known_architectures()) - compared == {"gemma"}


def test_gemma_scales_its_embedding_and_has_the_parameters_of_its_report(tmp_path: Path) -> None:
    """Gemma Team 2024 (the first), table 2: 7,751,248,896 parameters beside 786,825,216 of the embedding, of 256,128 rows;
    the file on the hub has 256,000."""
    config = {"model_type": "gemma", **shape(28, 3072, 16, 24576), "num_key_value_heads": 16, "head_dim": 256}
    model = read(tmp_path, {**config, "hidden_act": "gelu", "vocab_size": 256_128}).description
    assert isinstance(model, Transformer)
    assert parameters(model).total == 7_751_248_896 + 786_825_216
    assert (model.ffn.activation, model.embedding and model.embedding.scaled) == ("gelu_tanh", True)


def test_a_file_names_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "Llama-3-8B"
    folder.mkdir()
    assert read(folder, HUB["llama3_8b"]).name == "Llama-3-8B"


def test_a_model_has_the_name_of_its_file_or_of_the_folder_of_its_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the folder is the one in which the command is typed."""
    folder = tmp_path / "Llama-3-8B"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for file, named in (("config.json", "Llama-3-8B"), ("mine.json", "mine")):
        Path(file).write_text(json.dumps(HUB["llama3_8b"]), "utf-8")
        assert load_model(file).name == named


DEFAULTS = {
    "llama": 6_738_415_616,
    "mistral": 7_241_732_096,
    "mixtral": 46_702_792_704,
    "qwen2": 12_049_846_272,
    "qwen3": 12_049_461_248,
    "qwen3_moe": 15_350_731_776,
    "gemma": 8_537_680_896,
    "gemma2": 2_614_341_888,
    "gemma3_text": 2_628_658_432,
    "llama4_text": 107_769_861_120,
    "gpt2": 124_439_808,
    "deepseek_v2": 38_612_307_968,
    "deepseek_v3": 671_026_404_352,
    "gpt_oss": 116_829_156_672,
    "phi": 1_418_270_720,
    "phi3": 3_821_079_552,
    "bert": 109_514_298,
}


@pytest.mark.parametrize("model_type", known_architectures())
def test_what_a_file_leaves_out_is_the_librarys_default(model_type: str, tmp_path: Path) -> None:
    """Parameters of the default configuration of each family, as transformers 5.24 builds it on the meta device."""
    needed = {"num_experts_per_tok": 6} if model_type == "deepseek_v2" else {}
    model = read(tmp_path, {"model_type": model_type, **needed}).description
    assert parameters(model).total == DEFAULTS[model_type]


# What is said of a file, and what is refused


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    config = HUB["deepseek_v3"]
    notes = "\n".join(read(tmp_path, {**config, "index_topk": 2048, "num_hiden_layers": 3}).notes)
    assert "'quantization_config': weights are stored quantized there" in notes
    assert "'num_nextn_predict_layers': layers that predict further tokens (MTP) are left out" in notes
    assert "keys that are not known, and are left out: 'index_topk', 'num_hiden_layers'" in notes
    without = {key: value for key, value in config.items() if key != "num_hidden_layers"}
    (told,) = [note for note in read(tmp_path, {**without, "num_hiden_layers": 3}).notes if "not known" in note]
    assert "did you mean 'num_hidden_layers'" in told


def test_keys_that_change_nothing_are_not_told(tmp_path: Path) -> None:
    harmless = {"_name_or_path": "x", "bos_token_id": 1, "initializer_range": 0.02, "use_cache": True, "id2label": {}}
    assert read(tmp_path, {**HUB["llama3_8b"], **harmless}).notes == ()


def test_an_architecture_that_is_known_by_another_type(tmp_path: Path) -> None:
    """Kimi K2 has the architecture of DeepSeek-V3, and a type of its own."""
    model = read(tmp_path, {**HUB["deepseek_v3"], "model_type": "kimi_k2"})
    assert replace(model.description, name="deepseek_v3") == load_model("deepseek_v3").description
    assert any("'kimi_k2' is read as deepseek_v3" in note for note in model.notes)


def test_of_a_model_that_also_sees_the_text_is_read(tmp_path: Path) -> None:
    """Gemma 3 and Llama 4 as they are on the hub: the text model stands below `text_config`."""
    whole = {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "text_config": HUB["gemma3_12b"],
        "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"},
    }
    model = read(tmp_path, whole)
    assert replace(model.description, name="gemma3_12b") == load_model("gemma3_12b").description
    assert any("of 'gemma3' the text model is read; left out: 'vision_config'" in note for note in model.notes)


def test_what_the_whole_says_of_its_text_holds_for_it(tmp_path: Path) -> None:
    """LLaVA's files tie tables outside; what the text model says itself comes first."""
    text = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}
    for inner, outer, tied in (({}, True, True), ({"tie_word_embeddings": False}, True, False)):
        whole = {"model_type": "llava", "tie_word_embeddings": outer, "text_config": {**text, **inner}}
        model = read(tmp_path, whole).description
        assert isinstance(model, Transformer)
        assert model.embedding is not None
        assert model.embedding.tied is tied


def test_what_is_wrong_inside_is_told_where_it_stands(tmp_path: Path) -> None:
    whole = {"model_type": "llava", "text_config": {"model_type": "llama", "num_key_value_heads": 5}}
    with pytest.raises(SpecError) as caught:
        read(tmp_path, whole)
    (problem,) = caught.value.problems
    lines = (tmp_path / "config.json").read_text(encoding="utf-8").splitlines()
    assert "num_key_value_heads" in lines[problem.mark.line - 1]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"model_type": "lama"}, "model_type", "unknown architecture 'lama', did you mean 'llama'"),
    ({"model_type": "mamba2"}, "model_type", "unknown architecture 'mamba2'. Allowed: bert, deepseek_v2"),
    (
        {"model_type": "t5", "is_encoder_decoder": True},
        "model_type",
        "'t5' has an encoder and a decoder that attends to it",
    ),
    # files of Phi as Microsoft first had it: all of its keys are others, and phi's defaults are those of a smaller model
    (
        {"model_type": "phi-msft", "architectures": ["PhiForCausalLM"], "n_embd": 2560, "n_layer": 32, "n_head": 32},
        "model_type",
        "'phi-msft' is no phi, and does not say 'num_hidden_layers', 'hidden_size', 'num_attention_heads'",
    ),
    (
        {"model_type": "gpt2", "n_embd": 768, "hidden_size": 1024},
        "hidden_size",
        "'hidden_size' is another name of 'n_embd'",
    ),
    ({"hidden_size": 64}, "", "'model_type' is missing"),
    ({"architectures": ["MambaForCausalLM"]}, "architectures", "unknown architecture 'MambaForCausalLM'"),
    (
        {"model_type": "llama", "architectures": ["LlamaForSequenceClassification"]},
        "architectures",
        "unknown architecture 'LlamaForSequenceClassification'",
    ),
    ({"model_type": "llama", "num_key_value_heads": 5}, "num_key_value_heads", "32 heads do not share 5"),
    ({"model_type": "llama", "num_hidden_layers": "many"}, "num_hidden_layers", "it wants a whole number"),
    ({"model_type": "llama", "hidden_act": "sulu"}, "hidden_act", "unknown activation 'sulu', did you mean 'silu'"),
    ({"model_type": "llama", "attention_bias": 3}, "attention_bias", "wants true or false"),
    ({"model_type": "bert", "add_cross_attention": True}, "add_cross_attention", "must be false"),
    ({"model_type": "bert", "position_embedding_type": "relative_key"}, "position_embedding_type", "'absolute'"),
    ({"model_type": "llama", "is_encoder_decoder": True}, "is_encoder_decoder", "is not known"),
    ({"model_type": "gpt2", "n_head": 7}, "n_head", "7 heads do not share n_embd 768"),
    ({"model_type": "gpt2", "num_attention_heads": 7}, "num_attention_heads", "7 heads do not share n_embd 768"),
    ({"model_type": "gemma2", "layer_types": ["linear_attention"] * 26}, "layer_types", "'linear_attention'"),
    ({"model_type": "gemma2", "layer_types": ["full_attention"]}, "layer_types", "lists 1 layers of 26"),
    ({"model_type": "gemma2", "layer_types": 3}, "layer_types", "a list of names"),
    ({"model_type": "llama4_text", "moe_layers": [3]}, "moe_layers", "lists other blocks than every 1. one"),
    ({"model_type": "llama4_text", "layer_types": ["mamba"]}, "layer_types", "layers of type 'mamba' are not known"),
    ({"model_type": "llava", "text_config": {"model_type": "lama"}}, "model_type", "did you mean 'llama'"),
    ({"model_type": "qwen3_moe", "mlp_only_layers": [5]}, "mlp_only_layers", "at the beginning only"),
    ({"model_type": "deepseek_v2"}, "", "'num_experts_per_tok' is missing"),
    ({"model_type": "deepseek_v3", "moe_layer_freq": 2}, "moe_layer_freq", "is not known"),
    ({"model_type": "deepseek_v3", "topk_group": 9}, "topk_group", "9 of 8 groups"),
]


@pytest.mark.parametrize(("config", "key", "told"), WRONG)
def test_what_is_wrong_is_told_where_it_stands(config: dict[str, Any], key: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, config)
    problems = [problem for problem in caught.value.problems if told in problem.message]
    assert problems, caught.value
    lines = (tmp_path / "config.json").read_text(encoding="utf-8").splitlines()
    assert f'"{key}"' in lines[problems[0].mark.line - 1] or not key


def test_a_file_is_told_of_in_its_own_words(tmp_path: Path) -> None:
    """Whatever is wrong, and all of it at once, under the key that the file has."""
    said: dict[str, Any] = {
        "model_type": "mixtral", "hidden_size": "4096", "num_hidden_layers": 0, "vocab_size": 1.5, "rms_norm_eps": "x",
        "intermediate_size": None, "num_attention_heads": -1, "num_experts": 0, "hidden_act": "sulu",
        "tie_word_embeddings": 3, "is_encoder_decoder": True,
    }  # fmt: skip
    with pytest.raises(SpecError) as caught:
        read(tmp_path, said)
    lines = (tmp_path / "config.json").read_text(encoding="utf-8").splitlines()
    found = {lines[each.mark.line - 1].split('"')[1]: each.message for each in caught.value.problems}
    assert found.keys() == said.keys() - {"model_type"}
    named = [key for key in found if key in found[key]]
    assert [key for key in found if key not in named] == ["hidden_act"]  # of which the value is told, at its place


def test_what_does_not_go_together_in_a_file_is_told_in_its_words(tmp_path: Path) -> None:
    said = {"model_type": "llama", "intermediate_size": None, "num_attention_heads": 33, "num_key_value_heads": 7}
    with pytest.raises(SpecError) as caught:
        read(tmp_path, {**said, "hidden_act": "sulu"})
    told = "\n".join(each.message for each in caught.value.problems)
    assert "33 heads do not share hidden_size 4096 evenly" in told
    assert "'intermediate_size' is missing" in told
    assert "33 heads do not share 7" in told
    assert "'sulu'" in told


def test_what_is_changed_of_a_file_is_told_in_the_words_of_the_change(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama", "hidden_size": "x"}', encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_model({"base": str(tmp_path / "config.json"), "layers": 3.5})
    told = "\n".join(each.message for each in caught.value.problems)
    assert "3.5 will not do for layers" in told
    assert "'x' will not do for hidden_size" in told


@pytest.mark.parametrize("text", ["", "[1, 2]", "3", "{", '{"model_type": ["llama"]}', '{"architectures": 3}'])
def test_what_is_no_config_is_told(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError):
        load_model(tmp_path / "config.json")


ODD: list[Any] = [None, "x", -1, 1.5, True, [], ["a"], {"a": 1}, 10**30]


@pytest.mark.parametrize("name", {config["model_type"]: name for name, config in HUB.items()}.values())
def test_an_odd_value_is_taken_or_told(name: str) -> None:
    """Whatever stands at a key: a model comes out, or what is wrong is told."""
    assert is_taken(HUB[name])
    told = 0
    for key in HUB[name]:
        for value in ODD:
            told += not is_taken({**HUB[name], key: value})
    assert told > len(HUB[name])


def is_taken(config: dict[str, Any]) -> bool:
    """Whether a config is taken; where it is not, what is wrong is told."""
    problems, model = Problems(), None
    try:
        words = config_words(Document("config.json", config), "odd")
    except SpecError as error:
        problems.extend(error)
    else:
        model = read_model(words, (), problems)
    assert (model is None) == bool(problems)
    return model is not None and parameters(model.description).total > 0
