"""Measured traces in: Kineto's format written out by hand, plain Chrome traces, and files that are neither."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from analysis import read_timeline, read_trace, temporal_breakdown
from analysis.timelines import PARTS, diff_timelines, idle_by_cause, idle_intervals, overlap_fraction, rollup, skew
from hw import SpecError
from scenarios import run
from scenarios.cli import app
from tests.support.timelines import indexed

US = 1e-6
START = 1_712_000_000_000_000.25  # Kineto's clock: microseconds since 1970


def slice_(name: str, cat: str, ts: float, dur: float, stream: int) -> dict[str, Any]:
    args = {"stream": stream, "device": 0, "correlation": int(ts)}
    return {"ph": "X", "name": name, "cat": cat, "pid": 0, "tid": stream, "ts": START + ts, "dur": dur, "args": args}


def kineto(rank: int, late: float = 0.0) -> dict[str, Any]:
    """Two matmuls with an all-reduce of 30 us beside the second, then a copy: what a profiler's file has in it."""
    return {
        "schemaVersion": 1,
        "deviceProperties": [{"id": 0, "name": "NVIDIA H100 80GB HBM3"}],
        "distributedInfo": {"backend": "nccl", "rank": rank, "world_size": 2},
        "traceEvents": [
            {"ph": "M", "name": "process_name", "pid": 0, "tid": 0, "ts": START, "args": {"name": "python"}},
            {
                "ph": "X",
                "cat": "cpu_op",
                "name": "aten::mm",
                "pid": 77,
                "tid": 77,
                "ts": START - 5,
                "dur": 90,
                "args": {},
            },
            {
                "ph": "X",
                "cat": "cuda_runtime",
                "name": "cudaLaunchKernel",
                "pid": 77,
                "tid": 77,
                "ts": START - 4,
                "dur": 2,
            },
            slice_("ProfilerStep#1", "gpu_user_annotation", 0, 100, 7),
            slice_("sm90_xmma_gemm_bf16", "kernel", 0, 20, 7),
            slice_("ncclDevKernel_AllReduce_Sum_bf16_RING_LL", "kernel", 20 + late, 30 - late, 20),
            slice_("sm90_xmma_gemm_bf16", "kernel", 25, 15, 7),
            slice_("Memcpy DtoH (Device -> Pinned)", "gpu_memcpy", 55, 5, 9),
            {"ph": "s", "id": 1, "pid": 77, "tid": 77, "ts": START, "cat": "ac2g", "name": "ac2g"},
            {"ph": "i", "name": "marker", "pid": 0, "tid": 0, "ts": START, "s": "g"},
        ],
    }


@pytest.fixture
def ranks(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "rank0.json", tmp_path / "rank1.json.gz"]
    paths[0].write_text(json.dumps(kineto(0)))
    paths[1].write_bytes(gzip.compress(json.dumps(kineto(1, late=5)).encode()))
    return paths


def test_a_measured_trace_goes_through_the_same_analyses(ranks: list[Path]) -> None:
    timeline = read_trace(*ranks)
    assert sorted(timeline["chip"].unique()) == [0, 1]
    assert len(timeline) == 8  # the device's slices, without annotations
    assert timeline["begin"].min() == 0.0
    found = indexed(temporal_breakdown(timeline), "chip")
    # 20 + 15 us compute; the all-reduce alone for 5 + 10 us, or only 10 where it begins with the second matmul
    want = {0: (35, 15, 5, 0, 5), 1: (35, 10, 5, 0, 10)}
    for chip, parts in want.items():
        assert found.loc[chip, list(PARTS)].tolist() == pytest.approx([US * us for us in parts], abs=1e-12)
        assert found.loc[chip, "total"] == pytest.approx(60 * US)
    overlap = overlap_fraction(timeline).set_index("chip")["fraction"]
    assert overlap.tolist() == pytest.approx([15 / 30, 15 / 25])
    idle = idle_intervals(timeline)
    assert (idle["end"] - idle["begin"]).sum() == pytest.approx(15 * US)
    assert set(idle_by_cause(timeline)["cause"]) <= {"held", "end"}
    late = skew(timeline)
    assert late[["chips", "last"]].to_numpy().tolist() == [[2, 1]]
    assert late["skew"].tolist() == pytest.approx([5 * US])
    top = rollup(timeline, "op").iloc[0]
    assert (top["op"], top["tasks"]) == ("sm90_xmma_gemm_bf16", 4)


def test_measured_and_simulated_are_compared_with_one_tool(ranks: list[Path]) -> None:
    simulated = run("library:chunked_all_reduce").timeline
    measured = read_trace(*ranks)
    found = indexed(diff_timelines(simulated, measured, by="does"), "does")
    assert found.loc["arithmetic", "time_after"] == pytest.approx(35 * US)
    assert found.loc["memory", "time_before"] == 0.0
    assert measured.overlapse.breakdown().columns.tolist() == simulated.overlapse.breakdown().columns.tolist()


def test_plain_chrome_traces(tmp_path: Path) -> None:
    path = tmp_path / "chrome.json"
    events = [
        {"ph": "M", "name": "thread_name", "pid": 3, "tid": 1, "args": {"name": "main"}},
        {"ph": "B", "name": "outer", "pid": 3, "tid": 1, "ts": 10},
        {"ph": "B", "name": "inner", "pid": 3, "tid": 1, "ts": 12},
        {"ph": "E", "pid": 3, "tid": 1, "ts": 14},
        {"ph": "E", "pid": 3, "tid": 1, "ts": 20},
        {"ph": "X", "name": "gloo:all_reduce", "pid": "other", "tid": 1, "ts": 15, "dur": 10, "args": None},
    ]
    path.write_text(json.dumps(events))  # a bare array is a trace, too
    timeline = read_trace(path)
    assert timeline["op"].tolist() == ["outer", "inner", "gloo:all_reduce"]
    assert timeline["queue"].tolist() == ["main", "main", "1"]
    assert timeline["chip"].tolist() == [0, 0, 1]  # names of processes become numbers
    found = temporal_breakdown(timeline)
    assert found["arithmetic"].tolist() == pytest.approx([10 * US, 0])
    assert found["network"].tolist() == pytest.approx([0, 10 * US])
    assert math.isnan(timeline["waiting"].iloc[0])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ":1:1: this is not JSON"),
        ('{"traceEvents": [}', ":1:18: this is not JSON"),
        ('{"events": []}', "no list of traceEvents"),
        ('"text"', "no list of traceEvents"),
        ('{"traceEvents": []}', "the trace has no slices"),
        ('{"traceEvents": [{"ph": "X", "name": "a"}]}', 'a slice is not as the format says: "a" has no ts'),
        ('{"traceEvents": [{"ph": "X", "name": "a", "ts": "soon", "dur": 1}]}', '"a" has ts "soon", not a number'),
        ('{"traceEvents": [{"ph": "X", "name": "a", "ts": 1, "dur": -1}]}', "dur -1"),
        ('{"traceEvents": [{"ph": "X", "name": "a", "ts": NaN, "dur": 1}]}', "ts NaN, not a number of microseconds"),
        (
            '{"traceEvents": [{"ph": "X", "name": "a", "ts": 1, "dur": 1, "args": [1]}]}',
            '"a" has args [1], not an object',
        ),
        ('[{"ph": "B", "name": "a", "ts": 1}, {"ph": "E", "ts": null}]', 'ph "E" has ts null, not a number'),
        ('[{"ph": "B", "name": "a", "ts": 3}, {"ph": "E", "ts": 1}]', "a begin (ph B) without its end"),
        ('[{"ph": "X", "name": "a", "ts": 1' + "0" * 400 + "}]", "not a number of microseconds"),
        ('[{"ph": "X", "name": "a", "ts": 1' + "0" * 5000 + "}]", "too many digits"),
        ('{"traceEvents": [], "distributedInfo": {"rank": "first"}}', 'rank is "first", not a whole number'),
        ("[" * 100_000, "nests too deeply"),
    ],
)
def test_what_is_no_trace_is_said_plainly(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text(text)
    with pytest.raises(SpecError, match=r"trace\.json") as caught:
        read_trace(path)
    assert message in str(caught.value)
    assert "Error" not in str(caught.value)


def without_rank(folder: Path, name: str, *pids: object) -> Path:
    path = folder / name
    path.write_text(json.dumps([{"ph": "X", "name": "a", "pid": pid, "tid": 1, "ts": 0, "dur": 100} for pid in pids]))
    return path


def test_files_without_a_rank_are_numbered_in_the_order_given(tmp_path: Path, ranks: list[Path]) -> None:
    first, second, third = (without_rank(tmp_path, f"{name}.json", 0) for name in "abc")
    timeline = read_trace(third, first, second)
    assert sorted(timeline["chip"]) == [0, 1, 2]
    assert timeline.attrs["numbered"] == {str(third): [0], str(first): [1], str(second): [2]}
    assert temporal_breakdown(timeline)["arithmetic"].tolist() == pytest.approx([100 * US] * 3)
    # chips of one file stay apart, and ranks that files do say stay free for them
    node = without_rank(tmp_path, "node.json", "x", 7)
    mixed = read_trace(first, ranks[1], node)
    assert mixed.attrs["numbered"] == {str(first): [0], str(node): [2, 3]}
    assert mixed["chip"].value_counts().to_dict() == {0: 1, 1: 4, 2: 1, 3: 1}
    assert "numbered" not in read_trace(*ranks).attrs
    assert read_trace(without_rank(tmp_path, "alone.json", 5))["chip"].tolist() == [5]
    shown = CliRunner().invoke(app, ["import", str(second), str(first)])
    assert shown.exit_code == 0
    assert "2 slices, 2 chips" in shown.stdout
    assert [line for line in shown.stderr.splitlines() if "numbered" in line] == [
        f"not every file speaks of one rank: chips are numbered in the order given: {second} is 0, {first} is 1"
    ]
    assert CliRunner().invoke(app, ["import", *map(str, ranks)]).stderr == ""


def test_one_rank_in_two_files_is_refused(tmp_path: Path, ranks: list[Path]) -> None:
    again = tmp_path / "again.json"
    again.write_text(json.dumps(kineto(0)))
    plain = without_rank(tmp_path, "a.json", 0)
    with pytest.raises(SpecError) as caught:
        read_trace(ranks[0], ranks[1], again, plain, plain, tmp_path / ".." / tmp_path.name / "a.json")
    messages = str(caught.value).splitlines()
    assert len(caught.value.problems) == 3
    assert f"{again}:1:1: this says rank 0, and so does {ranks[0]}" in messages
    assert sum(f"this file is given twice: it is {plain}" in line for line in messages) == 2
    refused = CliRunner().invoke(app, ["import", str(ranks[0]), str(again)])
    assert refused.exit_code == 2
    assert str(ranks[0]) in refused.stderr


def test_all_problems_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\xfa")
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(b"{}" * 50)[:-4])
    with pytest.raises(SpecError) as caught:
        read_trace(tmp_path / "a.json", tmp_path / "b.json.gz", tmp_path / "none.json")
    assert len(caught.value.problems) == 3


def test_the_command(ranks: list[Path], tmp_path: Path) -> None:
    runner = CliRunner()
    shown = runner.invoke(app, ["import", *map(str, ranks)])
    assert shown.exit_code == 0
    assert "8 slices, 2 chips, 60 us" in shown.stdout
    assert "58.3 %" in shown.stdout
    assert "sm90_xmma_gemm_bf16" in shown.stdout
    written = tmp_path / "timeline.csv"
    record = runner.invoke(app, ["import", str(ranks[0]), "--json", "--out", str(written)])
    data = json.loads(record.stdout)
    assert data["chips"][0]["arithmetic"] == pytest.approx(35 * US)
    assert data["chips"][0]["overlap"] == pytest.approx(0.5)
    assert temporal_breakdown(read_timeline(written))["arithmetic"].tolist() == pytest.approx([35 * US])
    wrong = runner.invoke(app, ["import", str(tmp_path / "none.json")])
    assert wrong.exit_code == 2
    assert "cannot read the file" in wrong.stderr
    odd = runner.invoke(app, ["import", str(ranks[0]), "--out", str(tmp_path / "t.xls")])
    assert odd.exit_code == 2
