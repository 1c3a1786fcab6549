"""Models by file, inline and changed: what is filled in, what may be left out, and what is said of one that is wrong."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from hw import Problems, SpecError
from hw.input import parse_document
from scenarios.models import (
    load_model,
    model_words,
    read_model,
)
from simulator.models import Transformer, parameters


def transformer(name: str) -> Transformer:
    found = load_model(name).description
    assert isinstance(found, Transformer)
    return found


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
