"""Which kernel a token's attention gets, in how many blocks and waves: by hand, from the library's source, which
simulator.measured.token names. Times of blocks are one second and all else nothing, so that a kernel's time counts waves.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hw import System, load_chip
from hw.chips import KernelTimes, chip_kernels, load_kernel_times
from simulator import RunOptions, parse_graph, simulate
from simulator.measured import Device, kernel_time

A100 = load_chip("a100_80gb_sxm")
TIMES = load_kernel_times("ampere_tensorrt_llm")
FAST = dataclasses.replace(Device.of(A100), hbm_bytes_per_s=1e30, on_chip_bytes_per_s=1e30)
LINE = "a:bf16[B,K,G,1,E] = attention(q:bf16[B,K,G,1,E], k:bf16[B,K,T,E], {values})"
APART = "v:bf16[B,K,T,E]"


def told(**own: float) -> KernelTimes:
    """The library's times with some of a token's own; what is not said takes no time."""
    token = TIMES.attention.token
    assert token is not None
    none: dict[str, Any] = dict.fromkeys(("fixed_s", "head_s", "group_s", "wide", "split_s", "join_s"), 0.0)
    new = token.model_copy(update={**none, "head_bytes_per_s": 1e30, **own})
    return TIMES.model_copy(update={"attention": TIMES.attention.model_copy(update={"token": new})})


def busy_s(batch: int, of_keys: int, sharing: int, keys: int, values: str = APART, **own: float) -> float:
    sizes = {"B": batch, "K": of_keys, "G": sharing, "T": keys, "E": 128}
    graph = parse_graph([LINE.format(values=values)], sizes)
    kernel = simulate(graph, System(A100), RunOptions()).plan.kernels[0].kernel
    return kernel_time(kernel, FAST, told(**own)).busy_s


@pytest.mark.parametrize(
    ("groups", "keys", "parts"),
    [
        (64, 127, 1),  # fewer than 128 keys
        (64, 512, 4),  # of 128
        (8, 2048, 11),  # the root of 8 x 16
        (8, 131072, 91),  # the root of 8 x 1,024
        (64, 131072, 13),  # 8 waves of 108 cores are 864 blocks
        (2048, 8192, 1),
    ],
)
def test_keys_of_a_group_are_split_into_as_many_parts(groups: int, keys: int, parts: int) -> None:
    """Each part takes a second to join, and blocks go in waves over 108 cores."""
    joined = busy_s(groups, 1, 8, keys, join_s=1.0)
    assert joined == pytest.approx(parts if parts > 1 else 0, abs=1e-6)
    assert busy_s(groups, 1, 8, keys, group_s=1.0) == pytest.approx(-(-groups * parts // 108))


def test_sixteen_more_heads_fill_a_block_for_longer() -> None:
    narrow, sixteen, wide = (busy_s(64, 1, sharing, 64, group_s=1.0, wide=0.5) for sharing in (2, 16, 32))
    assert narrow == sixteen == pytest.approx(1.0)
    assert wide == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("batch", "keys", "grouped"), [(1, 3455, False), (1, 3456, True), (26, 64, False), (27, 64, True)]
)
def test_groups_go_by_heads_where_their_blocks_are_few(batch: int, keys: int, grouped: bool) -> None:
    """27 blocks of at least 128 keys are a quarter of 108 cores."""
    assert (busy_s(batch, 1, 8, keys, group_s=1.0) > 0.5) == grouped
    assert (busy_s(batch, 1, 8, keys, head_s=1.0) > 0.5) != grouped


@pytest.mark.parametrize(
    ("heads", "keys", "waves", "block"),
    [
        (8, 512, 1, 512),  # a large block takes 512 keys at once: one part
        (8, 4096, 1, 512),  # 64 large blocks
        (8, 131072, 2, 131072 / 14),  # 14 parts for 108 cores are 112 blocks
        (128, 8192, 2, 8192),  # large blocks, 108 at once
        (256, 8192, 2, 8192),  # two on a core
        (512, 8192, 2, 8192),  # four
        (432, 8192, 1, 8192),
        (4320, 64, 10, 64),
    ],
)
def test_heads_by_themselves_go_in_waves(heads: int, keys: int, waves: int, block: float) -> None:
    """Each wave fills its blocks, and reads keys and values of one."""
    assert busy_s(1, heads, 1, keys, head_s=1.0) == pytest.approx(waves)
    read = 2 * 2 * 128 * block
    assert busy_s(1, heads, 1, keys, head_bytes_per_s=read) == pytest.approx(waves)


def test_values_where_keys_are_are_read_once_by_groups_and_twice_by_heads() -> None:
    device = dataclasses.replace(FAST, hbm_bytes_per_s=1e12)
    for sharing, times in ((8, 2.0), (1, 1.0)):
        sizes = {"B": 64, "K": 8, "G": sharing, "T": 8192, "E": 128}
        graphs = (parse_graph([LINE.format(values=values)], sizes) for values in (APART, "k"))
        kernels = (simulate(graph, System(A100), RunOptions()).plan.kernels[0].kernel for graph in graphs)
        apart, one = (kernel_time(kernel, device, told()).busy_s for kernel in kernels)
        assert apart / one == pytest.approx(times, rel=2e-3)


def test_more_heads_than_a_block_takes_read_their_keys_from_the_on_chip_memory() -> None:
    """64 heads that share keys, each by itself: HBM gives these once, the on-chip memory 64 times."""
    device = dataclasses.replace(FAST, on_chip_bytes_per_s=1e12)
    graph = parse_graph([LINE.format(values=APART)], {"B": 64, "K": 1, "G": 64, "T": 4096, "E": 128})
    kernel = simulate(graph, System(A100), RunOptions()).plan.kernels[0].kernel
    nbytes = 2 * 2 * 64 * 64 * 4096 * 128
    assert kernel_time(kernel, device, told(near=1.0)).busy_s == pytest.approx(nbytes / 1e12)


def test_a_core_of_half_the_clock_takes_twice_as_long() -> None:
    """The A100's kernels on a chip that is only like it (`kernels_like`), whose clock is half."""
    own = {"calibration": {"measured": {"kernels_like": "ampere_tensorrt_llm"}}, "matrix_unit.derived.clock": "705 MHz"}
    graph = parse_graph([LINE.format(values=APART)], {"B": 8, "K": 8, "G": 8, "T": 4096, "E": 128})
    kernel = simulate(graph, System(A100), RunOptions()).plan.kernels[0].kernel
    known = chip_kernels(load_chip("a100_80gb_sxm", set=own))
    assert known is not None
    half = known.times
    assert half.clock_hz is None or half.start_s == TIMES.start_s
    whole_s, half_s = (kernel_time(kernel, FAST, each).busy_s for each in (TIMES, half))
    assert half_s == pytest.approx(2 * whole_s)
