"""Recorded failures: how a file is read, and the record of 400 servers beside failures by chance like it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from hw import SpecError
from scenarios.jobs.trace import read_trace
from simulator.faults import Checkpoints, Fault, Job, Replay, live

DAY = 86400.0
RECORD = Path(__file__).parents[4] / "shared" / "validation" / "public" / "fault_trace_400_servers.json"
recorded = pytest.mark.skipif(not RECORD.is_file(), reason="the record of 400 servers is not there")


def written(tmp_path: Path, events: object) -> Path:
    path = tmp_path / "faults.json"
    path.write_text(json.dumps(events, indent=1), encoding="utf-8")
    return path


def event(node: object, time: object, kind: str) -> dict[str, object]:
    return {"node_id": node, "event_time": time, "event_type": f"fault_{kind}"}


def test_failures_of_a_machine_begin_and_end(tmp_path: Path) -> None:
    """Those that overlap end in the order in which they began; one without a begin is there from the begin of the
    record, one without an end until its end."""
    events = [
        event("a", 1, "start"),
        event("a", 2, "start"),
        event("a", 3, "end"),
        event(7, 4, "end"),
        event("a", 5, "end"),
        event(7, 6, "start"),
        event("b", 8, "start"),
        event("b", 8, "end"),
        event("b", 10, "end"),
    ]
    trace = read_trace(written(tmp_path, events), 5, 60.0)
    assert (trace.machines, trace.span_s) == (5, 600.0)
    assert {(fault.machine, fault.begin_s, fault.end_s) for fault in trace.faults} == {
        (0, 60.0, 180.0),
        (0, 120.0, 300.0),
        (1, 0.0, 240.0),
        (1, 360.0, 600.0),
        (2, 480.0, 480.0),
        (2, 0.0, 600.0),
    }


def test_yaml_will_do(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(
        "- {node_id: a, event_time: 1, event_type: fault_start}\n- {node_id: a, event_time: 2.5, event_type: fault_end}\n"
    )
    assert read_trace(path, 1, 1.0).faults == (Fault(0, 1.0, 2.5),)


@pytest.mark.parametrize(
    ("events", "place", "said"),
    [
        ([], "1:1", "a trace is a list of events"),
        ({"a": 1}, "1:1", "a trace is a list of events"),
        ([event("a", -1, "start")], "4:", "event_time is -1"),
        ([event("a", "soon", "start")], "4:", "it must be a number"),
        ([event("a", 1, "begin")], "5:", "did you mean"),
        ([{"node_id": "a"}], "2:", "'event_time' is missing"),
        ([3], "2:", "is no event"),
        ([event("a", 0, "start")], "", "no record of any length"),
        ([event(name, 1, "start") for name in "abcd"], "", "events of 4 machines"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(tmp_path: Path, events: object, place: str, said: str) -> None:
    with pytest.raises(SpecError) as error:
        read_trace(written(tmp_path, events), 3, DAY)
    (problem,) = error.value.problems
    assert said in problem.message
    assert f"faults.json:{place}" in str(problem)


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    events = [event("a", -1, "start"), event("a", 1, "start"), {"node_id": 1}]
    with pytest.raises(SpecError) as error:
        read_trace(written(tmp_path, events), 3, DAY)
    assert len(error.value.problems) == 2


@recorded
def test_the_record_of_400_servers() -> None:
    """584 failures in 348.98 days, 231 of 400 servers had one (its README)."""
    trace = read_trace(RECORD, 400, DAY)
    assert len(trace.faults) == 584
    assert trace.span_s == pytest.approx(348.98 * DAY, rel=1e-4)
    assert len({fault.machine for fault in trace.faults}) == 231
    assert trace.fitted().mtbf_s(400) == pytest.approx(348.98 * DAY / 584, rel=1e-4)


@recorded
def test_the_record_beside_failures_by_chance() -> None:
    """The model by chance has the record's rate and its mean time away, so a job on 320 of its servers with 80 in
    spare fails about as often on both; that the record's failures come together shows in how unlike lives are."""
    trace = read_trace(RECORD, 400, DAY)
    job = Job(
        steps=60 * 24,
        step_s=3600.0,
        machines=320,
        spares=80,
        checkpoints=Checkpoints(every_s=2 * 3600.0, write_s=120.0),
        restart_s=600.0,
    )
    lives = {
        name: [live(replace(job, failures=source), seed) for seed in range(40)]
        for name, source in (("record", Replay(trace)), ("chance", trace.fitted()))
    }
    counts = {name: [life.failures for life in each] for name, each in lives.items()}
    mean = {name: sum(each) / len(each) for name, each in counts.items()}
    # of the pool's failures, those that strike one of the 320 in use; machines that are away fail again less often
    expected = 60 * DAY / trace.fitted().mtbf_s(320)
    assert mean["chance"] == pytest.approx(expected, rel=0.15)
    assert mean["record"] == pytest.approx(expected, rel=0.3)
    spread = {name: max(each) - min(each) for name, each in counts.items()}
    assert spread["record"] > spread["chance"]
