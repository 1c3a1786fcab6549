"""Data loaders: against a recurrence written down by hand, the laws of bounds, and the `processes` section.

The recurrence (`by_hand`): worker i makes batches i, i + n, ...; it begins one when it has ended its last and the step
`prefetch + 1` before has ended; a step begins when its batch is there and the step before has ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import advice
from hw import SpecError
from scenarios import load_scenario, run, summarise, what_if
from scenarios.processes.loaders import Loader, Loaders, rounds
from simulator import RunOptions, Simulation, parse_graph
from tests.support.claims import agree, number, outcome
from tests.support.strategies import many, one

STEP_FLOPS = 1.97e11
STEP = 1e-3
"""A step of 1 ms on a TPU v5e."""


def steps(count: int, unit: str = "flops=1.97e11 FLOP, unit=matrix") -> Any:
    """A graph of so many steps, each with its own batch x."""
    return parse_graph([{"repeat": count, "ops": [f"y:bf16[1] = custom(x:bf16[1], {unit})"]}], {})


def by_hand(count: int, every: float, workers: int, prefetch: int) -> list[float]:
    """When each step ends, in seconds."""
    made, ended = [0.0] * count, [0.0] * count
    for at in range(count):
        begins = made[at - workers] if at >= workers else 0.0
        if at > prefetch:
            begins = max(begins, ended[at - prefetch - 1])
        made[at] = begins + every
        ended[at] = max(made[at], ended[at - 1] if at else 0.0) + STEP
    return ended


def fed(count: int, loader: Loader) -> Simulation:
    simulation = Simulation(steps(count), one(), RunOptions(overlap="full"))
    Loaders((loader,)).join(simulation)
    return simulation


def a_loader(every: float, workers: int = 1, prefetch: int = 2, uses: Mapping[str, float] | None = None) -> Loader:
    return Loader("loader", ("x",), every, (uses or {},), workers, prefetch)


@settings(max_examples=150)
@given(st.integers(1, 12), st.integers(1, 6000), st.integers(1, 5), st.integers(0, 6))
def test_any_loader_is_as_the_recurrence_says(count: int, micros: int, workers: int, prefetch: int) -> None:
    every = micros * 1e-6
    result = fed(count, a_loader(every, workers, prefetch)).run()
    got = sorted(result.end_ps)
    want = [round(1e12 * end) for end in by_hand(count, every, workers, prefetch)]
    assert got == pytest.approx(want, abs=count)


@settings(max_examples=60)
@given(
    st.integers(1, 8),
    st.floats(1e-5, 5e-3),
    st.integers(1, 3),
    st.integers(0, 4),
    st.floats(0, 1e9),
)
def test_the_bounds_hold_with_a_loader(count: int, every: float, workers: int, prefetch: int, nbytes: float) -> None:
    """Laws 1 and 2: a loader is a resource as others are; its work counts for both bounds."""
    loaders = Loaders((a_loader(every, workers, prefetch, {"chip0.hbm": nbytes} if nbytes > 1 else {}),))
    simulation = Simulation(steps(count, "flops=1e11 FLOP, bytes=4e8 B"), one(), RunOptions(overlap="full"))
    loaders.join(simulation)
    from analysis import Summary

    words = Summary(simulation.plan, simulation.run, loaders)
    lower, time, upper = (number(words, word) for word in ("lower_bound", "time", "upper_bound"))
    slack = 1e-9 * upper + 1e-12 * 4 * count
    assert lower - slack <= time <= upper + slack
    hbm = count * (4e8 + (nbytes if nbytes > 1 else 0.0)) / 8.2e11
    assert words["t_memory"] == pytest.approx(hbm, rel=1e-9)
    assert words["t_host"] == pytest.approx(-(-count // workers) * every, rel=1e-9)


@pytest.mark.parametrize(("prefetch", "want"), [(0, 20 * 2.0), (1, 21.0), (5, 21.0)])
def test_without_room_to_work_ahead_loading_and_computing_alternate(prefetch: int, want: float) -> None:
    """Loader as fast as the steps: one after the other without prefetch, side by side with it."""
    assert fed(20, a_loader(STEP, 1, prefetch)).run().time_s == pytest.approx(want * STEP, rel=1e-9)


def test_back_pressure_bounds_what_lies_ready() -> None:
    """A loader that takes no time to speak of makes prefetch batches, then one for each step that ends."""
    simulation = Simulation(steps(10), one(), RunOptions(overlap="full"))
    made: list[float] = []
    uses = simulation.use

    def seen(amounts: Mapping[str, float], overlap: bool = True) -> Any:
        made.append(simulation.now)
        return uses(amounts, overlap)

    simulation.use = seen  # type: ignore[method-assign]
    Loaders((a_loader(0.0, 1, 3, {"chip0.hbm": 8.2e3}),)).join(simulation)  # 10 ns
    simulation.run()
    early = [each for each in made if each < STEP]
    assert len(early) == 4  # one in use and three ahead
    assert len(made) == 10
    first = made[4]
    assert first == pytest.approx(STEP + 1e-8, rel=1e-6)


def test_a_loader_slows_the_ops_that_want_the_same_memory() -> None:
    """One worker streams the HBM all the time; each step wants as much: they share, and all is done after both."""
    simulation = Simulation(steps(10, "bytes=8.2e8 B"), one(), RunOptions(overlap="full"))  # 1 ms each alone
    Loaders((a_loader(0.0, 1, 20, {"chip0.hbm": 8.2e8}),)).join(simulation)
    alone = 10 * STEP
    assert simulation.run().time_s == pytest.approx(2 * alone, rel=1e-6)


def test_what_is_fed() -> None:
    """A tensor feeds the ops that read it, an op is fed itself; blocks inside blocks have a batch for each input."""
    layers = {"repeat": 2, "carry": {"h": "f"}, "ops": ["f:bf16[B] = relu(h:bf16[B])"]}
    graph = parse_graph(
        [{"repeat": 2, "ops": [layers, "g:bf16[B] = relu(f)", "k:bf16[B] = add(z:bf16[B], z)"]}], {"B": 8}
    )
    assert rounds(graph, ["h"]) == [["f.0.0"], ["f.1.0"]]
    assert rounds(graph, ["f"]) == [["f.0.0"], ["f.0.1"], ["f.1.0"], ["f.1.1"]]
    assert rounds(graph, ["g"]) == [["g.0"], ["g.1"]]
    assert rounds(graph, ["h", "z"]) == [["f.0.0", "k.0"], ["f.1.0", "k.1"]]
    assert rounds(graph, ["g.1"]) == [["g.1"]]
    with pytest.raises(ValueError, match="equally many rounds, not f 4, g 2"):
        rounds(graph, ["f", "g"])
    with pytest.raises(ValueError, match="did you mean 'h'"):
        rounds(graph, ["hh"])


def test_an_input_that_a_collective_gathers_first_holds_the_collective() -> None:
    """The planner puts an all_gather before the matmul; the batch is waited for before it is gathered."""
    graph = parse_graph(["y:bf16[B,F] = matmul(x:bf16[B,D_X], w:bf16[D,F])"], {"B": 64, "D": 64, "F": 64})
    simulation = Simulation(graph, many("ring(4)", {"X": 4}), RunOptions(overlap="full"))
    Loaders((a_loader(5e-3),)).join(simulation)
    result = simulation.run()
    assert min(result.begin_ps) >= 5e9


# The section


BASE = """name: fed
system: {chip: tpu_v5e}
workload:
  ops:
    - repeat: 4
      ops:
        - y:bf16[1] = custom(x:bf16[1], flops=1.97e11 FLOP, unit=matrix)
run: {overlap: full}
"""


def write(folder: Path, text: str) -> str:
    path = folder / "s.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("[]", r"s.yaml:9:12: processes wants data loaders by name"),
        ("{loader: {every: 1 ms}}", r"'processes.loader.feeds' is missing"),
        ("{loader: {feeds: z, every: 1 ms}}", r"s.yaml:9:29: unknown op or input 'z'.*x"),
        ("{loader: {feeds: x}}", "loader takes no time: it wants `every` or `uses`"),
        ("{loader: {feeds: x, every: 1 GB}}", "'1 GB' is an amount of data, processes.loader.every wants a time"),
        ("{loader: {feeds: x, every: -1 ms}}", "processes.loader.every must be 0 or more"),
        ("{loader: {feeds: x, evry: 1 ms}}", "did you mean 'processes.loader.every'"),
        ("{loader: {feeds: [], every: 1 ms}}", "processes.loader.feeds wants at least one entry"),
        ("{loader: {feeds: x, every: 1 ms, workers: 0}}", "processes.loader.workers"),
        ("{loader: {feeds: x, every: 1 ms, prefetch: -1}}", "processes.loader.prefetch"),
        ("{loader: {feeds: x, every: 1 ms, on: 1}}", r"there is no chip 1: chips are numbered from 0 to 0"),
        ("{loader: {feeds: x, uses: {hmb: 1 GB}}}", r"s.yaml:9:39: unknown resource 'hmb', did you mean 'hbm'"),
        ("{loader: {feeds: x, uses: {hbm: 1 ms}}}", "'1 ms' is a time, uses.hbm wants bytes"),
        ("{loader: {feeds: x, uses: {matrix_unit: 1 GB}}}", "uses.matrix_unit wants a time"),
        ("{loader: {feeds: x, uses: {hbm: 0 B}}}", "uses.hbm must be more than 0"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, entry: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load_scenario(write(tmp_path, f"{BASE}processes: {entry}\n"))


def test_every_way_of_running_has_the_loader(tmp_path: Path) -> None:
    """run, a study, find, what-if and the advice on the screen: 4 batches of 4 ms and a step of 1 ms."""
    text = f"{BASE}processes: {{loader: {{feeds: x, every: 4 ms}}}}\n"
    file = write(tmp_path, text + "study: {vary: {processes.loader.every: [2 ms, 1 ms]}}\nexpect: {time: 17 ms}\n")
    found = run(file)
    assert {verdict.holds for verdict in found.verdicts} == {True}
    assert list(found.study["time"]) == pytest.approx([9e-3, 5e-3])
    assert found.words["bound_by"] == "host"
    helped = {each.change: each.gain for each in advice(found.words)}
    assert helped["matrix unit x2"] == pytest.approx(0.5 / 17)
    assert helped["loader x2"] == pytest.approx(8 / 17)
    scenario = load_scenario(file)
    effects = {each.resource: each.x2 for each in what_if(scenario).effects}
    assert effects["matrix_unit"] == pytest.approx(16.5e-3)
    assert effects["loader"] == pytest.approx(9e-3)
    assert summarise(scenario).again(scenario.graph, scenario.system, scenario.options).time_s == pytest.approx(17e-3)
    find = "study: {find: {smallest: processes.loader.workers, from: 1, to: 4, where: bound_by == compute}}\n"
    assert run(write(tmp_path, text + find)).found == 4


def test_units_ask_for_time_and_chips_take_turns(tmp_path: Path) -> None:
    """Batches on the vector units of chips 1 and 2 in turn, 4 ms each, so one every 2 ms on average."""
    text = BASE.replace("{chip: tpu_v5e}", "{chip: tpu_v5e, topology: line(3)}").replace(
        "unit=matrix", "unit=matrix, on=0"
    )
    entry = "processes: {loader: {feeds: x, on: [1, 2], uses: {vector_unit: 4 ms}}}\n"
    words = run(write(tmp_path, text + entry)).words
    assert words["time"] == pytest.approx(2 * 4e-3 + 2 * STEP)
    assert words["t_vector"] == pytest.approx(2 * 4e-3)
    assert words["t_host"] == 0


def test_two_loaders_are_both_waited_for(tmp_path: Path) -> None:
    entry = "processes: {images: {feeds: x, every: 2 ms}, labels: {feeds: y, every: 3 ms}}\n"
    words = run(write(tmp_path, BASE + entry)).words
    assert words["time"] == pytest.approx(4 * 3e-3 + STEP)
    assert words["t_host"] == pytest.approx(12e-3)


def test_the_efficiency_of_a_resource_slows_the_loader_too(tmp_path: Path) -> None:
    text = BASE.replace("overlap: full", "overlap: full, efficiency: {hbm: 50 %}")
    words = run(write(tmp_path, text + "processes: {loader: {feeds: x, uses: {hbm: 820 MB}}}\n")).words
    assert words["time"] == pytest.approx(4 * 2e-3 + STEP)
    assert words["t_memory"] == pytest.approx(4 * 2e-3)


@pytest.mark.parametrize(("share", "name"), [(0.25, 25), (0.5, 50), (0.6, 60), (1.0, 100)])
def test_the_busy_share_of_an_a100_is_the_pace_of_its_data(share: float, name: int) -> None:
    """T03, exactly: over n steps the A100 is busy n of n / share + 1 steps' time, which tends to the share."""
    words = outcome(f"data_preparation_{name}").words
    busy = number(words, "t_math") / number(words, "time")
    agree(f"T03 {share}", busy, 1000 / (1000 / share + 1), 1e-9)
    agree(f"T03 {share}, steady state", busy, share)
