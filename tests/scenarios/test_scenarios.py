"""The scenario language: extends, set, run options, conditions, claims, studies."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import Summary
from hw import Dimension, SpecError
from scenarios import load_scenario, run, summarise
from scenarios.claims.claims import Claim, judge
from scenarios.claims.condition import parse_condition

BASE = """\
name: base
system:
  chip: a100_80gb_sxm
  set: {hbm.bandwidth: 2.0e12 B/s, links.nvlink.latency: 2 us}
workload:
  dims: {B: 512, D: 4096, F: 4096}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
run: {overlap: full}
expect: {bound_by: compute, flops: 17179869184 FLOP}
"""
FLOPS = 2 * 512 * 4096 * 4096
BYTES = 2 * (512 * 4096 * 2 + 4096 * 4096)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_extends_merges_maps_replaces_lists_and_deletes_with_null(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE)
    top = write(
        tmp_path,
        "top.yaml",
        "extends: base.yaml\nname: top\n"
        "system: {set: {hbm.bandwidth: 1.0e12 B/s}}\n"
        "workload: {dims: {B: 1024}}\n"
        "expect: {bound_by: null, flops: 34359738368 FLOP}\n",
    )
    scenario = load_scenario(top)
    assert scenario.name == "top"
    assert scenario.graph.dims == {"B": 1024, "D": 4096, "F": 4096}
    assert scenario.system.chip.hbm.bytes_per_s == 1.0e12
    assert scenario.system.chip.links["nvlink"].latency_s == 2e-6  # the other dotted key of the map is kept
    assert [claim.word for claim in scenario.claims] == ["flops"]
    assert {verdict.holds for verdict in run(top).verdicts} == {True}


def test_places_follow_the_values_through_extends(tmp_path: Path) -> None:
    write(tmp_path, "base.yaml", BASE.replace("B: 512", "B: -512"))
    top = write(tmp_path, "top.yaml", "extends: base.yaml\nname: top\nsystem: {set: {hbm.bandwidth: 1 GB}}\n")
    with pytest.raises(SpecError) as caught:
        load_scenario(top)
    said = str(caught.value)
    assert "base.yaml:6:13: dim B is -512" in said
    assert "top.yaml:3:31: '1 GB' is an amount of data" in said


@pytest.mark.parametrize("other", ["self.yaml", "b.yaml"])
def test_extends_in_a_circle_is_refused(tmp_path: Path, other: str) -> None:
    write(tmp_path, "b.yaml", "extends: self.yaml\n")
    path = write(tmp_path, "self.yaml", f"extends: {other}\n{BASE}")
    with pytest.raises(SpecError, match="circle"):
        load_scenario(path)


def test_a_chip_may_be_written_inline_or_in_a_file(tmp_path: Path) -> None:
    chip = (
        "name: toy\nmatrix_unit: {peak: {bf16: 1 TFLOP/s}}\nvector_unit: {peak: {fp32: 1 TFLOP/s}}\n"
        "hbm: {capacity: 1 GB, bandwidth: 1 GB/s}\n"
    )
    write(tmp_path, "toy.yaml", chip)
    by_file = run(write(tmp_path, "a.yaml", BASE.replace("a100_80gb_sxm", "./toy.yaml").replace(LATENCY, "")))
    inline = "{" + chip.replace("\n", ", ").rstrip(", ") + "}"
    by_hand = run(write(tmp_path, "b.yaml", BASE.replace("a100_80gb_sxm", inline).replace(LATENCY, "")))
    want = max(FLOPS / 1e12, BYTES / 2e12)
    assert by_file.summary["time"] == by_hand.summary["time"] == pytest.approx(want, rel=1e-9)


LATENCY = ", links.nvlink.latency: 2 us"


def test_measured_calibration_uses_the_chips_efficiencies(tmp_path: Path) -> None:
    base = BASE.replace("overlap: full", "overlap: full, calibration: measured, padding: false")
    known = "hbm.bandwidth: 2.0e12 B/s, calibration.measured: {matrix_unit: 0.8, hbm: 0.9}"
    base = base.replace("hbm.bandwidth: 2.0e12 B/s", known)
    words = run(write(tmp_path, "m.yaml", base)).words
    got, want = words["t_math"], FLOPS / (312e12 * 0.8)
    print(f"t_math measured {got:.6g} s, by hand {want:.6g} s")
    assert got == pytest.approx(want, rel=1e-12)
    assert words["t_memory"] == pytest.approx(BYTES / (2e12 * 0.9), rel=1e-12)
    assert words["mfu"] == pytest.approx(0.8, rel=1e-6)


def test_each_part_of_a_calibration_can_be_set_by_itself(tmp_path: Path) -> None:
    options = "overlap: full, launch: 5 us, efficiency: {matrix_unit: 80 %}"
    words = run(write(tmp_path, "l.yaml", BASE.replace("overlap: full", options))).words
    assert words["time"] == pytest.approx(5e-6 + FLOPS / (0.8 * 312e12), rel=1e-9)
    assert words["t_overhead"] == pytest.approx(5e-6)


def test_a_chip_without_measurements_says_so(tmp_path: Path) -> None:
    text = BASE.replace("a100_80gb_sxm", "gaudi2").replace(LATENCY, "").replace("full", "full, calibration: measured")
    with pytest.raises(SpecError, match="gaudi2 has no measured calibration"):
        load_scenario(write(tmp_path, "c.yaml", text.replace("hbm.bandwidth: 2.0e12 B/s", "hbm.bandwidth: 1e12 B/s")))


def test_exposed_time_is_what_no_compute_hides(tmp_path: Path) -> None:
    """A copy from host memory beside a matmul: only what is longer than the matmul is exposed."""
    text = BASE.replace('ops: ["', 'ops: ["c:bf16[P] = copy(h:bf16[P]@host)", "').replace(
        "{B: 512", "{P: 100000000, B: 512"
    )
    outcome = run(write(tmp_path, "e.yaml", text))
    words = outcome.words
    copy, matmul = (float(words[f"ops.{name}.time"] or 0) for name in ("c", "y"))
    assert copy > matmul
    assert words["exposed_memory"] == pytest.approx(copy - matmul, rel=1e-9)
    assert words["time"] == pytest.approx(copy, rel=1e-9)
    assert words["t_host"] == pytest.approx(2e8 / 31.5e9, rel=1e-9)
    assert set(outcome.timeline["queue"]) == {"copy_in", "compute"}


def test_peak_memory_by_hand(tmp_path: Path) -> None:
    """A chain on bf16[N]: the input stays, and two tensors are alive at once."""
    ops = (
        "["
        + ", ".join(f'"{b}:bf16[N] = relu({a})"' for a, b in [("x:bf16[N]", "a"), ("a", "b"), ("b", "c"), ("c", "d")])
        + "]"
    )
    text = f"name: chain\nsystem: {{chip: tpu_v5e}}\nworkload: {{dims: {{N: 1000000}}, ops: {ops}}}\n"
    words = run(write(tmp_path, "p.yaml", text)).words
    assert words["peak_memory"] == 3 * 2e6
    assert words["fits"] is True


# Conditions and claims


class Fixed(Summary):
    """A summary with given words."""

    def __init__(self, **words: object) -> None:
        self._values = dict(words)  # type: ignore[arg-type]


@given(st.floats(0, 1e3), st.floats(0, 1e3))
def test_a_condition_compares(first: float, second: float) -> None:
    summary = Fixed(t_math=first, t_network=second, bound_by="compute", fits=True)
    assert parse_condition("t_math >= t_network").holds(summary) == (first >= second)
    assert parse_condition("t_math<t_network").holds(summary) == (first < second)
    assert parse_condition("t_math > 5 ms").holds(summary) == (first > 5e-3)
    assert parse_condition("bound_by == compute").holds(summary)
    assert parse_condition("bound_by != memory").holds(summary)
    assert parse_condition("fits == true").holds(summary)


@pytest.mark.parametrize(
    ("want", "tolerance", "got", "holds"),
    [
        (1.0, 1e-3, 1.0009, True),
        (1.0, 1e-3, 1.0011, False),
        (0.0, 1e-3, 3e-12, True),
        (0.0, 1e-3, 4e-12, False),
        ("compute", 1e-3, "compute", True),
        ("compute", 1e-3, "memory", False),
        (True, 1e-3, True, True),
        (True, 1e-3, 1.0, False),
        (1.0, 1e-3, None, False),
    ],
)
def test_claims_are_judged_as_the_design_says(want: object, tolerance: float, got: object, holds: bool) -> None:
    """A want of 0 s allows 1 ps for each of three tasks."""
    claim = Claim("time", want, tolerance, Dimension.TIME)  # type: ignore[arg-type]
    assert judge(claim, got, 3).holds is holds  # type: ignore[arg-type]


def test_find_steps_by_what_divides(tmp_path: Path) -> None:
    """D is sharded over two chips: only even values are tried."""
    text = (
        "name: pair\nsystem: {chip: tpu_v5e, topology: line(2), set: {links.ici.latency: 0 s}}\nworkload:\n"
        "  dims: {B: 4096, D: 8192, F: 8192}\n"
        "  ops:\n    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])\n"
        "    - z:bf16[B,F] = all_reduce(y, over=X)\nrun: {overlap: full}\n"
        "study: {find: {smallest: workload.dims.D, from: 8740, to: 8770, where: t_math >= t_network}}\n"
    )
    assert run(write(tmp_path, "f.yaml", text)).found == 8756


def test_nothing_is_simulated_for_a_word_that_follows_from_the_work(tmp_path: Path) -> None:
    words = summarise(load_scenario(write(tmp_path, "n.yaml", BASE)))
    assert words["t_math"]
    assert words["bound_by"] == "compute"
    assert "result" not in vars(words)
    assert words["time"]
    assert "result" in vars(words)
