"""The same kernels on a chip of the same die with another HBM: what belongs to the architecture stays, bytes go faster.

Laws, of the H100's calibration on a chip that differs from it in HBM alone (the H200, or any file that says so): a long
stream is faster by the bandwidth; what waits, computes, lies on the chip or is issued by the host takes what it took;
nothing is faster by more than the bandwidth, and nothing is slower. Starts are times, not shares of a bandwidth.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Chip, System, load_chip
from hw.chips import chip_kernels, load_kernel_times
from scenarios import run
from simulator import RunOptions, parse_graph, simulate

HOPPER = load_kernel_times("hopper")
FASTER = 4.8 / 3.35
OLD, NEW = load_chip("h100_sxm"), load_chip("h200")
PICOSECONDS = 1e-7

LINES = (
    "y:bf16[M,K] = gelu(x:bf16[M,K])",
    "y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])",
    "y:bf16[M,K] = softmax(x:bf16[M,K])",
    "y:bf16[M,K] = rms_norm(x:bf16[M,K], g:bf16[K])",
    "o:bf16[B,M,D] = attention(q:bf16[B,M,D], k:bf16[B,N,D], v:bf16[B,N,D])",
    "n:fp32[N] = adamw(w:fp32[N], g:fp32[N], m:fp32[N], v:fp32[N])",
    "l:fp32[M] = cross_entropy(z:fp32[M,N], y:int32[M])",
)


def seconds(chip: Chip, line: str, sizes: Mapping[str, int], dispatch: str = "graph") -> float:
    graph = parse_graph([line], {name: size for name, size in sizes.items() if name in line})
    options = RunOptions(calibration="measured", dispatch=dispatch)  # type: ignore[arg-type]
    return simulate(graph, System(chip), options).time_s


@given(st.sampled_from(LINES), *(st.integers(1, 13) for _ in range(3)), st.floats(1.0, 1.6))
@settings(max_examples=60, deadline=None)
def test_a_faster_memory_makes_nothing_slower_nor_faster_than_itself(
    line: str, m: int, n: int, k: int, by: float
) -> None:
    sizes = {"M": 2**m, "N": 2**n, "K": 2**k, "B": 8, "D": 128}
    faster = load_chip("h100_sxm", set={"hbm.bandwidth": f"{3.35 * by} TB/s"})
    old, new = (seconds(chip, line, sizes) for chip in (OLD, faster))
    assert new <= old * (1 + PICOSECONDS)
    assert new >= old / by * (1 - PICOSECONDS)


@pytest.mark.parametrize("elements", [2**10, 2**18, 2**22, 2**28])
def test_of_a_stream_the_bytes_are_faster_and_the_start_is_not(elements: int) -> None:
    """So small ones, which a start decides, gain next to nothing."""
    old, new = (seconds(chip, "y:bf16[N] = add(x:bf16[N], z:bf16[N])", {"N": elements}) for chip in (OLD, NEW))
    moved = 6 * elements / (3.35e12 * HOPPER.hbm)
    assert old == pytest.approx(HOPPER.start_s + moved, abs=2e-12)
    assert new == pytest.approx(HOPPER.start_s + moved / FASTER, abs=2e-12)


def test_what_other_units_decide_takes_what_it_took() -> None:
    """A deep matmul, fused attention of long prompts, and a stream of what lies in the on-chip memory."""
    heads = "o:bf16[B,H,S,D] = attention(q:bf16[B,H,S,D], k:bf16[B,H,S,D], v:bf16[B,H,S,D])"
    cases = (
        ("y:bf16[N,M] = matmul(x:bf16[N,K], w:bf16[K,M])", {"N": 8192, "M": 8192, "K": 8192}, 2e-3),
        (heads, {"B": 4, "H": 32, "S": 8192, "D": 128}, 2e-3),
        ("y:bf16[N]@on_chip = gelu(x:bf16[N]@on_chip)", {"N": 2**20}, PICOSECONDS),
    )
    for line, sizes, within in cases:
        old, new = (seconds(chip, line, sizes) for chip in (OLD, NEW))
        assert new == pytest.approx(old, rel=within), line


def test_a_host_that_issues_is_no_faster() -> None:
    """Eager, a chain of small kernels: what the host takes for each."""
    line = "y:bf16[N] = gelu(x:bf16[N])"
    old, new = (seconds(chip, line, {"N": 2**10}, "eager") for chip in (OLD, NEW))
    assert new == pytest.approx(old, abs=1e-8)


def test_a_token_of_long_contexts_gains_all_of_it() -> None:
    line = "o:bf16[B,K,G,S,D] = attention(q:bf16[B,K,G,S,D], k:bf16[B,K,T,D], v:bf16[B,K,T,D])"
    sizes = {"B": 64, "K": 8, "G": 4, "S": 1, "T": 32768, "D": 128}
    old, new = (seconds(chip, line, sizes) for chip in (OLD, NEW))
    assert old / new == pytest.approx(FASTER, rel=0.02)


@pytest.mark.parametrize(
    ("kernels", "twins"), [("hopper", ("h100_sxm", "h200")), ("ampere", ("a100_80gb_sxm", "a100_40gb_sxm"))]
)
def test_a_core_draws_no_more_from_a_faster_memory(kernels: str, twins: tuple[str, str]) -> None:
    """Beside a matmul that leaves fewer cores than HBM can feed, a copy goes as fast as these draw, on both chips."""
    times = load_kernel_times(kernels)
    assert times.core_bytes_per_s is not None
    lines = ["y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", "c:bf16[L] = copy(s:bf16[L], queue=side)"]
    graph = parse_graph(lines, {"M": 1024, "N": 1024, "K": 262144, "L": 2**22})
    for chip in map(load_chip, twins):
        found = simulate(graph, System(chip), RunOptions(calibration="measured", dispatch="graph"))
        held = found.plan.program.shapes[found.plan.program.shape[0]].held
        assert held is not None
        drawn = (held.of - held.units) * times.core_bytes_per_s
        assert 0 < drawn < times.hbm * chip.hbm.bytes_per_s
        assert found.end_ps[1] < found.end_ps[0], "the matmul is there until the copy ends"
        assert 1e-12 * found.end_ps[1] == pytest.approx(times.start_s + 2 * 2 * 2**22 / drawn, rel=2e-3)


@pytest.mark.parametrize("how", ["file", "scenario"])
def test_a_chip_of_ones_own_that_is_an_h100_with_another_memory_is_an_h200(how: str, tmp_path: Path) -> None:
    """Said in a scenario, or in a chip's file that names the architecture."""
    text = """
name: decode
about: A long stream.
system: {SYSTEM}
run: {calibration: measured, dispatch: graph}
workload: {dims: {N: 268435456}, ops: ["y:bf16[N] = gelu(x:bf16[N])"]}
"""
    said = "chip: h100_sxm, set: {hbm: {capacity: 141 GB, bandwidth: 4.8 TB/s}}"
    if how == "file":
        own = tmp_path / "mine.yaml"
        own.write_text(
            """name: mine
kind: gpu
matrix_unit: {cores: 132, peak: {bf16: 989 TFLOP/s}, tile: [64, 128]}
vector_unit: {peak: {fp32: 67 TFLOP/s}}
hbm: {capacity: 141 GB, bandwidth: 4.8 TB/s}
on_chip: {capacity: 50 MiB, bandwidth: 5.5 TB/s}
power: 700 W
calibration: {measured: {kernels: hopper}}
sources: {matrix_unit: "sheet", vector_unit: "sheet", hbm: "sheet", on_chip: "sheet", power: "sheet", calibration: "the die"}
""",
            encoding="utf-8",
        )
        said = f"chip: {own}"
    file = tmp_path / "case.yaml"
    file.write_text(text.replace("SYSTEM", said), encoding="utf-8")
    found = run(str(file)).summary
    assert found["time"] == pytest.approx(seconds(NEW, LINES[0], {"M": 2**14, "K": 2**14}), rel=1e-6)
    kernels = chip_kernels(NEW)
    assert kernels is not None
    assert kernels.own
