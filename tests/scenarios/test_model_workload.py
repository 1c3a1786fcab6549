"""Whole models as workloads: what is written, what it becomes, and what is wrong with it, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import SpecError
from scenarios import load_scenario, run
from scenarios.models import load_model
from simulator.models import parameters

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
    assert list(outer.system.mesh.axes) == ["D", "T"]


def test_the_words_of_a_step(file: str) -> None:
    words = run(file).words
    count = parameters(load_model("llama3_8b").description).total
    flops = words["flops"]
    assert isinstance(flops, float)
    # 6 FLOPs a parameter and token, the table apart; what attention and norms do comes on top
    assert flops == pytest.approx(6 * (count - 128256 * 4096) * 512, rel=0.06)
    assert words["fits"] is True


def test_a_path_of_a_config_and_a_model_of_ones_own(file: str, tmp_path: Path) -> None:
    changed = load_scenario(file, ["workload.model={base: llama3_8b, layers: 2}"])
    assert sum(1 for op in changed.graph.flat() if op.kind == "attention") == 2


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("workload.parallel={tp: 3}", "tp 3 is 6 chips; the system has 8"),
        ("workload.parallel={tp: 16}", "tp 16 is 16 chips; the system has 8"),
        ("workload.parallel={dp: 4}", "dp 4 is 4 chips; the system has 8"),
        ("workload.batch=63", "batch 63 is no multiple of 8 replicas x microbatch 1"),
        ("workload.model=resnet50", "resnet50 is no transformer; steps are built of transformers"),
        ("workload.precision=bf17", "unknown precision 'bf17', did you mean 'bf16'? Allowed: bf16, fp32, mixed_bf16"),
        ("workload.parallel.order=[tp]", "order names each of tp, cp, ep, dp, pp once"),
        ("workload.parallel={layers: [3]}", "layers has 1 numbers that add up to 3; 32 layers are cut into 1 chunks"),
        ("workload.ops=[]", "ops is for ops that are written out; a model makes its own"),
        ("system.mesh={X: 8}", "the mesh of a model's system follows from workload.parallel; leave it out"),
        ("workload.seq=", "a model needs seq"),
        ("workload.model=", "workload wants ops, or a model"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(file: str, override: str, told: str) -> None:
    (problem,) = problems(file, override)
    assert problem.split(": ", 1)[1] == told


def test_all_that_is_wrong_is_told_at_once(file: str) -> None:
    found = problems(
        file,
        "workload.model=llama3_8bb",
        "workload.parallel={zero: 7, shedule: gpipe}",
        "workload.recompute=al",
        "system.mesh={X: 8}",
        "workload.ops=[]",
    )
    assert len(found) == 6
    assert any("did you mean 'llama3_8b'" in each for each in found)
    assert any("did you mean 'workload.parallel.schedule'" in each for each in found)
