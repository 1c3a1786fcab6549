"""What-if: each resource faster, elasticities, and named edits, held against closed forms and the same thing written out.

Laws: T falls with every rate; an infinitely fast resource leaves the others; elasticities lie in -1 .. 0 where one queue
runs one task after the other.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from analysis.runs import elasticity
from hw import SpecError, System, load_chip
from scenarios import Scenario, WhatIf, load_scenario, summarise, what_if
from scenarios.cli import app
from scenarios.questions.edits import edited, read_edit
from scenarios.questions.what_if import COLUMNS
from simulator import RunOptions, parse_graph
from tests.support.cases import overlapse, written
from tests.support.strategies import CHAIN_DIMS, chains

SOON = settings(max_examples=15, deadline=None)

PEAK, HBM = 1.97e14, 8.2e11
MATMUL = """\
name: matmul
system: {chip: tpu_v5e}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops: ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"]
run: {overlap: full}
"""
PAIR = """\
name: pair
system: {chip: tpu_v5e, topology: line(2), mesh: {X: 2}, set: {links.ici.latency: 3 us}}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops:
    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])
    - z:bf16[B,F] = all_reduce(y, over=X)
run: {overlap: full, launch: 5 us}
"""
FOUR = PAIR.replace("line(2)", "ring(4)").replace("X: 2", "X: 4")
BLOCK = """\
name: block
system: {chip: tpu_v5e}
workload:
  dims: {B: 1024, D: 1024, E: 512}
  ops:
    - repeat: 4
      carry: {x: c}
      ops:
        - a:bf16[B,E] = matmul(x:bf16[B,D], w:bf16[D,E])
        - b:bf16[B,D] = matmul(a, v:bf16[E,D])
        - c:bf16[B,D] = gelu(b)
run: {overlap: full}
"""
CHAIN = """\
name: chain
system: {chip: tpu_v5e}
workload:
  dims: {B: 4096, D: 4096}
  ops:
    - a:bf16[B,D] = relu(x:bf16[B,D])
    - b:bf16[B,D] = gelu(a)
    - c:bf16[B,D] = add(b, a)
run: {overlap: full}
"""


def scenario(folder: Path, text: str) -> Scenario:
    return load_scenario(written(folder, text))


def time_of(one: Scenario) -> float:
    return summarise(one).result.time_s


def asked(found: WhatIf, resource: str) -> dict[str, float]:
    row = found.frame["resource"].tolist().index(resource)
    return {name: found.frame[name].tolist()[row] for name in COLUMNS[1:]}


# Resources


def test_a_compute_bound_matmul_has_elasticity_minus_one_and_nought(tmp_path: Path) -> None:
    found = what_if(scenario(tmp_path, MATMUL))
    math_s, memory_s = 2 * 4096 * 8192**2 / PEAK, 2 * (2 * 4096 * 8192 + 8192**2) / HBM
    assert math_s > 2 * memory_s, "compute-bound at 2x too"
    matrix, hbm = asked(found, "matrix_unit"), asked(found, "hbm")
    assert matrix["elasticity"] == pytest.approx(-1.0, abs=1e-6)
    assert hbm["elasticity"] == 0.0
    assert matrix == pytest.approx(
        {"time": math_s, "x1_1": math_s / 1.1, "x2": math_s / 2, "infinite": memory_s, "elasticity": -1.0}, rel=1e-6
    )
    assert {hbm[name] for name in ("x1_1", "x2", "infinite")} == {hbm["time"]}
    assert asked(found, "vector_unit")["infinite"] == found.time_s
    assert tuple(found.frame.columns) == COLUMNS
    assert found.frame["resource"].iloc[0] == "matrix_unit"


def test_elasticity_is_a_ratio_of_logarithms() -> None:
    assert elasticity(1.0, 1.0) == 0.0
    assert elasticity(1.1, 1.0) == pytest.approx(-1.0)
    assert elasticity(2.0, 1.0, 2.0) == pytest.approx(-1.0)
    assert elasticity(1.0, 1 / (0.5 + 0.5)) == 0.0
    assert elasticity(0.0, 0.0) == 0.0


def test_links_launches_and_latencies_by_hand(tmp_path: Path) -> None:
    """launch + compute, then launch + 2 hops + 2BF/W: a line's all-reduce is a reduce-scatter and an all-gather."""
    found = what_if(scenario(tmp_path, PAIR))
    math_s, wire_s = 2 * 4096 * 4096 * 8192 / PEAK, 2 * 4096 * 8192 / 4.5e10
    assert found.time_s == pytest.approx(10e-6 + math_s + 6e-6 + wire_s, rel=1e-9)
    for factor, column in ((1.1, "x1_1"), (2.0, "x2"), (math.inf, "infinite")):
        want = {
            "ici": 10e-6 + math_s + 6e-6 + wire_s / factor,
            "launch": 10e-6 / factor + math_s + 6e-6 + wire_s,
            "latency": 10e-6 + math_s + 6e-6 / factor + wire_s,
        }
        if column != "infinite":  # an infinitely fast link leaves the collective's own traffic on HBM
            assert asked(found, "ici")[column] == pytest.approx(want["ici"], rel=1e-9)
        for resource in ("launch", "latency"):
            assert asked(found, resource)[column] == pytest.approx(want[resource], rel=1e-9)
    assert math_s < asked(found, "ici")["infinite"] < found.time_s - wire_s / 2


def test_a_host_that_issues_kernels_is_a_resource(tmp_path: Path) -> None:
    """Of 50 kernels of one element, each of 20.8 us of its host, a host twice as fast saves half but for the last kernel's
    own; captured, there is none. One of 40 % of the measured pace takes 2.5 times as long for each."""
    lines = [f'"x{at + 1}:bf16[N] = gelu(x{at}{"" if at else ":bf16[N]"})"' for at in range(50)]
    text = f"name: chain\nsystem: {{chip: h100_sxm}}\nworkload: {{dims: {{N: 1}}, ops: [{', '.join(lines)}]}}\n"
    text += "run: {calibration: measured, dispatch: eager}\n"
    found = what_if(scenario(tmp_path, text))
    host, last = 50 * 20.8e-6, found.time_s - 50 * 20.8e-6
    assert found.frame["resource"].iloc[0] == "dispatch"
    assert asked(found, "dispatch")["x2"] == pytest.approx(host / 2 + last, rel=1e-3)
    assert time_of(scenario(tmp_path, text.replace("eager", "eager, efficiency: {dispatch: 40 %}"))) == pytest.approx(
        host / 0.4 + last, rel=1e-6
    )
    captured = what_if(scenario(tmp_path, text.replace("eager", "fused_graph")))
    assert "dispatch" not in set(captured.frame["resource"])


@SOON
@given(chains(), st.sampled_from(["full", "none", "auto"]))
def test_faster_is_never_slower_on_one_chip_and_elasticities_add_up(lines: list[str], overlap: str) -> None:
    """One queue, one task after the other: T is a sum over tasks, each convex in every rate and of degree -1 in all."""
    base = load_scenario("library:matmul_knee_8192")
    options = RunOptions(overlap=overlap)  # type: ignore[arg-type]
    graph = parse_graph(lines, CHAIN_DIMS)
    one = replace(base, graph=graph, system=System(load_chip("tpu_v5e")), options=options, study=None)
    found = what_if(one)
    slack = 1e-12 * (len(lines) + 1) * 4
    for each in found.effects:
        assert each.time + slack >= each.x1_1 >= each.x2 - slack >= each.infinite - 2 * slack
        assert -1.0 - 1e-4 <= each.elasticity <= 1e-4
    total = sum(each.elasticity for each in found.effects)
    assert -1.0 - 1e-3 <= total <= -0.9  # a step of 1.1 may carry one task over its ridge, never beyond the whole


def test_contention_settles_anew(tmp_path: Path) -> None:
    """Two copies share HBM: what frees the one speeds up the other, so the gain is more than the task's own."""
    text = (
        "name: shared\nsystem: {chip: tpu_v5e}\nworkload:\n  dims: {N: 100000000}\n  ops:\n"
        "    - a:bf16[N] = copy(x:bf16[N])\n    - b:bf16[N] = copy(y:bf16[N], queue=other)\nrun: {overlap: full}\n"
    )
    found = what_if(scenario(tmp_path, text))
    both = 2 * 4e8 / HBM
    assert found.time_s == pytest.approx(both, rel=1e-9)
    assert asked(found, "hbm")["x2"] == pytest.approx(both / 2, rel=1e-9)
    assert asked(found, "hbm")["elasticity"] == pytest.approx(-1.0, abs=1e-6)


def test_a_data_loader_is_a_resource_of_its_own(tmp_path: Path) -> None:
    """Batches come every 10 ms, the op takes far less: the loader decides, and at 2x half of its time is left."""
    text = CHAIN.replace(
        "  ops:\n", "  ops:\n    - repeat: 5\n      ops:\n        - in:bf16[B,D] = copy(y:bf16[B,D])\n", 1
    )
    found = what_if(scenario(tmp_path, text + "processes: {loader: {feeds: in, every: 10 ms}}\n"))
    loader = asked(found, "loader")
    rest = loader["time"] - 0.05
    assert 0 < rest < 1e-3
    assert loader["x2"] == pytest.approx(0.025 + rest, rel=1e-9)
    assert loader["infinite"] == pytest.approx(summarise(scenario(tmp_path, text)).result.time_s, rel=1e-6)
    assert found.effects[0].resource == "loader"


def test_what_chips_share_on_the_way_to_their_host_is_a_resource(tmp_path: Path) -> None:
    """Two chips read 1 GB each from a host whose memory gives 10 GB/s in all: it decides, the chips' own pcie does not."""
    text = (
        "name: hosted\nsystem: {chip: h100_sxm, topology: switch(2), host: {chips: 2, memory: {capacity: 1 TB, "
        "bandwidth: 10 GB/s}}}\nworkload:\n  dims: {N: 500000000}\n  ops:\n"
        "    - c:bf16[N] = copy(h:bf16[N]@host)\nrun: {overlap: full}\n"
    )
    found = what_if(scenario(tmp_path, text))
    assert found.time_s == pytest.approx(0.2, rel=1e-9)
    assert asked(found, "host")["x2"] == pytest.approx(0.1, rel=1e-9)
    assert asked(found, "host")["elasticity"] == pytest.approx(-1.0, abs=1e-6)
    assert asked(found, "pcie")["infinite"] == found.time_s


def test_the_librarys_edits_are_their_closed_forms() -> None:
    found = what_if(load_scenario("library:two_chip_edits"))
    math_s, wire_s = 4096 * 8192**2 / PEAK, 2 * 4096 * 8192 / 4.5e10
    want = [math_s / 8 + wire_s, math_s + wire_s / 4, (math_s + wire_s) / 2, math_s + wire_s / 32]
    assert [each.time for each in found.edits] == pytest.approx(want, rel=1e-5)


# Edits


def edit_time(one: Scenario, text: str) -> float:
    found = what_if(one, [text]).edits
    assert [each.error for each in found] == [""]
    assert found[0].time is not None
    return found[0].time


@pytest.mark.parametrize(
    ("base", "edit", "by_hand"),
    [
        (CHAIN, "fuse=a+b+c", CHAIN.replace("  ops:", "  fuse: [[a, b, c]]\n  ops:")),
        (CHAIN, "fuse=b+c", CHAIN.replace("  ops:", "  fuse: [[b, c]]\n  ops:")),
        (CHAIN, "drop=b", CHAIN.replace("    - b:bf16[B,D] = gelu(a)\n", "").replace("add(b, a)", "add(a, a)")),
        (CHAIN, "dtype=fp32", CHAIN.replace("bf16", "fp32")),
        (CHAIN, "dtype=bf16>fp8", CHAIN.replace("bf16", "fp8")),
        (CHAIN, "overlap=none", CHAIN.replace("overlap: full", "overlap: none")),
        (CHAIN, "chip=h100_sxm", CHAIN.replace("tpu_v5e", "h100_sxm")),
        (CHAIN, "system.set.hbm.bandwidth=1 TB/s & drop=b", None),
        (PAIR, "chunks=8", PAIR.replace("D_X,F])", "D_X,F], chunks=8)").replace("over=X)", "over=X, chunks=8)")),
        (PAIR, "topology=switch(2)", PAIR.replace("line(2)", "switch(2)")),
        (PAIR, "run.launch=0 s", PAIR.replace("launch: 5 us", "launch: 0 s")),
        (FOUR, "collectives=ring_one_way", FOUR.replace("launch: 5 us", "launch: 5 us, collectives: ring_one_way")),
        (PAIR, "workload.dims.B=1024", PAIR.replace("B: 4096", "B: 1024")),
    ],
)
def test_an_edit_is_the_same_as_writing_it(tmp_path: Path, base: str, edit: str, by_hand: str | None) -> None:
    if by_hand is None:
        by_hand = CHAIN.replace("    - b:bf16[B,D] = gelu(a)\n", "").replace("add(b, a)", "add(a, a)")
        by_hand = by_hand.replace("tpu_v5e}", "tpu_v5e, set: {hbm.bandwidth: 1 TB/s}}")
    one = scenario(tmp_path, base)
    got, before = edit_time(one, edit), time_of(one)
    want = time_of(scenario(tmp_path, by_hand))
    print(f"{edit}: {before:.6g} -> {got:.6g} s, written out {want:.6g} s")
    assert got == want
    assert got != before


def test_chunks_reach_collectives_that_the_planner_inserts(tmp_path: Path) -> None:
    bare = PAIR.replace("    - z:bf16[B,F] = all_reduce(y, over=X)\n", "    - z:bf16[B,F] = relu(y)\n")
    one = scenario(tmp_path, bare)
    faster = edit_time(one, "chunks=8")
    math_s = 2 * 4096 * 4096 * 8192 / PEAK
    assert time_of(one) - faster > math_s / 2  # most of the matmul hides behind the collective


def test_dropping_in_a_block_keeps_what_is_carried(tmp_path: Path) -> None:
    one = scenario(tmp_path, BLOCK)
    changed = edited(one, read_edit("drop=c"), one.document.value_mark(()))
    assert [op.name for op in changed.graph.flat()] == [f"{name}.{turn}" for turn in range(4) for name in "ab"]
    assert changed.graph.flat()[2].inputs[0].name == "b.0"
    shorter = BLOCK.replace("        - c:bf16[B,D] = gelu(b)\n", "").replace("{x: c}", "{x: b}")
    assert time_of(changed) == time_of(scenario(tmp_path, shorter))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ("nonsense", "is not an edit such as"),
        ("fus=a+b", "did you mean 'fuse'"),
        ("fuse=y", "two ops or more"),
        ("fuse=y+bb", "unknown op 'bb'"),
        ("drop=q", "unknown op 'q'"),
        ("drop=y", "nothing can stand in"),
        ("dtype=bf17", "did you mean 'bf16'"),
        ("dtype=fp8>bf16", "there is no fp8 tensor"),
        ("chunks=0", "whole number of 1 or more"),
        ("overlap=fool", "fool"),
        ("topology=ring(3)", "3 chips"),
        ("workload.dims.Q=4", "Q"),
        ("run.order=null", "nothing to delete at run.order: unknown key 'run.order'"),
    ],
)
def test_an_edit_that_cannot_be_made_says_why(tmp_path: Path, edit: str, message: str) -> None:
    with pytest.raises(SpecError, match="--edit:2:1: ") as caught:
        what_if(scenario(tmp_path, PAIR), ["overlap=none", edit])
    assert message in str(caught.value)


def test_every_wrong_edit_is_told_at_once(tmp_path: Path) -> None:
    text = PAIR + "study: {what_if: {edits: [overlap=none, drop=q]}}\n"
    with pytest.raises(SpecError) as caught:
        what_if(scenario(tmp_path, text), ["fus=a"])
    said = [str(problem) for problem in caught.value.problems]
    assert len(said) == 2
    assert any("scenario.yaml:" in line and "unknown op 'q'" in line for line in said)
    assert any("--edit:1:1" in line for line in said)


def test_check_tells_a_wrong_edit_of_a_file(tmp_path: Path) -> None:
    """A claim of what an edit saves would otherwise be made of nothing."""
    shown = overlapse("check", written(tmp_path, PAIR + "study: {what_if: {edits: [overlap=none, drop=q]}}\n"))
    assert shown.exit_code == 2
    assert "unknown op 'q'" in shown.stdout


def test_an_edited_scenario_that_cannot_run_is_a_row(tmp_path: Path) -> None:
    around = CHAIN.replace("c:bf16[B,D] = add(b, a)", "s:bf16[B,D] = softmax(a)\n    - c:bf16[B,D] = add(b, s)")
    found = what_if(scenario(tmp_path, around.replace("relu(x:bf16[B,D])", "copy(x:bf16[B,D], queue=q)")), ["fuse=a+b"])
    (row,) = found.edits
    assert row.time is None
    assert "queue=" in row.error
    assert found.edits_frame.loc[0, "error"] == row.error


def test_a_study_holds_edits_of_its_own(tmp_path: Path) -> None:
    text = CHAIN + "study: {what_if: {edits: [fuse=a+b, drop=b]}}\n"
    found = what_if(scenario(tmp_path, text), ["overlap=none"])
    assert [each.edit for each in found.edits] == ["fuse=a+b", "drop=b", "overlap=none"]
    assert found.edits[0].gain is not None
    assert found.edits[0].gain == pytest.approx(1 / 7)  # of seven tensors moved, one stays on chip


# The command


def test_the_command_prints_a_table_or_json(tmp_path: Path) -> None:
    path = tmp_path / "chain.yaml"
    path.write_text(CHAIN)
    command = ["what-if", str(path), "--edit", "drop=b"]
    shown = CliRunner().invoke(app, command)
    assert shown.exit_code == 0
    assert "hbm" in shown.stdout
    assert "-50.0 %" in shown.stdout
    record = json.loads(CliRunner().invoke(app, [*command, "--json"]).stdout)
    assert [row["edit"] for row in record["edits"]] == ["drop=b"]
    assert record["resources"][0]["resource"] == "hbm"
    assert record["resources"][0]["elasticity"] == pytest.approx(-1.0, abs=1e-6)


def test_a_study_answers_what_if() -> None:
    answer = CliRunner().invoke(app, ["study", "library:two_chip_edits", "--json"])
    assert answer.exit_code == 0
    assert json.loads(answer.stdout)["what_if"]["edits"][0]["edit"] == "chunks=8"
    shown = CliRunner().invoke(app, ["study", "library:two_chip_edits"])
    assert "matrix unit" in shown.stdout
