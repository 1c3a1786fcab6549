"""The winner of a search is that of trying all, in whatever order runs end, and its proof is one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
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
from scenarios.questions.searching.layouts import Asked, paths_of
from scenarios.questions.searching.running import RunsHere, Wanted, Words, always
from scenarios.questions.searching.search import search
from simulator import Bounded
from tests.scenarios.searching.cases import ASKED, CASES, MORE, SPACE, TEXT, every, file_of, sets_of, summed_up
from tests.support.cases import overlapse


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


class OutOfOrder(RunsHere):
    """Runs of which four are under way at a time, and end in an order of chance; `kept`: what they came to, `bounded`: what
    bounds did."""

    chance: Random
    kept: dict[str, Words]
    bounded: dict[str, Bounded | str]

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        new = [each for each in asked if repr(each) not in self.bounded]
        self.bounded |= zip(map(repr, new), super().bounds(new), strict=True) if new else ()
        return [self.bounded[repr(each)] for each in asked]

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
    runs.kept, runs.bounded, said = {}, {}, []
    for seed in range(5):
        runs.chance = Random(seed)
        said.append(summed_up(search(scenario, SPACE, goals=goals, runs=runs)))
    alone = search(scenario, SPACE, goals=goals)
    assert all(each == summed_up(alone) for each in said)
    if goals == ("time",):
        assert len(runs.kept) > len(alone.ran)
