"""Pictures: what they draw is what the frames say."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import Summary, memory_frame, op_figures, temporal_breakdown, timeline_frame
from analysis.plots import (
    CAUSE_COLOURS,
    plot_breakdown,
    plot_front,
    plot_memory,
    plot_roofline,
    plot_roofs,
    plot_sweep,
    plot_timeline,
    plot_topology,
    plot_tornado,
    wire_loads,
)
from analysis.plots.memory import POINTS
from analysis.plots.scales import MOST_TICKS, log_ticks
from analysis.plots.style import (
    CHIP_COLOUR,
    GAIN_COLOUR,
    IDLE_COLOUR,
    SERIES_COLOURS,
    SWITCH_COLOUR,
    inert,
)
from analysis.plots.timelines import _busy
from analysis.runs import roofline_points
from analysis.timelines import PARTS
from hw import Mesh, System, load_chip, parse_topology
from scenarios import sweep
from simulator import GraphBuilder, Result, RunOptions, simulate
from tests.support.reports import EVIL, block


@pytest.fixture(scope="module")
def result() -> Result:
    return block()


def traces(figure: Any) -> dict[str, Any]:
    return {trace.name: trace for trace in figure.data}


def test_a_timeline_has_a_bar_for_every_slice(result: Result) -> None:
    frame = timeline_frame(result)
    figure = plot_timeline(frame)
    unit_s = {"s": 1.0, "ms": 1e-3, "us": 1e-6}[figure.layout.xaxis.title.text[6:-1]]
    lanes = figure.layout.yaxis.ticktext
    for name, bars in traces(figure).items():
        mine = frame[frame["does"] == name]
        assert len(bars.x) == len(mine)
        drawn = sorted(zip(np.asarray(bars.base) * unit_s, np.asarray(bars.x) * unit_s, strict=True))
        wanted = sorted(zip(mine["begin"], mine["end"] - mine["begin"], strict=True))
        assert np.allclose(drawn, wanted, rtol=1e-9, atol=1e-15)
        assert bars.width == 0.8  # of a lane: else plotly takes the distance of the lanes in a trace
    assert len(lanes) == len(frame[["chip", "queue"]].drop_duplicates())
    assert figure.layout.xaxis.rangemode == "tozero"


def test_a_result_stands_for_its_frame(result: Result) -> None:
    causes = {each.name: each.bound_by for each in op_figures(result)}
    frame = timeline_frame(result)
    assert plot_timeline(result) == plot_timeline(frame.assign(bound_by=frame["op"].map(causes).astype(str)))
    assert plot_memory(result, math.inf) == plot_memory(memory_frame(result), math.inf)


def test_a_cause_has_one_colour_in_timeline_and_breakdown(result: Result) -> None:
    for figure in (plot_timeline(result), plot_breakdown(result)):
        for name, trace in traces(figure).items():
            cause = name.rpartition("bound by ")[2].removeprefix("exposed ")
            if cause in CAUSE_COLOURS:
                assert trace.marker.color == CAUSE_COLOURS[cause], name
    drawn = set(traces(plot_timeline(result)))
    assert drawn == {each.bound_by for each in op_figures(result)}


def test_many_bars_have_no_edges_that_hide_them(result: Result) -> None:
    few, many = block(1), block(40)
    assert len(timeline_frame(few)) <= 200 < len(timeline_frame(many))
    assert {trace.marker.line.width for trace in plot_timeline(few).data} == {0.5}
    assert {trace.marker.line.width for trace in plot_timeline(many).data} == {0.0}


def test_what_is_no_cause_has_no_causes_colour() -> None:
    others = {*SERIES_COLOURS, CHIP_COLOUR, SWITCH_COLOUR, GAIN_COLOUR, IDLE_COLOUR}
    assert not others & set(CAUSE_COLOURS.values())
    frame = pd.DataFrame({"x": [1, 2] * 7, "time": [1.0] * 14, "by": sorted([*range(7)] * 2)})
    looks = {(trace.line.color, trace.line.dash) for trace in plot_sweep(frame, "x", "time", "by").data}
    assert len(looks) == 7
    assert {colour for colour, _ in looks} == set(SERIES_COLOURS)


def test_long_slices_carry_their_names(result: Result) -> None:
    frame = timeline_frame(result)
    figure = plot_timeline(result, chips=[0])
    end = frame["end"].max()
    mine = frame[frame["chip"] == 0]
    long = set(mine[mine["end"] - mine["begin"] >= 0.02 * end]["op"].astype(str))
    assert long
    assert {text for trace in figure.data for text in trace.text if text} == long


def test_a_breakdown_of_a_run_fills_its_bar_and_stripes_what_is_exposed(result: Result) -> None:
    figure = plot_breakdown(result)
    total = np.sum([trace.x for trace in figure.data], axis=0)
    assert total.tolist() == pytest.approx([100.0] * result.plan.system.size)
    for name, trace in traces(figure).items():
        assert (trace.marker.pattern.shape == "/") == name.startswith("exposed ")


@given(st.floats(1e-9, 1e9), st.floats(1, 1e12))
def test_ticks_are_few_and_inside(low: float, ratio: float) -> None:
    ticks = log_ticks(low, low * ratio)
    assert 1 <= len(ticks["tickvals"]) <= MOST_TICKS + 2
    assert ticks["tickvals"] == sorted(set(ticks["tickvals"]))
    assert len(set(ticks["ticktext"])) == len(ticks["ticktext"])


def test_roofs_of_two_bandwidths_and_two_algorithms() -> None:
    algorithms = {"one": 10.0, "two": 400.0}
    figure = plot_roofs(1e14, {"HBM": 1e12, "slow": 1e11}, algorithms)
    points = [trace for trace in figure.data if "markers" in trace.mode]
    for trace, rate in zip(points, (1e12, 1e11), strict=True):
        assert list(trace.x) == [10.0, 400.0]
        assert list(trace.y) == [min(1e14, at * rate) for at in (10.0, 400.0)]
    assert list(points[0].text) == ["one", "two"]
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"
    for wrong in ((0.0, {"HBM": 1e12}), (1e14, {}), (1e14, {"HBM": math.inf})):
        with pytest.raises(ValueError, match=r"peak is 0|has a bandwidth|HBM is inf"):
            plot_roofs(*wrong)


def test_throughput_over_batch_for_two_widths_follows_the_closed_form(tmp_path: Path) -> None:
    """FLOP/s of bf16[B,D] x bf16[D,D] on a TPU v5e: min(peak, intensity x bandwidth), intensity B D / (2 B + D)."""
    path = tmp_path / "widths.yaml"
    path.write_text(
        "name: widths\nsystem: {chip: tpu_v5e}\nworkload:\n  dims: {B: 16, D: 4096}\n"
        "  ops:\n    - y:bf16[B,D] = matmul(x:bf16[B,D], w:bf16[D,D2])\n".replace("D2", "D")
        + "run: {overlap: full}\n"
    )
    study = sweep(str(path), {"workload.dims.B": [1, 16, 256, 4096], "workload.dims.D": [4096, 1024]})
    figure = plot_sweep(study.frame, "workload.dims.B", "flops_per_s", "workload.dims.D")
    chip = load_chip("tpu_v5e")
    for trace, width in zip(figure.data, (4096, 1024), strict=True):
        for batch, rate in zip(trace.x, trace.y, strict=True):
            intensity = batch * width / (2 * batch + width)
            wanted = min(chip.matrix_unit.peak_flops_per_s["bf16"], intensity * chip.hbm.bytes_per_s)
            assert rate == pytest.approx(wanted, rel=1e-3)


def test_roofs_of_a_run_are_those_of_memories_links_and_host(result: Result) -> None:
    chip = result.plan.system.chip
    slopes = [trace for trace in plot_roofline(result).data if trace.mode == "lines" and trace.y[0] != trace.y[-1]]
    told = sorted(trace.y[0] / trace.x[0] for trace in slopes)
    rates = [chip.hbm.bytes_per_s, *(each.bytes_per_s for each in chip.near_memories.values())]
    wanted = sorted([*rates, *(link.egress_bytes_per_s for link in chip.links.values())])
    assert told == pytest.approx([rate for rate in wanted if any(abs(rate / each - 1) < 1e-9 for each in told)])
    assert {"hbm", "ici"} <= {trace.name.partition(" ")[0].casefold().rstrip(",") for trace in slopes}


def test_an_op_that_moves_no_hbm_bytes_stands_under_the_roof_of_what_it_moves() -> None:
    build = GraphBuilder(B=256, D=256)
    build.relu("x:bf16[B,D]@on_chip", out="y:bf16[B,D]@on_chip")
    run = simulate(build.graph(), System(load_chip("tpu_v5e")), RunOptions())
    (point,) = roofline_points(run)
    assert point.level == "on_chip"
    assert point.intensity == pytest.approx(1 / 4)  # one FLOP per element of 2 bytes read and 2 written
    assert point.reached_flops_per_s <= point.roof_flops_per_s * (1 + 1e-9)


def test_too_many_slices_become_utilisation(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.plots.timelines.MAX_BARS", 10)
    frame = timeline_frame(result)
    figure = plot_timeline(frame, chips=[1])
    unit_s = {"s": 1.0, "ms": 1e-3, "us": 1e-6}[figure.layout.xaxis.title.text[6:-1]]
    for name, areas in traces(figure).items():
        mine = frame[(frame["does"] == name) & (frame["chip"] == 1)]
        inked, x, y = 0.0, list[float](), list[float]()
        for across, down in zip(areas.x, areas.y, strict=True):
            if across is not None:
                x.append(across)
                y.append(down)
                continue
            inked += abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2  # the shoelace formula
            assert max(y) - min(y) <= 0.8 + 1e-9
            x, y = [], []
        assert inked * unit_s / 0.8 == pytest.approx(float((mine["end"] - mine["begin"]).sum()), rel=1e-6)


spans = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=1, max_size=12)


@given(spans)
def test_busy_time_between_edges_counts_every_instant_once(found: list[tuple[int, int]]) -> None:
    begin = np.asarray([start for start, _ in found], dtype=float)
    end = begin + np.asarray([took for _, took in found], dtype=float)
    edges = np.arange(0, 81, 10, dtype=float)
    wanted = [
        sum(
            any(b <= instant < e for b, e in zip(begin, end, strict=True))
            for instant in range(int(left), int(left) + 10)
        )
        for left in edges[:-1]
    ]
    assert _busy(begin, end, np.ones(len(begin), dtype=bool), edges).tolist() == pytest.approx(wanted)


def test_a_breakdown_fills_its_bar(result: Result) -> None:
    frame = temporal_breakdown(timeline_frame(result), result.time_s)
    figure = plot_breakdown(frame)
    total = np.sum([trace.x for trace in figure.data], axis=0)
    assert total.tolist() == pytest.approx([100.0] * len(frame))
    with pytest.raises(ValueError, match="idle"):
        plot_breakdown(frame.drop(columns=PARTS[-1]))


@pytest.mark.parametrize("rounds", [2, 120])
def test_memory_keeps_its_peak(rounds: int) -> None:
    run = block(rounds, 2)
    figure = plot_memory(run)
    unit = {"kB": 1e3, "MB": 1e6, "GB": 1e9}[figure.layout.yaxis.title.text[5:7]]
    drawn = np.sum([trace.y for trace in figure.data], axis=0) * unit
    peak = Summary(run.plan, lambda: run)["peak_memory"]
    assert drawn.max() == pytest.approx(peak, rel=1e-9)
    assert len(drawn) <= POINTS + 2


def test_no_point_lies_above_its_roof(result: Result) -> None:
    figure = plot_roofline(result)
    chip = result.plan.system.chip
    points = [trace for trace in figure.data if "markers" in trace.mode]
    assert points
    best = max(chip.matrix_unit.peak_flops_per_s.values())
    for trace in points:
        for intensity, reached in zip(trace.x, trace.y, strict=True):
            assert reached <= min(best, intensity * chip.hbm.bytes_per_s) * (1 + 1e-9)
    assert figure.layout.xaxis.type == figure.layout.yaxis.type == "log"


def test_a_sweep_draws_its_rows_and_no_errors() -> None:
    frame = pd.DataFrame({
        "workload.dims.B": [1, 2, 4, 1, 2, 4],
        "system.chip": ["a"] * 3 + [EVIL] * 3,
        "time": [1e-3, 2e-3, np.nan, 3e-3, 4e-3, 5e-3],
        "error": ["", "", "does not fit", "", "", ""],
    })  # fmt: skip
    figure = plot_sweep(frame, "workload.dims.B", "time", by="system.chip")
    drawn = traces(figure)
    assert list(drawn) == ["a", inert(EVIL)]
    assert drawn["a"].x == (1, 2)
    assert drawn["a"].y == pytest.approx((1.0, 2.0))
    assert figure.layout.yaxis.title.text == "time (ms)"
    with pytest.raises(ValueError, match="missing"):
        plot_sweep(frame, "missing")


def test_a_tornado_puts_the_largest_gain_on_top() -> None:
    frame = pd.DataFrame({
        "resource": ["hbm", "matrix_unit", "pcie"],
        "time": 2.0,
        "x1_1": [1.98, 1.9, 2.0],
        "x2": [1.8, 1.2, 2.0],
        "infinite": [1.6, 0.4, 2.0],
        "elasticity": [-0.1, -0.5, 0.0],
    })  # fmt: skip
    drawn = traces(plot_tornado(frame))
    assert list(drawn["2x"].y) == ["matrix unit", "hbm"]
    assert list(drawn["2x"].x) == pytest.approx([-40.0, -10.0])
    assert list(drawn["infinitely fast"].x) == pytest.approx([-80.0, -20.0])


def test_loads_of_links_agree_with_the_words(result: Result) -> None:
    loads = wire_loads(result)
    topology = result.plan.system.topology
    assert topology is not None
    assert len(loads) == len(topology.wires)
    assert all(0 <= each.share <= 1 + 1e-9 for each in loads)
    words = Summary(result.plan, lambda: result)
    assert max(each.share for each in loads) * result.time_s == pytest.approx(words["t_network"])


@pytest.mark.parametrize("text", ["ring(4)", "line(3)", "torus(4,4)", "grid(2,4)", "switch(8)", "full(5)"])
def test_a_map_shows_every_node_once_and_apart(text: str) -> None:
    chip = load_chip("tpu_v5e")
    topology = parse_topology(text, chip.links)
    build = GraphBuilder(B=topology.size * 8)
    build.all_gather("x:bf16[B_X]", over="X", out="y:bf16[B]")
    axes = [axis.size for axis in topology.axes]
    names = "XYZ"[: len(axes)]
    mesh = Mesh(dict(zip(names, axes, strict=True)))
    build = GraphBuilder(B=math.prod(axes) * 8)
    build.all_gather(f"x:bf16[B_{names}]", over=names, out="y:bf16[B]")
    figure = plot_topology(simulate(build.graph(), System(chip, topology, mesh), RunOptions()))
    assert figure is not None
    nodes = [trace for trace in figure.data if trace.name in ("chip", "switch")]
    places = [place for trace in nodes for place in zip(trace.x, trace.y, strict=True)]
    wanted = set(topology.chip_numbers) | {node for wire in topology.wires for node in (wire.source, wire.target)}
    assert len(places) == len(wanted)
    assert min(math.dist(one, other) for one, other in itertools.combinations(places, 2)) > 0.05


def test_a_front_goes_down_in_steps() -> None:
    """What is not on it stands beside it; a layout's name is no markup."""
    frame = pd.DataFrame(
        {
            "layout": ["tp: <b>", "tp: 2", "tp: 4"],
            "time": [2e-3, 1e-3, 3e-3],
            "peak_memory": [1e9, 4e9, 2e9],
            "on_front": [True, True, False],
        }
    )
    others, front = plot_front(frame).data
    assert (list(others.x), list(others.y)) == ([2.0], [3.0])
    assert (list(front.x), list(front.y)) == ([1.0, 4.0], [2.0, 1.0])
    assert front.line.shape == "hv"
    assert front.text[0] == "tp: &lt;b&gt;"
    with pytest.raises(ValueError, match="on_front"):
        plot_front(frame.drop(columns="on_front"))
