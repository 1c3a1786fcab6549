"""A `config.json` of the Hugging Face hub is read into the description that the catalogue has of the same model.

The values are those of the files on the hub, under the names of their repositories, without the keys that change no shape.
Where the transformers library is installed, `test_transformers.py` compares tensor by tensor.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from scenarios.importers import known_architectures
from scenarios.models import load_model
from simulator.models import Transformer, parameters
from tests.models.hub_configs import HUB, read, shape


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
