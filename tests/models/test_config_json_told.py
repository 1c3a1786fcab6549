"""What is said of a `config.json` of the hub: what is filled in, what is odd, what is wrong, in the file's own words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hw import Problems, SpecError
from hw.input import Document
from scenarios.importers import config_words
from scenarios.models import load_model, read_model
from simulator.models import Transformer, parameters
from tests.models.hub_configs import HUB, read

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
