"""Kernels of TPUs: systolic arrays in whole tiles, strips from HBM, and matmuls as XLA's were measured."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Mesh, System, load_chip, load_system, parse_topology
from hw.chips import MatmulTimes, chip_kernels, load_kernel_times
from simulator import Contraction, Kernel, RunOptions, parse_graph, simulate
from simulator.measured import Device, attention_s, axes_share, kernel_time, matmul_s

TPU = load_kernel_times("tpu")
PLAIN: dict[str, Any] = {"rate": {"bf16": 1.0}, "tiles": ((256, 256),), "tile": 0, "split": 0, "most_splits": 1}


def first_kernel(line: str, dims: dict[str, int]) -> Kernel:
    return simulate(parse_graph([line], dims), System(load_chip("tpu_v6e"))).plan.kernels[0].kernel


def test_a_systolic_array_does_whole_tiles() -> None:
    """One core of 1e12 FLOP/s with arrays of 256 x 256, fed without end: a contraction of 300 counts as 512."""
    array = Device(1, (("bf16", 1e12),), 1e12, 1e12, 1e12, (256, 256))
    for padded, depth in ((True, 512), (False, 300)):
        times = MatmulTimes(**PLAIN, feed=1e9, depth=1, padded=padded)
        found = matmul_s(Contraction(1, 256, 256, 300), "bf16", 2.0, array, times)
        assert found == pytest.approx(2 * 256 * 256 * depth * 1e-12, rel=1e-6)


def test_strips_come_from_what_feeds_a_core() -> None:
    """512 rows of 1,024 elements of two bytes, and the tile's own 128 KiB out, at 1 GB/s of HBM or the cache's 8."""
    device = Device(1, (("bf16", 1e15),), 1e12, 1e9, 8e9)
    moved = (512 * 1024 + 256 * 256) * 2
    for source, rate in (("hbm", 1e9), ("on_chip", 8e9)):
        times = MatmulTimes(**PLAIN, feed=1.0, fed_by=source)
        found = matmul_s(Contraction(1, 256, 256, 1024), "bf16", 2.0, device, times)
        assert found == pytest.approx(moved / rate, rel=1e-6)


@pytest.mark.parametrize(("name", "head", "more"), [("tpu_v6e", 128, 2), ("tpu_v6e", 256, 1), ("tpu_v5e", 128, 1)])
def test_heads_that_fill_half_an_array_take_as_long_as_those_that_fill_it(name: str, head: int, more: int) -> None:
    """Both matmuls of 4,096 queries and keys, with a softmax that costs next to nothing."""
    line = "y:bf16[B,S,D] = attention(q:bf16[B,S,D], k:bf16[B,S,D], v:bf16[B,S,D])"
    kernel = first_kernel(line, {"B": 16, "S": 4096, "D": head})
    device = Device.of(load_chip(name))
    times = TPU.model_copy(update={"attention": TPU.attention.model_copy(update={"pair": 1e-9})})
    full_s = 4 * 16 * 4096**2 * head / (device.peak("bf16") * times.attention.rate)
    assert kernel_time(kernel, device, times).busy_s == pytest.approx(full_s * more, rel=0.02)


XLA_SMALL = [(128, 2.59), (256, 18.3), (512, 105.1)]
"""Sizes of square bf16 matmuls on a core of a TPU7x and TFLOP/s, of which a start is the most:
github:AI-Hypercomputer/accelerator-microbenchmarks 0ddd4b8ca6, Ironwood/Ironwood_Microbenchmarks_readme.md."""

XLA_LONG = [(8192, 8192, 8192, 1016.8), (16384, 8192, 8192, 1974.6), (12288,) * 3 + (3381.9,)]
"""m, n, k and microseconds by traces: github:yangwhale/gpu-tpu-pedia 48b7543da6, tpu/v7_perf, results_v7_trace.csv."""


def test_matmuls_of_xla_are_as_they_were_measured() -> None:
    core = Device(1, (("bf16", 1153.5e12),), 9e12, 3.7e12, 2.7e13, (256, 256))
    small = [(n, n, n, 2e-6 * n**3 / rate) for n, rate in XLA_SMALL]
    for rows, within in ((small, 0.13), (XLA_LONG, 0.03)):
        for m, n, k, us in rows:
            kernel = first_kernel("y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])", {"M": m, "N": n, "K": k})
            assert kernel_time(kernel, core, TPU).seconds == pytest.approx(us * 1e-6, rel=within)


def test_long_matmuls_of_each_generation_reach_what_was_measured() -> None:
    """XLA's 8192^3: 6,047 us with 82 of dispatch on a v5e (jax-ml/jax docs/pallas/tpu/matmul.ipynb), 1,511 us on a v6e."""
    line = "y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])"
    for name, us in (("tpu_v5e", 6047.1 - 81.6), ("tpu_v6e", 1510.9)):
        graph = parse_graph([line], {"M": 8192, "N": 8192, "K": 8192})
        found = simulate(graph, System(load_chip(name)), RunOptions(calibration="measured")).time_s
        assert found == pytest.approx(us * 1e-6, rel=0.03)


@pytest.mark.parametrize("name", ["tpu_v4", "tpu_v5e", "tpu_v5p", "tpu_v6e", "tpu_v7"])
def test_tpus_have_their_own_architecture_and_no_host_that_issues(name: str) -> None:
    found = chip_kernels(load_chip(name))
    assert found is not None
    like = "tpu_v5p" if name == "tpu_v5p" else "tpu"
    assert (found.own, found.like, found.times.dispatch.eager_s) == (False, like, 0.0)


@pytest.mark.parametrize(
    ("kind", "along", "most", "share"),
    [("all_gather", 3, 1, 3.0), ("all_reduce", 3, 2, 1.5), ("all_gather", 1, 2, 1.0), ("all_gather", 3, None, 1.0)],
)
def test_rings_on_fewer_axes_carry_what_all_would(kind: str, along: int, most: int | None, share: float) -> None:
    assert axes_share(kind, along, most) == share
    assert axes_share("all_to_all", along, most) == 1.0


GATHERED = {"2,2": (4, 0.372), "4,4": (16, 0.375), "4,4,4": (64, 0.515)}
"""Chips of a TPU7x, and seconds of two gathers and a reduce-scatter of 24.8 GB among them, each at one place of the others'
slice: the SparseCores' lane in profiles of MaxText (github:AI-Hypercomputer/maxtext 8954862a58, olmo35-ironwood-runs.md; the
last of 0.495 to 0.539)."""


@pytest.mark.parametrize("shape", list(GATHERED))
def test_gathers_of_weights_on_a_tpu7x_take_about_as_long_however_many_axes_they_lie_along(shape: str) -> None:
    """What all links of three axes would carry is 3.3 times too fast."""
    chips, seconds = GATHERED[shape]
    chip = load_chip("tpu_v7")
    system = System(chip, parse_topology(f"torus({shape}) over ici", chip.links), Mesh({"X": chips}))
    gather = parse_graph(["y:bf16[N] = all_gather(x:bf16[N_X], over=X)"], {"N": 12_400_000_000 // chips * chips})
    found = simulate(gather, system, RunOptions(calibration="measured")).time_s
    assert 3 * found == pytest.approx(seconds, rel=0.18)


def test_the_best_experts_are_sorted_out() -> None:
    kernel = first_kernel("r:fp32[T,K] = route(s:fp32[T,E])", {"T": 24576, "E": 512, "K": 16})
    core = Device(1, (("bf16", 1153.5e12),), 9e12, 3.7e12, 2.7e13, (256, 256))
    assert kernel_time(kernel, core, TPU).seconds == pytest.approx(1163e-6, rel=0.02)


RAGGED: dict[str, Any] = {**PLAIN, "feed": 1e9, "depth": 1, "ragged_depth": 256}


@pytest.mark.parametrize(
    ("sizes", "ragged", "tiles"),
    [((640, 512, 256), "m", 13 * 2), ((512, 640, 256), "n", 13 * 2), ((640, 512, 256), "", 4 * 3 * 2)],
)
def test_a_tile_across_two_groups_is_done_for_each(sizes: tuple[int, int, int], ragged: Any, tiles: int) -> None:
    """Four groups of 640 rows are ten tiles of 256, of which three are done twice; in tiles of their own three each."""
    array = Device(1, (("bf16", 1e12),), 1e12, 1e12, 1e12, (256, 256))
    found = matmul_s(Contraction(4, *sizes, ragged=ragged), "bf16", 2.0, array, MatmulTimes(**RAGGED))
    assert found == pytest.approx(tiles * 2 * 256**3 * 1e-12, rel=1e-6)


@given(groups=st.integers(1, 12), mean=st.integers(1, 900), data=st.data())
def test_tiles_of_groups_are_those_that_a_kernel_visits(groups: int, mean: int, data: st.DataObject) -> None:
    """Rows drawn into groups, and tiles of 256 that have some of each: as many, unless a group ends where a tile does."""
    rows = groups * mean
    ends = (
        sorted(data.draw(st.sets(st.integers(1, rows - 1), min_size=groups - 1, max_size=groups - 1)))
        if rows > 1
        else []
    )
    bounds = [0, *ends, rows]
    visits = sum(-(-end // 256) - begin // 256 for begin, end in pairwise(bounds))
    aligned = sum(end % 256 == 0 for end in ends)
    array = Device(1, (("bf16", 1e12),), 1e12, 1e12, 1e12, (256, 256))
    part = Contraction(groups, mean, 256, 256, ragged="m")
    found = matmul_s(part, "bf16", 2.0, array, MatmulTimes(**RAGGED))
    assert found == pytest.approx((visits + aligned) * 2 * 256**3 * 1e-12, rel=1e-6)


def test_steps_along_a_contraction_of_groups_are_done_for_each_as_well() -> None:
    """Four groups of 640 along the contraction, in ten steps of 256 and three more: of one of four outputs 832."""
    array = Device(1, (("bf16", 1e12),), 1e12, 1e12, 1e12, (64, 256))
    for ragged, depth in (("k", 832), ("", 640)):
        part = Contraction(4, 256, 256, 640, ragged=ragged)  # type: ignore[arg-type]
        found = matmul_s(part, "bf16", 2.0, array, MatmulTimes(**RAGGED, padded=True))
        assert found == pytest.approx(4 * 2 * 256**2 * depth * 1e-12, rel=1e-6)


def test_each_core_has_rows_of_every_group() -> None:
    """Two cores with five tiles each, and three more each."""
    pair = Device(2, (("bf16", 2e12),), 1e12, 1e12, 1e12, (256, 256))
    found = matmul_s(Contraction(4, 640, 256, 256, ragged="m"), "bf16", 2.0, pair, MatmulTimes(**RAGGED))
    assert found == pytest.approx(8 * 2 * 256**3 * 1e-12, rel=1e-6)


def test_weights_of_a_group_stay_while_its_rows_go_by() -> None:
    """Strips of 13 tiles of rows, and of four groups' weights, at 1 GB/s of HBM; the last tile goes out by itself."""
    device = Device(1, (("bf16", 1e15),), 1e12, 1e9, 1e9)
    times = MatmulTimes(**{**PLAIN, "fed_by": "hbm", "feed": 1.0, "ragged_depth": 256})
    moved = ((13 + 4) * 256 * 512 + 256 * 256) * 2
    found = matmul_s(Contraction(4, 640, 256, 512, ragged="m"), "bf16", 2.0, device, times)
    assert found == pytest.approx(moved / 1e9, rel=1e-6)


OLMO = [
    ("y:bf16[E,S,F] = matmul(x:bf16[E,S,D], w:bf16[E,D,F], ragged=S)", 69e-3 / 70),
    ("y:bf16[E,S,D] = matmul(x:bf16[E,S,F], w:bf16[E,F,D], ragged=S)", 58e-3 / 56),
    ("y:bf16[E,D,F] = matmul(x:bf16[E,S,D], w:bf16[E,S,F], ragged=S)", 54e-3 / 42),
]
"""Grouped matmuls of 14 layers of OLMo 3.5, 512 experts of 512 x 1,024, 24,576 tokens of which each goes to 16, on a core
of a TPU7x with full recomputation: gmm_v2 with k = 512 (two forward, again, and a gradient of rows), with k = 1,024 (one,
again, and two), and tgmm_v2 (github:AI-Hypercomputer/maxtext 8954862a58, olmo35-ironwood-runs.md, e4_p3_prof)."""


def test_grouped_matmuls_are_about_as_they_were_measured() -> None:
    """Nothing was found on them. With tiles of their own they would be 27, 27 and 49 % too fast."""
    core = Device(1, (("bf16", 1153.5e12),), 9e12, 3.7e12, 2.7e13, (256, 256))
    sizes = {"E": 512, "S": 768, "D": 512, "F": 1024}
    for (line, seconds), within in zip(OLMO, (0.06, 0.06, 0.23), strict=True):
        alone, ragged = (
            kernel_time(first_kernel(each, sizes), core, TPU).seconds for each in (line.replace(", ragged=S", ""), line)
        )
        assert alone < 0.74 * seconds
        assert ragged == pytest.approx(seconds, rel=within)


def test_rows_are_sorted_by_expert_and_back() -> None:
    """77 ms of argsort in 84 of 393,216 rows, once for each of dispatch and combine, beside what they copy."""
    core = Device(1, (("bf16", 1153.5e12),), 9e12, 3.7e12, 2.7e13, (256, 256))
    sizes = {"T": 24576, "E": 512, "C": 768, "D": 512, "K": 16}
    for line in (
        "e:bf16[E,C,D] = dispatch(x:bf16[T,D], r:fp32[T,K])",
        "y:bf16[T,D] = combine(e:bf16[E,C,D], r:fp32[T,K])",
    ):
        kernel = first_kernel(line, sizes)
        copied = kernel.hbm_bytes / (core.hbm_bytes_per_s * TPU.hbm)
        assert kernel_time(kernel, core, TPU).busy_s - copied == pytest.approx(77e-3 / 84, rel=0.01)


@pytest.mark.parametrize(
    ("seq", "window", "steps"),
    [(8192, 128, 15), (8192, 1024, 15), (8192, 1025, 15), (8192, 1026, 21), (8192, 4096, 30), (2048, 1, 2)],
)
def test_a_window_is_gone_along_in_whole_steps_of_keys(seq: int, window: int, steps: int) -> None:
    """Blocks of 1,024 queries and steps of 1,024 keys: the block's own, and those before that its first query sees."""
    line = "y:bf16[B,S,D] = attention(q:bf16[B,S,D], k:bf16[B,S,D], v:bf16[B,S,D], causal=true, window=W)"
    sizes = {"B": 16, "S": seq, "D": 256}
    kernel = first_kernel(line.replace("W", str(window)), sizes)
    device = Device.of(load_chip("tpu_v6e"))
    times = TPU.attention.model_copy(update={"pair": 1e-9})
    full_s = 4 * 16 * steps * 1024**2 * 256 / (device.peak("bf16") * times.rate)
    assert attention_s(kernel.contractions, "bf16", device, times) == pytest.approx(full_s, rel=1e-6)


def test_sums_over_both_axes_of_a_v6e_leave_wires_idle() -> None:
    """606 MB on 16 x 16 chips (github:AI-Hypercomputer/tpu-recipes c8cfe2f, microbenchmarks/trillium/collectives)."""
    count, nbytes = 256, 2 * 17408**2
    graph = parse_graph(["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": nbytes // 2})
    system = load_system("tpu_v6e", slice="16x16")
    took, spec = (simulate(graph, system, options).time_s for options in (RunOptions(calibration="measured"), None))
    moved = 2 * nbytes * (count - 1) / count
    assert moved / took == pytest.approx(235.76e9, rel=0.01)
    assert moved / spec == pytest.approx(4 * 90e9, rel=0.02)


@pytest.mark.parametrize(("head", "values"), [(256, 256), (256, 128)])
def test_attention_that_goes_back_in_two_kernels_makes_scores_in_each(head: int, values: int) -> None:
    """Scores and do v a second time: five matmuls are seven, and a softmax of 10 operations of each pair is 20."""
    inputs = "q:bf16[B,S,D], k:bf16[B,S,D], v:bf16[B,S,E], o:bf16[B,S,E], do:bf16[B,S,E]"
    line = f"dq:bf16[B,S,D] = attention_backward({inputs})"
    kernel = first_kernel(line, {"B": 16, "S": 4096, "D": head, "E": values})
    card = Device(1, (("bf16", 1e15),), 1e13, 1e15, 1e15, (128, 128))
    fused, apart = (load_kernel_times(name).attention_backward for name in ("tpu", "tpu_splash_apart"))
    pairs = 16 * 4096**2
    for times, scores, outs, vector in ((fused, 3, 2, 10), (apart, 4, 3, 20)):
        matrix_s = 2 * pairs * (scores * head + outs * values) / (1e15 * times.rate)
        expected = (matrix_s**2 + (pairs * vector / 1e13) ** 2) ** 0.5
        assert attention_s(kernel.contractions, "bf16", card, times) == pytest.approx(expected, rel=1e-9)
