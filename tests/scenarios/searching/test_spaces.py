"""Which layouts a search is among: what is varied, and what of it is one layout."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenarios import load_scenario, run
from scenarios.questions.searching.spaces import space_of
from tests.scenarios.searching.cases import ASKED, TEXT, file_of
from tests.support.cases import overlapse


def test_the_order_of_axes_on_the_topology_is_part_of_a_space(tmp_path: Path) -> None:
    """Of two axes there are two orders, which differ in what goes over the slower links between nodes."""
    path = tmp_path / "s.yaml"
    wiring = "[switch(2) over nvlink, switch(2) over infiniband]"
    path.write_text(TEXT.format(chip="h100_sxm", topology=wiring, capacity="80 GB", batch=16, overlap="full"), "utf-8")
    said = ("tp=2", "pp=1", "microbatch=2", "zero=0", "recompute=none", "order=all")
    asked = [text for each in said for text in ("--vary", each)]
    told = json.loads(overlapse("search", str(path), *asked, "--goal", "time", "--most", "9", "--json").stdout)
    assert {tuple(row["order"].split()[:2]) for row in told["ran"]} == {("tp", "dp"), ("dp", "tp")}
    assert told["ran"][0]["time"] < told["ran"][1]["time"] / 1.05
    assert told["twin_reasons"] == {"axes of one chip lie anywhere: one order is as another": 4}
    assert (told["twins"], told["refused"], told["candidates"]) == (4, 0, 6)


def test_blocks_of_which_all_is_recomputed_are_searched_over(tmp_path: Path) -> None:
    said = ("tp=1", "pp=1", "microbatch=2", "zero=0", "recompute={blocks: 1}")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked)
    assert shown.exit_code == 0
    assert "recompute: {blocks: 1}" in shown.stdout
    assert "'blocks'" not in shown.stdout


def test_without_a_pipeline_schedules_are_one_layout(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    said = ("tp=1", "pp=1,2", "microbatch=2", "zero=0", "recompute=none", "schedule=gpipe,1f1b,zero_bubble")
    asked = [text for each in said for text in ("--vary", each)]
    told = json.loads(overlapse("search", file, *asked, "--json").stdout)
    assert told["twin_reasons"] == {"without a pipeline one schedule is as any other": 2}
    assert told["candidates"] == 6
    shown = overlapse("search", file, *asked).stdout
    assert "6 layouts: 2 are as another, 0 cannot be built" in shown


def test_one_chunk_a_stage_interleaved_is_1f1b(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    said = ("tp=1", "pp=2", "microbatch=2", "zero=0", "recompute=none", "schedule=1f1b,interleaved", "interleave=1,2")
    asked = [text for each in said for text in ("--vary", each)]
    told = json.loads(overlapse("search", file, *asked, "--json").stdout)
    assert told["twin_reasons"] == {
        "with one chunk a stage interleaved is 1f1b": 1,
        "chunks a stage are of the schedules interleaved and paired: others have one": 1,
    }
    assert told["twins"] + told["refused"] < told["candidates"]


def test_schedules_are_searched_where_the_search_chooses_pipelines(tmp_path: Path) -> None:
    """Unless one of their keys is said: then the others are as the file has them."""
    scenario = load_scenario(file_of(tmp_path, "fast links"))
    assert space_of(scenario)["schedule"] == ["1f1b", "interleaved", "zero_bubble"]
    assert space_of(scenario)["interleave"] == [1, 2, 4]
    for said in ({"pp": [1, 2]}, {"schedule": ["gpipe"]}, {"interleave": [1]}):
        assert {"schedule", "interleave"} & space_of(scenario, said).keys() == said.keys() - {"pp"}
    assert "cp" not in space_of(scenario)
    long = load_scenario(file_of(tmp_path, "fast links"), ("workload.seq=32768",))
    assert space_of(long)["cp"] == [1, 2, 4]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *ASKED, "--most", "1").stdout
    assert "not varied: cp, ep, schedule, interleave, collective_matmul, order (--vary KEY=VALUES)" in " ".join(
        shown.split()
    )


def test_matmuls_in_pieces_are_searched(tmp_path: Path) -> None:
    """The winner is that of running each way."""
    file = file_of(tmp_path, "fast links")
    fixed = ("tp=2", "pp=1", "zero=0", "microbatch=1", "recompute=none", "schedule=1f1b")
    asked = [text for said in (*fixed, "collective_matmul=1,2,8") for text in ("--vary", said)]
    found = json.loads(overlapse("search", file, *asked, "--json").stdout)
    times = {
        pieces: run(file, [f"workload.parallel={{tp: 2, dp: 2, microbatch: 1, collective_matmul: {pieces}}}"]).words
        for pieces in (1, 2, 8)
    }
    assert found["candidates"] == 3
    assert found["best"]["time"] == pytest.approx(min(words.result.time_s for words in times.values()), rel=1e-9)
    assert found["proven"]


def test_experts_are_searched_over_where_there_are_some(tmp_path: Path) -> None:
    scenario = load_scenario(file_of(tmp_path, "fast links"))
    assert "ep" not in space_of(scenario)
    sparse = ("workload.model.moe={experts: 6, top_k: 2, d_expert: 256}", "workload.model.ffn.d_ff=null")
    assert space_of(load_scenario(file_of(tmp_path, "fast links"), sparse))["ep"] == [1, 2]
