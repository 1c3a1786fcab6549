"""Points that differ in numbers alone are worked out together: the same rows, bit for bit, as one by one, for fewer runs.

Law: whatever a study varies, each row has the words of its own run. Numbers are drawn from few, so that rows coincide where
a run of their own would see it (equal tensors, equal times), and cross from one bound to another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError
from scenarios import load_scenario, sweep
from scenarios.building.run_one import words_of
from scenarios.studies.batches import Batches
from scenarios.studies.worker import Job, run_point, scenario_of
from simulator import Simulation
from tests.support.cases import CHUNKS, UNLIKE, overlapse, written
from tests.support.together import assert_each_alone, runs_of

B, D, F = (f"workload.dims.{name}" for name in "BDF")
HBM, PEAK = "system.set.hbm.bandwidth", "system.set.matrix_unit.peak.bf16"
BLOCK = """\
name: block
system: {chip: tpu_v5e}
workload:
  dims: {B: 256, D: 1024, F: 4096}
  ops:
    - repeat: 3
      carry: {x: y}
      ops:
        - h:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
        - g:bf16[B,F] = gelu(h)
        - y:bf16[B,D] = matmul(g, v:bf16[F,D])
"""
CASES: Mapping[str, str] = {
    "tiles": BLOCK,
    "full": BLOCK + "run: {overlap: full}\n",
    "measured": BLOCK.replace("tpu_v5e", "h100_sxm") + "run: {calibration: measured, memory_latency: true}\n",
    "channels": """\
name: channels
system: {chip: h100_sxm, topology: "switch(4) over nvlink", mesh: {X: 4}}
workload:
  dims: {B: 1024, D: 2048, F: 4096}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])
    - g:bf16[B,D] = all_gather(p:bf16[B_X,D], over=X)
    - a:bf16[D,F] = gelu(u:bf16[D,F], queue=side)
run: {calibration: measured}
""",
    "fused": BLOCK + "  fuse: elementwise\n",
    "money": BLOCK + "economics: {tokens_per_run: 1000, electricity: 0.1 USD/kWh, runs_per_day: 3}\n",
    "attention": """\
name: attention
system: {chip: a100_80gb_sxm}
workload:
  dims: {B: 4, H: 8, K: 2, F: 1024, D: 128}
  ops:
    - n:bf16[B,H,F,D] = rms_norm(q:bf16[B,H,F,D])
    - o:bf16[B,H,F,D] = attention(n, k:bf16[B,K,F,D], v:bf16[B,K,F,D], causal=true)
""",
    "chunks": CHUNKS + "run: {overlap: full, collectives: auto}\n",
    "planned": """\
name: planned
system: {chip: h100_sxm, topology: "switch(8) over nvlink", mesh: {X: 8}}
workload:
  dims: {B: 1024, D: 2048, F: 4096}
  ops:
    - y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F_X])
    - z:bf16[B,D] = matmul(y, v:bf16[F,D])
""",
    "unlike": UNLIKE,
    "pipeline": """\
name: pipeline
system: {chip: h100_sxm, topology: line(2) over nvlink}
workload:
  dims: {B: 512, D: 1024, F: 2048}
  ops:
    - y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], on=0)
    - s:bf16[B,F] = send(y, from=0, to=1)
    - r:bf16[B,F] = recv(from=0, to=1)
    - z:bf16[B,D] = matmul(r, v:bf16[F,D], on=1)
    - c:bf16[B,F]@host = copy(y, queue=save)
""",
}
SIZES = st.sampled_from([64, 96, 128, 256, 1000, 1024, 2048, 4096])
RATES = st.sampled_from([1e11, 8.2e11, "2 TB/s", 3.35e12, 1e13])
FLOPS = st.sampled_from([1e13, "100 TFLOP/s", 1.97e14, 989e12])
POINTS = st.fixed_dictionaries({B: SIZES, D: SIZES, F: SIZES}) | st.fixed_dictionaries(
    {F: SIZES, HBM: RATES, PEAK: FLOPS}
)


@cache
def job_of(case: str) -> Job:
    """The job of running variants of a case, read once."""
    with TemporaryDirectory() as folder:
        return Job.of(load_scenario(written(Path(folder), CASES[case])))


@pytest.mark.parametrize("case", CASES)
@settings(max_examples=6)
@given(data=st.data())
def test_rows_are_those_of_their_own_runs(case: str, data: st.DataObject) -> None:
    kinds = st.lists(POINTS, min_size=12, max_size=24)
    dims = scenario_of(job_of(case)).graph.dims
    points = [
        {path: value for path, value in point.items() if not path.startswith(B[:-1]) or path[-1] in dims}
        for point in data.draw(kinds)
    ]
    assert_each_alone(job_of(case), points)


LINK = st.fixed_dictionaries(
    {
        "system.set.links.ici.bandwidth": st.sampled_from(["4.5e10 B/s", 9e10, 1e9]),
        "system.set.links.ici.latency": st.sampled_from([0, 1e-6, "2 us"]),
        "run.launch": st.sampled_from([0, "1 us", 5e-6]),
        D: st.sampled_from([2048, 4096, 1024]),
    }
)


@settings(max_examples=8)
@given(st.lists(LINK, min_size=12, max_size=24))
def test_figures_of_links_vary_together(points: list[dict[str, Any]]) -> None:
    assert_each_alone(job_of("chunks"), points)


# How much is worked out together


SPREAD: Mapping[str, Mapping[str, Any]] = {
    "sizes": {B: [16 * at for at in range(1, 21)], D: [64 * at for at in range(1, 21)]},
    "rates": {HBM: [5e11 + 1e11 * at for at in range(20)], PEAK: [f"{40 + 10 * at} TFLOP/s" for at in range(20)]},
    "both": {B: [64 * at for at in range(1, 21)], HBM: [5e11 + 1e11 * at for at in range(20)]},
}


@pytest.mark.parametrize("case", ["full", "tiles"])
@pytest.mark.parametrize("varied", SPREAD)
def test_rows_that_differ_in_sizes_and_rates_take_few_runs(
    case: str, varied: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, runs = runs_of(written(tmp_path, CASES[case]), SPREAD[varied], monkeypatch)
    assert rows == 400
    assert runs <= 60


def test_rows_that_differ_in_more_than_numbers_are_together_where_they_agree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"system.chip": ["tpu_v5e", "h100_sxm"], B: [64 * at for at in range(1, 101)]}
    rows, runs = runs_of(written(tmp_path, CASES["full"]), changes, monkeypatch)
    assert rows == 200
    assert runs <= 50


# What goes wrong


def test_rows_that_cannot_be_run_say_what_they_say_alone(tmp_path: Path) -> None:
    sizes: list[Any] = [64, 0, 128, -1, 256, "many", 512, 1024, 2048, 4096, 8192, 16384, 2.5, 96, 10**16]
    study = sweep(written(tmp_path, BLOCK), {B: sizes, HBM: ["1 TB/s", "1 TB", 2e12]}, jobs=1)
    job = Job.of(load_scenario(written(tmp_path, BLOCK)))
    for row in study.rows:
        alone = run_point(job, row.inputs)
        assert (row.words, row.error, row.exit) == (alone.as_dict(), alone.error, alone.exit)
    assert study.failed == 5 * 3 + 10


def test_a_batch_that_is_different_in_every_row_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, runs = runs_of(written(tmp_path, BLOCK), {"ops.h.tiles": list(range(1, 41))}, monkeypatch)
    assert rows == 40
    assert runs <= 2 * rows


# Words that are asked for


def test_nothing_is_simulated_for_words_that_follow_from_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sizes = written(tmp_path, BLOCK), [64, 128, 256]
    whole = sweep(path, {B: sizes}, jobs=1)
    monkeypatch.setattr(Simulation, "run", lambda _self: pytest.fail("simulated"))
    study = sweep(path, {B: sizes, "words": ["lower_bound", "t_memory", "flops", "lower_bound"]}, jobs=1)
    assert list(study.frame.columns) == [B, "lower_bound", "t_memory", "flops", "error"]
    for row, other in zip(study.rows, whole.rows, strict=True):
        assert row.words == {word: other.words[word] for word in ("lower_bound", "t_memory", "flops")}


def test_a_row_can_have_words_about_ops(tmp_path: Path) -> None:
    study = sweep(written(tmp_path, BLOCK), {B: [64, 128], "words": ["ops.g.0.time", "time"]}, jobs=1)
    for row, size in zip(study.rows, (64, 128), strict=True):
        words = words_of(load_scenario(written(tmp_path, BLOCK), [f"{B}={size}"]), ["ops.g.0.time", "time"])
        assert row.words == words


def test_a_store_keeps_rows_of_other_words_apart(tmp_path: Path) -> None:
    path, store = written(tmp_path, BLOCK), tmp_path / "rows.db"
    assert sweep(path, {B: [64, 128], "words": ["time"]}, store=store).ran == 2
    assert sweep(path, {B: [64, 128], "words": ["mfu"]}, store=store).rows[0].words.keys() == {"mfu"}
    assert sweep(path, {B: [64, 128], "words": ["time"]}, store=store).ran == 0


@pytest.mark.parametrize(
    ("study", "message"),
    [
        ("words: [time, mfo]", "words: unknown result word 'mfo', did you mean 'mfu'"),
        ("words: [ops.h.tim]", "words: unknown word about an op 'tim', did you mean 'time'"),
        ("words: []", "wants 1 or more entries"),
        ("words: [mfu]\n  sort: time", "time is not in a row: it is none of the study's words"),
    ],
)
def test_wrong_words_are_told_at_their_place(tmp_path: Path, study: str, message: str) -> None:
    path = written(tmp_path, f"{BLOCK}study:\n  vary: {{workload.dims.B: [1, 2]}}\n  {study}\n")
    with pytest.raises(SpecError) as error:
        load_scenario(path)
    (problem,) = error.value.problems
    assert message in problem.message
    assert problem.mark.line > len(BLOCK.splitlines())


def test_an_op_that_there_is_not_is_an_error_of_its_row(tmp_path: Path) -> None:
    study = sweep(written(tmp_path, BLOCK), {B: [64, 128], "words": ["ops.hh.time"]}, jobs=1)
    assert [row.error[:15] for row in study.rows] == ["unknown op 'hh'"] * 2


def test_the_command_shows_the_words_that_are_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path, BLOCK)
    shown = overlapse("study", path, "--vary", f"{B}=64,128", "--words", "lower_bound, flops", "--jobs", "1")
    assert shown.exit_code == 0
    assert "lower bound" in shown.stdout
    assert "MFU" not in shown.stdout
    found = overlapse("study", path, "--vary", f"{B}=64,128", "--words", "lower_bound", "--json", "--jobs", "1")
    assert [list(row) for row in json.loads(found.stdout)["study"]] == [[B, "lower_bound", "error"]] * 2


def test_points_are_run_together_only_in_a_batch_of_their_structure(tmp_path: Path) -> None:
    base = load_scenario(written(tmp_path, BLOCK))
    found = dict(Batches(base).run([{B: 64 * at, "run.overlap": "full"} for at in range(1, 21)]))
    assert sorted(found) == list(range(20))
    assert sum(words is not None for words in found.values()) >= 10
