"""Kernels of several queues on a measured chip: they take turns on its cores. Measured rows, and the laws."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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


@settings(max_examples=40, deadline=None)
@given(streams())
def test_the_time_is_between_the_bounds(drawn: tuple[list[str], dict[str, int]]) -> None:
    found = ran(*drawn)
    slack = 1e-9 * found.time_s + 1e-11
    assert found.lower_bound_s <= found.time_s + slack
    assert found.dependency_bound_s <= found.time_s + slack
    assert found.time_s <= found.upper_bound_s + slack


@settings(max_examples=15, deadline=None)
@given(streams(), st.permutations([0, 1, 2, 3]))
def test_names_and_the_order_of_lines_change_no_time(drawn: tuple[list[str], dict[str, int]], order: list[int]) -> None:
    """One kernel a queue: whose turn it is follows from what they are; of equals somebody is first."""
    apart = [line[:-2] + f"q{at})" for at, line in enumerate(drawn[0])]
    there = [apart[at].replace("o", "p", 1).replace("=q", "=r") for at in order if at < len(apart)]
    here, found = (ran(lines, drawn[1]) for lines in (apart, there))
    assert sorted(here.end_ps) == sorted(found.end_ps)
    assert here.upper_bound_s == pytest.approx(found.upper_bound_s, rel=1e-12)


def test_chips_alike_are_those_of_a_full_run() -> None:
    wiring = parse_topology("switch(4) over nvlink", H100.chip.links)
    system = System(H100.chip, wiring, Mesh({"X": 4}))
    lines = [SQUARE, "c:bf16[N] = copy(s:bf16[N], queue=side)", "z:bf16[M,M] = gelu(y)"]
    dims = {"M": 3000, "N": 2**24}
    folded, full = (ran(lines, dims, RunOptions(calibration="measured", fold=fold), system) for fold in (True, False))
    assert (folded.plan.classes, full.plan.classes) == (1, 4)
    assert set(folded.end_ps) == set(full.end_ps)
