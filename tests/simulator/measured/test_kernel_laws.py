"""Laws of kernels as they were measured: no faster than the roofline, never faster for more, waves, scaling by rates."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import System, load_chip
from hw.chips import load_kernel_times
from simulator import Contraction, Kernel, RunOptions, parse_graph, simulate
from simulator.measured import Device, kernel_time, matmul_s

H100 = load_chip("h100_sxm")
DEVICE = Device.of(H100)
HOPPER = load_kernel_times("hopper")
MEASURED = RunOptions(calibration="measured")

size = st.integers(1, 9000)


def cores_s(batch: int, m: int, n: int, k: int, device: Device = DEVICE) -> float:
    return matmul_s(Contraction(batch, m, n, k), "bf16", 2.0, device, HOPPER.matmul)


@given(st.integers(1, 8), size, size, size)
@settings(max_examples=60, deadline=None)
def test_a_matmul_is_never_faster_than_the_peak(batch: int, m: int, n: int, k: int) -> None:
    assert cores_s(batch, m, n, k) >= 2.0 * batch * m * n * k / DEVICE.peak("bf16")


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.sampled_from("mnk"))
@settings(max_examples=60, deadline=None)
def test_more_of_a_matmul_takes_no_less(m: int, n: int, k: int, more: str) -> None:
    """In steps of 128, so that alignment, which makes larger faster, is the same."""
    sizes = {"m": 128 * m, "n": 128 * n, "k": 128 * k}
    longer = {**sizes, more: sizes[more] + 128}
    short_s, long_s = (cores_s(1, each["m"], each["n"], each["k"]) for each in (sizes, longer))
    assert long_s >= short_s * (1 - 1e-12)


def test_one_tile_more_than_cores_is_a_second_wave() -> None:
    """132 cores, one tile: 132 of them are one wave, 133 two, twice as long but for the last wave's writes."""
    times = HOPPER.matmul.model_copy(update={"tiles": ((128, 128),), "most_splits": 1})

    def tiles_s(count: int) -> float:
        return matmul_s(Contraction(1, 128 * count, 128, 4096), "bf16", 2.0, DEVICE, times)

    assert tiles_s(1) == tiles_s(132)
    assert tiles_s(133) == tiles_s(264)
    wave = tiles_s(264) - tiles_s(132)
    assert tiles_s(396) - tiles_s(264) == pytest.approx(wave)
    assert tiles_s(132) == pytest.approx(wave, rel=0.02)


def test_cores_of_other_sizes_make_other_waves() -> None:
    """A chip of 66 cores of twice the rate each has the same peak, and tiles as long as 132 have for half the count."""
    fewer = dataclasses.replace(DEVICE, cores=66)
    times = HOPPER.matmul.model_copy(update={"tiles": ((128, 128),), "most_splits": 1, "tile_s": 0.0})
    part = Contraction(1, 128 * 66, 128, 4096)
    one = matmul_s(part, "bf16", 2.0, fewer, times)
    assert one == pytest.approx(matmul_s(part, "bf16", 2.0, DEVICE, times) / 2)


OPS = [
    "y:bf16[M,N] = matmul(x:bf16[M,K], w:bf16[K,N])",
    "y:bf16[M,N] = gelu(x:bf16[M,N])",
    "y:bf16[M,N] = rms_norm(x:bf16[M,N], w:bf16[N])",
    "y:bf16[M,N] = softmax(x:bf16[M,N])",
    "y:bf16[N] = reduce(x:bf16[M,N])",
    "y:fp32[M,N] = cast(x:bf16[M,N])",
    "o:bf16[M,K,64] = attention(q:bf16[M,K,64], k:bf16[M,K,64], v:bf16[M,K,64], causal=true)",
    "y:bf16[M,N] = swiglu(a:bf16[M,N], b:bf16[M,N])",
    "y:bf16[M,N] = rope(x:bf16[M,N])",
]


@given(st.sampled_from(OPS), st.integers(1, 3000), st.integers(1, 3000), st.integers(1, 3000))
@settings(max_examples=60, deadline=None)
def test_measured_is_between_the_roofline_and_the_upper_bound(line: str, m: int, n: int, k: int) -> None:
    graph = parse_graph([line], {"M": m, "N": n, "K": k})
    ideal = simulate(graph, System(H100), RunOptions(overlap="full"))
    measured = simulate(graph, System(H100), MEASURED)
    assert ideal.time_s <= measured.time_s * (1 + 1e-9) + 1e-12
    assert ideal.lower_bound_s <= measured.time_s + 1e-12
    assert measured.lower_bound_s <= measured.time_s + 1e-12
    assert measured.time_s <= measured.upper_bound_s + 1e-12


@given(st.sampled_from(OPS), st.floats(1.1, 8.0))
@settings(max_examples=30, deadline=None)
def test_all_rates_and_fixed_times_scaled_scale_the_time(line: str, by: float) -> None:
    """Law of scaling: shares of faster rates, and fixed times as much shorter, make every time as much shorter."""
    kernel = first_kernel(line, {"M": 512, "N": 1024, "K": 768})
    faster = Device(
        DEVICE.cores,
        tuple((name, rate * by) for name, rate in DEVICE.matrix_flops_per_s),
        DEVICE.vector_flops_per_s * by,
        DEVICE.hbm_bytes_per_s * by,
        DEVICE.on_chip_bytes_per_s * by,
    )
    matmul = HOPPER.matmul.model_copy(
        update={"tile_s": HOPPER.matmul.tile_s / by, "split_s": HOPPER.matmul.split_s / by}
    )
    kinds = {
        name: each.model_copy(
            update={key: getattr(each, key) / by for key in ("element_s", "row_s", "long_s", "least_s", "fixed_s")}
        )
        for name, each in HOPPER.kinds.items()
    }
    update = {"start_s": HOPPER.start_s / by, "matmul": matmul, "kinds": kinds}
    scaled = kernel_time(kernel, faster, HOPPER.model_copy(update=update))
    assert scaled.seconds == pytest.approx(kernel_time(kernel, DEVICE, HOPPER).seconds / by)


def first_kernel(line: str, dims: dict[str, int]) -> Kernel:
    return simulate(parse_graph([line], dims), System(H100), RunOptions()).plan.kernels[0].kernel


def test_a_kernel_starts_after_the_one_before_it() -> None:
    graph = parse_graph(["y:bf16[N] = gelu(x:bf16[N])", "z:bf16[N] = gelu(y)"], {"N": 4096})
    two = simulate(graph, System(H100), MEASURED)
    one = simulate(parse_graph(["y:bf16[N] = gelu(x:bf16[N])"], {"N": 4096}), System(H100), MEASURED)
    assert two.time_s == pytest.approx(2 * one.time_s, rel=1e-9)
    assert one.time_s >= HOPPER.start_s


def test_a_chip_with_faster_hbm_streams_faster_by_that_alone() -> None:
    """The H200 is the H100's die with 4.8 TB/s for 3.35: a stream speeds up by that, its start does not."""
    graph = parse_graph(["y:bf16[N] = gelu(x:bf16[N])"], {"N": 2**28})
    old, new = (simulate(graph, System(load_chip(name)), MEASURED).time_s for name in ("h100_sxm", "h200"))
    assert (old - HOPPER.start_s) / (new - HOPPER.start_s) == pytest.approx(4.8 / 3.35, rel=1e-7)  # times are whole ps


def test_a_token_joins_the_parts_of_its_keys() -> None:
    """Few queries over many keys: parts of the keys go to all cores, keys and values are read at a rate of their own, and
    what the parts gave is joined by a second kernel and in a time of its own."""
    keys = 2**16
    line = "o:bf16[B,K,G,1,D] = attention(q:bf16[B,K,G,1,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D])"
    kernel = first_kernel(line, {"B": 16, "K": 8, "G": 4, "S": keys, "D": 128})
    own = HOPPER.attention
    assert own.hbm is not None
    nbytes = 2 * 2 * 16 * 8 * keys * 128 + 2 * 2 * 16 * 32 * 128
    found = kernel_time(kernel, DEVICE, HOPPER)
    assert found.start_s == 2 * HOPPER.start_s
    assert found.busy_s == pytest.approx(nbytes / (DEVICE.hbm_bytes_per_s * own.hbm) + own.split_s, rel=0.02)
    whole = HOPPER.model_copy(update={"attention": own.model_copy(update={"split_s": 0.0, "hbm": None})})
    plain = kernel_time(kernel, DEVICE, whole).busy_s
    assert found.busy_s - own.split_s == pytest.approx(plain * HOPPER.hbm / own.hbm, rel=0.02)


def test_nothing_goes_over_a_cache_once_more() -> None:
    """Ampere's attention has passes beside its kernel, over what a prompt makes; a token reads its cache once."""
    ampere, chip = load_kernel_times("ampere"), load_chip("a100_80gb_sxm")
    line = "o:bf16[B,K,G,1,D] = attention(q:bf16[B,K,G,1,D], k:bf16[B,K,S,D], v:bf16[B,K,S,D])"
    kernel = first_kernel(line, {"B": 8, "K": 8, "G": 5, "S": 4096, "D": 128})
    assert ampere.attention.passes > 1
    read_s = kernel.hbm_bytes / (chip.hbm.bytes_per_s * ampere.hbm)
    assert read_s < kernel_time(kernel, Device.of(chip), ampere).busy_s < 1.2 * read_s


def test_what_lies_on_the_chip_moves_at_its_rate_and_starts_sooner() -> None:
    near, far = (
        kernel_time(first_kernel(f"y:bf16[N]{at} = gelu(x:bf16[N]{at})", {"N": 2**22}), DEVICE, HOPPER)
        for at in ("@on_chip", "")
    )
    assert near.start_s == HOPPER.start_near_s
    assert far.start_s == HOPPER.start_s
    assert near.busy_s == pytest.approx(2 * 2 * 2**22 / DEVICE.on_chip_bytes_per_s)
    assert far.busy_s == pytest.approx(2 * 2 * 2**22 / (DEVICE.hbm_bytes_per_s * HOPPER.hbm))


def test_a_norm_of_one_row_takes_what_a_row_takes() -> None:
    line = "y:bf16[R,C] = rms_norm(x:bf16[R,C], w:bf16[C])"
    times = {
        rows: kernel_time(first_kernel(line, {"R": rows, "C": 4096}), DEVICE, HOPPER).busy_s for rows in (1, 32768)
    }
    least = HOPPER.kinds["rms_norm"].least_s
    assert times[1] == pytest.approx(least, rel=0.01)
    assert times[32768] == pytest.approx(2 * 2 * 32768 * 4096 / (DEVICE.hbm_bytes_per_s * HOPPER.hbm), rel=0.25)


def test_where_a_time_comes_from_is_kept() -> None:
    dims = {"M": 512, "N": 512, "K": 512}
    lines = [*OPS[:1], "z:bf16[M,N] = tanh(y)", "a:bf16[M,N] = copy(h:bf16[M,N]@host)"]
    by = {
        each.kernel.name: each.variants[0].by
        for each in simulate(parse_graph(lines, dims), System(H100), MEASURED).plan.kernels
    }
    assert by == {"y": "measured", "z": "profile", "a": "data sheet"}
    spec = simulate(parse_graph(lines, dims), System(H100), RunOptions())
    assert {each.variants[0].by for each in spec.plan.kernels} == {"data sheet"}


@pytest.mark.parametrize("order", [(4, 8), (8, 4)])
def test_kernels_of_as_many_bytes_in_other_numbers_take_their_own_time(order: tuple[int, int]) -> None:
    """A kernel for each expert: whichever was met first, each has as many starts as it has experts."""
    lines = ["y:fp8[A,R,C] = cast(x:bf16[A,R,C], each=A)", "z:fp8[B,S,C] = cast(v:bf16[B,S,C], each=B)"]
    first, second = order
    sizes = {"A": first, "R": 2**16 // first, "B": second, "S": 2**16 // second, "C": 1024}
    one, two = simulate(parse_graph(lines, sizes), System(H100), MEASURED).plan.kernels
    assert [each.kernel.launches for each in (one, two)] == [first, second]
    starts = (one.slowest.latency_s - two.slowest.latency_s) / (first - second)
    assert starts == pytest.approx(HOPPER.start_s)
