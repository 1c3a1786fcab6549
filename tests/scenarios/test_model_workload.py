"""Whole models as workloads: what is written, what it becomes, and what is wrong with it, all at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hw import Problems, SpecError
from scenarios import load_scenario, run, sweep
from scenarios.language.model_spec import MODES, OF_ANY_MODEL
from scenarios.language.scenario_spec import OF_OPS, WorkloadSpec
from scenarios.models import load_model
from scenarios.studies.content_keys import ContentKeys
from simulator import Inference, Parallel, Training, check_graph, inference_graph, train_graph
from simulator.models import Transformer, parameters

TEXT = """
name: m
about: Llama 3 8B on 8 H100.
system: {base: dgx_h100}
workload:
  model: llama3_8b
  batch: 8
  seq: 512
  parallel: {zero: 3}
run: {overlap: full}
"""

TINY = "workload.model={base: llama3_8b, layers: 2}"


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "m.yaml"
    path.write_text(TEXT, encoding="utf-8")
    return str(path)


def problems(file: str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_scenario(file, overrides)
    return [str(each).replace(file, "m.yaml") for each in caught.value.problems]


def test_the_mesh_follows_from_what_is_parallel(file: str) -> None:
    assert dict(load_scenario(file).system.mesh.axes) == {"D": 8}
    inner = load_scenario(file, ["workload.parallel={tp: 2, cp: 2}"])
    assert dict(inner.system.mesh.axes) == {"T": 2, "C": 2, "D": 2}
    outer = load_scenario(file, ["workload.parallel={tp: 2, order: [dp, tp, cp, ep, pp]}"])
    assert outer.system.groups("D")[0] == (0, 1, 2, 3)
    assert outer.system.groups("T")[0] == (0, 4)
    written = load_scenario(file, ["workload.parallel={tp: 2}", "system.mesh={T: 2, D: 4}"])
    assert dict(written.system.mesh.axes) == {"T": 2, "D": 4}
    alone = load_scenario(file, ["system={chip: h100_sxm}", "workload.parallel="])
    assert alone.system.mesh.size == 1


def test_replicas_are_what_is_left_of_the_chips(file: str) -> None:
    for parallel, replicas, is_left in (("{tp: 2}", 4, True), ("{tp: 2, dp: 4}", 4, False), ("{}", 8, True)):
        model = load_scenario(file, [f"workload.parallel={parallel}"]).model
        assert model is not None
        assert (model.parallel.dp, model.is_left) == (replicas, is_left)


def test_the_graph_is_that_of_the_step(file: str) -> None:
    scenario = load_scenario(
        file, ["workload.parallel={tp: 2, zero: 1, prefetch: 0}", "workload.recompute={blocks: 3}"]
    )
    parallel = Parallel(tp=2, dp=4, zero=1, prefetch=0)
    description = load_model("llama3_8b").description
    assert isinstance(description, Transformer)
    assert scenario.graph == train_graph(description, parallel, Training(batch=8, seq=512, recompute=3))


@pytest.mark.parametrize(
    ("workload", "how"),
    [
        ("{mode: prefill, batch: 8, seq: 512, chunk: 256, context: 64}", {"seq": 512, "chunk": 256, "context": 64}),
        ("{mode: decode, batch: 8, context: 512, steps: 2, activations: on_chip}",
         {"context": 512, "steps": 2, "activations": "on_chip"}),
    ],
)  # fmt: skip
def test_the_graph_is_that_of_inference(file: str, workload: str, how: dict[str, Any]) -> None:
    asked = f"workload={workload.replace('{', '{model: llama3_8b, parallel: {tp: 2}, ')}"
    scenario = load_scenario(file, [asked])
    description = load_model("llama3_8b").description
    assert isinstance(description, Transformer)
    assert scenario.model is not None
    inference = Inference(mode="prefill" if "seq" in how else "decode", batch=8, **how)
    assert scenario.model.mode == inference.mode
    assert scenario.graph == inference_graph(description, Parallel(tp=2, dp=4), inference)
    assert scenario.model.tokens == inference.tokens


def test_the_words_of_a_step(file: str) -> None:
    words = run(file).words
    count = parameters(load_model("llama3_8b").description).total
    flops = words["flops"]
    assert isinstance(flops, float)
    # 6 FLOPs a parameter and token, the table apart; what attention and norms do comes on top
    assert flops == pytest.approx(6 * (count - 128256 * 4096) * 512, rel=0.06)
    assert words["fits"] is True


@pytest.mark.parametrize("overlap", ["auto", "full", "none"])
@pytest.mark.parametrize("parallel", ["{zero: 3}", "{tp: 8}", "{tp: 2, cp: 2, zero: 1}"])
def test_the_bounds_hold_however_ops_overlap(file: str, overlap: str, parallel: str) -> None:
    """Ops read buffers through views: more reads than a kind's own tiling counts."""
    asked = [TINY, f"run.overlap={overlap}", f"workload.parallel={parallel}", "workload.batch=16"]
    result = run(file, asked).result
    assert result.lower_bound_s * (1 - 1e-9) <= result.time_s <= result.upper_bound_s * (1 + 1e-9)


def test_a_model_file_is_looked_for_beside_the_scenario(file: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("base: llama3_8b\nlayers: 2\n", encoding="utf-8")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 512, "intermediate_size": 1024,
        "num_attention_heads": 8, "num_hidden_layers": 2, "vocab_size": 1024, "rms_norm_eps": 1e-5,
        "max_position_embeddings": 2048, "hidden_act": "silu",
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    for model in ("mine.yaml", "config.json", "{base: mine.yaml, d_model: 4096}"):
        graph = load_scenario(file, [f"workload.model={model}"]).graph
        assert sum(1 for op in graph.flat() if op.kind == "attention") == 2


@pytest.mark.long
def test_studies_reach_every_key(file: str) -> None:
    study = {
        "workload.parallel.tp": [1, 2],
        "workload.recompute": ["none", "full"],
        "workload.batch": "8:16:x2",
    }
    table = sweep(load_scenario(file, [TINY]), study).frame
    assert list(table["error"].fillna("")) == [""] * 8
    # recomputing may hide behind communication: what is computed tells such rows apart
    assert len(set(zip(table["time"], table["flops"], strict=True))) == 8
    derived = sweep(
        load_scenario(file, [TINY]), {"workload.parallel.tp": [1, 2], "derive": {"workload.batch": "8 * tp"}}
    )
    assert [row.inputs["workload.batch"] for row in derived.rows] == [8, 16]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("workload.parallel={tp: 3}", "tp 3 is 3 chips, which do not divide the system's 8"),
        ("workload.parallel={tp: 16}", "tp 16 is 16 chips, which do not divide the system's 8"),
        ("workload.parallel={dp: 4}", "dp 4 is 4 chips; the system has 8"),
        ("workload.parallel={tp: 4, dp: 4}", "tp 4 x dp 4 is 16 chips; the system has 8"),
        (
            "workload.parallel={ep: 4, dp: 8}",
            "ep 4 x dp 8 is 32 chips; the system has 8; ep lies beside dp, not inside it: dp 2 fills it",
        ),
        ("workload.batch=63", "batch 63 is no multiple of 8 replicas x microbatch 1"),
        ("workload.model=resnet50", "resnet50 reads images and has no tokens; leave seq out"),
        (
            "workload.precision=bf17",
            "unknown precision 'bf17', did you mean 'bf16'? Allowed: amp_bf16, bf16, fp32, fp8, ",
        ),
        ("workload.precision={logits: fp31}", "unknown dtype 'fp31', did you mean 'fp32'? Allowed: "),
        ("workload.precision={kv: int8}", "kv is of inference; training has compute, "),
        ("workload.optimizer=adamv", "unknown optimizer 'adamv', did you mean 'adamw'? Allowed: adamw, sgd"),
        ("workload.parallel.order=[tp]", "order names each of tp, cp, ep, dp, pp once"),
        ("workload.parallel={layers: [3]}", "layers has 1 numbers that add up to 3; 32 layers are cut into 1 chunks"),
        ("workload.ops=[]", "ops is for ops that are written out; a model makes its own"),
        ("workload.fuse=elementwise", "a model makes its own kernels; fuse: none makes each of its ops one"),
        ("workload.fuse=none", "what a training step keeps goes by its own kernels"),
        ("workload.mode=trian", "unknown mode 'trian', did you mean 'train'? Allowed: "),
        ("system.mesh={X: 8}", "the parallelism of the workload makes the mesh {D: 8}; leave it out, it follows"),
        ("workload.seq=", "'workload.seq' is missing: train needs it"),
        ("workload={model: llama3_8b, mode: decode, batch: 8}", "'workload.context' is missing: decode needs it"),
        (
            "workload={model: llama3_8b, mode: decode, batch: 8, context: 8, seq: 8}",
            "seq is the length of a prompt; decode has",
        ),
        (
            "workload={model: llama3_8b, mode: prefill, batch: 8, seq: 8, chunk: 3}",
            "8 tokens are no multiple of chunks of 3",
        ),
        (
            "workload={model: llama3_8b, mode: decode, batch: 9, context: 8}",
            "batch 9 is not shared evenly by 8 replicas",
        ),
        ("workload.model=", "workload wants ops, or a model"),
        (
            "workload={ops: ['y:bf16[8] = relu(x:bf16[8])'], batch: 8}",
            "batch is of a model, and workload.model is missing",
        ),
    ],
)
def test_what_is_wrong_is_told_at_its_place(file: str, override: str, told: str) -> None:
    (problem,) = problems(file, override)
    assert problem.split(": ", 1)[1].startswith(told)


def test_all_that_is_wrong_is_told_at_once(file: str) -> None:
    found = problems(
        file,
        "workload.model=llama3_8bb",
        "workload.parallel={zero: 7, shedule: gpipe}",
        "workload.recompute=al",
        "workload.ops=[]",
        "study={vary: {workload.parallel.tq: [1]}}",
    )
    assert len(found) == 6
    assert any("did you mean 'llama3_8b'" in each for each in found)
    assert any("did you mean 'workload.parallel.schedule'" in each for each in found)
    assert any("did you mean 'workload.parallel.tp'" in each for each in found)


def test_problems_stand_at_their_keys(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(TEXT.replace("zero: 3", "tp: 2, context: rings").replace("seq: 512", "seq: 513"), encoding="utf-8")
    (first,) = problems(str(path))
    assert first.startswith("m.yaml:9:")
    path.write_text(TEXT.replace("zero: 3", "tp: 2").replace("seq: 512", "seq: 513\n  optimizer: lion"), "utf-8")
    (optimizer,) = problems(str(path))
    assert optimizer.startswith("m.yaml:9:14: ")
    path.write_text(TEXT.replace("zero: 3", "tp: 2").replace("seq: 512", "seq: 513"), "utf-8")
    (uneven,) = problems(str(path))
    assert uneven.startswith("m.yaml:8:8: ")


def test_a_wrong_system_hides_no_problem_of_the_model(file: str) -> None:
    found = problems(file, "system={chip: h100_sxn, topology: switch(8)}", "workload.model=llama3_8bb")
    assert len(found) == 2
    found = problems(file, "system={chip: h100_sxm, topology: swich(8)}", "workload.precision=bf17")
    assert len(found) == 2


def test_a_mesh_that_does_not_fit_hides_no_problem_of_the_step(file: str) -> None:
    mesh, batch = problems(
        file, "system={base: tpu_v5p, slice: 4x4x4}", "workload.parallel={dp: 8, tp: 8}", "workload.batch=63"
    )
    assert "do not line up with the axes of torus(4,4,4)" in mesh
    assert "batch 63 is no multiple of 8 replicas" in batch


def test_the_graph_of_a_model_is_sound(file: str) -> None:
    for parallel in ("{tp: 2, cp: 2, zero: 2}", "{tp: 4, sequence: false}"):
        scenario = load_scenario(file, [f"workload.parallel={parallel}"])
        found = Problems()
        check_graph(scenario.graph, scenario.system, found)
        assert found.found == []


def test_a_model_has_tokens(file: str) -> None:
    words = run(file, [TINY]).words
    tokens = 8 * 512
    assert words["tokens_per_s"] == pytest.approx(tokens / words.result.time_s, rel=1e-12)
    cost = words["cost"]
    assert isinstance(cost, float)
    assert words["cost_per_million_tokens"] == pytest.approx(cost / tokens * 1e6, rel=1e-12)
    paid = run(file, [TINY, "economics={utilisation: 50 %, training: {tokens: 4096000}}"]).words
    assert paid["cost_per_million_tokens"] == pytest.approx(2 * cost / tokens * 1e6, rel=1e-12)
    assert paid["training_time"] == pytest.approx(1000 * words.result.time_s, rel=1e-12)
    assert paid["tokens_per_s"] == pytest.approx(tokens / words.result.time_s, rel=1e-12)


@pytest.mark.long
def test_a_pipeline_has_a_bubble(file: str) -> None:
    whole = "workload.parallel={pp: 2, tp: 4, microbatch: 1}"
    few, many = (run(file, [TINY, whole, f"workload.batch={batch}"]).summary["bubble"] for batch in (2, 16))
    assert isinstance(few, float)
    assert isinstance(many, float)
    assert many < few


def test_paths_into_a_model_that_lead_nowhere(file: str) -> None:
    found = problems(file, "study={vary: {workload.dims.batch: [1], ops.q.tiles: [1]}}")
    assert any("there is no dim 'batch' to set: the dims of a model follow from" in each for each in found)
    assert any("the ops of a model are made of its description" in each for each in found)


def test_a_stored_row_is_of_the_model_file_as_it_was(file: str, tmp_path: Path) -> None:
    model = tmp_path / "mine.yaml"
    scenario = load_scenario(file, ["workload.model=llama3_8b"])
    keys = []
    for layers in (2, 3):
        model.write_text(f"base: llama3_8b\nlayers: {layers}\n", encoding="utf-8")
        for values in ({"workload.model": "mine.yaml"}, {"workload.model": {"base": "mine.yaml", "d_model": 4096}}):
            keys.append(ContentKeys(scenario.document, scenario.path).key(values))
    assert len(set(keys)) == 4


DECODE = ["workload={model: llama3_8b, mode: decode, batch: 64, context: 8192, parallel: {tp: 8}}"]


def test_decoding_reads_weights_and_cache(file: str) -> None:
    """Bytes of a step: every weight once but the table's, of which a row a sequence, and the cache; over 8 chips."""
    count = parameters(load_model("llama3_8b").description).total - 128256 * 4096
    cached = 64 * 8192 * 32 * 2 * 8 * 128
    for precision, weight, kv in (("bf16", 2, 2), ("{weights: int8}", 1, 2), ("{weights: int8, kv: int8}", 1, 1)):
        asked = [f"workload.precision={precision}", "workload.activations=on_chip"]
        words = run(file, [*DECODE, *asked]).words
        read = (count * weight + cached * kv) / 8
        assert words["t_memory"] == pytest.approx(read / 3.35e12, rel=0.005)
        assert words["tokens_per_s"] == pytest.approx(64 / words.result.time_s, rel=1e-12)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("workload.recompute=full", "decode has no recompute; it is of train"),
        ("workload.seq=5", "seq is the length of a prompt; decode has context, the tokens in the cache"),
        ("workload.context=", "'workload.context' is missing: decode needs it"),
        ("workload.mode=prefill", "'workload.seq' is missing: prefill needs it"),
    ],
)
def test_what_a_mode_has_not_is_told(file: str, override: str, told: str) -> None:
    (problem,) = problems(file, *DECODE, override)
    assert problem.split(": ", 1)[1] == told


def test_prefill_in_chunks_is_the_same_arithmetic(file: str) -> None:
    whole = ["workload={model: llama3_8b, mode: prefill, batch: 8, seq: 2048}"]
    flops = [run(file, [*whole, *more]).summary["flops"] for more in ([], ["workload.chunk=512"])]
    assert flops[1] == pytest.approx(flops[0], rel=0.01)  # no more than vectors that are read twice


OTHERS = {
    "images": "{model: {base: vit_l_16, layers: 2}, batch: 16}",
    "convolutions": "{model: cnn_mnist, batch: 64}",
    "a graph": "{model: gcn_cora}",
    "sequences": "{model: {base: bert_large, layers: 2}, mode: forward, batch: 16, seq: 128}",
}


@pytest.mark.parametrize("what", OTHERS)
def test_models_that_make_no_tokens_count_samples(file: str, what: str) -> None:
    outcome = run(file, [f"workload={OTHERS[what]}", "economics={utilisation: 50 %}"])
    summary, model = outcome.summary, outcome.scenario.model
    assert model is not None
    samples = {"images": 16, "convolutions": 64, "a graph": 1, "sequences": 16}[what]
    tokens = {"images": 16 * 197, "sequences": 16 * 128}.get(what, 0)
    assert (model.samples, model.tokens) == (samples, tokens)
    time = summary["time"]
    assert isinstance(time, float)
    assert summary["samples_per_s"] == pytest.approx(samples / time)
    per_s = summary["tokens_per_s"]
    assert per_s == pytest.approx(tokens / time) if tokens else per_s is None
    # flash attention backwards makes scores again
    assert (summary["mfu"] == summary["hfu"]) == (what != "images")
    assert (summary["cost_per_million_tokens"] is None) == (tokens == 0)


@pytest.mark.parametrize(
    ("workload", "told"),
    [
        ("{model: vit_l_16}", "'workload.batch' is missing: train needs it"),
        ("{model: vit_l_16, batch: 8, seq: 7}", "vit_l_16 reads images of 197 tokens each; leave seq out"),
        (
            "{model: vit_l_16, batch: 8, parallel: {tp: 2}}",
            "197 tokens are not shared evenly by 2 chips; sequence: false",
        ),
        ("{model: gcn_cora, batch: 2}", "batch is 2; a step is over the one graph of gcn_cora"),
        ("{model: resnet50, batch: 8, parallel: {tp: 8}}", "tp is 8: chips share the images of a convolution stack"),
        ("{model: resnet50, batch: 8, engine: megatron}", "engine megatron has the blocks of transformers; here plain"),
        ("{model: resnet50, mode: forward, batch: 8, recompute: full}", "forward has no recompute; it is of train"),
        (
            "{model: bert_large, mode: forward, batch: 8, seq: 9, parallel: {pp: 8}}",
            "a forward pass alone has no pipeline",
        ),
        ("{model: bert_large, mode: prefill, batch: 8, seq: 9}", "bert_large makes no tokens; prefill and decode"),
    ],
)
def test_what_a_family_has_not_is_told_at_its_place(file: str, workload: str, told: str) -> None:
    (problem,) = problems(file, f"workload={workload}")
    assert problem.split(": ", 1)[1].startswith(told)


@pytest.mark.long
def test_images_are_computed_all_at_once_unless_a_microbatch_is_said(tmp_path: Path) -> None:
    text = "name: i\nsystem: {base: dgx_h100}\nworkload: {model: resnet50, batch: 64}\n"
    path = tmp_path / "i.yaml"
    path.write_text(text, "utf-8")
    words = run(str(path)).words.result.time_s
    assert words == run(str(path), ["workload.parallel.microbatch=8"]).words.result.time_s
    assert words < run(str(path), ["workload.parallel.microbatch=1"]).words.result.time_s


def test_every_key_of_a_workload_is_of_ops_or_of_what_is_done_with_a_model() -> None:
    of_modes = {key for mode in MODES.values() for key in mode.keys}
    assert {*OF_OPS, *OF_ANY_MODEL, *of_modes} == set(WorkloadSpec.model_fields)
    assert of_modes.isdisjoint(OF_OPS)
