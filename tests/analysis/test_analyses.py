"""The analyses: breakdown, overlap, idle time, links, queues, stragglers, roll-ups and differences.

Each is compared with a brute force over microseconds, with a closed form, or with the run of all chips.
"""

from __future__ import annotations

import math
from itertools import product
from typing import Literal

import pandas as pd
import pytest
from hypothesis import given, settings

from analysis import as_timeline, dependencies_frame, temporal_breakdown, timeline_frame
from analysis.runs import (
    NO_LINK,
    exposed_by_link,
    exposed_links,
    task_links,
)
from analysis.timelines import (
    PARTS,
    diff_timelines,
    exposed_intervals,
    idle_by_cause,
    idle_intervals,
    labelled,
    overlap_fraction,
    queue_lengths,
    rollup,
    shares,
    skew,
    stragglers,
)
from hw import Mesh, System, load_chip, parse_topology
from scenarios import run
from simulator import RunOptions, parse_graph, simulate
from tests.support.timelines import Row, brute_both, brute_breakdown, indexed, records, rows, timeline_of

CHIP = load_chip("tpu_v5e")
US = 1e-6


def chips(wiring: str, mesh: dict[str, int]) -> System:
    return System(CHIP, parse_topology(wiring, CHIP.links), Mesh(mesh))


# --- breakdown and overlap


@settings(max_examples=60, deadline=None)
@given(rows)
def test_the_breakdown_is_that_of_every_microsecond(given_: list[Row]) -> None:
    timeline = timeline_of(given_)
    upto = max(row[3] for row in given_)
    found = temporal_breakdown(timeline)
    assert found["chip"].tolist() == sorted({row[0] for row in given_})
    for row in records(found):
        want = brute_breakdown(given_, row["chip"], upto)
        assert {name: row[name] for name in PARTS} == pytest.approx(
            {name: us * US for name, us in want.items()}, abs=1e-15
        )
        assert sum(row[name] for name in PARTS) == pytest.approx(row["total"], rel=1e-12, abs=1e-18)
        assert row["total"] == pytest.approx(upto * US)
    parts = shares(found)
    if upto:
        assert parts[list(PARTS)].sum(axis=1).tolist() == pytest.approx([1.0] * len(parts))


@settings(max_examples=60, deadline=None)
@given(rows)
def test_overlap_exposure_and_idle_time_are_those_of_every_microsecond(given_: list[Row]) -> None:
    timeline = timeline_of(given_)
    upto = max(row[3] for row in given_)
    idle = idle_intervals(timeline)
    exposed = exposed_intervals(timeline, "network")
    for row in records(overlap_fraction(timeline)):
        network, both = brute_both(given_, row["chip"], upto)
        assert row["network"] == pytest.approx(network * US, abs=1e-15)
        assert row["overlapped"] == pytest.approx(both * US, abs=1e-15)
        assert math.isnan(row["fraction"]) if not network else row["fraction"] == pytest.approx(both / network)
        want = brute_breakdown(given_, row["chip"], upto)
        for frame, us in ((idle, want["idle"]), (exposed, want["network"])):
            here = frame[frame["chip"] == row["chip"]]
            assert (here["end"] - here["begin"]).sum() == pytest.approx(us * US, abs=1e-15)
            assert (here["begin"].iloc[1:].to_numpy() > here["end"].iloc[:-1].to_numpy()).all()


def test_the_span_of_the_run_or_ones_own() -> None:
    timeline = timeline_of([(0, "arithmetic", 2, 5), (0, "network", 6, 8), (1, "memory", 0, 10)])
    own = indexed(temporal_breakdown(timeline, span="own"), "chip").loc[0]
    assert own[[*PARTS, "total"]].tolist() == pytest.approx([3 * US, 2 * US, 0, 0, 1 * US, 6 * US])
    longer = indexed(temporal_breakdown(timeline, end=20 * US), "chip")
    assert longer.loc[1, "idle"] == pytest.approx(10 * US)
    with pytest.raises(ValueError, match="before the last task"):
        temporal_breakdown(timeline, end=9 * US)
    with pytest.raises(ValueError, match="span is 'run' or 'own'"):
        temporal_breakdown(timeline, span="all")  # type: ignore[arg-type]


def test_functions_compose_with_groupby() -> None:
    timeline = timeline_of([(0, "arithmetic", 0, 4), (0, "network", 2, 6), (1, "network", 0, 3)])
    both = pd.concat([timeline.assign(run="a"), timeline.assign(run="b")])
    found = temporal_breakdown(both, by=["run", "chip"])
    assert found[["run", "chip"]].to_numpy().tolist() == [["a", 0], ["a", 1], ["b", 0], ["b", 1]]
    by_hand = both.groupby("run")[list(both.columns)].apply(temporal_breakdown)
    assert by_hand["arithmetic"].tolist() == found["arithmetic"].tolist()
    assert as_timeline(timeline).overlapse.breakdown()["network"].tolist() == pytest.approx([2 * US, 3 * US])


# --- links


@pytest.mark.parametrize(
    ("wiring", "mesh", "line"),
    [
        ("ring(8)", {"X": 8}, "z:bf16[B,F] = all_gather(y:bf16[B_X,F], over=X)"),
        ("torus(4,2)", {"X": 4, "Y": 2}, "z:bf16[B,F] = all_reduce(y:bf16[B,F]{U_X}, over=X)"),
        ("line(4)", {"X": 4}, "z:bf16[B,F] = all_gather(y:bf16[B_X,F], over=X)"),
        ("switch(4) over ici", {"X": 4}, "z:bf16[B_X,F] = all_to_all(y:bf16[B,F_X], over=X)"),
    ],
)
def test_links_of_a_folded_run_are_those_of_the_full_one(wiring: str, mesh: dict[str, int], line: str) -> None:
    graph = parse_graph(
        [line, "c:bf16[B,F] = relu(z)" if "all_to_all" not in line else "c:bf16[B_X,F] = relu(z)"],
        {"B": 1024, "F": 4096},
    )
    folded, full = (
        exposed_links(simulate(graph, chips(wiring, mesh), RunOptions(fold=fold))).set_index("link")["seconds"]
        for fold in (True, False)
    )
    assert set(folded.index) == set(full.index)
    assert folded.sort_index().tolist() == pytest.approx(full.sort_index().tolist(), rel=1e-9)


def test_the_busiest_link_is_to_blame() -> None:
    # alone each would take either link as long; together they fill the one that both need
    lines = [
        "s:bf16[B,F] = send(x:bf16[B,F], from=0, to=2, queue=one)",
        "r:bf16[B,F] = recv(from=0, to=2, queue=one)",
        "t:bf16[B,F] = send(v:bf16[B,F], from=1, to=2, queue=two)",
        "u:bf16[B,F] = recv(from=1, to=2, queue=two)",
    ]
    result = simulate(parse_graph(lines, {"B": 1024, "F": 4096}), chips("line(3)", {"X": 3}))
    found = exposed_links(result).set_index("link")["seconds"]
    # the one hop ends its latency first and is alone on its link for that microsecond; then both share it
    assert found.index.tolist() == ["ici:chip1>chip2"]
    assert found.sum() == pytest.approx(temporal_breakdown(timeline_frame(result))["network"].sum())


def test_equally_busy_links_share_and_parts_add_up() -> None:
    """Every wire of a ring carries as much; on a line the two that lead to its ends carry most."""
    graph = parse_graph(["z:bf16[B,F] = all_gather(y:bf16[B_X,F], over=X)"], {"B": 1000, "F": 4096})
    forms: tuple[Literal["task", "messages"], ...] = ("task", "messages")
    for network, (wiring, busiest) in product(forms, (("ring(5)", 10), ("line(5)", 2))):
        size = 5
        result = simulate(graph, chips(wiring, {"X": size}), RunOptions(network=network, fold=False))
        parts = task_links(result)
        assert parts["part"].groupby(parts["task"]).sum().tolist() == pytest.approx([1.0] * parts["task"].nunique())
        found = exposed_links(result)
        assert len(found) == busiest
        assert found["seconds"].sum() == pytest.approx(size * result.time_s)


def test_communication_without_links_counts_for_none() -> None:
    graph = parse_graph(["z:bf16[B,F] = all_gather(y:bf16[B_X,F], over=X)"], {"B": 64, "F": 64})
    result = simulate(graph, System(CHIP, None, Mesh({"X": 1})))
    found = exposed_by_link(result)
    assert set(found["link"]) <= {NO_LINK}
    assert found["seconds"].sum() == pytest.approx(temporal_breakdown(timeline_frame(result))["network"].sum())


# --- idle time


def test_a_pipeline_waits_for_the_stage_before() -> None:
    outcome = run("library:pipeline_bubble")
    result = outcome.result
    timeline, dependencies = timeline_frame(result), dependencies_frame(result)
    found = idle_by_cause(timeline, dependencies, task_links(result))
    gaps = idle_intervals(timeline)
    assert found[["chip", "begin", "end"]].to_numpy().tolist() == gaps.to_numpy().tolist()
    stages = result.plan.system.size
    for chip in range(1, stages):
        first = found[(found["chip"] == chip) & (found["begin"] == 0.0)].iloc[0]
        before = f"f.0.{chip - 2}" if chip > 1 else "first.0"
        assert (first["cause"], first["where"], first["waits_for"]) == ("chip", f"chip{chip - 1}", before)
        assert first["end"] == pytest.approx(chip * 1e-3, rel=1e-6)
    assert (found[found["end"] == result.time_s]["cause"] == "end").all()


def test_causes_by_hand() -> None:
    timeline = pd.DataFrame(
        [
            # chip 1 waits for a transfer between chips 0 and 2, then for chip 0, then for nobody that is known
            (0, "a", 0, "compute", 0.0, 2.0, "arithmetic"),
            (1, "t", 0, "p2p", 2.0, 3.0, "network"),
            (1, "t", 2, "p2p", 2.0, 3.0, "network"),
            (2, "b", 1, "compute", 3.0, 4.0, "arithmetic"),
            (3, "c", 0, "compute", 3.0, 6.0, "arithmetic"),
            (4, "d", 1, "compute", 6.0, 7.0, "arithmetic"),
            (5, "e", 1, "compute", 8.0, 9.0, "arithmetic"),
        ],
        columns=["task", "op", "chip", "queue", "begin", "end", "does"],
    )
    dependencies = pd.DataFrame({"before": [0, 1, 1, 3, 4], "after": [1, 2, 3, 4, 5]})
    found = idle_by_cause(timeline, dependencies)
    rows = [tuple(row.values()) for row in records(found[found["chip"] == 1])]
    assert rows == [
        (1, 0.0, 3.0, "b", "t", "network", "p2p"),
        (1, 4.0, 6.0, "d", "c", "chip", "chip0"),
        (1, 7.0, 8.0, "e", "", "held", ""),
    ]
    assert set(found[found["chip"] == 0]["cause"]) == {"end"}
    unknown = idle_by_cause(timeline)
    assert set(unknown["cause"]) <= {"held", "end", "chip", "network"}
    assert unknown[unknown["op"] == "d"]["cause"].tolist() == ["held"]


# --- queues, stragglers


def test_queue_lengths_by_hand() -> None:
    timeline = pd.DataFrame(
        [
            (0, "a", 0, "compute", 0.0, 2.0, "arithmetic"),
            (1, "b", 0, "compute", 2.0, 3.0, "arithmetic"),
            (2, "c", 0, "compute", 3.0, 4.0, "arithmetic"),
            (3, "d", 0, "net", 2.0, 5.0, "network"),
        ],
        columns=["task", "op", "chip", "queue", "begin", "end", "does"],
    )
    dependencies = pd.DataFrame({"before": [0, 0], "after": [2, 3]})
    found = queue_lengths(timeline, dependencies)
    # b could have run at once and waits for a; c is ready when a ends and waits for b; d never waits
    assert found[["queue", "begin", "end", "waiting"]].to_numpy().tolist() == [["compute", 0.0, 3.0, 1]]


def test_who_comes_late_costs_the_others() -> None:
    outcome = run("library:pipeline_bubble")
    result = outcome.result
    found = skew(timeline_frame(result))
    waiting = sum(result.waiting_ps.values()) / 1e12
    assert found["waited"].sum() == pytest.approx(waiting, rel=1e-5)
    late = stragglers(timeline_frame(result))
    assert late["others_waited"].sum() == pytest.approx(waiting, rel=1e-5)
    assert late["waited"].sum() == pytest.approx(waiting, rel=1e-5)


def test_skew_of_a_measured_trace_comes_from_begins() -> None:
    timeline = pd.DataFrame(
        [
            (0, "ar", 0, "7", 1.0, 5.0, "network"),
            (1, "ar", 1, "7", 3.0, 5.0, "network"),
            (2, "ar", 0, "7", 6.0, 9.0, "network"),
            (3, "ar", 1, "7", 8.0, 9.0, "network"),
        ],
        columns=["task", "op", "chip", "queue", "begin", "end", "does"],
    )
    found = skew(timeline)
    assert found[["begin", "chips", "skew", "waited", "last"]].to_numpy().tolist() == [[3, 2, 2, 2, 1], [8, 2, 2, 2, 1]]
    late = stragglers(timeline)
    assert late[["chip", "times_last", "others_waited", "waited"]].to_numpy().tolist() == [[1, 2, 4, 0], [0, 0, 0, 4]]


# --- roll-ups and differences


def names_of(*ops: str) -> pd.DataFrame:
    timeline = timeline_of([(0, "arithmetic", 2 * at, 2 * at + 1) for at in range(len(ops))])
    return timeline.assign(op=list(ops), queue="compute")


def test_names_say_round_layer_and_phase() -> None:
    timeline = names_of("fwd_a.0.1", "fwd_a.0.2", "bwd_a.1.0+bwd_b.1.0", "loss")
    found = labelled(timeline, phase="^(fwd|bwd)_")
    assert found["base"].tolist() == ["fwd_a", "fwd_a", "bwd_a+bwd_b", "loss"]
    assert found["layer"].tolist() == [0, 0, 1, -1]
    assert found["round"].tolist() == [1, 2, 0, -1]
    assert found["phase"].tolist() == ["fwd", "fwd", "bwd", ""]
    by_phase = indexed(rollup(timeline, "phase", phase="^(fwd|bwd)_"), "phase")
    assert by_phase["tasks"].to_dict() == {"fwd": 2, "bwd": 1, "": 1}
    assert by_phase.loc["fwd", "time"] == pytest.approx(2 * US)
    with pytest.raises(ValueError, match=r"phase: '\(' is not a regular expression"):
        labelled(timeline, phase="(")


def test_busy_time_counts_an_instant_once_per_chip() -> None:
    rows = [(0, "arithmetic", 0, 4), (0, "arithmetic", 2, 6), (1, "arithmetic", 0, 3)]
    timeline = timeline_of(rows).assign(op="a", queue="q")
    found = rollup(timeline).iloc[0]
    assert (found["tasks"], found["time"], found["busy"]) == (3, pytest.approx(11 * US), pytest.approx(9 * US))
    assert (found["begin"], found["end"]) == (0.0, pytest.approx(6 * US))


def test_rounds_of_a_library_run_add_up() -> None:
    timeline = run("library:stack_of_four").timeline
    took = (timeline["end"] - timeline["begin"]).sum()
    for by in ("op", "base", "kind", "layer", "round", "does", ["kind", "round"]):
        assert rollup(timeline, by)["time"].sum() == pytest.approx(took)
    assert set(rollup(timeline, "layer")["layer"]) >= {0, 1, 2, 3}


def test_a_difference_names_what_came_and_went() -> None:
    before, after = names_of("a.0", "a.1", "b"), names_of("a.0", "c")
    found = indexed(diff_timelines(before, after), "base")
    assert found.loc["a", ["tasks_before", "tasks_after"]].tolist() == [2, 1]
    assert found.loc["a", "change"] == pytest.approx(-1 * US)
    assert found.loc["b", "ratio"] == 0.0
    assert math.isnan(found.loc["c", "ratio"])
    total = sum((each["end"] - each["begin"]).sum() for each in (after,)) - (before["end"] - before["begin"]).sum()
    assert found["change"].sum() == pytest.approx(total)
    same = diff_timelines(before, before)
    assert same["change"].tolist() == [0.0] * len(same)
