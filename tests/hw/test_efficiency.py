"""Efficiencies: of every chip by itself, of any link by its name, of host and disk; expected times worked out by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.runs import levers
from hw import Mark, Mesh, Problems, SpecError, System, load_chip, parse_topology
from hw.chips import build_chip, chip_document
from hw.input import parse_document
from scenarios import load_scenario
from simulator import RunOptions, parse_graph, simulate
from tests.support.strategies import chip_with

H100, A100 = load_chip("h100_sxm"), load_chip("a100_80gb_sxm")
FLOPS = 2 * 4096 * 8192 * 8192
"""Of one of two chips: half the rows of a matmul of 8192 x 8192 x 8192."""

SCENARIO = """\
name: mixed
system: {chips: [FIRST, SECOND], topology: line(2) over nvlink, mesh: {X: 2}}
workload:
  dims: {B: 8192, D: 8192, F: 8192}
  ops:
    - y:bf16[B_X,F] = matmul(x:bf16[B_X,D], w:bf16[D,F])
run: {overlap: full, RUN}
"""


def written(folder: Path, run: str, first: str = "h100_sxm", second: str = "a100_80gb_sxm") -> Path:
    path = folder / "mixed.yaml"
    path.write_text(SCENARIO.replace("RUN", run).replace("FIRST", first).replace("SECOND", second))
    return path


def time_s(path: Path) -> float:
    scenario = load_scenario(str(path))
    return simulate(scenario.graph, scenario.system, scenario.options).time_s


def peak(chip: Any) -> float:
    return float(chip.matrix_unit.peak_flops_per_s["bf16"])


def by_efficiency(folder: Path, name: str, share: float) -> str:
    """A chip of the catalogue of which efficiencies are known and kernels are not."""
    document = chip_document(name, Mark(name)).data
    path = folder / f"plain_{name}.yaml"
    path.write_text(json.dumps({**document, "calibration": {"measured": {"matrix_unit": share, "hbm": 0.9}}}))
    return str(path)


def test_each_chip_has_its_own_measured_efficiencies(tmp_path: Path) -> None:
    alone = [FLOPS / (peak(H100) * 0.7), FLOPS / (peak(A100) * 0.8)]
    chips = by_efficiency(tmp_path, "h100_sxm", 0.7), by_efficiency(tmp_path, "a100_80gb_sxm", 0.8)
    for pair in (chips, chips[::-1]):
        got = time_s(written(tmp_path, "calibration: measured, padding: false", *pair))
        assert got == pytest.approx(max(alone), rel=1e-6)


@pytest.mark.parametrize("swapped", [False, True])
def test_a_run_may_say_what_one_kind_of_chip_achieves(tmp_path: Path, swapped: bool) -> None:
    pair = ("a100_80gb_sxm", "h100_sxm") if swapped else ("h100_sxm", "a100_80gb_sxm")
    run = "efficiency: {matrix_unit: 80 %, h100_sxm: {matrix_unit: 10 %}}"
    assert time_s(written(tmp_path, run, *pair)) == pytest.approx(FLOPS / (peak(H100) * 0.1), rel=1e-6)
    run = "efficiency: {matrix_unit: 80 %, h100_sxm: {hbm: 90 %}}"
    assert time_s(written(tmp_path, run, *pair)) == pytest.approx(FLOPS / (peak(A100) * 0.8), rel=1e-6)
    run = "calibration: measured, padding: false, efficiency: {a100_80gb_sxm: {matrix_unit: 20 %}}"
    plain = [by_efficiency(tmp_path, name, 0.7) for name in pair]
    assert time_s(written(tmp_path, run, *plain)) == pytest.approx(FLOPS / (peak(A100) * 0.2), rel=1e-6)


def test_wrong_names_in_efficiencies_are_all_told_where_they_stand(tmp_path: Path) -> None:
    run = "efficiency: {matrix_unti: 1, a100_80gb_sxm: {hbmm: 1, nvlink: 1}, h100: {hbm: 1}, h100_sxm: 0.5}"
    with pytest.raises(SpecError) as caught:
        load_scenario(str(written(tmp_path, run)))
    told = [str(problem) for problem in caught.value.problems]
    wanted = [
        ("7:35", "unknown resource 'matrix_unti', did you mean 'matrix_unit'?"),
        ("7:67", "a100_80gb_sxm: unknown resource 'hbmm', did you mean 'hbm'?"),
        ("7:88", "unknown chip 'h100', did you mean 'h100_sxm'?"),
        ("7:104", "h100_sxm is a chip: its efficiencies are by resource"),
    ]
    assert len(told) == len(wanted)
    for line, (place, words) in zip(sorted(told, key=lambda each: int(each.split(":")[2])), wanted, strict=True):
        assert f"mixed.yaml:{place}: {words}" in line


@pytest.mark.parametrize("order", [["h100_sxm", "a100_80gb_sxm"], ["a100_80gb_sxm", "h100_sxm"]])
def test_a_wrong_topology_of_unlike_chips_makes_none_of_them_unknown(tmp_path: Path, order: list[str]) -> None:
    path = written(tmp_path, "efficiency: {a100_80gb_sxm: {matrix_unit: 50 %}, h100_sxm: {hbm: 90 %}}", *order)
    with pytest.raises(SpecError) as wrong:
        load_scenario(str(path), ["system.topology=ring(2) over pcie"])
    assert [each.message for each in wrong.value.problems] == ["chip 0: ring(2) needs 2 ports a chip, pcie has 1"]


def test_a_chip_without_a_calibration_in_a_mixed_system_is_named(tmp_path: Path) -> None:
    """A GPU whose cores are not said: nothing is known of its kernels, its own or those of its kind."""
    document = chip_document("v100_sxm2_32gb", Mark("v100")).data
    for place, key in (
        (document["matrix_unit"], "cores"),
        (document["sources"], "calibration"),
        (document, "calibration"),
    ):
        del place[key]
    path = tmp_path / "without_cores.yaml"
    path.write_text(json.dumps(document))
    with pytest.raises(SpecError, match="v100_sxm2_32gb has no measured calibration"):
        load_scenario(str(written(tmp_path, "calibration: measured", second=str(path))))


CHIP = """\
name: mine
matrix_unit: {peak: {bf16: 1e14}}
vector_unit: {peak: {fp32: 1e12}}
hbm: {capacity: 80 GB, bandwidth: 2e12}
host: {capacity: 1 TB, bandwidth: 1e11}
disk: {capacity: 10 TB, bandwidth: 1e10}
links: {pcie: {bandwidth: 1e12}, infinity_fabric: {bandwidth: 1e10, count: 2}}
calibration: {measured: MEASURED}
"""


def described(measured: str) -> Any:
    problems = Problems()
    chip = build_chip(parse_document(CHIP.replace("MEASURED", measured), "mine.yaml"), problems)
    problems.raise_if_any()
    return chip


def test_any_link_of_a_chip_may_be_calibrated_by_its_name() -> None:
    chip = described("{infinity_fabric: 50 %}")
    system = System(chip, parse_topology("ring(4) over infinity_fabric", chip.links), Mesh({"X": 4}))
    ops = parse_graph(["y:int8[I] = all_gather(x:int8[I_X], over=X)"], {"I": 4_000_000})
    # two hops of a quarter, at half of 10 GB/s
    for options in (RunOptions(calibration="measured"), RunOptions(efficiency={"infinity_fabric": 0.5})):
        assert simulate(ops, system, options).time_s == pytest.approx(2 * 1e6 / 5e9, rel=1e-6)


def test_a_calibration_of_a_link_that_the_chip_lacks_is_a_mistake() -> None:
    with pytest.raises(SpecError) as caught:
        described("{infinity_fabrik: 50 %, nvlink: 80 %}")
    told = "\n".join(str(problem) for problem in caught.value.problems)
    assert "mine.yaml:8:26: unknown link or resource 'infinity_fabrik', did you mean 'infinity_fabric'?" in told
    assert "unknown link or resource 'nvlink'" in told
    with pytest.raises(SpecError, match=r"calibration\.measured\.infinity_fabric must be more than 0 and at most 1"):
        described("{infinity_fabric: 2}")


@pytest.mark.parametrize(("memory", "rate"), [("host", 1e11), ("disk", 1e10)])
def test_host_and_disk_have_efficiencies(memory: str, rate: float) -> None:
    chip = described(f"{{{memory}: 40 %}}")
    ops = parse_graph([f"y:int8[I] = copy(x:int8[I]@{memory})"], {"I": 10**9})
    for options in (
        RunOptions(overlap="full", calibration="measured"),
        RunOptions(overlap="full", efficiency={memory: 0.4}),
    ):
        assert simulate(ops, System(chip), options).time_s == pytest.approx(1e9 / (0.4 * rate), rel=1e-6)


def test_each_chip_launches_as_it_was_measured() -> None:
    slow = chip_with("h100_sxm", {"calibration.measured.launch": "5 us"})
    quick = chip_with("a100_80gb_sxm", {"calibration.measured.launch": "2 us"})
    topology = parse_topology("line(2) over nvlink", slow.links)
    lines = [
        "a:bf16[1] = custom(x:bf16[1], time=1 us, bytes=0, on=0)",
        "b:bf16[1] = custom(z:bf16[1], time=1 us, bytes=0, on=1)",
    ]
    for chips in ((slow, quick), (quick, slow)):
        system = System(chips[0], topology, Mesh({"X": 2}), chips)
        result = simulate(parse_graph(lines, {}), system, RunOptions(calibration="measured"))
        ends = [end / 1e6 for end in result.end_ps]
        assert ends == pytest.approx([1 + 5, 1 + 2] if chips[0] is slow else [1 + 2, 1 + 5])
        given = simulate(parse_graph(lines, {}), system, RunOptions(calibration="measured", launch_s=1e-6))
        assert given.time_s == pytest.approx(2e-6)


@pytest.mark.parametrize("fold", [True, False])
def test_a_wire_between_unlike_chips_runs_at_the_lower_efficiency(fold: bool) -> None:
    system = System(H100, parse_topology("line(2) over nvlink", H100.links), Mesh({"X": 2}), (H100, A100))
    ops = parse_graph(["y:int8[I] = send(x:int8[I], from=0, to=1)", "z:int8[I] = recv(from=0, to=1)"], {"I": 10**9})
    own = {"h100_sxm": {"nvlink": 0.8}, "a100_80gb_sxm": {"nvlink": 0.5}}
    found = simulate(ops, system, RunOptions(overlap="full", chip_efficiency=own, fold=fold)).time_s
    assert found == pytest.approx(1e9 / (25e9 * 0.5), rel=1e-6)


def test_folded_is_full_where_chips_have_efficiencies_of_their_own() -> None:
    chips = (H100,) * 4 + (A100,) * 4
    system = System(H100, parse_topology("ring(8) over nvlink", H100.links), Mesh({"X": 8}), chips)
    lines = ["y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])", "z:bf16[B,F] = all_reduce(y, over=X)"]
    ops = parse_graph(lines, {"B": 1024, "D": 8192, "F": 1024})
    times = [
        simulate(ops, system, RunOptions(calibration="measured", padding=True, fold=fold)).time_s
        for fold in (True, False)
    ]
    assert times[0] == times[1]


def test_a_lever_speeds_up_what_was_measured() -> None:
    chip = chip_with("b200", {"calibration": {"measured": {"matrix_unit": 0.8}}})
    options = RunOptions(overlap="full", calibration="measured")
    ops = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], {"B": 4096, "D": 8192, "F": 8192})
    result = simulate(ops, System(chip), options)
    unit = next(lever for lever in levers(result.plan) if lever.name == "matrix_unit")
    system, faster = unit.pull(System(chip), options, 2.0)
    assert simulate(ops, system, faster).time_s == pytest.approx(result.time_s / 2, rel=1e-6)
