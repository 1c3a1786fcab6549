"""Real traces of one H100: what is read of them against sums over their plain JSON."""

from __future__ import annotations

import gzip
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from analysis import read_trace, temporal_breakdown
from analysis.timelines import overlap_fraction, rollup
from tests.support.timelines import indexed
from tests.support.traces import union_us

FOLDER = Path(__file__).parents[4] / "shared" / "validation" / "gpu"
TRACES = sorted(FOLDER.glob("h100_trace_*.json.gz"))
DEVICE = {"kernel": "arithmetic", "gpu_memcpy": "memory", "gpu_memset": "memory"}

needs_traces = pytest.mark.skipif(not TRACES, reason=f"needs the measured traces, in {FOLDER}")
pytestmark = needs_traces


def slices_of(path: Path) -> list[dict[str, Any]]:
    """What stands in the file as the device's, times relative and in microseconds, from digits as they are."""
    with gzip.open(path, "rt") as file:
        data = json.load(file, parse_float=Fraction)
    found = [event for event in data["traceEvents"] if event.get("ph") == "X" and event.get("cat") in DEVICE]
    first = min(event["ts"] for event in found)
    return [
        {**event, "begin": float(event["ts"] - first), "end": float(event["ts"] - first + event["dur"])}
        for event in found
    ]


def spans(slices: list[dict[str, Any]], *does: str) -> list[tuple[float, float]]:
    return [(event["begin"], event["end"]) for event in slices if not does or DEVICE[event["cat"]] in does]


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.split(".")[0])
def test_every_slice_of_the_device_is_there_and_nothing_else(path: Path) -> None:
    timeline, slices = read_trace(path), slices_of(path)
    assert timeline.attrs["notes"] == []
    assert set(timeline["chip"]) == {0}
    want = sorted((event["begin"], event["end"], event["name"], str(event["args"]["stream"])) for event in slices)
    rows = zip(1e6 * timeline["begin"], 1e6 * timeline["end"], timeline["op"], timeline["queue"], strict=True)
    found = sorted((float(begin), float(end), str(op), str(queue)) for begin, end, op, queue in rows)
    assert [row[2:] for row in found] == [row[2:] for row in want]
    for (begin, end, *_), (want_begin, want_end, *_) in zip(found, want, strict=True):
        assert (begin, end) == pytest.approx((want_begin, want_end), rel=1e-12, abs=1e-9)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.split(".")[0])
def test_the_totals_are_those_of_the_file(path: Path) -> None:
    timeline, slices = read_trace(path), slices_of(path)
    found = temporal_breakdown(timeline).iloc[0].mul(1e6)
    whole, arithmetic = union_us(spans(slices)), union_us(spans(slices, "arithmetic"))
    end = max(event["end"] for event in slices)
    assert found["arithmetic"] == pytest.approx(arithmetic, rel=1e-9)
    assert found["memory"] == pytest.approx(whole - arithmetic, rel=1e-9, abs=1e-6)
    assert found["idle"] == pytest.approx(end - whole, rel=1e-9)
    assert found["total"] == pytest.approx(end, rel=1e-12)
    for stream, row in indexed(rollup(timeline, "queue"), "queue").iterrows():
        of_stream = [event for event in slices if str(event["args"]["stream"]) == stream]
        assert row["tasks"] == len(of_stream)
        assert 1e6 * row["time"] == pytest.approx(sum(event["end"] - event["begin"] for event in of_stream), rel=1e-9)


@pytest.mark.parametrize("path", TRACES, ids=lambda path: path.name.split(".")[0])
def test_copies_are_hidden_where_kernels_run(path: Path) -> None:
    timeline, slices = read_trace(path), slices_of(path)
    copies, kernels = spans(slices, "memory"), spans(slices, "arithmetic")
    both = union_us(copies) + union_us(kernels) - union_us(copies + kernels)
    found = overlap_fraction(timeline, what="memory").iloc[0]
    assert 1e6 * found["overlapped"] == pytest.approx(both, rel=1e-9, abs=1e-6)


def test_a_training_step_of_213_kernels() -> None:
    (path,) = [each for each in TRACES if "gpt2" in each.name]
    timeline = read_trace(path)
    assert indexed(rollup(timeline, "kind"), "kind")["tasks"].to_dict() == {
        "kernel": 213,
        "gpu_memset": 52,
        "gpu_memcpy": 1,
    }
    # digits of the file's clock: no slice overlaps its neighbour on a stream
    ordered = timeline.sort_values(["queue", "begin"])
    same = ordered["queue"].to_numpy()[1:] == ordered["queue"].to_numpy()[:-1]
    assert (ordered["begin"].to_numpy()[1:][same] >= ordered["end"].to_numpy()[:-1][same]).all()
    assert "Optimizer.step#AdamW.step" not in set(timeline["op"])
