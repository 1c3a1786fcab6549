"""What the planner inserted, and where its textbook choice was dear, is told: on the screen, by explain, in JSON.

The figures are the closed forms of a torus: an all-gather takes V / sum(W_both), an exchange of all with all
V max(axis) / (4 N W_both), an addition three arrays' bytes over HBM.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import scenarios
from hw import SpecError
from scenarios import load_scenario
from scenarios.cli import app
from simulator import Cost, RunOptions, dearer_choices, parse_graph
from tests.support.cases import written
from tests.support.strategies import chip_with, many, run

RESHARD = """\
name: remat
about: From A over Y and C over X to B over both, on 4 by 2.
system: {chip: tpu_v5e, topology: "torus(4,2)", mesh: {X: 4, Y: 2}, set: {links.ici.latency: 0 s}}
workload:
  dims: {A: 1024, B: 1024, C: 1024}
  ops:
    - d:fp32[A_Y,B,C_X] = add(a:fp32[A_Y,B,C_X], b:fp32[A_Y,B,C_X])
    - e:fp32[A,B_XY,C] = add(d, c:fp32[A,B_XY,C])
run: {overlap: full%s}
"""
V = 4 * 1024**3
LINKS_S = 2 * 4.5e10  # bytes per second, both ways along an axis
ADD_S = 3 * V / 8 / 8.2e11
GATHER_S = V / (2 * LINKS_S)
EXCHANGE_S = V * 4 / (4 * 8 * LINKS_S)


def shown(*args: str) -> str:
    result = CliRunner().invoke(app, list(args))
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def test_a_dear_choice_of_the_textbook_is_told_with_what_the_cheapest_costs(tmp_path: Path) -> None:
    outcome = scenarios.run(written(tmp_path, RESHARD % ""))
    assert outcome.summary["time"] == pytest.approx(2 * ADD_S + GATHER_S, rel=1e-6)
    story = outcome.as_json()["sharding"]
    assert story["mode"] == "canonical"
    assert story["inserted"] == [{"op": "d.gathered", "kind": "all_gather", "over": "XY", "serves": "e"}]
    (dear,) = story["dearer"]
    assert (dear["op"], dear["rounds"], dear["instead"]) == ("e", 1, ("all_to_all of d over XY",))
    assert dear["chosen_s"] == pytest.approx(ADD_S + GATHER_S, rel=1e-6)
    assert dear["cheapest_s"] == pytest.approx(ADD_S + EXCHANGE_S, rel=1e-6)
    assert dear["ratio"] == pytest.approx((ADD_S + GATHER_S) / (ADD_S + EXCHANGE_S), rel=1e-6)
    assert story["auto_time"] == pytest.approx(2 * ADD_S + EXCHANGE_S, rel=1e-6)


@pytest.mark.parametrize("command", ["run", "explain"])
def test_both_screens_say_it(tmp_path: Path, command: str) -> None:
    screen = shown(command, written(tmp_path, RESHARD % ""))
    assert "d.gathered (all_gather over XY, for e)" in screen
    assert "e takes 25.83 ms alone, 3.26 times the cheapest, 7.929 ms (all_to_all of d over XY)" in screen
    assert "with run.sharding: auto the run takes 9.894 ms instead of 27.79 ms, which is 2.81 times that" in screen


def test_explain_shows_the_graph_as_it_is_run(tmp_path: Path) -> None:
    screen = shown("explain", written(tmp_path, RESHARD % ""))
    assert "d.gathered:fp32[A,B,C] = all_gather(d, over=XY) # inserted for e" in screen


def test_the_report_and_json_say_it_too(tmp_path: Path) -> None:
    file = written(tmp_path, RESHARD % "")
    (first, dear, auto) = json.loads(CliRunner().invoke(app, ["run", file, "--json"]).stdout)["sharding"]["notes"]
    assert first == "d.gathered (all_gather over XY, for e): inserted by the planner, nobody wrote it"
    assert dear.startswith("the textbook's choice is dear: e takes 25.83 ms alone")
    report = scenarios.run(file).report()
    assert "3.26 times the cheapest" in report
    assert auto.split(" the run ")[1].split(" instead")[0] in report


def test_the_cheapest_choice_is_told_as_inserted_and_not_as_dear(tmp_path: Path) -> None:
    story = scenarios.run(written(tmp_path, RESHARD % ", sharding: auto")).sharding
    assert [(each.op, each.kind, each.serves) for each in story.inserted] == [("d.moved", "all_to_all", "e")]
    assert not story.dearer
    assert story.auto_s is None


def test_a_graph_that_demands_nothing_has_no_note(tmp_path: Path) -> None:
    text = RESHARD.replace("e:fp32[A,B_XY,C] = add(d, c:fp32[A,B_XY,C])", "e:fp32[A_Y,B,C_X] = relu(d)")
    outcome = scenarios.run(written(tmp_path, text % ""))
    assert "sharding" not in outcome.as_json()
    assert list(outcome.sharding.lines()) == []


def test_claims_may_be_about_what_is_inserted(tmp_path: Path) -> None:
    text = RESHARD % "" + f"expect:\n  ops.d.gathered.time: {GATHER_S} s\n"
    assert scenarios.run(written(tmp_path, text)).failed == []
    with pytest.raises(SpecError, match=r"scenario.yaml:11:3: unknown op 'd.gathred', did you mean 'd.gathered'"):
        load_scenario(written(tmp_path, text.replace("d.gathered", "d.gathred")))


def test_what_other_work_hides_is_said_to_be_hidden(tmp_path: Path) -> None:
    """The gather of w runs beside 160 ms of y: an exchange, which takes half as long alone, would save nothing."""
    text = RESHARD % ""
    ops = text.index("    - d:")
    text = (
        text[:ops]
        + "    - y:bf16[A] = custom(x:bf16[A_X,B_Y], flops=1e12)\n"
        + "    - z:bf16[A_Y,B_X,C] = softmax(w:bf16[A_Y,B_X,C], axis=B)\n"
        + text[text.index("run:") :]
    )
    *_, last = scenarios.run(written(tmp_path, text)).sharding.lines()
    assert last.startswith("other work hides that: with run.sharding: auto the run takes ")


def test_work_that_every_chip_does_is_dear_too() -> None:
    """Each of 8 chips makes all rows and keeps its columns of them, without any collective. An eighth of the rows each and
    an exchange: V / 8 x 7/8 bytes through 450e9 B/s of port."""
    system = many("switch(8)", {"X": 8}, chip_with("h100_sxm", {"links.nvlink.latency": "0 s"}))
    lines, dims = ["y:bf16[B,F_X] = softmax(x:bf16[B,F])"], {"B": 65536, "F": 65536}
    graph = parse_graph(lines, dims)
    (dear,) = dearer_choices(graph, system, Cost(graph, system, RunOptions(overlap="full")).seconds)
    nbytes = 2 * 65536**2
    assert dear.chosen_s == pytest.approx(2 * nbytes / 3.35e12, rel=1e-6)
    assert dear.cheapest_s == pytest.approx(2 * nbytes / 8 / 3.35e12 + nbytes / 8 * 7 / 8 / 450e9, rel=1e-6)
    assert dear.instead == ("all_to_all of y over X",)
    assert run(lines, dims, system).plan.inserted == ()


@pytest.mark.parametrize(("j", "told"), [(8192, True), (9216, False)])
def test_a_choice_is_dear_above_a_fifth_more_than_the_cheapest(j: int, told: bool) -> None:
    """Reducing y takes two gathers of it. The cheapest gathers a and y and exchanges b, which is a quarter of a gather."""
    system = many("ring(4)", {"X": 4}, chip_with("tpu_v5p", {"links.ici.latency": "0 s"}))
    dims = {"I": 8192, "J": j, "K": 32768}
    graph = parse_graph(["y:bf16[I,K] = matmul(a:bf16[I,J_X], b:bf16[J_X,K])"], dims)
    cost = Cost(graph, system, RunOptions(overlap="full")).seconds
    (dear,) = dearer_choices(graph, system, cost, ratio=1.0)
    assert dear.instead == ("all_gather of a over X", "all_to_all of b over X", "all_gather of y over X")
    y, a, b = (2 * rows * columns / 1.8e11 for rows, columns in ((8192, 32768), (8192, j), (j, 32768)))
    work = 2 * 8192 * j * 32768 / 4 / 4.59e14
    assert dear.chosen_s == pytest.approx(work + 2 * y, rel=1e-6)
    assert dear.cheapest_s == pytest.approx(work + a + b / 4 + y, rel=1e-6)
    assert bool(dearer_choices(graph, system, cost)) == told == (dear.ratio > 1.2)


def test_rounds_of_a_block_count() -> None:
    system = many("torus(4,2)", {"X": 4, "Y": 2})
    lines = ["e:fp32[A,B_XY] = add(d:fp32[A_Y,B_X], c:fp32[A,B_XY])"]
    dims = {"A": 8192, "B": 8192}
    graph = parse_graph([{"repeat": 5, "ops": lines}], dims)
    (dear,) = dearer_choices(graph, system, Cost(graph, system, RunOptions(overlap="full")).seconds)
    assert (dear.op, dear.rounds) == ("e", 5)


def test_what_is_inserted_stands_in_the_plan() -> None:
    system = many("switch(8)", {"X": 2, "Y": 4}, "h100_sxm")
    lines = [
        "h:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D_X,F])",
        "z:bf16[B,F_X] = softmax(h)",
    ]
    plan = run(lines, {"B": 64, "D": 128, "F": 256}, system, RunOptions(overlap="full")).plan
    told = [(each.op, each.kind, each.over, each.serves) for each in plan.inserted]
    assert told == [("h", "all_reduce", "X", "h")]  # the own slice of z is a view: nothing is moved
    inserted = [planned.kernel.name for planned in plan.kernels if planned.kernel.communication]
    assert inserted == [each.op for each in plan.inserted]
