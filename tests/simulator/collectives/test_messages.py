"""Laws of collectives that go message by message, on any wiring.

Nothing of a collective happens before all of its chips have come to it, and nothing after it has ended; each chip's first
messages wait for it even where nothing was passed to that chip before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal
from unittest.mock import patch

import pytest

from hw import System
from simulator import Result, RunOptions, parse_graph, simulate
from simulator.collectives import rounds
from tests.support.strategies import chip_with, many

V5E, V5P, H100 = (chip_with(name, {}) for name in ("tpu_v5e", "tpu_v5p", "h100_sxm"))
# messages grow with the square of the chips and with their axes, what is said of them does not: few chips are enough
WIRINGS: dict[str, System] = {
    "line": many("line(5)", {"X": 5}, V5E),
    "ring": many("ring(6)", {"X": 6}, V5E),
    "grid": many("grid(3,3)", {"X": 3, "Y": 3}, V5E),
    "thin grid": many("grid(2,3)", {"X": 2, "Y": 3}, V5E),
    "half torus": many("torus(4,3,wrap=[yes,no])", {"X": 4, "Y": 3}, V5E),
    "grid 3-D": many("grid(2,2,3)", {"X": 2, "Y": 2, "Z": 3}, V5P),
    "switch": many("switch(6) over nvlink", {"X": 6}, H100),
    "full": many("full(4)", {"X": 4}, V5P),
    "nodes": many(["switch(4) over nvlink", "switch(3) over infiniband"], {"X": 4, "Y": 3}, H100),
    "rings on a switch": many(["ring(4) over ici", "switch(3) over dcn"], {"X": 4, "Y": 3}, V5E),
    "thin tree": many("fat_tree(8,leaf=4,oversubscription=4) over infiniband", {"X": 8}, H100),
    "dragonfly": many("dragonfly(2,4,3) over infiniband", {"X": 24}, H100),
}
OPS = {
    "all_gather": "y:bf16[I,J] = all_gather(m:bf16[I,J_{o}], over={o})",
    "reduce_scatter": "y:bf16[I,J_{o}] = reduce_scatter(m:bf16[I,J]{{U_{o}}}, over={o})",
    "all_reduce": "y:bf16[I,J] = all_reduce(m:bf16[I,J]{{U_{o}}}, over={o})",
    "broadcast": "y:bf16[I,J] = broadcast(m:bf16[I,J], over={o})",
    "all_to_all": "y:bf16[I_{o},J] = all_to_all(m:bf16[I,J_{o}], over={o})",
    "gather_to": "y:bf16[I,J] = gather_to(m:bf16[I,J_{o}], over={o})",
    "permute": "y:bf16[I,J] = permute(m:bf16[I,J], over={o}, shift=1)",
}
SIZES = {"I": 720, "J": 3600, "S": 48}
"""All but S divide by the chips of every wiring."""
BEFORE_S = 1e-3


@pytest.fixture
def few_slices() -> Iterator[None]:
    """What streams goes in four slices, each behind the one before, instead of thirty-two and more."""
    with patch.multiple(rounds, SLICES=4, MOST_SLICES=4):
        yield


def go(system: System, kind: str, **options: Any) -> Result:
    """Something of 1 ms on every chip, then a collective, beside a stranger that shares its wires."""
    over = "".join(system.mesh.axes)
    lines = [
        "w:bf16[S] = custom(x:bf16[S], time=1 ms)",
        OPS[kind].format(o=over).replace(")", ", after=w)"),
        f"s:bf16[S,J] = permute(q:bf16[S,J], over={over}, queue=s)",
    ]
    return simulate(parse_graph(lines, SIZES), system, RunOptions(overlap="full", **options))


@pytest.mark.usefixtures("few_slices")
@pytest.mark.parametrize("order", ["program", "ready"])
@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize("wiring", WIRINGS)
def test_messages_stay_within_their_collective(wiring: str, kind: str, order: Literal["program", "ready"]) -> None:
    result = go(WIRINGS[wiring], kind, order=order, network="messages")
    program, begin, end = result.plan.program, result.begin_ps, result.end_ps
    whole: dict[tuple[int, int], int] = {}
    for task in program.parts:
        for chip in program.chips_of(task):
            whole[program.kernel[task], chip] = task
    for task in range(len(program)):
        if program.is_inner(task):
            parent = whole[program.kernel[task], program.chips_of(task)[0]]
            assert begin[parent] <= begin[task] <= end[task] <= end[parent]
    collective = [task for task, kernel in enumerate(program.kernel) if kernel == 1]
    assert min(begin[task] for task in collective) == BEFORE_S * 1e12
    assert result.time_s > BEFORE_S + 0.99 * result.plan.kernels[1].network_s


def test_a_permute_that_moves_nothing_ends() -> None:
    lines = ["y:bf16[I,J] = permute(x:bf16[I,J], over=X, shift=6)"]
    options = RunOptions(overlap="full", network="messages")
    still = simulate(parse_graph(lines, SIZES), WIRINGS["ring"], options)
    assert still.plan.kernels[0].traffic.form == "task"
    assert still.time_s == pytest.approx(2 * 720 * 3600 * 2 / V5E.hbm.bytes_per_s, rel=1e-6)


def test_on_many_chips_the_cheapest_is_looked_for_among_few() -> None:
    lines = ["y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_X}, over=X)"]
    options = RunOptions(overlap="full", collectives="auto")
    traffic = simulate(parse_graph(lines, SIZES), many("ring(1024)", {"X": 1024}, V5E), options).plan.kernels[0].traffic
    assert traffic.algorithm == "ring"
    assert "direct, halving_doubling, tree not tried on so many chips" in traffic.reason


@pytest.mark.usefixtures("few_slices")
@pytest.mark.parametrize(
    ("network", "collectives"), [("task", "canonical"), ("task", "auto"), ("messages", "canonical")]
)
@pytest.mark.parametrize("kind", ["all_gather", "all_reduce", "all_to_all", "broadcast"])
@pytest.mark.parametrize("wiring", ["line", "ring", "thin grid", "switch", "thin tree"])
def test_chunks_take_what_as_many_small_collectives_take(
    wiring: str, kind: str, collectives: str, network: Literal["task", "messages"]
) -> None:
    system, pieces = WIRINGS[wiring], 4
    over = "".join(system.mesh.axes)
    line = OPS[kind].format(o=over)
    cut = [line.replace(")", f", chunks={pieces})")]
    small = [line.replace("y:", f"y{at}:").replace("m:", f"m{at}:") for at in range(pieces)]

    def go(lines: list[str], rows: int) -> Result:
        options = RunOptions(overlap="full", collectives=collectives, network=network)
        return simulate(parse_graph(lines, {"I": rows, "J": 480}), system, options)

    one, several = go(cut, 4 * 960), go(small, 960)
    assert one.time_s == pytest.approx(several.time_s, rel=1e-9, abs=pieces * 1e-12)
    assert one.lower_bound_s == pytest.approx(several.lower_bound_s, rel=1e-9)
    assert one.upper_bound_s == pytest.approx(several.upper_bound_s, rel=1e-9)


@pytest.mark.parametrize("kind", OPS)
@pytest.mark.parametrize(
    "topology", ["dragonfly(2,2,2)", "torus(4,2)", "grid(4,2)", "fat_tree(8,leaf=4,oversubscription=4)"]
)
def test_no_message_form_beats_the_bounds_where_hops_are_far(topology: str, kind: str) -> None:
    far = chip_with("tpu_v5p", {"links.ici.latency": 50e-6})
    lines = [OPS[kind].format(o="X"), "z:bf16[S,J] = permute(q:bf16[S,J], over=X, queue=s)"]
    options = RunOptions(overlap="full", network="messages")
    result = simulate(parse_graph(lines, SIZES), many(f"{topology} over ici", {"X": 8}, far), options)
    within = 1e-9 * result.time_s + 1e-11
    assert result.dependency_bound_s <= result.time_s + within
    assert result.lower_bound_s <= result.time_s + within


@pytest.mark.parametrize("kind", ["all_gather", "reduce_scatter"])
@pytest.mark.parametrize("sizes", [(6, 4, 2), (16, 2), (4, 4, 2)])
def test_wrapped_axes_of_unlike_sizes_take_by_messages_what_the_task_takes(sizes: tuple[int, ...], kind: str) -> None:
    """V / sum(W_both) keeps all directions of all axes busy; what is left is the filling of the pipeline by slices."""
    mesh = dict(zip("XYZ", sizes, strict=False))
    system = many(
        f"torus({','.join(map(str, sizes))}) over ici", mesh, chip_with("tpu_v4", {"links.ici.latency": 1e-6})
    )
    graph = parse_graph([OPS[kind].format(o="".join(mesh))], {"I": 960, "J": 48_000})
    task, messages = (
        simulate(graph, system, RunOptions(overlap="full", network=network)).time_s for network in ("task", "messages")
    )
    assert messages == pytest.approx(task, rel=0.06)
