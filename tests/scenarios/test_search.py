"""Search over layouts: the winner is that of trying all, bounds are bounds, and what is left out is left out rightly."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from itertools import product
from math import prod
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hw import RunError, SpecError
from scenarios import load_scenario, run
from scenarios.questions.searching import drawn as drawn_module
from scenarios.questions.searching.drawn import drawn
from scenarios.questions.searching.layouts import paths_of
from scenarios.questions.searching.search import RunsHere, Searched, Wanted, Words, always, search
from scenarios.questions.searching.spaces import space_of
from scenarios.studies.executors import given as given_workers
from scenarios.studies.search_runs import search_runs
from tests.support.cases import overlapse

TEXT = """\
name: s
system: {{chip: {chip}, topology: {topology}, set: {{hbm.capacity: {capacity}}}}}
workload:
  model:
    name: small
    layers: 4
    d_model: 1024
    attention: {{heads: 8}}
    ffn: {{d_ff: 4096, gated: true, activation: silu}}
    embedding: {{vocab: 8192}}
  batch: {batch}
  seq: 256
run: {{overlap: {overlap}}}
"""
SPACE: Mapping[str, list[Any]] = {
    "tp": [1, 2, 4],
    "pp": [1, 2, 3],
    "zero": [0, 3],
    "microbatch": [2],
    "recompute": ["none", "full"],
}
ASKED = [text for key, values in SPACE.items() for text in ("--vary", f"{key}={','.join(map(str, values))}")]
MORE: Mapping[str, Mapping[str, list[Any]]] = {
    "schedule": {"schedule": ["gpipe", "zero_bubble"]},
    "interleave": {"schedule": ["1f1b", "interleaved"], "interleave": [1, 2], "zero": [0]},
    "collective_matmul": {"collective_matmul": [1, 2]},
    "cp": {"cp": [1, 2]},
    "ep": {"ep": [1, 2]},
    "zero": {"zero": [1, 2]},
    "order": {"order": ["tp cp ep dp pp", "pp dp tp cp ep"]},
}
CASES = {
    "fast links": ("h100_sxm", "switch(4) over nvlink", "80 GB", 16, "full"),
    "slow links": ("tpu_v5e", "ring(4)", "16 GB", 8, "none"),
    "little memory": ("h100_sxm", "switch(4) over nvlink", "0.9 GB", 16, "auto"),
}


def file_of(folder: Path, case: str) -> str:
    chip, topology, capacity, batch, overlap = CASES[case]
    path = folder / "s.yaml"
    path.write_text(TEXT.format(chip=chip, topology=topology, capacity=capacity, batch=batch, overlap=overlap), "utf-8")
    return str(path)


def every(file: str) -> Iterator[tuple[Mapping[str, Any], float, bool]]:
    """Each layout that can be built, its time, and whether it fits."""
    for chosen, sets in zip(product(*SPACE.values()), sets_of(SPACE), strict=True):
        try:
            words = run(file, sets).words
        except (SpecError, RunError):
            continue
        yield dict(zip(SPACE, chosen, strict=True)), words.result.time_s, bool(words["fits"])


def sets_of(space: Mapping[str, list[Any]]) -> Iterator[list[str]]:
    """The overrides of each layout of a space."""
    for chosen in product(*space.values()):
        values = zip(space, chosen, strict=True)
        yield [
            f"workload.{'' if key == 'recompute' else 'parallel.'}{key}={as_written(key, value)}"
            for key, value in values
        ]


def as_written(key: str, value: Any) -> Any:
    return f"[{', '.join(value.split())}]" if key == "order" else value


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_the_winner_is_that_of_trying_all(tmp_path: Path, case: str) -> None:
    file = file_of(tmp_path, case)
    tried = list(every(file))
    fastest = min(time_s for _, time_s, fits in tried if fits)
    told = json.loads(overlapse("search", file, *ASKED, "--json").stdout)
    print(f"{case}: {told['simulated']} of {told['candidates']} were run")
    assert told["proven"]
    assert told["best"]["time"] == fastest
    assert told["candidates"] == 36
    assert told["candidates"] - told["refused"] == len(tried)
    assert told["do_not_fit"] <= sum(not fits for _, _, fits in tried)
    assert told["simulated"] < len(tried) / 2
    by_values = {tuple(values.values()): time_s for values, time_s, _ in tried}
    for row in told["ran"]:
        assert row["time"] == by_values[tuple(row[key] for key in SPACE)]
        assert row["earliest"] <= row["time"] * (1 + 1e-9)
    assert (told["do_not_fit"] > 0) is (case == "little memory")


@given(
    layers=st.sampled_from((2, 4)),
    d_model=st.sampled_from((128, 512)),
    batch=st.sampled_from((4, 12)),
    more=st.sampled_from(tuple(MORE)),
    chip=st.sampled_from(("h100_sxm over nvlink", "tpu_v5e over ici", "h100_sxm over infiniband")),
    overlap=st.sampled_from(("full", "none", "auto")),
    fits=st.integers(0, 23),
    above=st.sampled_from((0.9999, 1.0001)),
)
@example(4, 128, 4, "interleave", "h100_sxm over infiniband", "full", 5, 1.0001)
@settings(max_examples=2, deadline=None)
def test_any_search_finds_what_trying_all_finds(
    layers: int, d_model: int, batch: int, more: str, chip: str, overlap: str, fits: int, above: float
) -> None:
    """Chips have as much memory as one of the layouts needs, or a little less. Of axes, schedules, chunks a stage, matmuls
    in pieces, what is shared out and the order of axes on the topology one is part of the space at a time."""
    space: Mapping[str, list[Any]] = {
        "tp": [1, 2],
        "pp": [1, 2],
        "zero": [0, 3],
        "microbatch": [1],
        "recompute": ["none"],
        **MORE[more],
    }
    asked = [text for key, values in space.items() for text in ("--vary", f"{key}={','.join(map(str, values))}")]
    name, link = chip.split(" over ")
    wiring = f"switch(4) over {link}" if link != "infiniband" else "[switch(2) over nvlink, switch(2) over infiniband]"
    text = TEXT.format(chip=name, topology=wiring, capacity="80 GB", batch=batch, overlap=overlap)
    if more == "ep":
        text = text.replace("    embedding:", "    moe: {experts: 4, top_k: 2, d_expert: 256}\n    embedding:")
        text = text.replace("d_ff: 4096, ", "")
    text = text.replace("layers: 4", f"layers: {layers}").replace("d_model: 1024", f"d_model: {d_model}")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "s.yaml"
        path.write_text(text, "utf-8")
        tried = []
        for sets in sets_of(space):
            if "workload.parallel.pp=1" in sets and "workload.parallel.interleave=2" in sets:
                continue  # no framework cuts what is on one stage
            try:
                words = run(str(path), sets).words
            except (SpecError, RunError):
                continue
            tried.append((words.result.time_s, max(words.memory_peaks.values())))
        room = sorted(peak for _, peak in tried)[fits % len(tried)] * above
        told = overlapse("search", str(path), "--set", f"system.set.hbm.capacity={room!r} B", *asked, "--json")
    found, fitting = json.loads(told.stdout), [time_s for time_s, peak in tried if peak <= room]
    assert found["refused"] + found["twins"] >= prod(map(len, space.values())) - len(tried)
    assert found["do_not_fit"] <= len(tried) - len(fitting)
    if not fitting:
        assert found["best"] is None
        return
    assert found["proven"]
    assert found["best"]["time"] == min(fitting)


@pytest.mark.long
def test_a_front_is_that_of_trying_all(tmp_path: Path) -> None:
    """Of time and memory: whatever is run is on it, or beaten by what is."""
    file = file_of(tmp_path, "slow links")
    tried = []
    for sets in sets_of(SPACE):
        try:
            words = run(file, sets).words
        except (SpecError, RunError):
            continue
        tried.append((words.result.time_s, max(words.memory_peaks.values())))
    told = json.loads(overlapse("search", file, *ASKED, "--goal", "time", "--goal", "memory", "--json").stdout)
    assert told["proven"]
    best = {one for one in tried if not any(beats(other, one) for other in tried)}
    assert {(row["time"], row["peak_memory"]) for row in told["front"]} == best
    assert len(best) > 1
    assert told["simulated"] < len(tried)


def test_a_front_is_drawn(tmp_path: Path) -> None:
    """Its layouts are in the picture; the name of the picture is looked at before the search."""
    file, drawn_to = file_of(tmp_path, "slow links"), tmp_path / "front.html"
    said = ("tp=1", "pp=1", "zero=0,3", "microbatch=2", "recompute=full")
    asked = [text for each in said for text in ("--vary", each)]
    goals = ("--goal", "time", "--goal", "memory")
    told = json.loads(overlapse("search", file, *asked, *goals, "--plot", str(drawn_to), "--json").stdout)
    page = drawn_to.read_text("utf-8")
    assert all(f"zero: {row['zero']}, microbatch" in page for row in told["front"])
    again = overlapse("search", file, *asked, *goals, "--plot", str(drawn_to))
    assert (again.exit_code, "nothing is overwritten" in again.stderr) == (2, True)
    other = overlapse("search", file, *asked, "--plot", str(tmp_path / "front.gif"))
    assert (other.exit_code, "a figure is saved as .html, .svg, .png, .pdf" in other.stderr) == (2, True)


def test_what_was_found_is_told_where_nothing_can_draw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    said = ("tp=1", "pp=1", "zero=0", "microbatch=2", "recompute=none")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "slow links"), *asked, "--plot", str(tmp_path / "front.png"))
    assert "best         tp: 1" in shown.stdout
    assert "no browser to draw with" in shown.stderr
    assert shown.exit_code != 0
    assert not (tmp_path / "front.png").exists()


def test_what_is_wrong_with_keys_and_goals_is_told_at_once(tmp_path: Path) -> None:
    shown = overlapse("search", file_of(tmp_path, "slow links"), "--vary", "tpp=1", "--goal", "speed", "--draw", "0")
    assert shown.exit_code == 2
    assert all(each in shown.stderr for each in ("unknown goal 'speed'", "did you mean 'tp'?", "draw is 0"))


def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one != other and one[0] <= other[0] and one[1] <= other[1]


@pytest.mark.parametrize("goal", ["memory", "cost", "tokens_per_dollar"])
def test_another_goal_has_another_winner(tmp_path: Path, goal: str) -> None:
    file = file_of(tmp_path, "slow links")
    asked = (
        "--vary",
        "tp=1,4",
        "--vary",
        "pp=1",
        "--vary",
        "zero=0,3",
        "--vary",
        "microbatch=2",
        "--vary",
        "recompute=full",
    )
    told = json.loads(overlapse("search", file, *asked, "--goal", goal, "--most", "9", "--json").stdout)
    every = json.loads(overlapse("search", file, *asked, "--goal", "time", "--goal", "memory", "--json").stdout)
    word = "peak_memory" if goal == "memory" else "time"
    assert told["proven"]
    assert told["best"][word] == min(row[word] for row in every["front"])


def test_goals_that_are_none_are_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "slow links")
    assert "unknown goal 'tme', did you mean 'time'" in overlapse("search", file, "--goal", "tme").stderr
    same = overlapse("search", file, "--goal", "time", "--goal", "cost")
    assert same.exit_code == 2
    assert "time and cost are one goal" in same.stderr


def test_a_search_goes_on_from_its_store(tmp_path: Path) -> None:
    """What is in the store is not run again, by as many processes as are asked for, and comes to the same."""
    file = file_of(tmp_path, "slow links")
    space: Mapping[str, list[Any]] = {
        "tp": [1, 2, 4],
        "pp": [1, 2],
        "zero": [0],
        "microbatch": [2],
        "recompute": ["none"],
    }
    scenario = load_scenario(file)
    alone = search(scenario, space)
    with search_runs(scenario, tmp_path / "runs.db") as runs:
        search(scenario, space, most=1, runs=runs)
        assert runs.known == 0
    with search_runs(scenario, tmp_path / "runs.db", jobs=2) as runs:
        found = search(scenario, space, runs=runs)
        assert runs.known == 1
    assert found.best is not None
    assert alone.best is not None
    assert found.best.values == alone.best.values
    assert found.best.words == alone.best.words
    with search_runs(scenario, tmp_path / "runs.db", jobs=2) as runs:
        again = search(scenario, space, runs=runs)
        assert runs.known == len(again.ran)
    assert [each.words for each in again.ran] == [each.words for each in found.ran]


@pytest.mark.long
def test_a_search_that_is_killed_goes_on(tmp_path: Path) -> None:
    file, store = file_of(tmp_path, "slow links"), tmp_path / "runs.db"
    # every layout is worth a run: none is the best in both
    asked = [*ASKED, "--goal", "time", "--goal", "memory", "--store", str(store)]
    going = subprocess.Popen([sys.executable, "-m", "overlapse", "search", file, *asked], stdout=subprocess.DEVNULL)
    try:
        while rows_in(store) < 2 and going.poll() is None:
            time.sleep(0.05)
        going.kill()
    finally:
        going.wait()
    kept = rows_in(store)
    assert kept >= 2
    scenario = load_scenario(file)
    with search_runs(scenario, store) as runs:
        found = search(scenario, SPACE, goals=("time", "memory"), runs=runs)
        assert runs.known == kept
    alone = search(scenario, SPACE, goals=("time", "memory"))
    assert [each.words for each in found.front] == [each.words for each in alone.front]


def rows_in(store: Path) -> int:
    """Rows that are committed."""
    if not store.exists():
        return 0
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        try:
            return int(database.execute("SELECT count(*) FROM runs").fetchone()[0])
        except sqlite3.OperationalError:  # its table is not there yet
            return 0


def test_why_layouts_are_refused_is_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    asked = ("--vary", "tp=1,3", "--vary", "pp=1", "--vary", "microbatch=2,5,7", "--vary", "zero=0")
    shown = overlapse("search", file, *asked, "--vary", "recompute=none").stdout
    assert "3 refused, as 4 chips are no multiple of the 3 of a replica" in shown
    assert "2 refused, as batch 16 is no multiple of 4 replicas x microbatch 5" in shown


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


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (("--vary", "tp=a,1.5,0"), ["'a' will not do for tp", "1.5 will not do for tp", "0 will not do for tp"]),
        (("--vary", "microbatch=1,,2"), ["'microbatch=1,,2' is not of the form tp=1,2,4"]),
        (("--vary", "prefetch=x", "--vary", "zero=7"), ["'x' will not do for prefetch", "7 will not do for zero"]),
        (("--vary", "order=tp dq"), ["unknown axis 'dq'"]),
        (("--vary", "order=tp dp"), ["order names each of tp, cp, ep, dp, pp once"]),
        (("--vary", "recompute=some"), ["'some' will not do for recompute"]),
        (("--vary", "imbalance=0.5", "--vary", "tpp=1"), ["will not do for imbalance", "did you mean 'tp'?"]),
        (("--most", "0"), ["--most:1:1: most is 0; it must be 1 or more"]),
    ],
)
def test_what_no_layout_can_say_is_refused_at_once(tmp_path: Path, asked: tuple[str, ...], told: list[str]) -> None:
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked)
    assert shown.exit_code == 2
    assert all(each in shown.stderr for each in told), shown.stderr


def test_blocks_of_which_all_is_recomputed_are_searched_over(tmp_path: Path) -> None:
    said = ("tp=1", "pp=1", "microbatch=2", "zero=0", "recompute={blocks: 1}")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked)
    assert shown.exit_code == 0
    assert "recompute: {blocks: 1}" in shown.stdout
    assert "'blocks'" not in shown.stdout


def test_figures_are_whole_where_there_is_no_room_for_all_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    said = ("tp=1", "pp=1", "microbatch=2", "zero=0", "recompute=none,full", "imbalance=1.5", "order=all")
    asked = [text for each in said for text in ("--vary", each)]
    shown = overlapse("search", file_of(tmp_path, "fast links"), *asked).stdout
    assert "…" not in shown
    assert "a wider terminal shows tp and pp" in shown


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
        "chunks a stage are of the interleaved schedule: others have one": 1,
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


def test_a_search_that_is_given_up_says_so(tmp_path: Path) -> None:
    file = file_of(tmp_path, "slow links")
    found = json.loads(overlapse("search", file, *ASKED, "--most", "1", "--json").stdout)
    assert found["simulated"] == 1
    assert found["proven"] is (found["bound"] >= found["best"]["time"])
    shown = overlapse("search", file, *ASKED, "--most", "1").stdout
    assert ("not proven" in shown) is not found["proven"]


class NoRoomFor(RunsHere):
    """Runs of which that of one layout cannot be."""

    refused: Mapping[str, Any]

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        for at, words in super().of(paths, wanted):
            yield at, "too many tasks" if paths[at] == self.refused else words


def test_what_cannot_be_run_is_no_proof(tmp_path: Path) -> None:
    """The best layout cannot be run: the next one is the best that was seen, and that it is the best is not proven."""
    scenario = load_scenario(file_of(tmp_path, "fast links"))
    space: Mapping[str, list[Any]] = {"tp": [1, 4], "pp": [1], "zero": [0], "microbatch": [1, 2], "recompute": ["none"]}
    whole = search(scenario, space)
    assert whole.best is not None
    runs = NoRoomFor(scenario)
    runs.refused = paths_of(scenario, whole.best.values)
    found = search(scenario, space, runs=runs)
    assert found.best is not None
    assert found.best.time_s > whole.best.time_s
    assert (whole.is_proven, found.is_proven, found.open, found.errors) == (True, False, 1, {"too many tasks": 1})


def test_where_nothing_fits(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    shown = overlapse("search", file, "--set", "system.set.hbm.capacity=1 MB", "--vary", "tp=1", "--vary", "pp=1")
    assert shown.exit_code == 3
    assert "nothing fits: " in shown.stdout


def test_what_cannot_be_searched_is_told(tmp_path: Path) -> None:
    file = file_of(tmp_path, "fast links")
    wrong = overlapse("search", file, "--vary", "tpp=1,2")
    assert wrong.exit_code == 2
    assert "unknown key of a layout 'tpp', did you mean 'tp'" in wrong.stderr
    assert "'tp' is not of the form tp=1,2,4" in overlapse("search", file, "--vary", "tp").stderr
    plain = overlapse("search", "library:llama3_8b_block")
    assert plain.exit_code == 2
    assert "a search is for the layout of the training of a transformer" in plain.stderr


def test_the_screen_says_what_won_and_why(tmp_path: Path) -> None:
    shown = overlapse("search", file_of(tmp_path, "slow links"), *ASKED).stdout
    assert shown.startswith("space        36 layouts: tp 1, 2, 4; pp 1, 2, 3; zero 0, 3; ")
    assert "\nbest         tp: " in shown
    assert "proof        none of the others ends before " in shown
    assert " % longer" in shown
    assert "busiest chip" in shown
    assert "exposed network" in shown


def test_why_the_winner_won_is_told_by_cause(tmp_path: Path) -> None:
    """Of the winner and the next one: causes add up to their times, their differences to the difference."""
    asked = [
        text for each in ("tp=1,4", "pp=1", "zero=0", "microbatch=2", "recompute=full") for text in ("--vary", each)
    ]
    told = json.loads(overlapse("search", file_of(tmp_path, "slow links"), *asked, "--json").stdout)
    best, other, causes = told["ran"][0], told["why"]["next"], told["why"]["causes"]
    assert other == told["ran"][1]
    assert sum(each["best"] for each in causes) == pytest.approx(best["time"], rel=1e-12)
    assert sum(each["next"] for each in causes) == pytest.approx(other["time"], rel=1e-12)
    assert all(each["more"] == each["next"] - each["best"] for each in causes)
    most = max(causes, key=lambda each: abs(each["more"]))
    assert most["cause"] == "exposed_network"


def test_the_price_of_tokens_is_a_column(tmp_path: Path) -> None:
    """A layout of twice the tokens a second has as many more for a dollar."""
    text = Path(file_of(tmp_path, "fast links")).read_text("utf-8").replace("set: {", "set: {price: 2 USD/h, ")
    path = tmp_path / "priced.yaml"
    path.write_text(text, "utf-8")
    asked = [
        text for each in ("tp=1,2", "pp=1", "zero=0", "microbatch=2", "recompute=none") for text in ("--vary", each)
    ]
    rows = json.loads(overlapse("search", str(path), *asked, "--json").stdout)["ran"]
    tokens = 16 * 256
    for row in rows:
        assert row["tokens_per_dollar"] == pytest.approx(tokens / (row["time"] * 4 * 2 / 3600), rel=1e-9)
    assert "tokens/USD" in overlapse("search", str(path), *asked).stdout


def test_experts_are_searched_over_where_there_are_some(tmp_path: Path) -> None:
    scenario = load_scenario(file_of(tmp_path, "fast links"))
    assert "ep" not in space_of(scenario)
    sparse = ("workload.model.moe={experts: 6, top_k: 2, d_expert: 256}", "workload.model.ffn.d_ff=null")
    assert space_of(load_scenario(file_of(tmp_path, "fast links"), sparse))["ep"] == [1, 2]


def test_layouts_that_are_drawn_leave_a_gap_that_holds(tmp_path: Path) -> None:
    """The best of all is no better than what is left of the best that was drawn by its gap, whether each layout of the
    space has its floor, some have bounds, or they are too many; the same seed draws the same."""
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    fastest = search(scenario, SPACE)
    assert fastest.best is not None
    gaps = []
    for figure, most in (("BOUNDED", 4), ("BOUNDED", 0), ("LISTED", 10)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(drawn_module, figure, most)
            found = drawn(scenario, 4, SPACE, seed=3)
        assert found.best is not None
        assert found.drawn == 4
        assert len(found.ran) <= 4
        assert found.candidates == 36
        assert not found.is_proven
        assert 0 < found.gap < 1
        assert found.best.time_s * (1 - found.gap) <= fastest.best.time_s <= found.best.time_s
        gaps.append(found.gap)
    assert sorted(gaps) == gaps
    again = drawn(scenario, 4, SPACE, seed=3)
    assert [each.values for each in again.ran] == [each.values for each in drawn(scenario, 4, SPACE, seed=3).ran]


def test_a_small_space_that_is_drawn_from_ends_with_a_proof(tmp_path: Path) -> None:
    """What was not drawn is bounded, and what may be best is run: no more layouts than were drawn."""
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    fastest, found = search(scenario, SPACE), drawn(scenario, 5, SPACE, seed=3)
    assert fastest.best is not None
    assert found.best is not None
    assert found.is_proven
    assert found.best.time_s == fastest.best.time_s
    assert len(found.ran) <= 5
    assert found.candidates == fastest.candidates == 36


def test_all_layouts_drawn_are_a_proof(tmp_path: Path) -> None:
    pytest.importorskip("optuna", reason="layouts are drawn by optuna: pip install 'overlapse[search]'")
    file = file_of(tmp_path, "fast links")
    asked = [text for each in ("tp=2", "pp=1", "zero=0", "microbatch=2", "recompute=none") for text in ("--vary", each)]
    told = json.loads(overlapse("search", file, *asked, "--draw", "2", "--json").stdout)
    assert (told["proven"], told["gap"], told["drawn"], told["simulated"]) == (True, 0.0, 2, 1)
    shown = overlapse("search", file, *ASKED, "--draw", "3").stdout
    assert "; 3 were drawn" in shown
    assert "proof        not proven: some of the others may end after " in shown


def test_without_optuna_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    shown = overlapse("search", file_of(tmp_path, "fast links"), "--draw", "3")
    assert shown.exit_code != 0
    assert "pip install 'overlapse[search]'" in shown.stderr
    wrong = overlapse(
        "search", file_of(tmp_path, "fast links"), "--draw", "0", "--goal", "memory", "--most", "2"
    ).stderr
    assert all(each in wrong for each in ("--draw:1:1: draw is 0", "--goal:1:1: layouts are drawn", "--most:1:1: of"))


def test_a_search_runs_on_any_executor(tmp_path: Path) -> None:
    """As on the workers of a cluster: bounds and runs, to the same end."""
    scenario = load_scenario(file_of(tmp_path, "slow links"))
    space = {**SPACE, "recompute": ["none"], "pp": [1, 2]}
    with (
        ThreadPoolExecutor(2) as threads,
        search_runs(scenario, cluster=nullcontext(given_workers(threads, 2))) as runs,
    ):
        assert runs.at_once == 2
        found = search(scenario, space, runs=runs)
    alone = search(scenario, space)
    assert summed_up(found) == summed_up(alone)


def summed_up(found: Searched) -> tuple[Any, ...]:
    """All that a search says."""
    ran = [(each.values, each.time_s, each.bound_s) for each in found.ran]
    return ran, found.too_large, found.left, found.open, found.bound_s, dict(found.errors), dict(found.twins)


class OutOfOrder(RunsHere):
    """Runs of which four are under way at a time, and end in an order of chance; `kept`: what they came to."""

    chance: Random
    kept: dict[str, Words]

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        left, running = list(range(len(paths))), list[int]()
        while left or running:
            while left and len(running) < 4:
                at = left.pop(0)
                running += [at] if wanted(at) else []
            if not any(map(wanted, running)):
                return
            at = running.pop(self.chance.randrange(len(running)))
            key = str(paths[at])
            if key not in self.kept:
                ((_, self.kept[key]),) = super().of([paths[at]])
            yield at, self.kept[key]


@pytest.mark.parametrize("goals", [("time",), ("memory",), ("time", "memory")])
@pytest.mark.parametrize("case", ["slow links", "little memory"])
def test_what_ends_first_changes_nothing_that_is_told(tmp_path: Path, case: str, goals: tuple[str, ...]) -> None:
    """Many at once run layouts that one by one would not: these are not told."""
    scenario = load_scenario(file_of(tmp_path, case))
    runs = OutOfOrder(scenario)
    runs.kept, said = {}, []
    for seed in range(5):
        runs.chance = Random(seed)
        said.append(summed_up(search(scenario, SPACE, goals=goals, runs=runs)))
    alone = search(scenario, SPACE, goals=goals)
    assert all(each == summed_up(alone) for each in said)
    if goals == ("time",):
        assert len(runs.kept) > len(alone.ran)
