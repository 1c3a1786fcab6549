"""Kernels of several queues on a measured chip: they take turns on its cores. Measured rows, and the laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import CONTENTION, schedule_path
from hw import Mesh, System, load_chip, parse_topology
from simulator import Result, RunOptions, parse_graph, simulate
from tests.support.strategies import show_error

H100 = System(load_chip("h100_sxm"))
BURST = RunOptions(calibration="measured", clocks="burst")
SQUARE = "y:bf16[M,M] = matmul(x:bf16[M,M], w:bf16[M,M])"

MEASURED = [
    ("copy on the chip", "s:bf16[N]", 2**28, 1779.888, 0.04),
    ("copy on the chip", "s:bf16[N]", 2**29, 2099.28, 0.02),
    ("copy on the chip", "s:bf16[N]", 2**30, 2794.64, 0.02),
    ("copy on the chip", "s:bf16[N]", 2**31, 4200.176, 0.02),
    ("copy from the host", "s:bf16[N]@host", 2**25, 1398.416, 0.02),
    ("copy from the host", "s:bf16[N]@host", 2**26, 2453.984, 0.08),
    ("copy from the host", "s:bf16[N]@host", 2**27, 4884.72, 0.08),
    ("copy from the host", "s:bf16[N]@host", 2**28, 9753.008, 0.08),
]
"""A matmul of 8192^3 in one stream and a copy of N elements in another: microseconds of both. Own measurements on an H100
SXM, PyTorch 2.11, CUDA 13.0, 2026-11-28: medians of bursts of 20. What comes from the host is 8 % late, for its rate is from
another machine."""


def ran(lines: list[str], dims: dict[str, int], options: RunOptions = BURST, system: System = H100) -> Result:
    return simulate(parse_graph(lines, dims), system, options)


@pytest.mark.parametrize(("what", "source", "size", "measured_us", "within"), MEASURED)
def test_two_streams_take_what_was_measured(
    what: str, source: str, size: int, measured_us: float, within: float
) -> None:
    found = ran([SQUARE, f"c:bf16[N] = copy({source}, queue=side)"], {"M": 8192, "N": size})
    print(show_error(f"{what}, {size} elements, us", found.time_s * 1e6, measured_us))
    assert found.time_s == pytest.approx(measured_us * 1e-6, rel=within)


def test_a_kernel_of_few_bytes_runs_beside_a_matmul_that_leaves_cores() -> None:
    """16 tiles in 8 parts each hold 128 of 132 cores: the 128 KiB of a small copy need the 4 that are left (what
    both read of HBM they share), those of a large one all, so that it goes on when the matmul ends."""
    lines = ["y:bf16[M,M] = matmul(x:bf16[M,K], w:bf16[K,M])", "c:bf16[E] = copy(s:bf16[E], queue=side)"]
    small, large = (ran(lines, {"M": 512, "K": 16384, "E": size}) for size in (2**15, 2**24))
    matmul_s, small_s = alone_s(lines[0], small), alone_s(lines[1], small)
    assert sorted(small.end_ps) == pytest.approx([small_s * 1e12, matmul_s * 1e12], rel=0.03)
    assert large.time_s > matmul_s + 0.8 * alone_s(lines[1], large)


def alone_s(line: str, both: Result) -> float:
    return ran([line], dict(both.plan.graph.dims)).time_s


def test_one_stream_holds_nothing() -> None:
    """Nobody else wants the cores: all that a run of one queue says is as it was."""
    assert not ran([SQUARE, "z:bf16[M,M] = gelu(y)"], {"M": 512}).plan.program.cores
    assert not ran([SQUARE, "z:bf16[M,M] = gelu(y, queue=b)"], {"M": 512}, RunOptions()).plan.program.cores
    assert ran([SQUARE, "z:bf16[M,M] = gelu(y, queue=b)"], {"M": 512}).plan.program.cores == {0: 132}


def test_who_waits_for_cores_has_not_begun() -> None:
    """The shorter kernel is first; the other begins, but for its start, when it ends. Its wait is contention on the path."""
    found = ran([SQUARE, "c:bf16[N] = copy(s:bf16[N], queue=side)"], {"M": 8192, "N": 2**29})
    matmul, copy = (0, 1)
    start_ps = found.plan.program.shapes[found.plan.program.shape[matmul]].fixed_ps
    assert found.begin_ps[matmul] == found.end_ps[copy] - start_ps
    path = schedule_path(found)
    assert (path[0].begin_ps, path[-1].end_ps) == (0, found.end_ps[matmul])
    assert {part.cause for part in path} == {CONTENTION, "overhead", "compute"}
    assert sum(part.end_ps - part.begin_ps for part in path) == found.end_ps[matmul]


# Laws

KINDS = [
    "matmul({x}:bf16[A,B], {w}:bf16[B,A])",
    "gelu({x}:bf16[A,B])",
    "softmax({x}:bf16[A,B])",
    "copy({x}:bf16[A,B])",
    "attention({x}:bf16[A,B,64], {w}:bf16[A,B,64], v{x}:bf16[A,B,64], causal=true)",
    "copy({x}:bf16[A,B]@host)",
]
OUT = ["A,A", "A,B", "A,B", "A,B", "A,B,64", "A,B"]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[str], dict[str, int]]:
    """Independent kernels in queues of their own, of one chip."""
    lines = []
    for at, kind in enumerate(draw(st.lists(st.integers(0, len(KINDS) - 1), min_size=2, max_size=4))):
        made = KINDS[kind].format(x=f"x{at}", w=f"w{at}")
        queue = draw(st.sampled_from(["a", "b", "c"]))
        lines.append(f"o{at}:bf16[{OUT[kind]}] = {made[:-1]}, queue={queue})")
    return lines, {"A": draw(st.integers(1, 2500)), "B": draw(st.integers(1, 2500))}


@settings(max_examples=25, deadline=None)
@given(streams())
def test_the_time_is_between_the_bounds(drawn: tuple[list[str], dict[str, int]]) -> None:
    found = ran(*drawn)
    slack = 1e-9 * found.time_s + 1e-11
    assert found.lower_bound_s <= found.time_s + slack
    assert found.dependency_bound_s <= found.time_s + slack
    assert found.time_s <= found.upper_bound_s + slack


@settings(max_examples=10, deadline=None)
@given(streams(), st.permutations([0, 1, 2, 3]))
def test_names_and_the_order_of_lines_change_no_time(drawn: tuple[list[str], dict[str, int]], order: list[int]) -> None:
    """One kernel a queue: whose turn it is follows from what they are; of equals somebody is first."""
    apart = [line[:-2] + f"q{at})" for at, line in enumerate(drawn[0])]
    there = [apart[at].replace("o", "p", 1).replace("=q", "=r") for at in order if at < len(apart)]
    here, found = (ran(lines, drawn[1]) for lines in (apart, there))
    assert sorted(here.end_ps) == sorted(found.end_ps)
    assert here.upper_bound_s == pytest.approx(found.upper_bound_s, rel=1e-12)


# Collectives

WIRING = parse_topology("switch(4) over nvlink", H100.chip.links)
NODE = System(H100.chip, WIRING, Mesh({"X": 4}))
TILES = "y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])"
GATHER = "g:bf16[E,F] = all_gather(p:bf16[E_X,F], over=X)"


@pytest.mark.parametrize(("columns", "waves"), [(1408, 2), (1152, 1)])
def test_one_core_short_is_a_second_wave_beside_a_collective(columns: int, waves: int) -> None:
    """132 tiles of 128 x 128 on the 108 cores that 24 channels leave are two waves where alone they are one; 108 are one."""
    dims = {"M": 1536, "N": columns, "K": 8192, "E": 2**14, "F": 2**12}
    beside = ran([TILES, GATHER], dims, system=NODE)
    held = [shape.held for shape in beside.plan.program.shapes]
    assert [each.units for each in held if each is not None and each.whole] == [24]
    alone = ran([TILES], dims, system=NODE)
    assert max(beside.end_ps) > 2 * min(beside.end_ps)  # the collective is there all the time
    assert min(beside.end_ps) == pytest.approx(waves * alone.time_s * 1e12, rel=0.05)


def test_a_collective_of_few_bytes_has_few_channels() -> None:
    """32 KiB for each: 100 KiB have four."""
    found = ran([TILES, GATHER], {"M": 512, "N": 512, "K": 512, "E": 100, "F": 512}, system=NODE)
    assert [shape.held.units for shape in found.plan.program.shapes if shape.held and shape.held.whole] == [4]


@st.composite
def steps(draw: st.DrawFn) -> tuple[list[str], dict[str, int]]:
    """Kernels of a chip, each after one before it, and collectives that come when some of them are done."""
    lines, made = ["x0:bf16[A,B] = gelu(i:bf16[A,B])"], ["x0"]
    for at in range(1, draw(st.integers(2, 6))):
        before = draw(st.sampled_from(made))
        kinds = [
            (f"x{at}:bf16[A,B] = gelu({before})", f"x{at}"),
            (f"x{at}:bf16[A,B] = matmul({before}, w{at}:bf16[B,B])", f"x{at}"),
            (f"x{at}:bf16[A,B] = all_gather(p{at}:bf16[A_X,B], over=X, after=[{before}])", f"x{at}"),
            (f"s{at}:bf16[A_X,B] = reduce_scatter(q{at}:bf16[A,B]{{U_X}}, over=X, after=[{before}])", before),
        ]
        line, name = draw(st.sampled_from(kinds))
        lines.append(line)
        made.append(name)
    return lines, {"A": 4 * draw(st.integers(1, 700)), "B": draw(st.integers(1, 2500))}


@settings(max_examples=15, deadline=None)
@given(steps())
def test_collectives_beside_kernels_keep_the_laws(drawn: tuple[list[str], dict[str, int]]) -> None:
    """Between the bounds; chips that are alike simulated once, as each by itself."""
    folded, full = (ran(*drawn, RunOptions(calibration="measured", fold=fold), NODE) for fold in (True, False))
    slack = 1e-9 * folded.time_s + 1e-11
    assert folded.lower_bound_s <= folded.time_s + slack
    assert folded.dependency_bound_s <= folded.time_s + slack
    assert folded.time_s <= folded.upper_bound_s + slack
    assert (folded.plan.classes, full.plan.classes) == (1, 4)
    assert set(folded.end_ps) == set(full.end_ps)
