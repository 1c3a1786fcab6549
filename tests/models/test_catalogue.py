"""The catalogue of models: every one loads, has its sources, and has the parameters that its authors print.

The figures typed here are those of the sources named beside them, not of the catalogue's files.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from scenarios.cli import app
from scenarios.models import (
    SPECS,
    LoadedModel,
    catalogue_table,
    listed_models,
    load_model,
    model_names,
    printed,
)
from simulator import models
from simulator.models import Transformer, Work, flops_per_token, forward_flops, parameters
from tests.support.cases import overlapse
from tests.support.strategies import show_error

ROOT = Path(__file__).parents[2]

DEMANDED = {
    *("gpt2", "gpt2_medium", "gpt2_large", "gpt2_xl", "gpt3_175b", "llama2_7b", "llama2_13b", "llama2_70b"),
    *("llama3_8b", "llama3_70b", "llama3_405b", "gemma2_2b", "gemma2_9b", "gemma2_27b", "mistral_7b", "mixtral_8x7b"),
    *("deepseek_v3", "qwen3_8b", "qwen3_32b", "qwen3_30b_a3b", "qwen3_235b_a22b", "gpt_oss_20b", "gpt_oss_120b"),
    *("bert_large", "vit_l_16", "resnet50", "vgg16", "cnn_mnist", "gcn_cora", "megatron_1.7b", "megatron_1t"),
    *("megatron_22b", "megatron_175b", "megatron_529.6b"),
}


def transformer(name: str) -> Transformer:
    found = load_model(name).description
    assert isinstance(found, Transformer)
    return found


def test_the_demanded_models_are_there() -> None:
    assert set(model_names()) >= DEMANDED
    assert model_names() == sorted(model_names())


@pytest.mark.parametrize("name", model_names())
def test_a_model_has_its_name_its_sources_and_the_parameters_that_are_printed(name: str) -> None:
    model = load_model(name)
    assert model.name == name
    assert model.about
    assert not model.notes
    assert set(model.sources) == {"shape", *(["published"] if model.published else [])}
    assert all(
        re.search(r"\b(19|20)\d\d\b|huggingface:|github:|torchvision", source) for source in model.sources.values()
    )
    counted = parameters(model.description)
    if model.published is None:
        assert name in ("cnn_mnist", "gcn_cora")
        return
    figure = model.published.parameters
    print(show_error(f"{name} parameters (printed {figure.value})", counted.total, figure.value.value))
    assert figure.agrees(counted.total)
    active = model.published.active
    if active is not None:
        got = counted.active_with_tables if active.tables else counted.active
        print(show_error(f"{name} active (printed {active.value})", got, active.value.value))
        assert active.agrees(got)


# Counts that stand elsewhere: parameters of safetensors as the hub tells them, or as the source beside them has them.
COUNTED = {
    "deepseek_v3": 671_026_419_200,  # its safetensors without the layer that predicts a token more, corrections included
    "gpt2": 124_439_808,
    "gpt2_xl": 1_557_611_200,
    "gpt_oss_20b": 20_914_757_184,
    "gpt_oss_120b": 116_829_156_672,
    "qwen3_0.6b": 596_049_920,
    "qwen3_4b": 4_022_468_096,
    "cnn_mnist": 1_199_882,  # conv 320 + 18,496, linear 1,179,776 + 1,290
    "gcn_cora": 23_063,  # 1433 x 16 + 16 + 16 x 7 + 7
}


@pytest.mark.parametrize("name", COUNTED)
def test_parameters_to_the_last_digit(name: str) -> None:
    assert parameters(load_model(name).description).stored == COUNTED[name]


def test_gemma_2_has_the_two_counts_of_its_report() -> None:
    """Gemma Team 2024, table 2: parameters of the embedding, and all others."""
    for name, others in (("gemma2_2b", 2_024_517_888), ("gemma2_9b", 8_324_201_984), ("gemma2_27b", 26_047_480_320)):
        counted = parameters(transformer(name))
        assert counted.total - counted.looked_up == others


@pytest.mark.parametrize(
    ("name", "millions"), [("gemma3_1b", 698), ("gemma3_4b", 3_209), ("gemma3_12b", 10_759), ("gemma3_27b", 25_600)]
)
def test_gemma_3_has_the_parameters_of_its_report(name: str, millions: int) -> None:
    """Gemma Team 2025, table 1: parameters beside the embedding, in millions."""
    counted = parameters(transformer(name))
    assert round((counted.total - counted.looked_up) / 1e6) == millions


def test_llama_3_70b_in_matrices_and_tables() -> None:
    """Row AT01 of the book's cases, recomputed: 70.5524e9 without norms; AI01: 163,840 numbers in the cache a token."""
    model = transformer("llama3_70b")
    norms = (2 * 80 + 1) * 8192
    assert parameters(model).total - norms == pytest.approx(70.5524e9, rel=1e-6)
    assert model.layers * model.attention.cached == 163_840


# FLOPs as printed


@pytest.mark.parametrize(
    ("name", "tokens", "gmacs"),
    [
        # torchvision, `_ops` of the weights IMAGENET1K_V1: multiplications of one image, in units of 1e9
        ("resnet50", 1, 4.089),
        ("vgg16", 1, 15.47),
        ("vit_l_16", 197, 61.555),
    ],
)
def test_an_image_costs_what_torchvision_prints(name: str, tokens: int, gmacs: float) -> None:
    got = forward_flops(load_model(name).description, Work(tokens)).total / 2e9
    print(show_error(f"{name} GMAC", got, gmacs))
    assert got == pytest.approx(gmacs, abs=0.006 if name == "vgg16" else 0.0006)


@pytest.mark.parametrize(("name", "gflops"), [("deepseek_v2", 155), ("deepseek_v3", 250)])
def test_a_token_of_training_costs_what_deepseek_prints(name: str, gflops: float) -> None:
    """Zhao et al. 2025, Insights into DeepSeek-V3, table 2: training GFLOPs a token at 4,096 tokens, causal."""
    got = 3 * flops_per_token(transformer(name), 4096).total / 1e9
    print(show_error(f"{name} training GFLOP a token", got, gflops))
    assert got == pytest.approx(gflops, abs=0.5)


@pytest.mark.parametrize(
    ("name", "tokens", "seq", "flops", "digits"),
    [
        # Brown et al. 2020, appendix D: 3.14e23 FLOPs for 300e9 tokens; Grattafiori et al. 2024: 3.8e25 for 15.6e12
        ("gpt3_175b", 300e9, 2048, 3.14e23, 0.005e23),
        ("llama3_405b", 15.6e12, 8192, 3.8e25, 0.05e25),
    ],
)
def test_a_training_run_costs_6pd_as_printed(name: str, tokens: float, seq: int, flops: float, digits: float) -> None:
    """Both count 6 FLOPs a parameter and token, and leave attention out."""
    forward = flops_per_token(transformer(name), seq)
    got = 3 * tokens * (forward.matmul + forward.vocabulary)
    print(show_error(f"{name} training FLOPs", got, flops))
    assert got == pytest.approx(flops, abs=digits)


# Printed figures


@pytest.mark.parametrize(
    ("text", "value", "open_by"),
    [
        ("8,030,261,248", 8_030_261_248, 0),
        (25557032, 25_557_032, 0),
        ("37B", 37e9, 0.5e9),
        ("116.83B", 116.83e9, 0.005e9),
        ("1542M", 1542e6, 0.5e6),
        ("1.008 T", 1.008e12, 0.0005e12),
    ],
)
def test_a_printed_number_stands_for_all_that_round_to_it(text: object, value: float, open_by: float) -> None:
    number = printed(text)
    assert number.value == pytest.approx(value, rel=1e-12)
    assert number.open_by == pytest.approx(open_by)
    assert str(number) == str(text)


@pytest.mark.parametrize("text", ["many", "37 GB", "-3B", "1,23", True, ""])
def test_what_is_no_printed_number(text: object) -> None:
    with pytest.raises(ValueError, match="no printed number"):
        printed(text)


# One vocabulary


def spec_fields(spec: type[BaseModel]) -> set[str]:
    return set(spec.model_fields)


@pytest.mark.parametrize(
    "part", ["Attention", "Latent", "Ffn", "Moe", "Norm", "Position", "Embedding", "Patches", "Head"]
)
def test_a_file_has_the_words_of_a_description(part: str) -> None:
    from scenarios.models import spec

    described = {field.name for field in dataclasses.fields(getattr(models, part))}
    assert spec_fields(getattr(spec, f"{part}Spec")) == described


def test_whole_files_have_the_words_of_descriptions() -> None:
    about = {"about", "hub", "published", "sources"}
    kinds = {"decoder": "Transformer", "convolution": "ConvNet", "graph": "GraphNetwork"}
    for family, name in kinds.items():
        described = {field.name for field in dataclasses.fields(getattr(models, name))}
        assert spec_fields(SPECS[family]) - about == described


# The command and the page


def test_the_page_begins_with_the_catalogue() -> None:
    page = (ROOT / "docs" / "models.md").read_text(encoding="utf-8")
    assert catalogue_table() in page


def test_the_command_lists_and_shows_models() -> None:
    listed = overlapse("models").stdout
    assert all(name in listed for name in model_names())
    one = overlapse("models", "deepseek_v3").stdout
    assert "671,026,404,352 (published: 671B)" in one
    assert "58 x (full with experts)" in one
    assert re.search(r"3-60 +moe\.experts\.down +.*3,758,096,384", one)
    assert "DeepSeek-V3 Technical Report" in one


def test_the_command_gives_json() -> None:
    one = json.loads(overlapse("models", "llama3_8b", "--json").stdout)
    assert (one["parameters"], one["attention"]["kv_heads"]) == (8_030_261_248, 8)
    every = json.loads(overlapse("models", "--json").stdout)
    assert [each["name"] for each in every] == [each.name for each in listed_models()]


def test_the_command_tells_the_nearest_name() -> None:
    ran = overlapse("models", "lama3_8b")
    assert ran.exit_code == 2
    assert "did you mean 'llama3_8b'?" in ran.stderr


def test_a_loaded_model_is_frozen() -> None:
    model = load_model("gpt2")
    assert isinstance(model, LoadedModel)
    with pytest.raises(dataclasses.FrozenInstanceError):
        model.hub = "elsewhere"  # type: ignore[misc]


def test_checking_a_folder_checks_its_models(tmp_path: Path) -> None:
    """Wherever they lie: a copy of the catalogue is no part of what is installed."""
    right, wrong = tmp_path / "right.yaml", tmp_path / "wrong.yaml"
    right.write_text("name: r\nbase: llama3_8b\npublished: {parameters: '8,030,261,248'}\n", "utf-8")
    assert CliRunner().invoke(app, ["check", str(tmp_path)]).exit_code == 0
    wrong.write_text("name: w\nbase: llama3_8b\nlayers: 31\npublished: {parameters: 8.0B}\n", "utf-8")
    told = CliRunner().invoke(app, ["check", str(tmp_path)])
    assert told.exit_code == 1
    assert "parameters: 7,812,149,248 by the description, 8.0B published" in told.stdout
    assert told.stdout.splitlines()[-1] == "1 passed, 1 failed (2 claims)"
