"""Paths, slack, rooflines and eta: compared with runs by hand and with closed forms."""

from __future__ import annotations

from typing import Any

import pytest

from analysis import Summary, timeline_frame
from analysis.runs import (
    eta_frame,
    path_frame,
    points_frame,
    roofline_points,
    slack_frame,
)
from hw import Mesh, System, load_chip, parse_topology
from scenarios import run
from simulator import RunOptions, parse_graph, simulate
from tests.support.timelines import indexed

CHIP = load_chip("tpu_v5e")


def chips(wiring: str, mesh: dict[str, int]) -> System:
    return System(CHIP, parse_topology(wiring, CHIP.links), Mesh(mesh))


# --- paths and slack


def test_slack_of_a_short_branch_is_what_it_could_be_late() -> None:
    lines = [
        "a:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])",
        "c:bf16[B,D] = copy(x, queue=copy_in)",
        "y:bf16[B,F] = add(a, b:bf16[B,F], after=c)",
    ]
    result = simulate(parse_graph(lines, {"B": 1024, "D": 4096, "F": 4096}), System(CHIP), RunOptions(overlap="full"))
    slack = indexed(slack_frame(result), "op")["slack"]
    timeline = indexed(timeline_frame(result), "op")
    assert slack["a"] == slack["y"] == 0.0
    assert slack["c"] == pytest.approx(timeline.loc["y", "begin"] - timeline.loc["c", "end"], rel=1e-9)
    assert slack["c"] > 0


@pytest.mark.parametrize("network", ["task", "messages"])
def test_what_lies_on_the_path_has_no_slack(network: Any) -> None:
    lines = [
        "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks=4)",
        "z:bf16[B,F] = all_reduce(y, over=X, chunks=4)",
        "s:bf16[B,F] = softmax(z)",
    ]
    graph = parse_graph(lines, {"B": 1024, "D": 4096, "F": 2048})
    result = simulate(graph, chips("ring(4)", {"X": 4}), RunOptions(network=network, overlap="full"))
    slack = slack_frame(result)
    assert (slack["slack"] >= 0).all()
    path = path_frame(result)
    last = slack.loc[slack["op"] == "s", "slack"]
    assert last.tolist() == [0.0] * len(last)
    if "contention" not in set(path["cause"]):
        assert slack.set_index("task").loc[path["task"].unique(), "slack"].max() == 0.0


# --- rooflines and eta


def test_points_stand_under_their_roofs() -> None:
    result = run("library:llama3_8b_block_tpu_v5p").result
    points = points_frame(result)
    assert (points["share"] <= 1 + 1e-6).all()  # an op lasts whole picoseconds
    assert set(points["level"]) == {"hbm"}
    assert (points["reached"] * points["bytes"]).tolist() == pytest.approx(
        (points["flops"] * points["reached"] / points["intensity"]).tolist()
    )
    # the older list has one unit per kernel; those points are here too
    known = {(row.op, row.unit): row for row in points[points["level"] == "hbm"].itertuples()}
    for point in roofline_points(result):
        row: Any = known[point.name, point.unit]
        assert (row.intensity, row.roof, row.reached) == pytest.approx(
            (point.intensity, point.roof_flops_per_s, point.reached_flops_per_s)
        )


def test_points_of_other_levels() -> None:
    lines = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F]@on_chip)"]
    graph = parse_graph(lines, {"B": 1024, "D": 1024, "F": 1024})
    points = indexed(points_frame(simulate(graph, System(CHIP), RunOptions(overlap="full"))), "level")
    assert points.loc["on_chip", "bytes"] == 2 * 1024 * 1024
    assert points.loc["hbm", "bytes"] == 2 * 2 * 1024 * 1024
    assert CHIP.on_chip is not None
    peak = CHIP.matrix_unit.peak_flops_per_s["bf16"]
    assert points.loc["on_chip", "roof"] == min(peak, points.loc["on_chip", "intensity"] * CHIP.on_chip.bytes_per_s)


def test_eta_of_an_op_alone_is_1_with_full_overlap_and_0_without() -> None:
    graph = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F])"], {"B": 512, "D": 512, "F": 512})
    for overlap, want in (("full", 1.0), ("none", 0.0)):
        result = simulate(graph, System(CHIP), RunOptions(overlap=overlap))  # type: ignore[arg-type]
        row = eta_frame(result).iloc[0]
        assert row["eta"] == pytest.approx(want, abs=1e-4)
        assert row["time"] == pytest.approx(result.time_s)
        assert eta_frame(result, "base")["eta"].tolist() == pytest.approx([result.eta], abs=1e-4)


def test_eta_of_one_step_that_is_the_run_is_that_of_the_run() -> None:
    outcome = run("library:chunked_all_reduce")
    row = eta_frame(outcome.result, "all", all="").iloc[0]
    words = Summary(outcome.result.plan, lambda: outcome.result)
    assert row["time"] == pytest.approx(words["time"])
    assert row["best"] == pytest.approx(words["lower_bound"], rel=1e-9)
    assert row["worst"] == pytest.approx(words["upper_bound"], rel=1e-6)
    assert row["eta"] == pytest.approx(words["eta"], abs=1e-6)
