"""Tiles that fit on-chip memory: re-read traffic and pipeline steps; padding; tensors held on chip.

Law: an operand is fetched whenever its tile changes, counted here by walking the loop nest. A matmul in tiles bm x bn with
K cut has bm bn / (bm + bn) FLOP/B in bf16. Alone, T = max + (sum - max) / k with k the steps of the tile.
Source: "How to Scale Your Model", roofline appendix on tiling, chapter on TPUs (problem on VMEM); Dao et al. 2022.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import System
from simulator import Contraction, PlannedKernel, RunOptions
from simulator.ops.tiling import FlashTiling, MatmulTiling, StreamTiling
from tests.support.strategies import chip_with, one, run, show_error

UNIT = (128, 128)
MATMUL = ["y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])"]


def with_on_chip(nbytes: int) -> System:
    return System(chip_with("tpu_v5e", {"on_chip.capacity": nbytes}))


def planned(line: str, system: System, options: RunOptions | None = None, **dims: Any) -> PlannedKernel:
    (kernel,) = run([line], dims, system, options).plan.kernels
    return kernel


def footprint(bm: int, bn: int, bk: int) -> int:
    """bf16 operands twice (one is computed on while the next is loaded), fp32 accumulators once."""
    return 2 * (bm * bk + bk * bn) * 2 + bm * bn * 4


# Matmul


@pytest.mark.parametrize(("side", "intensity"), [(128, 64), (256, 128), (512, 256)])
def test_the_intensity_of_a_square_tile(side: int, intensity: float) -> None:
    m = n = k = 8192
    tiles = MatmulTiling(1, m, n, k, 2, 2).tiles(math.inf, UNIT)
    tile = next(tile for tile in tiles if tile.label == f"{side}x{side}x128")
    assert tile.steps == (m // side) * (n // side) * (k // 128)
    got = 2 * m * n * k / sum(2 * m * k * times for times in tile.rereads)
    print(show_error(f"tile of {side}, FLOP/B", got, intensity))
    assert got == intensity


@pytest.mark.parametrize(("side", "intensity"), [(128, 64), (256, 128), (512, 256)])
def test_in_auto_the_tile_that_fits_gives_steps_and_traffic(side: int, intensity: float) -> None:
    """K is large, so that the output hardly counts; one byte less on chip and the tile no longer fits."""
    m = n = 4096
    k = 131072
    got = planned(MATMUL[0], with_on_chip(footprint(side, side, 128)), M=m, N=n, K=k)
    assert got.tile == f"{side}x{side}x128"
    assert got.steps == (m // side) * (n // side) * (k // 128)
    assert got.hbm_bytes == 2 * (m * k * (n // side) + k * n * (m // side) + m * n)
    reached = got.kernel.flops / got.hbm_bytes
    print(show_error(f"matmul with tiles of {side}, FLOP/B", reached, intensity))
    assert reached == pytest.approx(intensity, rel=0.01)
    if side > 128:  # the unit's own tile is taken even if it does not fit
        tighter = planned(MATMUL[0], with_on_chip(footprint(side, side, 128) - 1), M=m, N=n, K=k)
        assert tighter.hbm_bytes > got.hbm_bytes


def test_a_matmul_in_auto_is_a_pipeline_of_its_tiles() -> None:
    m = n = 1024
    k = 8192
    result = run(MATMUL, {"M": m, "N": n, "K": k}, with_on_chip(footprint(128, 128, 128)))
    math_s = 2 * m * n * k / 1.97e14
    memory_s = 2 * (m * k * 8 + k * n * 8 + m * n) / 8.2e11
    steps = 8 * 8 * 64
    want = max(math_s, memory_s) + min(math_s, memory_s) / steps
    print(show_error("matmul in tiles of 128, s", result.time_s, want))
    assert result.time_s == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert result.upper_bound_s == pytest.approx(math_s + memory_s, rel=1e-9, abs=1e-12)


def ceil(a: int, b: int) -> int:
    return -(-a // b)


def fetched(sizes: tuple[int, int, int], sides: tuple[int, int, int], order: str) -> tuple[int, int]:
    """Elements of A and of B that a walk over the tiles loads: again whenever the tile is another than the last."""
    steps = [range(ceil(size, side)) for size, side in zip(sizes, sides, strict=True)]
    extent = [
        [min(side, size - at * side) for at in counts] for size, side, counts in zip(sizes, sides, steps, strict=True)
    ]
    a = b = 0
    before: tuple[tuple[int, int], tuple[int, int]] | None = None
    for place in itertools.product(*(steps["mnk".index(axis)] for axis in order)):
        i, j, c = (place[order.index(axis)] for axis in "mnk")
        if before is None or before[0] != (i, c):
            a += extent[0][i] * extent[2][c]
        if before is None or before[1] != (c, j):
            b += extent[2][c] * extent[1][j]
        before = ((i, c), (c, j))
    return a, b


SIDE = st.integers(1, 30)


@given(SIDE, SIDE, SIDE, st.sampled_from([1, 2, 4]), st.sampled_from([1, 2]), st.integers(1, 5000), st.integers(1, 3))
def test_re_reads_are_those_of_the_loop_nest(
    m: int, n: int, k: int, a_bytes: int, b_bytes: int, on_chip: int, batch: int
) -> None:
    unit = (4, 3)
    found = 0
    for tile in MatmulTiling(batch, m, n, k, a_bytes, b_bytes).tiles(on_chip, unit):
        bm, bn, bk = map(int, tile.label.split("x"))
        assert tile.steps == batch * ceil(m, bm) * ceil(n, bn) * ceil(k, bk)
        walks = [fetched((m, n, k), (bm, bn, bk), order) for order in (["mnk", "nmk"] if bk == k else ["mnk"])]
        best = min(a * a_bytes + b * b_bytes for a, b in walks)
        assert tile.rereads[0] * m * k * a_bytes + tile.rereads[1] * k * n * b_bytes == best
        found += 1
        fits = 2 * (bm * bk * a_bytes + bk * bn * b_bytes) + bm * bn * 4 <= on_chip
        assert fits or (found == 1 and (bm, bn, bk) == (min(3, m), min(3, n), min(4, k)))
    assert found


def traffic(line: str, on_chip: int, **dims: Any) -> float:
    return planned(line, with_on_chip(on_chip), **dims).hbm_bytes


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 2000), st.integers(12, 22), st.integers(0, 6))
@settings(max_examples=40)
def test_more_on_chip_memory_never_means_more_traffic(m: int, n: int, k: int, small: int, more: int) -> None:
    less, enough = (traffic(MATMUL[0], 2**size, M=m, N=n, K=k) for size in (small, small + more))
    assert enough <= less
    assert enough >= 2 * (m * k + k * n + m * n)


def test_a_matmul_that_fits_whole_is_read_once_and_still_pipelined() -> None:
    got = planned(MATMUL[0], one(), M=512, N=512, K=512)
    assert got.hbm_bytes == 3 * 512 * 512 * 2
    assert got.steps > 1


# Steps from the run or from the op


@pytest.mark.parametrize(
    ("overlap", "option", "steps"),
    [
        ("full", "", math.inf),
        ("none", "", 1),
        ("auto", ", tiles=4", 4),
        ("full", ", tiles=4", 4),
        ("none", ", tiles=4", 4),
    ],
)
def test_tiles_of_the_op_beat_the_overlap_of_the_run(overlap: str, option: str, steps: float) -> None:
    m = n = k = 4096
    line = MATMUL[0].replace(")", option + ")")
    options = RunOptions(overlap=overlap)  # type: ignore[arg-type]
    result = run([line], {"M": m, "N": n, "K": k}, one(), options)
    math_s, memory_s = 2 * m * n * k / 1.97e14, 6 * m * n / 8.2e11
    want = max(math_s, memory_s) + min(math_s, memory_s) / steps
    assert result.time_s == pytest.approx(want, rel=1e-9, abs=1e-12)
    assert result.plan.kernels[0].hbm_bytes == 6 * m * n


# Streams


@pytest.mark.parametrize(("spare", "passes"), [(0, 2), (-1, 3)])
def test_a_row_that_does_not_fit_is_read_twice(spare: int, passes: int) -> None:
    """A row of softmax, in and out, twice over."""
    row = 100_000
    got = traffic("y:bf16[M,N] = softmax(x:bf16[M,N])", 2 * row * 4 + spare, M=16, N=row)
    assert got == passes * 16 * row * 2


@given(st.integers(1, 10**6), st.integers(1, 5000), st.integers(1, 10**6))
def test_a_stream_is_cut_into_blocks_of_whole_rows(elements: int, row: int, on_chip: int) -> None:
    (tile,) = StreamTiling(elements, 4.0, 2, row).tiles(on_chip, (8, 128))
    fits = 2 * row * 4 <= on_chip
    assert tile.rereads == ((1.0, 1.0) if fits or row == 1 else (2.0, 2.0))
    assert tile.steps == ceil(elements, max(1024, row) if fits else 1024)


# Flash attention

SIZES: dict[str, Any] = {"H": 2, "T": 1024, "S": 4096, "D": 64}
FLASH = "o:bf16[H,T,D] = attention(q:bf16[H,T,D], k:bf16[H,S,D], v:bf16[H,S,D])"


def flash_footprint(block: int) -> int:
    """Queries twice, a block of keys and of values twice, fp32 outputs once, fp32 scores once; heads of 64 in bf16."""
    return 2 * block * 128 + 2 * 128 * (128 + 128) + block * 64 * 4 + block * 128 * 4


@pytest.mark.parametrize("block", [128, 256, 512, 1024])
def test_flash_reads_keys_and_values_once_per_block_of_queries(block: int) -> None:
    moved = 2 * 2 * 64 * (2 * 1024 + 2 * 4096 * (1024 // block))
    got = planned(FLASH, with_on_chip(flash_footprint(block)), **SIZES)
    assert got.hbm_bytes == moved
    assert got.steps == 2 * (1024 // block) * (4096 // 128)
    if block > 128:
        assert planned(FLASH, with_on_chip(flash_footprint(block) - 1), **SIZES).hbm_bytes > moved


def test_flash_reads_the_keys_of_a_group_once_for_all_its_query_heads() -> None:
    """8 query heads share 2 key heads: blocks of 512 of the 4 x 1024 rows of a group, 8 passes over its keys."""
    line = FLASH.replace("q:bf16[H,T,D]", "q:bf16[Q,T,D]").replace("o:bf16[H,T,D]", "o:bf16[Q,T,D]")
    got = planned(line, with_on_chip(flash_footprint(512)), Q=8, **SIZES)
    assert got.hbm_bytes == 2 * 64 * (2 * 8 * 1024 + 2 * 2 * 4096 * 8)
    assert got.steps == 2 * 8 * (4096 // 128)


@given(st.integers(1, 4), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 10**6))
def test_flash_tiles_fit_or_are_the_smallest(heads: int, rows: int, keys: int, on_chip: int) -> None:
    tiles = list(FlashTiling(heads, rows, keys, 128, 128).tiles(on_chip, UNIT))
    assert tiles
    width = min(128, keys)
    for at, tile in enumerate(tiles):
        block = int(re.match(r"\d+", tile.label)[0])  # type: ignore[index]
        need = 2 * block * 128 + 2 * width * 256 + block * 64 * 4 + block * width * 4
        assert need <= on_chip or (at == 0 and block == min(128, rows))
        assert tile.rereads == (1.0, ceil(rows, block), ceil(rows, block))


def test_keys_that_are_the_values_are_one_read() -> None:
    """As of latent attention: each read of the kernel has its times."""
    for rows in (0, 256):
        assert {len(tile.rereads) for tile in FlashTiling(2, rows, 512, 128, 0.0).tiles(1e6, UNIT)} == {2}
    system, sizes = with_on_chip(2**27), "bf16[1,64,2,128]"
    latent, apart = (
        run([f"y:{sizes} = attention(q:{sizes}, k:{sizes}, {values})"], {}, system).time_s
        for values in ("k", f"v:{sizes}")
    )
    assert 0 < latent < apart


# Padding


@pytest.mark.parametrize(
    ("chip", "m", "n", "k", "factor"),
    [
        ("tpu_v5e", 128, 64, 128, 2), ("tpu_v5e", 128, 128, 64, 2), ("tpu_v5e", 128, 64, 64, 4),
        ("tpu_v5e", 64, 128, 128, 1), ("tpu_v5e", 128, 128, 128, 1), ("tpu_v5e", 128, 129, 128, 256 / 129),
        ("tpu_v6e", 128, 64, 256, 4),
    ],
)  # fmt: skip
def test_a_narrow_dim_wastes_the_rest_of_the_unit(chip: str, m: int, n: int, k: int, factor: float) -> None:
    plain, padded = (
        planned(MATMUL[0], one(chip), RunOptions(padding=padding), M=m, N=n, K=k) for padding in (False, True)
    )
    got = padded.times_s["matrix_unit"] / plain.times_s["matrix_unit"]
    print(show_error(f"{chip} {m} x {n} x {k} padded", got, factor))
    assert got == pytest.approx(factor)
    assert padded.kernel.flops == plain.kernel.flops == 2 * m * n * k


@given(
    st.integers(1, 999), st.integers(1, 999), st.integers(1, 999), st.sampled_from([(8, 128), (128, 128), (256, 256)])
)
def test_padding_rounds_up_to_whole_units(m: int, n: int, k: int, tile: tuple[int, int]) -> None:
    issued = Contraction(3, m, n, k).padded_flops(tile)
    whole = [
        next(size for size in itertools.count(side, side) if size >= dim)
        for side, dim in zip(tile, (k, n), strict=True)
    ]
    assert issued == 2 * 3 * m * whole[0] * whole[1]


# Tensors held on chip


def times(memory: str, batch: int) -> tuple[float, float]:
    """Seconds of the matrix unit and of the memory for int8 [B,16384] x [16384,4096], all three tensors in `memory`."""
    line = f"y:int8[B,F]@{memory} = matmul(x:int8[B,D]@{memory}, w:int8[D,F]@{memory})"
    got = planned(line, one(), RunOptions(overlap="full"), B=batch, D=16384, F=4096).times_s
    return got["matrix_unit"], got[memory]


@pytest.mark.parametrize(("memory", "rate", "printed"), [("hbm", 8.2e11, 259.25), ("on_chip", 22 * 8.2e11, 10.96)])
def test_the_critical_batch_of_weights_on_chip(memory: str, rate: float, printed: float) -> None:
    """All three on chip at 22 times the HBM bandwidth. Both times are linear in B; they cross at the critical batch."""
    (math_1, memory_1), (_, memory_2) = times(memory, 1), times(memory, 2)
    fixed = memory_1 - (memory_2 - memory_1)
    got = fixed / (math_1 - (memory_2 - memory_1))
    want = (16384 * 4096 / rate) / (2 * 16384 * 4096 / 3.94e14 - (16384 + 4096) / rate)
    print(show_error(f"critical batch, tensors in {memory}", got, printed))
    assert got == pytest.approx(want, rel=1e-6)
    assert got == pytest.approx(printed, rel=5e-4)
    below, above = times(memory, math.floor(want)), times(memory, math.ceil(want))
    assert below[0] < below[1]
    assert above[0] > above[1]


def test_what_is_on_chip_does_not_count_as_hbm_traffic() -> None:
    got = planned("y:int8[B,F] = matmul(x:int8[B,D]@on_chip, w:int8[D,F]@on_chip)", one(), B=8, D=64, F=32)
    assert got.hbm_bytes == 8 * 32
    assert got.times_s["on_chip"] == pytest.approx((8 * 64 + 64 * 32) / 1.804e13)


def test_chunks_share_the_steps_of_an_op() -> None:
    dims: dict[str, Any] = {"M": 4096, "N": 4096, "K": 4096}
    whole, cut = (planned(MATMUL[0].replace(")", f", chunks={n})"), one(), **dims) for n in (1, 4))
    assert whole.steps >= 4
    assert cut.steps == whole.steps / 4
    assert cut.hbm_bytes == whole.hbm_bytes
