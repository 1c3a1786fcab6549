"""The catalogue of models: every one loads, has its sources, and has the parameters that its authors print.

Models by file, inline, and changed; and what is said of one that is wrong. The figures typed here are those of the sources
named beside them, not of the catalogue's files.
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from hw import Problems, SpecError
from hw.input import parse_document
from scenarios.cli import app
from scenarios.models import (
    SPECS,
    LoadedModel,
    catalogue_table,
    listed_models,
    load_model,
    model_names,
    model_words,
    printed,
    read_model,
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


# By file, inline, changed

TINY = """
name: tiny
layers: 2
d_model: 64
attention: {heads: 4}
ffn: {d_ff: 256}
embedding: {vocab: 100}
"""


def test_what_a_file_leaves_out_is_filled_in(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    model = load_model(tmp_path / "tiny.yaml").description
    assert isinstance(model, Transformer)
    assert (model.family, model.attention.kv_heads, model.attention.head_dim) == ("decoder", 4, 16)
    assert model.attention.causal
    assert (model.norm.kind, model.position.kind, model.head.kind) == ("rms", "rope", "tokens")
    assert load_model(parse_document(TINY, "tiny").data).description == model


def test_a_stack_without_a_vocabulary_has_no_head() -> None:
    model = load_model({"layers": 4, "d_model": 64, "attention": {"heads": 4}, "ffn": {"d_ff": 128}}).description
    assert isinstance(model, Transformer)
    assert (model.head.kind, model.embedding) == ("none", None)
    norms = 2 * 4 * 64 + 64
    assert parameters(model).total == 4 * (4 * 64 * 64 + 3 * 64 * 128) + norms


def test_a_model_is_changed_where_it_says_so(tmp_path: Path) -> None:
    """Llama 3 70B with 12 of its 80 layers."""
    whole, cut = transformer("llama3_70b"), load_model({"base": "llama3_70b", "layers": 12})
    assert cut.description == dataclasses.replace(whole, layers=12)
    assert (cut.published, cut.sources, cut.about) == (None, {}, "")
    (tmp_path / "narrow.yaml").write_text("base: llama3_70b\nname: narrow\nattention: {kv_heads: 4}\n", "utf-8")
    (tmp_path / "both.yaml").write_text("base: narrow.yaml\nlayers: 3\nmoe: null\n", "utf-8")
    both = load_model(tmp_path / "both.yaml").description
    assert isinstance(both, Transformer)
    assert (both.name, both.layers, both.attention.kv_heads, both.attention.heads) == ("narrow", 3, 4, 64)


def test_null_takes_away() -> None:
    dense = load_model({"base": "mixtral_8x7b", "moe": None, "ffn": {"d_ff": 14336}}).description
    assert isinstance(dense, Transformer)
    assert dense.moe is None
    mistral = transformer("mistral_7b")
    assert parameters(dense).total == parameters(mistral).total


def test_a_changed_model_leaves_the_catalogue_alone() -> None:
    before = model_words(load_model("llama3_8b"))
    load_model({"base": "llama3_8b", "attention": {"kv_heads": 32}})
    assert model_words(load_model("llama3_8b")) == before


def test_names_have_no_case() -> None:
    assert load_model("Llama3_8B").description == load_model("llama3_8b").description


def test_a_model_inside_a_scenario_is_told_at_its_place() -> None:
    text = "workload:\n  model:\n    base: llama3_8b\n    layers: 0\n    atention: {heads: 3}\n"
    document, problems = parse_document(text, "scenario.yaml"), Problems()
    assert read_model(document, ("workload", "model"), problems) is None
    assert sorted(str(problem.mark) for problem in problems.found) == ["scenario.yaml:4:13", "scenario.yaml:5:5"]
    named, good = parse_document("workload:\n  model: llama3_8b\n", "scenario.yaml"), Problems()
    found = read_model(named, ("workload", "model"), good)
    assert found is not None
    assert not good
    assert found.name == "llama3_8b"


WRONG = [
    ("layers: 20000", "1:9", "at most 10000"),
    ("layers: 0", "1:9", "more than 0"),
    ("layers: 2.5", "1:9", "a whole number"),
    ("d_modl: 64", "1:1", "unknown key 'd_modl', did you mean 'd_model'"),
    ("family: decodr", "1:9", "unknown family 'decodr', did you mean 'decoder'"),
    ("attention: {heads: 5}", "1:20", "5 heads do not share d_model 64 evenly"),
    ("attention: {heads: 4, kv_heads: 3}", "1:33", "4 heads do not share 3 heads"),
    ("attention: {heads: 4, kinds: [ful]}", "1:31", "'full', 'sliding' or 'linear'"),
    ("attention: {heads: 4, kinds: [sliding]}", "1:12", "needs a window"),
    ("ffn: {gated: yes}", "1:14", "true or false"),
    ("moe: {experts: 4, top_k: 8, d_expert: 16}\nffn: {d_ff: null}", "1:26", "8 of 4 experts"),
    ("published: {parameters: lots}", "1:25", "no printed number"),
    ("base: llama3_8", "1:7", "unknown model 'llama3_8', did you mean 'llama3_8b'"),
    ("base: none.yaml", "1:7", "there is no model file"),
    ("base: meta-llama/Meta-Llama-3-8B", "1:7", "in the catalogue it is called 'llama3_8b'"),
]


def test_a_folder_of_the_hub_says_which_of_its_files_is_meant(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SpecError, match=r"is a folder, did you mean '.*config.json'"):
        load_model(tmp_path)
    with pytest.raises(SpecError, match=r"is a folder without a config\.json"):
        load_model(tmp_path / "empty")


@pytest.mark.parametrize(("change", "place", "told"), WRONG)
def test_what_is_wrong_is_told_at_its_place(change: str, place: str, told: str, tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    base = "" if change.startswith("base") else "\nbase: base.yaml"
    (tmp_path / "base.yaml").write_text(TINY, encoding="utf-8")
    path.write_text(f"{change}{base}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_model(path)
    places = {
        (str(problem.mark).removeprefix(f"{path}:"), told in problem.message) for problem in caught.value.problems
    }
    assert (place, True) in places, caught.value


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "model.yaml"
    path.write_text("layers: -1\nd_model: wide\nattention: {heads: 4, sink: true}\n", encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        load_model(path)
    lines = {problem.mark.line for problem in caught.value.problems}
    assert lines == {1, 2, 3}
    assert any("'ffn' is missing" in problem.message for problem in caught.value.problems)


def test_models_that_start_from_each_other_end_somewhere(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: b.yaml\n", encoding="utf-8")
    (tmp_path / "b.yaml").write_text("base: a.yaml\n", encoding="utf-8")
    with pytest.raises(SpecError, match="start from each other"):
        load_model(tmp_path / "a.yaml")


@pytest.mark.parametrize("data", [3, [1], None, {"family": ["decoder"]}, {"base": 3}, {"base": {"layers": 1}}])
def test_what_is_no_model_is_told(data: Any) -> None:
    document, problems = parse_document(json.dumps({"model": data}), "scenario.yaml"), Problems()
    assert read_model(document, ("model",), problems) is None
    assert problems.found


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
