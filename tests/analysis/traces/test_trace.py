"""Traces out: JSON that parses, slices that never overlap on a track, flows that bind, counters that add up."""

from __future__ import annotations

import gzip
import io
import json
import math
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import analysis.traces.write as trace_module
from analysis import (
    busy_seconds,
    dependencies_frame,
    memory_frame,
    memory_levels,
    read_trace,
    temporal_breakdown,
    timeline_frame,
    usage_frame,
    write_trace,
)
from analysis.timelines import PARTS
from analysis.traces import TraceOptions, write_hta, write_trace_file
from benchmarks.frames import finished_run
from scenarios import run
from simulator import Result

NAMES = (
    "library:chunked_all_reduce",
    "library:pipeline_bubble",
    "library:collective_matmul_gather",
    "library:prefetch_from_host",
    "library:incast_seven_to_one",
)
Event = dict[str, Any]


def events_of(result: Result, options: TraceOptions | None = None) -> list[Event]:
    out = io.StringIO()
    write_trace(result, out, options)
    data = json.loads(out.getvalue(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    events: list[Event] = data["traceEvents"]
    return events


def tracks(events: list[Event]) -> Iterator[tuple[tuple[int, int], list[tuple[float, float]]]]:
    """The slices of every track in order of time, in whole picoseconds."""
    found: dict[tuple[int, int], list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "X":
            begin = round(event["ts"] * 1e6)
            found.setdefault((event["pid"], event["tid"]), []).append((begin, begin + round(event["dur"] * 1e6)))
    for place, slices in found.items():
        yield place, sorted(slices)


@pytest.mark.parametrize("name", NAMES)
def test_slices_are_the_timeline_and_never_overlap(name: str) -> None:
    result = run(name).result
    events = events_of(result)
    timeline = timeline_frame(result)
    assert sum(event["ph"] == "X" for event in events) == len(timeline)
    for _, slices in tracks(events):
        for (_, end), (begin, _) in pairwise(slices):
            assert begin >= end
    took = sum(event["dur"] for event in events if event["ph"] == "X")
    assert took == pytest.approx(1e6 * (timeline["end"] - timeline["begin"]).sum(), rel=1e-9)


@pytest.mark.parametrize(("chunks", "each"), [(1, 1.0), (4, 0.25)])
def test_slices_of_communication_say_what_a_chip_sends(tmp_path: Path, chunks: int, each: float) -> None:
    """An all-gather over four chips of a switch: three quarters of the array leave each chip."""
    text = (
        "name: gather\nsystem: {chip: h100_sxm, topology: switch(4), mesh: {X: 4}}\nworkload:\n  dims: {B: 1024, D: 4096}\n"
        f"  ops: ['y:bf16[B,D] = all_gather(x:bf16[B_X,D], over=X, chunks={chunks})', 'z:bf16[B,D] = relu(y)']\n"
    )
    (tmp_path / "gather.yaml").write_text(text)
    slices = [event for event in events_of(run(str(tmp_path / "gather.yaml")).result) if event["ph"] == "X"]
    sent = [event["args"]["network_bytes"] for event in slices if event["name"] == "y"]
    assert sent == pytest.approx([each * 3 / 4 * 2 * 1024 * 4096] * (4 * chunks))
    assert not any("network_bytes" in event["args"] for event in slices if event["name"] == "z")


@pytest.mark.parametrize("name", NAMES)
def test_every_chip_is_a_process_and_every_queue_a_track(name: str) -> None:
    result = run(name).result
    events = events_of(result)
    processes = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"}
    for chip in range(result.plan.system.size):
        assert processes[chip].startswith(f"chip {chip} (")
    timeline = timeline_frame(result)
    want = set(zip(timeline["chip"].tolist(), timeline["queue"].astype(str).tolist(), strict=True))
    assert {(pid, name) for (pid, _), name in threads.items()} == want
    assert len(threads) == len(want)


@pytest.mark.parametrize("name", NAMES)
def test_flows_go_from_slice_to_slice(name: str) -> None:
    result = run(name).result
    events = events_of(result)
    starts = {event["id"]: event for event in events if event["ph"] == "s"}
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    assert starts.keys() == ends.keys()
    assert len(starts) == len(dependencies_frame(result))
    begins = {(e["pid"], e["tid"], e["ts"]) for e in events if e["ph"] == "X"}
    for number, start in starts.items():
        end = ends[number]
        assert (start["pid"], start["tid"], start["ts"]) in begins
        assert (end["pid"], end["tid"], end["ts"]) in begins
        assert start["ts"] <= end["ts"]
        assert end["bp"] == "e"
    # both ends are on one chip wherever both tasks are: only messages cross
    if name == "library:chunked_all_reduce":
        assert all(starts[number]["pid"] == ends[number]["pid"] for number in starts)


@pytest.mark.parametrize("points", [5_000, 7])
def test_counters_integrate_to_the_bytes(points: int) -> None:
    result = run("library:chunked_all_reduce").result
    end = result.time_s * 1e6
    found: dict[tuple[int, str], list[tuple[float, float]]] = {}
    for event in events_of(result, TraceOptions(flows=False, points=points)):
        if event["ph"] == "C":
            found.setdefault((event["pid"], event["name"]), []).append((event["ts"], event["args"]["value"]))
    busy = busy_seconds(usage_frame(result))
    resources = {each.name: each for each in result.plan.program.resources}
    for (pid, name), values in found.items():
        assert values == sorted(values, key=lambda value: value[0])
        area = sum(
            level * ((values[at + 1][0] if at + 1 < len(values) else end) - ts) for at, (ts, level) in enumerate(values)
        )
        if name == "HBM bytes/s":
            want = busy["chip0.hbm"] * resources["chip0.hbm"].per_s  # the chips are alike
        elif name.endswith(" bytes/s"):
            link = name.removesuffix(" bytes/s")
            want = busy[link] * resources[link].per_s
        else:
            assert name == "HBM held"
            levels = memory_levels(memory_frame(result))
            levels = levels[levels["chip"] == pid]
            if points < len(levels):
                assert max(level for _, level in values) == pytest.approx(levels["bytes"].max(), rel=1e-5)
                continue
            want = ((levels["end"] - levels["begin"]) * levels["bytes"]).sum()
        assert area * 1e-6 == pytest.approx(want, rel=1e-4)
    assert {name for _, name in found} >= {"HBM bytes/s", "HBM held"}
    assert any(name.startswith("ici:") for _, name in found)


@pytest.mark.parametrize("name", NAMES)
def test_our_own_trace_read_back_says_the_same(name: str, tmp_path: Path) -> None:
    result = run(name).result
    path = tmp_path / "trace.json.gz"
    write_trace_file(result, path)
    with gzip.open(path) as packed:
        json.load(packed)
    back, timeline = read_trace(path), timeline_frame(result)
    assert len(back) == len(timeline)
    assert sorted(back["op"].astype(str)) == sorted(timeline["op"].astype(str))
    assert sorted(back["does"].astype(str)) == sorted(timeline["does"].astype(str))
    ours, theirs = temporal_breakdown(timeline), temporal_breakdown(back)
    for part in (*PARTS, "total"):
        assert theirs[part].tolist() == pytest.approx(ours[part].tolist(), rel=1e-9, abs=1e-12)


WAITS_FIRST = """
name: waits
system: {chip: v100_sxm2_32gb, topology: switch(4) over nvlink, mesh: {X: 4}}
workload:
  dims: {B: 8192, D: 4096, F: 4096}
  ops: ["y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])"]
processes: {loader: {feeds: x, every: 1 ms, uses: {hbm: 100 MB}}}
"""


def test_what_comes_before_the_first_slice_is_there_when_read_back(tmp_path: Path) -> None:
    (tmp_path / "waits.yaml").write_text(WAITS_FIRST)
    result = run(str(tmp_path / "waits.yaml")).result
    timeline = timeline_frame(result)
    assert timeline["begin"].min() > 0.5e-3  # else this shows nothing
    write_trace_file(result, tmp_path / "trace.json")
    for paths in ([tmp_path / "trace.json"], write_hta(result, tmp_path)):
        ours, theirs = temporal_breakdown(timeline), temporal_breakdown(read_trace(*paths))
        for part in (*PARTS, "total"):
            assert theirs[part].tolist() == pytest.approx(ours[part].tolist(), rel=1e-9, abs=1e-12)
    # a measured trace says nothing of the kind, and starts with its first slice
    measured = json.loads((tmp_path / "trace.json").read_text())
    for other in ({}, {"overlapse_zero_us": "0"}, {"overlapse_zero_us": math.inf}, {"version": 0}, 0):
        (tmp_path / "measured.json").write_text(json.dumps({**measured, "otherData": other}))
        assert read_trace(tmp_path / "measured.json")["begin"].min() == 0.0


def test_folded_chips_say_whose_memory_and_arrows_these_are() -> None:
    result = run("library:dgx_h100_all_reduce").result
    events = events_of(result)
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert {event["pid"] for event in events if event["name"] == "HBM held"} == {0}
    assert all(names[chip].endswith(", memory and arrows: chip 0, for 8 alike)") for chip in range(8))
    assert names[8] == "links (each for all that are alike)"
    whole = run("library:dgx_h100_all_reduce", ["run.fold=false"]).result
    events = events_of(whole)
    names = {event["pid"]: event["args"]["name"] for event in events if event["name"] == "process_name"}
    assert {event["pid"] for event in events if event["name"] == "HBM held"} == set(range(8))
    assert not any("arrows" in name or "alike" in name for name in names.values())


def test_names_are_escaped() -> None:
    result = finished_run(640)
    for planned in result.plan.kernels:
        object.__setattr__(planned.kernel, "name", 'a"b\\c</script>\n')
    names = {event["name"] for event in events_of(result) if event["ph"] == "X"}
    assert names == {'a"b\\c</script>\n'}


def test_too_many_slices_leave_one_chip_of_each_class(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("library:dgx_h100_all_reduce").result
    assert {event["pid"] for event in events_of(result) if event["ph"] == "X"} == set(range(8))
    monkeypatch.setattr(trace_module, "MAX_SLICES", 1)
    events = events_of(result)
    assert {event["pid"] for event in events if event["ph"] == "X"} == {0}
    (name,) = {e["args"]["name"] for e in events if e["name"] == "process_name" and e["pid"] == 0}
    assert name.endswith(", like 7 more)")


@pytest.mark.long
def test_memory_does_not_grow_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_module, "BATCH", 4096)
    result, plain = finished_run(48_000), TraceOptions(counters=False)
    timeline_frame(result)  # what is imported late is no part of it
    tracemalloc.start()
    write_trace_file(result, tmp_path / "trace.json", plain)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "trace.json").stat().st_size > 15e6
    assert peak < 12e6  # columns, of 48,000 rows and their dependencies; text is let go batch by batch
