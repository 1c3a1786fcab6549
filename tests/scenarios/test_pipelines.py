"""The ops of a workload as a pipeline: bubbles as their closed forms have them, one answer with the door of Python.

Law: (S-1) / (M+S-1) of the time is the bubble of gpipe and 1f1b, a v-th of that time with v chunks a stage (equal chunks,
free sends; Huang et al. 2019, Narayanan et al. 2021).
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, SpecError, System, load_chip, parse_topology
from scenarios import Outcome, load_scenario, run
from simulator import OpGraph, Pipeline, PipelineChunk, RunOptions, parse_graph, pipelined, simulate

FORWARD, BACKWARD = 1.0, 2.0
"""Milliseconds of a chunk's passes: 459 TFLOP/s."""

FILE = """
name: piped
system: {{chip: tpu_v5p, topology: line({stages}), mesh: {{P: {stages}}}, set: {{links.ici.latency: 0 s}}}}
workload:
  dims: {{N: 1}}
  ops:
    - y:bf16[N] = custom(x:bf16[N], w:bf16[N], unit=matrix, flops={forward} FLOP)
    - dx:bf16[N] = custom(dy:bf16[N], y, w, unit=matrix, flops={backward} FLOP)
  pipeline:
    microbatches: {microbatches}
    schedule: {schedule}
    interleave: {interleave}
    carry: {{x: y, dy: dx}}
    backward: dx
run: {{overlap: full}}
"""


PAIRED = Path(__file__).parents[2] / "scenarios" / "library" / "parallelism" / "paired.yaml"


def ran(folder: Path, stages: int, microbatches: int, schedule: str, interleave: int = 1) -> Outcome:
    file = folder / "piped.yaml"
    work = {"forward": FORWARD * 4.59e11 / interleave, "backward": BACKWARD * 4.59e11 / interleave}
    told = {"stages": stages, "microbatches": microbatches, "schedule": schedule, "interleave": interleave}
    file.write_text(FILE.format(**work, **told), encoding="utf-8")
    return run(str(file))


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
@given(stages=st.integers(2, 6), more=st.integers(0, 6))
@settings(max_examples=8, deadline=None)
def test_bubbles_are_their_closed_form(
    tmp_path_factory: pytest.TempPathFactory, schedule: str, stages: int, more: int
) -> None:
    microbatches = stages + more
    time_s = ran(tmp_path_factory.mktemp("piped"), stages, microbatches, schedule).result.time_s
    work_s = microbatches * (FORWARD + BACKWARD) * 1e-3
    assert 1 - work_s / time_s == pytest.approx((stages - 1) / (microbatches + stages - 1), rel=1e-6)


def test_passes_in_turns_run_as_they_are_ready_unless_a_run_says_otherwise() -> None:
    file = str(PAIRED)
    orders = {
        "ready": [load_scenario(file), load_scenario(file, ["run.order=ready"]), load_scenario(file, ["run=null"])],
        "program": [
            load_scenario(file, ["run.order=program"]),
            load_scenario(file, ["workload.pipeline.schedule=interleaved"]),
        ],
    }
    for order, scenarios in orders.items():
        assert {scenario.options.order for scenario in scenarios} == {order}


def test_a_model_in_turns_runs_as_they_are_ready(tmp_path: Path) -> None:
    file = tmp_path / "model.yaml"
    file.write_text(
        "name: turns\nsystem: {chip: h100_sxm, topology: switch(8) over nvlink}\n"
        "workload: {model: gpt2, batch: 8, seq: 128, parallel: {pp: 2, schedule: paired}}\n",
        encoding="utf-8",
    )
    said = {"schedule: paired": [], "no pipeline": ["workload.parallel.pp=1"]}
    orders = {name: load_scenario(str(file), overrides).options.order for name, overrides in said.items()}
    assert orders == {"schedule: paired": "ready", "no pipeline": "program"}


@pytest.mark.parametrize("interleave", [2, 3])
def test_interleaving_divides_the_bubble(tmp_path: Path, interleave: int) -> None:
    time_s = ran(tmp_path, 4, 8, "interleaved", interleave).result.time_s
    assert time_s == pytest.approx((8 + 3 / interleave) * (FORWARD + BACKWARD) * 1e-3, rel=1e-6)


def test_a_file_is_what_python_makes(tmp_path: Path) -> None:
    outcome = ran(tmp_path, 3, 4, "1f1b")
    items = parse_graph(
        [
            f"y:bf16[N] = custom(x:bf16[N], w:bf16[N], unit=matrix, flops={FORWARD * 4.59e11} FLOP)",
            f"dx:bf16[N] = custom(dy:bf16[N], y, w, unit=matrix, flops={BACKWARD * 4.59e11} FLOP)",
        ],
        {},
    ).items
    chunk = PipelineChunk(
        forward=items[:1],
        backward=items[1:],
        takes=("x",),
        makes=("y",),
        takes_back=("dy",),
        makes_back=("dx",),
        shared=frozenset({"w"}),
    )
    made = pipelined([chunk] * 3, Pipeline(stages=3, microbatches=4))
    chip = load_chip("tpu_v5p", set={"links.ici.latency": 0})
    system = System(chip, parse_topology("line(3)", chip.links), Mesh({"P": 3}))
    result = simulate(OpGraph({"N": 1}, made.items), system, RunOptions(overlap="full"))
    assert outcome.result.begin_ps == result.begin_ps
    assert outcome.result.end_ps == result.end_ps


def test_weights_are_held_once_and_activations_for_each_microbatch(tmp_path: Path) -> None:
    """Two stages of gpipe hold w once and, at the last microbatch, x or y of all of them: two bytes each."""
    few, many = (ran(tmp_path, 2, count, "gpipe").words["peak_memory"] for count in (4, 12))
    assert isinstance(few, float)
    assert isinstance(many, float)
    held = (many - few) / 8 / 2
    assert held == pytest.approx(round(held))
    assert held >= 1


def test_inside_a_stage_ops_are_sharded(tmp_path: Path) -> None:
    file = tmp_path / "sharded.yaml"
    file.write_text(
        """
name: sharded
system: {chip: tpu_v5p, topology: "torus(2,4)", mesh: {P: 2, T: 4}}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops:
    - h:bf16[B,F_T] = matmul(x:bf16[B,D], w:bf16[D,F_T])
    - p:bf16[B,D]{U_T} = matmul(h, v:bf16[F_T,D])
    - z:bf16[B,D] = all_reduce(p, over=T)
  pipeline: {microbatches: 4, carry: {x: z}}
run: {overlap: full}
""",
        encoding="utf-8",
    )
    words = run(str(file)).words
    layer = 2 * 2 * 4096 * 8192 * 8192
    assert words["flops"] == pytest.approx(layer)  # of a chip: a quarter of each of four microbatches
    assert words["t_math"] == pytest.approx(layer / 4.59e14)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("workload.pipeline.carry={x: yy, dy: dx}", "unknown op 'yy', did you mean 'y'? Allowed: dx, y"),
        ("workload.pipeline.backward=dz", "unknown op 'dz'. Allowed: dx, y"),
        ("workload.pipeline.axis=Q", "unknown mesh axis 'Q'. Allowed: P"),
        ("workload.pipeline.weights=y", "y does not come behind the backward pass"),
        ("workload.pipeline.carry={x: y}", "chunks 0 and 1: nothing is made where nothing is taken"),
        ("workload.pipeline.microbatches=0", "workload.pipeline.microbatches"),
        ("workload.pipeline.schedule=gpip", "it wants 'gpipe', '1f1b', 'interleaved', 'zero_bubble' or 'paired'"),
        ("workload.pipeline.interleave=2", "schedule 1f1b has one chunk a stage; 2 are interleaved"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, override: str, message: str) -> None:
    ran(tmp_path, 3, 4, "1f1b")
    with pytest.raises(SpecError) as error:
        load_scenario(str(tmp_path / "piped.yaml"), [override])
    assert message in str(error.value)
    assert "piped.yaml" in str(error.value) or "--set" in str(error.value)
