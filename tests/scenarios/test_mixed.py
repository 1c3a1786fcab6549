"""Unlike chips in one job, and the chain of bottlenecks. Row ids are those of the founding documents' claims (T: training).

What one run shows is claimed by the files in `scenarios/library/mixed`; here are ratios of runs, laws of shares, and the
sequence of a study.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis import kind_labels
from analysis.plots import plot_roofline
from analysis.runs import advice, roofline_points
from hw import SpecError, load_chip
from scenarios import load_scenario, run, summarise
from scenarios.cli import app
from simulator import RunOptions, Simulation, parse_graph
from tests.support.claims import agree, number, of_library, outcome
from tests.support.strategies import chip_with, many

V100, A100 = 125e12, 312e12


def test_the_catalogue_has_the_peaks_that_the_claims_speak_of() -> None:
    assert load_chip("v100_sxm2_32gb").matrix_unit.peak_flops_per_s["fp16"] == V100
    assert load_chip("a100_40gb_sxm").matrix_unit.peak_flops_per_s["fp16"] == A100


def test_v100_and_a100() -> None:
    """T07: what the equal split uses, how much faster the proportional one is, and the A100 alone."""
    equal, by_speed, alone = (
        of_library(name, "time") for name in ("v100_a100_equal", "v100_a100_proportional", "a100_alone")
    )
    agree("T07 used", of_library("v100_a100_equal", "mfu"), 0.572, 1e-3)
    agree("T07 proportional", equal / by_speed, 1.748, 5e-4)
    agree("T07 proportional, exactly", equal / by_speed, (V100 + A100) / (2 * V100), 1e-6)
    agree("T07 alone", equal / alone, 1.248, 5e-4)


def test_one_slow_gpu_of_eight() -> None:
    """A GPU at 80 %: the step takes 1.25 times as long, and 17.9 % of 7.8 GPUs' worth are lost."""
    sound = "system.chips=[{chip: h100_sxm, count: 8}]"
    slow = of_library("one_slow_of_eight", "ops.y.time")
    agree("step", slow / of_library("one_slow_of_eight", "ops.y.time", sound), 1.25, 1e-9)
    lost = 1 - of_library("one_slow_of_eight", "mfu")
    agree("lost", lost, 1.4 / 7.8, 1e-6)
    agree("lost, rounded", lost, 0.179, 5e-3)
    agree("by speed", slow / of_library("one_slow_of_eight_by_speed", "ops.y.time"), 7.8 / 6.4, 1e-4)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.floats(0.3, 0.99))
def test_a_straggler_holds_all_up(chips: int, speed: float) -> None:
    """n chips, one at a share of the speed: equally split 1 / share times as long, of (n - 1 + share) n x share is used."""
    peak = load_chip("h100_sxm").matrix_unit.peak_flops_per_s["bf16"]
    slow = chip_with("h100_sxm", {"matrix_unit.peak.bf16": peak * speed, "matrix_unit.derived": None})
    system = many(f"switch({chips}) over nvlink", {"X": chips}, "h100_sxm")
    mixed = type(system)(system.chip, system.topology, system.mesh, (*(system.chip for _ in range(chips - 1)), slow))
    graph = parse_graph(["y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])"], {"B": 7200, "D": 8192, "F": 8192})
    options = RunOptions(overlap="full")
    even, held = (Simulation(graph, each, options).run().time_s for each in (system, mixed))
    assert held / even == pytest.approx(1 / speed, rel=1e-6)


def test_the_chain_of_bottlenecks() -> None:
    """T04: the matrix unit sped up step by step, then whatever binds: HBM, the network, the data loader."""
    study = outcome("bottleneck_chain").study
    assert not any(study["error"])
    assert list(study["bound_by"]) == ["compute", "compute", "memory", "network", "host", "compute"]
    times = list(study["time"])
    assert times == sorted(times, reverse=True)
    assert len(set(times)) == len(times)
    words = {"compute": "t_math", "memory": "t_memory", "network": "t_network", "host": "t_host"}
    for _, row in study.iterrows():
        binds = words[row["bound_by"]]
        assert row[binds] == row["lower_bound"]
        print(f"{row['time']:.4g} s bound by {row['bound_by']}: {row[binds] / row['time']:.1%} of the time")
        assert row[binds] / row["time"] > 0.8


def test_a_faster_matrix_unit_alone_moves_the_bound_once() -> None:
    """Once HBM binds, speeding the matrix unit up changes nothing that counts."""
    faster = [16, 64, 256]
    sets = [
        (
            f"system.set.matrix_unit.peak.bf16={3.12e14 * times:g} FLOP/s",
            f"system.set.matrix_unit.derived.clock={1.41e9 * times:g} Hz",
        )
        for times in faster
    ]
    found = [outcome("bottleneck_chain", *each).words for each in sets]
    assert [words["bound_by"] for words in found] == ["memory"] * 3
    times = [number(words, "time") for words in found]
    assert times[-1] == pytest.approx(times[0], rel=0.02)


@pytest.mark.long
def test_v100s_that_prepare_data_starve_an_a100(tmp_path: Path) -> None:
    """T03 T08: the A100's share of busy time is min(1, n x pace of one V100), for one, two and four of them."""
    scenario = (Path(__file__).parents[2] / "scenarios/library/mixed-fleet/a100_fed_by_v100s.yaml").read_text()
    for count in (1, 2, 4):
        chips = f"[a100_40gb_sxm, {count} x v100_sxm2_32gb]"
        text = scenario.replace("[a100_40gb_sxm, 2 x v100_sxm2_32gb]", chips).replace(
            "switch(3)", f"switch({count + 1})"
        )
        text = text.replace("on: [1, 2]", f"on: [{', '.join(map(str, range(1, count + 1)))}]")
        path = tmp_path / f"{count}.yaml"
        path.write_text(text[: text.index("expect:")])
        words = run(str(path)).words
        busy = 500 * 10e-3 / number(words, "time")
        agree(f"{count} V100", busy, min(1.0, count * 0.25), 0.01)
        if count == 1:  # what the loader asks counts for what would help
            assert advice(words)[0].change == "hbm x2"


def test_other_paces_of_the_data() -> None:
    """The share of the time in which the A100 is busy at 0.8 of its pace, and at twice that."""
    scenario = load_scenario("library:data_preparation_25")
    shares = []
    for every in ("12.5 ms", "5 ms"):
        words = summarise(scenario.having("processes.loader.every", every))
        shares.append(number(words, "mfu"))
    assert shares == pytest.approx([0.8, 1.0], rel=1.01e-3)


# --- what the commands say of unlike chips

UNLIKE = """
name: unlike
system:
  chips: [v100_sxm2_32gb, {chip: a100_40gb_sxm, count: 1, set: {hbm.capacity: 2 GB}}]
  topology: switch(2) over nvlink
workload:
  dims: {B: 4096, D: 2048, F: 2048}
  ops:
    - y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])
run: {overlap: full}
"""
KINDS = ("v100_sxm2_32gb", "a100_40gb_sxm")


@pytest.fixture
def unlike(tmp_path: Path) -> str:
    path = tmp_path / "unlike.yaml"
    path.write_text(UNLIKE)
    return str(path)


def told(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "140"})
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize("command", ["sources", "explain"])
def test_every_kind_has_its_sources(command: str, unlike: str) -> None:
    """Each under its own name, with its own bandwidth; what an entry of the list sets names its place, for its kind only."""
    first, second = (f"\n{told(command, unlike)}".partition(f"\n{name}\n")[2] for name in KINDS)
    first = first.partition(f"\n{KINDS[1]}\n")[0]
    assert "900 GB/s" in first
    assert "1.555 TB/s" in second
    assert "900 GB/s" not in second
    assert "set to 2 GB" not in " ".join(first.split())
    assert "hbm.capacity set to" in " ".join(second.split())


def test_kinds_of_one_name_say_which_chips_they_are() -> None:
    slow = load_scenario("library:one_slow_of_eight").system
    assert kind_labels(slow) == ["h100_sxm (chips 0-6)", "h100_sxm (chip 7)"]


def test_every_kind_has_its_roofs_and_its_points(unlike: str) -> None:
    """Equal shares on both chips: each at its own peak, the A100 2.496 times as fast."""
    text = told("roofline", unlike)
    rows = [line.split() for line in text.splitlines() if line.startswith("y ")]
    assert [row[5] for row in rows] == ["125", "312"]  # TFLOP/s of the roof over the point
    for name in KINDS:
        assert f"ops on {name}\n" in text
    result = run(unlike).result
    v100, a100, slowest = (next(roofline_points(result, kind)) for kind in (0, 1, None))
    assert v100 == slowest
    assert (v100.roof_flops_per_s, a100.roof_flops_per_s) == (V100, A100)
    for point in (v100, a100):
        assert point.share == pytest.approx(1.0, rel=1e-6)


def test_the_picture_has_the_roofs_and_points_of_every_kind(unlike: str) -> None:
    figure = plot_roofline(run(unlike).result)
    for name, peak in zip(KINDS, (V100, A100), strict=True):
        mine = [trace for trace in figure.data if trace.name.startswith(name)]
        assert [trace.y[0] for trace in mine if "matrix fp16" in trace.name] == [peak]
        (points,) = (trace for trace in mine if trace.mode.startswith("markers"))
        assert list(points.y) == pytest.approx([peak], rel=1e-6)
    assert len({trace.marker.symbol for trace in figure.data if trace.mode.startswith("markers")}) == 2


def test_the_report_tells_of_every_kind(unlike: str, tmp_path: Path) -> None:
    """Both chips hold the same; the A100, set to 2 GB, is fullest for its size. x and y by half, w whole: 25.17 MB."""
    target = tmp_path / "r.html"
    told("report", unlike, "--out", str(target))
    html = target.read_text()
    assert "At most 25.17 MB of 2 GB on one chip." in html
    sources = html.partition('<section id="sources">')[2]
    for name in KINDS:
        assert f"{name} hbm" in sources
    assert "under the roofs of each kind of chip" in html


@pytest.mark.parametrize(
    ("topology", "words"),
    [
        ("line(4) over nvlink", "a line has one axis"),
        ("ring(5) over nvlink", "the mesh has 2 x 2 places"),
        ("knot(4)", "unknown topology 'knot'"),
    ],
)
@pytest.mark.parametrize(
    "cut",
    [
        'ops: ["y:bf16[B_X,D] = matmul(x:bf16[B_X,D], w:bf16[D,D])"], split: proportional',
        'ops: ["y:bf16[B,D_X] = all_to_all(x:bf16[B_X,D], over=X, shares=[0.7, 0.3])"]',
    ],
    ids=["split", "shares"],
)
def test_a_mesh_that_does_not_fit_is_told_where_dims_are_cut_unequally(
    topology: str, words: str, cut: str, tmp_path: Path
) -> None:
    """Who has which part cannot be said of chips that stand nowhere."""
    path = tmp_path / "unlike.yaml"
    path.write_text(
        "name: unlike\n"
        f"system: {{chips: [2 x h100_sxm, 2 x a100_80gb_sxm], topology: {topology}, mesh: {{X: 2, Y: 2}}}}\n"
        f"workload: {{dims: {{B: 8, D: 8}}, {cut}}}\n"
    )
    with pytest.raises(SpecError, match=words):
        load_scenario(path)


def test_tensor_parallel_chips_next_to_each_other_are_of_one_kind(tmp_path: Path) -> None:
    """Of four H100 and four A100 on one switch, `tp: 4` takes the four of one kind each time, so that only what crosses
    replicas waits for the slower ones."""
    path = tmp_path / "unlike.yaml"
    path.write_text(
        "name: unlike\n"
        "system: {chips: [4 x h100_sxm, 4 x a100_40gb_sxm], topology: switch(8) over nvlink}\n"
        "workload: {model: gpt2, mode: train, batch: 8, seq: 512, precision: bf16, parallel: {tp: 4, dp: 2}}\n"
    )
    system = run(path).result.plan.system
    assert system.groups("T") == ((0, 1, 2, 3), (4, 5, 6, 7))
    assert [len({system.chip_at(chip).name for chip in group}) for group in system.groups("T")] == [1, 1]
