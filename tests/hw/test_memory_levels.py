"""Levels of memory: registers, caches and what else a chip has, with their bandwidths, capacities and latencies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis.runs import near_bytes, points_frame, roofs
from hw import Chip, SpecError, System, load_chip
from scenarios import load_scenario
from scenarios import run as run_scenario
from simulator import RunOptions
from tests.support.strategies import chip_with, kernels_of, run, show_error

FULL = RunOptions(overlap="full")
LEVELS = {
    "scratch": {"capacity": 256 * 1024, "bandwidth": 4e13, "latency": 2e-8},
    "l2": {"capacity": 32 * 2**20, "bandwidth": 8e12, "latency": 2e-7},
}
PLAIN = {"hbm.bandwidth": 2e12, "hbm.latency": 5e-7, "on_chip.capacity": 4 * 2**20, "on_chip.bandwidth": 1e13}


def leveled(**more: Any) -> System:
    return System(chip_with("tpu_v5e", {**PLAIN, "levels": LEVELS, **more}))


# Data


@pytest.mark.parametrize("name", ["h100_sxm", "h100_pcie", "a100_40gb_sxm", "a100_80gb_sxm", "v100_sxm2_32gb"])
def test_shipped_levels_follow_from_the_units(name: str) -> None:
    """SMs and clocks of the white papers; L1 and registers an SM of theirs, 128 B a cycle and SM from L1, and 16 B a cycle
    for each lane whose FMA is 2 FLOP."""
    sms, clock, l1_kib = {
        "h100_sxm": (132, 1.83e9, 256), "h100_pcie": (114, 1.755e9, 256), "a100_40gb_sxm": (108, 1.41e9, 192),
        "a100_80gb_sxm": (108, 1.41e9, 192), "v100_sxm2_32gb": (80, 1.53e9, 128),
    }[name]  # fmt: skip
    chip = load_chip(name)
    levels = chip.levels
    assert list(levels) == ["registers", "l1"]  # the L2 is on_chip
    assert levels["registers"].capacity_bytes == sms * 65536 * 4
    assert levels["l1"].capacity_bytes == sms * l1_kib * 1024
    print(show_error(f"{name} L1", levels["l1"].bytes_per_s, sms * 128 * clock))
    assert levels["l1"].bytes_per_s == pytest.approx(sms * 128 * clock, rel=1e-3)
    fma = chip.vector_unit.peak_flops_per_s["fp32"] / 2
    assert levels["registers"].bytes_per_s == pytest.approx(fma * 16, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "cycles", "clock"),
    [
        ("h100_pcie", {"l1": 34.2, "on_chip": 265.5, "hbm": 650.0}, 1.755e9),
        ("a100_80gb_sxm", {"l1": 36.0, "on_chip": 211.0, "hbm": 571.0}, 1.41e9),
        ("v100_sxm2_32gb", {"l1": 29.9, "on_chip": 215.0, "hbm": 437.0}, 1.38e9),
    ],
)
def test_shipped_latencies_are_the_measured_ones(name: str, cycles: dict[str, float], clock: float) -> None:
    """Cycles of dependent loads at the clock that they were measured at."""
    memories = load_chip(name).memories
    for level, count in cycles.items():
        print(show_error(f"{name} {level}", memories[level].latency_s, count / clock))
        assert memories[level].latency_s == pytest.approx(count / clock, rel=5e-3)


def broken(levels: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SpecError) as caught:
        chip_with("tpu_v5e", {**PLAIN, **more, "levels": levels})
    return str(caught.value)


@pytest.mark.parametrize(
    ("levels", "words"),
    [
        (
            {"l1": LEVELS["l2"], "l2": LEVELS["scratch"]},
            "levels.l2 has 40 TB/s, levels.l1, which is nearer, only 8 TB/s",
        ),
        ({"l2": {"capacity": 1, "bandwidth": 1e12}}, "hbm has 2 TB/s, levels.l2, which is nearer, only 1 TB/s"),
        ({"l2": {**LEVELS["l2"], "latency": 1e-6}}, "hbm takes 500 ns, levels.l2, which is nearer, 1 us"),
        ({"hbm": LEVELS["l2"]}, "'hbm' is too much like 'hbm' to name a level"),
        ({"hbm_": LEVELS["l2"]}, "too much like 'hbm'"),
        ({"matrix_unit": LEVELS["l2"]}, "'matrix_unit' is the name of something else of the chip"),
        ({"ici": LEVELS["l2"]}, "'ici' is the name of something else of the chip"),
        ({"L 2": LEVELS["l2"]}, "'L 2' is no name of a level"),
        ({"l2": {"capacity": 1, "bandwidth": 9e12, "latency": -1}}, "levels.l2.latency must be 0 or more"),
        ({"l2": {"capacity": 1}}, "'levels.l2.bandwidth' is missing"),
    ],
)
def test_a_hierarchy_that_is_none_is_refused(levels: dict[str, Any], words: str) -> None:
    assert words in broken(levels)


def test_hbm_and_on_chip_memory_made_faster_together_need_nothing_said_of_nearer_levels() -> None:
    faster = chip_with("a100_40gb_sxm", {"hbm.bandwidth": 12.44e12, "on_chip.bandwidth": 3e13})
    assert faster.memories["l1"].bytes_per_s >= faster.hbm.bytes_per_s


def test_an_unknown_latency_is_held_against_no_one() -> None:
    chip = chip_with("tpu_v5e", {**PLAIN, "hbm.latency": 0, "levels": LEVELS})
    assert chip.memories["hbm"].latency_s == 0
    assert list(chip.memories)[:3] == ["scratch", "l2", "on_chip"]


# Tensors


def test_a_tensor_in_a_level_moves_at_its_bandwidth() -> None:
    lines = ["y:bf16[M,N] = relu(x:bf16[M,N]@l2)"]
    result = run(lines, {"M": 1024, "N": 1024}, leveled(), FULL)
    (kernel,) = result.plan.kernels
    assert kernel.times_s["l2"] == pytest.approx(2 * 2**20 / 8e12)
    assert kernel.times_s["hbm"] == pytest.approx(2 * 2**20 / 2e12)
    assert near_bytes(result.plan) == {"l2": 2 * 2**20}


def test_what_an_op_makes_in_a_level_stays_until_it_is_read() -> None:
    """An input stays; of a chain there are two at a time; what nobody reads stays to the end; a view holds nothing."""
    chain = [f"a{at}:bf16[M,N]@l2 = relu({'x:bf16[M,N]@l2' if at == 0 else f'a{at - 1}'})" for at in range(6)]
    lines = [*chain, "v:bf16[M]@l2 = view(a5)", "y:bf16[M]@l2 = relu(v)"]
    one, row = 2 * 2**20, 2 * 1024
    assert near_bytes(run(lines, {"M": 1024, "N": 1024}, leveled(), FULL).plan) == {"l2": 3 * one}
    left = [chain[0], "b:bf16[M,N]@l2 = relu(x)", "y:bf16[M]@l2 = reduce(b)"]
    assert near_bytes(run(left, {"M": 1024, "N": 1024}, leveled(), FULL).plan) == {"l2": 3 * one + row}


def test_a_memory_that_no_chip_has_is_told_with_those_there_are() -> None:
    with pytest.raises(
        SpecError, match=r"^ops:1:18: unknown memory 'l3'. Allowed: disk, hbm, host, l2, on_chip, scratch"
    ):
        kernels_of("y:bf16[M] = relu(x:bf16[M]@l3)", system=leveled(), M=4)
    with pytest.raises(SpecError, match="unknown memory 'l2'"):
        kernels_of("y:bf16[M] = relu(x:bf16[M]@l2)", M=4)


def test_what_does_not_fit_its_level_does_not_fit(tmp_path: Path) -> None:
    text = """
name: held
system: {chip: h100_sxm}
workload:
  dims: {N: %d}
  ops: ["y:bf16[1] = reduce(x:bf16[N]@l1)"]
expect: {fits: %s}
"""
    for size, fits in ((16 * 2**20, "true"), (17 * 2**20, "false")):  # 33 MiB of L1
        (tmp_path / "held.yaml").write_text(text % (size, fits), encoding="utf-8")
        assert {verdict.holds for verdict in run_scenario(str(tmp_path / "held.yaml")).verdicts} == {True}


# Tiles, fusion, latency, roofs


def test_tiles_fit_the_level_that_a_run_names() -> None:
    """A square tile of s x s x 128 in bf16: twice 2 (2 x 128 s) and 4 s^2 bytes; 256 fits 512 KiB, 128 fits 256 KiB."""
    lines = ["y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])"]
    dims = {"M": 4096, "N": 4096, "K": 4096}
    moved = {}
    for level in ("on_chip", "scratch", "l2"):
        (kernel,) = run(lines, dims, leveled(), RunOptions(tile_level=level)).plan.kernels
        moved[level] = kernel.hbm_bytes
    assert 2 * 128 * 128 * 2 * 2 + 4 * 128 * 128 <= 256 * 1024 < 2 * (128 + 256) * 128 * 2 + 4 * 128 * 256
    assert moved["scratch"] == 2 * (4096**2 * (4096 // 128) * 2 + 4096**2)
    assert moved["l2"] < moved["on_chip"] < moved["scratch"]


def test_what_a_fused_kernel_passes_on_must_fit_the_level_that_a_run_names() -> None:
    lines = ["a:bf16[M,N] = relu(x:bf16[M,N])", "y:bf16[M,K] = matmul(a, w:bf16[N,K])"]
    dims = {"M": 4096, "N": 8192, "K": 128}
    for level, spills in (("scratch", True), ("l2", False)):  # 2 x 128 rows of 8192 x 2 bytes: 4 MiB
        options = RunOptions(overlap="full", tile_level=level)
        (kernel,) = run(lines, dims, leveled(), options, [["a", "y"]]).plan.kernels
        assert bool(kernel.kernel.spilled_bytes) is spills


@pytest.mark.parametrize(("where", "wait"), [("", 5e-7), ("@l2", 2e-7), ("@scratch", 2e-8), ("@on_chip", 0.0)])
def test_a_kernel_waits_once_for_the_memory_that_it_reads(where: str, wait: float) -> None:
    line = [f"y:bf16[M]{where} = relu(x:bf16[M]{where}, chunks=4)"]
    times = [
        run(line, {"M": 2**16}, leveled(), RunOptions(overlap="full", memory_latency=asked)).time_s
        for asked in (False, True)
    ]
    assert times[1] - times[0] == pytest.approx(4 * wait, abs=1e-11)  # each piece asks again


def test_of_several_memories_the_slowest_answer_counts() -> None:
    line = ["y:bf16[M] = add(x:bf16[M]@scratch, z:bf16[M]@l2)"]
    times = [
        run(line, {"M": 2**16}, leveled(), RunOptions(overlap="full", memory_latency=asked)).time_s
        for asked in (False, True)
    ]
    assert times[1] - times[0] == pytest.approx(2e-7, abs=1e-11)


def test_roofs_and_points_of_a_level() -> None:
    system = leveled()
    chip: Chip = system.chip
    ridges = {level: next(roofs(chip, level)).ridge for level in ("hbm", "l2", "scratch", "on_chip")}
    assert ridges == pytest.approx({"hbm": 98.5, "l2": 24.625, "scratch": 4.925, "on_chip": 19.7})
    lines = ["y:bf16[M,N] = matmul(x:bf16[M,K]@l2, w:bf16[K,N])"]
    points = points_frame(run(lines, {"M": 64, "N": 1024, "K": 1024}, system, FULL)).set_index("level")
    flops, nbytes = 2 * 64 * 1024 * 1024, 2 * 64 * 1024
    assert points.loc["l2", "bytes"] == nbytes
    assert points.loc["l2", "roof"] == pytest.approx(min(1.97e14, flops / nbytes * 8e12))


def test_a_level_that_the_chip_lacks_is_told_at_its_place(tmp_path: Path) -> None:
    text = (
        'name: t\nsystem: {chip: h100_sxm}\nworkload: {ops: ["y:bf16[4] = relu(x:bf16[4])"]}\nrun: {tile_level: l3}\n'
    )
    (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(
        SpecError, match=r"t.yaml:4:19: unknown memory on the chip 'l3'. Allowed: l1, on_chip, registers"
    ):
        load_scenario(str(tmp_path / "t.yaml"))
