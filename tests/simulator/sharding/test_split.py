"""Unlike chips sharing a dim out: equally, in proportion to their speed, by weights."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import Summary
from hw import Mesh, SpecError, System, load_chip, parse_topology
from scenarios import load_scenario, run
from simulator import Cut, OpGraph, RunOptions, Simulation, bind, parse_graph
from simulator.graph import split as split_module
from simulator.graph.shares import filled
from simulator.passes.holding import held_by
from tests.support.strategies import chip_with

V100, A100 = load_chip("v100_sxm2_32gb"), load_chip("a100_80gb_sxm")
MATMUL = ["y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])"]


def pair(lines: list[str], split: Any, sizes: dict[str, int], chips: Any = (V100, A100), fold: bool = True) -> Summary:
    graph = parse_graph(lines, sizes)
    graph = OpGraph(graph.dims, graph.items, split=split)
    simulation = Simulation(graph, unlike(*chips), RunOptions(overlap="full", fold=fold))
    return Summary(simulation.plan, simulation.run)


def close(got: Any, want: float) -> None:
    print(f"got {float(got):.9g}, want {want:.9g}, off by {float(got) / want - 1:.2e}")
    assert float(got) == pytest.approx(want, rel=1e-9)


SIZES = {"B": 4370, "D": 8192, "F": 8192}  # 4370 rows: 1250 and 3120 are exactly in the ratio of the peaks


def test_equal_halves_wait_for_the_slower_chip() -> None:
    equal = pair(MATMUL, "equal", SIZES)
    flops = 2 * SIZES["B"] * SIZES["D"] * SIZES["F"]
    close(equal["time"], flops / 2 / 125e12)
    close(equal["mfu"], 2 * 125 / (125 + 312))


def test_in_proportion_both_end_together() -> None:
    shared = pair(MATMUL, "proportional", SIZES)
    flops = 2 * SIZES["B"] * SIZES["D"] * SIZES["F"]
    close(shared["time"], flops / 437e12)
    close(shared["mfu"], 1.0)
    close(pair(MATMUL, "equal", SIZES)["time"], float(shared["time"] or 0) * 437 / 250)


def test_memory_bound_work_is_shared_by_hbm_bandwidth() -> None:
    line = ["y:fp16[B_X] = relu(x:fp16[B_X])"]
    rates = V100.hbm.bytes_per_s, A100.hbm.bytes_per_s
    rows = 10**9
    shared = pair(line, "proportional", {"B": rows})
    got = float(shared["time"] or 0)
    assert got == pytest.approx(4 * rows / sum(rates), rel=1e-8)  # parts are whole numbers


def test_weights_are_taken_as_given_and_only_whole_rows_are_cut() -> None:
    given_ = pair(MATMUL, {"X": [1, 3]}, {**SIZES, "B": 4001})
    rows = 4001 - 1000  # the first quarter is 1000.25 rows
    close(given_["time"], max(1000 / 125e12, rows / 312e12) * 2 * 8192 * 8192)


@settings(max_examples=20)
@given(st.integers(20, 400), st.permutations([V100, V100, A100, A100, A100]))
def test_which_place_has_which_chip_changes_no_time(rows: int, chips: list[Any]) -> None:
    """437 rows would be 125 for a V100 and 312 for an A100; what is left over of others is not given out by place."""
    lines = ["y:fp16[B_X,F] = matmul(x:fp16[B_X,D], w:fp16[D,F])"]
    sizes = {"B": rows, "D": 512, "F": 512}
    first, moved = (pair(lines, "proportional", sizes, each) for each in ((V100, V100, A100, A100, A100), tuple(chips)))
    close(moved["time"], float(first["time"] or 0))


def test_four_of_each_are_two_classes() -> None:
    chips = (V100,) * 4 + (A100,) * 4
    shared = pair(MATMUL, "proportional", {**SIZES, "B": 4 * 4370}, chips)
    assert shared.plan.classes == 2
    close(shared["mfu"], 1.0)


@pytest.mark.parametrize("split", ["equal", "proportional", {"X": [1, 1, 1, 2, 2, 2, 2, 2]}])
def test_folded_is_full(split: Any) -> None:
    lines = [*MATMUL, "z:fp16[D,F]{U_X} = matmul(x:fp16[B_X,D], y)", "s:fp16[D,F] = all_reduce(z, over=X)"]
    chips = (V100,) * 4 + (A100,) * 4
    sizes = {"B": 8 * 1000, "D": 512, "F": 512}
    folded, full = (pair(lines, split, sizes, chips, fold) for fold in (True, False))
    assert folded.plan.classes < 8 == full.plan.classes
    for word in ("time", "flops", "hbm_bytes", "mfu", "peak_memory", "t_math"):
        assert folded[word] == pytest.approx(full[word], rel=1e-12), word


def test_alike_chips_stay_even() -> None:
    alike, even = (pair(MATMUL, split, {**SIZES, "B": 4096}, (A100, A100)) for split in ("proportional", "equal"))
    assert alike["time"] == even["time"]


def test_a_slow_chip_among_eight() -> None:
    peaks = {dtype: 0.8 * peak for dtype, peak in A100.matrix_unit.peak_flops_per_s.items()}
    slow = A100.model_copy(update={"matrix_unit": A100.matrix_unit.model_copy(update={"peak_flops_per_s": peaks})})
    chips = (A100,) * 7 + (slow,)
    equal = pair(MATMUL, "equal", {**SIZES, "B": 7800}, chips)
    alike = pair(MATMUL, "equal", {**SIZES, "B": 7800}, (A100,) * 8)
    close(equal["time"], 1.25 * float(alike["time"] or 0))
    close(1 - float(equal["mfu"] or 0), 1.4 / 7.8)  # 8 x 0.8 of the 7.8 there are
    shared = pair(MATMUL, "proportional", {**SIZES, "B": 7800}, chips)
    close(shared["mfu"], 1.0)


def test_uneven_shards_are_gathered_as_they_are() -> None:
    """A line of two: the larger part crosses the one wire, at NVLink's pace of the slower chip."""
    result = pair(["y:fp16[B] = all_gather(x:fp16[B_X], over=X)"], {"X": [3, 1]}, {"B": 4 * 10**9})
    rate = min(
        V100.links["nvlink"].bytes_per_s * V100.links["nvlink"].count,
        A100.links["nvlink"].bytes_per_s * A100.links["nvlink"].count,
    )
    close(result["t_network"], 2 * 3 * 10**9 / rate)


@given(
    st.integers(1, 10**6),
    st.lists(st.integers(1, 50), min_size=1, max_size=6),
    st.lists(st.integers(1, 50), min_size=1, max_size=4),
)
def test_the_parts_add_up(size: int, first: list[int], second: list[int]) -> None:
    weights = {"X": [Fraction(each) for each in first], "Y": [Fraction(each) for each in second]}
    extent = {"X": len(first), "Y": len(second)}
    places = [(x, y) for x in range(len(first)) for y in range(len(second))]
    cuts = [Cut(weights, {"X": x, "Y": y}, lambda axes: 1) for x, y in places]
    assert sum(cut.size(size, "XY") for cut in cuts) == size
    assert sum(cut.size(size, "X") for cut in cuts) == size * extent["Y"]
    for cut, (x, y) in zip(cuts, places, strict=True):
        exact = size * weights["X"][x] * weights["Y"][y] / sum(weights["X"]) / sum(weights["Y"])
        assert abs(cut.size(size, "XY") - exact) <= 1


WRONG = [
    ("{X: [1, 2, 3]}", "s.yaml:7:14: axis X has 2 places, split gives 3 weights"),
    ("{Y: [1, 2]}", "s.yaml:7:14: there is no mesh axis 'Y' to split; the mesh has X"),
    ("{X: [1, -1]}", "s.yaml:7:14: the weights of axis X must be 0 or more, and one of them more than 0"),
    ("{X: [0, 0]}", "s.yaml:7:14: the weights of axis X must be 0 or more, and one of them more than 0"),
    ("fair", "s.yaml:7:10: "),
]


@pytest.mark.parametrize(("split", "words"), WRONG)
def test_a_wrong_split_is_refused_at_its_place(tmp_path: Path, split: str, words: str) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(
        "name: s\nsystem: {chips: [1 x v100_sxm2_32gb, 1 x a100_80gb_sxm], topology: switch(2) over nvlink, mesh: {X: 2}}\n"
        "workload:\n  dims: {B: 4096}\n  ops:\n    - y:fp16[B_X] = relu(x:fp16[B_X])\n  split: " + split + "\n"
    )
    with pytest.raises(SpecError) as caught:
        load_scenario(str(path))
    assert any(words in str(each) for each in caught.value.problems), caught.value.problems


# What memory holds


def small(name: str, capacity: str) -> Any:
    return chip_with(name, {"hbm.capacity": capacity})


def test_nobody_gets_more_than_its_memory_holds() -> None:
    # weights of 2 B x 1e6 x 1000 stay on both: 2 GB; a row in and out is 2 B x (1e6 + 1000). By speed the A100 would get
    # 312/437 of 10,000 rows, 14.29 GB of rows; its 12 GB leave 10 GB for them
    rows, wide, out = 10_000, 1_000_000, 1000
    sizes = {"B": rows, "D": wide, "F": out}
    held = int((12e9 - 2 * wide * out) // (2 * (wide + out)))
    chips = (small("v100_sxm2_32gb", "32 GB"), small("a100_80gb_sxm", "12 GB"))
    for pair_of, full in ((chips, 1), (chips[::-1], 0)):
        shared = pair(MATMUL, "proportional", sizes, pair_of)
        close(shared["time"], 2 * (rows - held) * wide * out / 125e12)
        assert shared["fits"] is True
        assert float(shared["peak_memory"] or 0) <= 32e9
        assert shared.plan.split.full == {"X": [full]}
    room = pair(MATMUL, "proportional", sizes, (small("v100_sxm2_32gb", "32 GB"), small("a100_80gb_sxm", "80 GB")))
    assert room.plan.split.full == {}


def test_a_chip_as_fast_but_with_less_memory_gets_less() -> None:
    chips = (small("a100_80gb_sxm", "80 GB"), small("a100_80gb_sxm", "10 GB"))
    line = ["y:int8[B_X] = relu(x:int8[B_X])"]  # in and out: 2 B a row
    shared = pair(line, "proportional", {"B": 40 * 10**9}, chips)
    close(shared["time"], 2 * 35e9 / chips[0].hbm.bytes_per_s)
    assert shared["fits"] is True


def test_what_fits_nobody_is_shared_by_room_and_does_not_fit() -> None:
    chips = (small("a100_80gb_sxm", "30 GB"), small("a100_80gb_sxm", "10 GB"))
    shared = pair(["y:int8[B_X] = relu(x:int8[B_X])"], "proportional", {"B": 40 * 10**9}, chips)
    assert shared["fits"] is False
    close(shared["peak_memory"], 2 * 30e9)  # 30 of 40 parts


@given(st.lists(st.tuples(st.integers(1, 50), st.one_of(st.none(), st.integers(1, 100))), min_size=1, max_size=6))
def test_shares_are_by_speed_up_to_what_fits(places: list[tuple[int, int | None]]) -> None:
    speeds = [Fraction(speed) for speed, _ in places]
    most = [None if top is None else Fraction(top, 100) for _, top in places]
    parts, full = filled(speeds, most)
    assert sum(parts) == 1
    if sum(Fraction(1) if top is None else top for top in most) >= 1:
        for at, part in enumerate(parts):
            top = most[at]
            assert top is None or part <= top
            assert (at in full) <= (part == top)
        rates = {part / speed for at, (part, speed) in enumerate(zip(parts, speeds, strict=True)) if at not in full}
        assert len(rates) <= 1
        least = max(rates, default=Fraction(0))
        assert all(parts[at] <= least * speeds[at] for at in full) or not rates


def test_a_run_says_whose_memory_was_full(tmp_path: Path) -> None:
    (tmp_path / "full.yaml").write_text(
        "name: full\n"
        "system: {chips: [a100_80gb_sxm, {chip: a100_80gb_sxm, set: {hbm.capacity: 10 GB}}],"
        " topology: 'switch(2) over nvlink'}\n"
        "workload: {dims: {B: 40000000000}, ops: ['y:int8[B_X] = relu(x:int8[B_X])'], split: proportional}\n"
    )
    outcome = run(str(tmp_path / "full.yaml"))
    note = "chip 1 (a100_80gb_sxm) gets less along X than the speed would give: more does not fit into the memory"
    assert outcome.notes == [note]
    assert outcome.as_json()["notes"] == [note]


def chained(ops: int) -> OpGraph:
    """A chain of matmuls that share rows, each with weights of its own."""
    lines = ["x0:bf16[B_X,D] = relu(x:bf16[B_X,D])"]
    lines += [f"x{at + 1}:bf16[B_X,D] = matmul(x{at}, w{at}:bf16[D,D])" for at in range(ops)]
    graph = parse_graph(lines, {"B": 4096, "D": 64})
    return OpGraph(graph.dims, graph.items, split="proportional")


def unlike(*chips: Any) -> System:
    topology = parse_topology(f"switch({len(chips)}) over nvlink", chips[0].links)
    return System(chips[0], topology, Mesh({"X": len(chips)}), tuple(chips))


def test_how_dims_are_cut_does_not_depend_on_how_many_ops_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """The places of chips along an axis are looked through, and parts are worked out, once for all ops."""
    calls: dict[str, int] = {}

    def counted(owner: Any, name: str) -> None:
        plain = getattr(owner, name)

        def call(*given: Any) -> Any:
            calls[name] = calls.get(name, 0) + 1
            return plain(*given)

        monkeypatch.setattr(owner, name, call)

    counted(split_module, "places_along")
    counted(Cut, "_size")
    system = unlike(*(V100,) * 4, *(A100,) * 4)
    counts = []
    for ops in (4, 40):
        calls.clear()
        Simulation(chained(ops), system, RunOptions(overlap="full"))
        counts.append(dict(calls))
    print(counts)
    assert counts[0] == counts[1]
    assert all(counts[0].values())


def test_what_is_held_at_each_step_is_counted_tensor_by_tensor() -> None:
    """Running sums against a count of every tensor at every step."""
    system, graph = unlike(V100, A100), chained(6)
    kernels = bind(graph, system)
    rows, weights = 2 * 4096 * 64, 2 * 64 * 64
    want = []
    for step in range(len(kernels)):
        # the first input and all weights are there throughout; what an op makes until the next one has read it
        made = 1 if step == 0 else 2
        want.append((6.0 * weights, float((1 + made) * rows)))
    found = held_by(kernels, graph, system, "X")
    assert [(each.always, each.whole) for each in found] == want
