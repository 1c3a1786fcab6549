"""Holistic Trace Analysis loads our per-rank traces, and finds what we find: breakdown and overlap to 0.1 point.

What its files must be like (a space after "rank":, names by which it tells kernels apart) is tested without it, too.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from analysis import read_trace, temporal_breakdown, timeline_frame
from analysis.timelines import PARTS, overlap_fraction
from analysis.traces import write_hta
from hw import System, load_chip
from scenarios import run
from simulator import RunOptions, parse_graph, simulate
from tests.support.timelines import indexed

SCENARIOS = (
    "library:chunked_all_reduce",  # partly hidden behind arithmetic
    "library:pipeline_bubble",  # eight chips, idle for different times
    "library:collective_matmul_gather",  # messages within collectives
    "library:mixed_v100_a100_ethernet",  # unlike chips wait for each other
)
POINT = 0.1


@pytest.mark.parametrize("name", SCENARIOS)
def test_breakdown_and_overlap_are_equal(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTA_DISABLE_NS_ROUNDING", "1")
    result = run(name).result
    size = result.plan.system.size
    assert size >= 2
    write_hta(result, tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own
        tool: Any = pytest.importorskip("hta.trace_analysis", reason="needs the extra `hta`: overlapse[hta]")
        analyzer = tool.TraceAnalysis(trace_dir=str(tmp_path))
        theirs = analyzer.get_temporal_breakdown(visualize=False).set_index("rank")
        hidden = analyzer.get_comm_comp_overlap(visualize=False).set_index("rank")["comp_comm_overlap_pctg"]
    timeline = timeline_frame(result)
    ours = indexed(temporal_breakdown(timeline, span="own"), "chip")
    fraction = indexed(overlap_fraction(timeline), "chip")["fraction"]
    assert sorted(theirs.index) == sorted(ours.index) == list(range(size))
    for chip, row in ours.iterrows():
        share = {part: 100 * row[part] / row["total"] for part in PARTS}
        found = theirs.loc[chip]
        assert found["compute_time_pctg"] == pytest.approx(share["arithmetic"], abs=POINT)
        exposed = share["network"] + share["memory"] + share["other"]
        assert found["non_compute_time_pctg"] == pytest.approx(exposed, abs=POINT)
        assert found["idle_time_pctg"] == pytest.approx(share["idle"], abs=POINT)
        assert found["kernel_time(us)"] == pytest.approx(1e6 * row["total"], rel=1e-9)
        assert hidden.loc[chip] == pytest.approx(100 * fraction.loc[chip], abs=POINT, nan_ok=True)


def test_the_rank_is_where_its_reader_looks_for_it(tmp_path: Path) -> None:
    paths = write_hta(run("library:chunked_all_reduce").result, tmp_path)
    assert [path.name for path in paths] == ["rank0.json", "rank1.json"]
    for rank, path in enumerate(paths):
        found = [re.search(r'"rank":\s+(\d+)', line) for line in path.read_text().splitlines()]
        assert [int(match.group(1)) for match in found if match] == [rank]
        assert json.loads(path.read_text())["distributedInfo"]["world_size"] == 2


def test_names_that_it_would_take_for_something_else(tmp_path: Path) -> None:
    lines = [
        "ncclish:bf16[B,D] = relu(x:bf16[B,D])",
        "Memcpyish:bf16[B,D] = relu(ncclish)",
        "Syncish:bf16[B,D] = relu(Memcpyish)",
        "plain:bf16[B,D] = relu(Syncish)",
        "moved:bf16[B,D] = copy(plain)",
    ]
    result = simulate(parse_graph(lines, {"B": 64, "D": 64}), System(load_chip("tpu_v5e")), RunOptions())
    (path,) = write_hta(result, tmp_path, packed=True)
    events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    names = {event["args"]["op"]: event["name"] for event in events}
    kinds = {event["args"]["op"]: event["cat"] for event in events}
    assert names["plain"] == "plain"
    assert names["moved"].startswith("Memcpy ")
    assert kinds["moved"] == "gpu_memcpy"
    for op in ("ncclish", "Memcpyish", "Syncish"):
        assert re.fullmatch(r"op\d+", names[op])
    assert all(event["args"]["stream"] > 0 for event in events)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_files_read_back_say_the_same(name: str, tmp_path: Path) -> None:
    result = run(name).result
    back = read_trace(*write_hta(result, tmp_path))
    timeline = timeline_frame(result)
    for ours, theirs in (
        (temporal_breakdown(timeline), temporal_breakdown(back)),
        (overlap_fraction(timeline), overlap_fraction(back)),
    ):
        assert theirs["chip"].tolist() == ours["chip"].tolist()
        for column in ours.columns[1:]:
            for got, want in zip(theirs[column], ours[column], strict=True):
                assert got == pytest.approx(want, rel=1e-9, abs=1e-12) or (math.isnan(got) and math.isnan(want))
