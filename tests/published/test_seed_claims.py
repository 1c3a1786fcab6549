"""Claims of the founding documents about chips and about one op: figures, identities, ratios of two runs.

Claims about one run are scenario files of the library; ratios of whole workloads are in
`test_seed_ratios.py`. The row ids are those of the documents' claims (R: rooflines, L: the lecture on them, F: FLOPs,
H: memories, N: why time is not linear in FLOPs, T: training). Every expected value is a closed form or what the
documents print; each test prints how far off the program is. Where a document is wrong, the test holds what is true
and says so.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, SpecError, load_chip
from tests.support.claims import MATMUL, SLACK, agree, number, of_library, outcome, words

# --- chips ------------------------------------------------------------------------------------------------------------


def bf16_peak(chip: str) -> float:
    return load_chip(chip).matrix_unit.peak_flops_per_s["bf16"]


ROUNDED = 0.015
"""For documents that round: 1000 for 989, 9.1e14 for 9.2e14."""


@pytest.mark.parametrize(
    ("row", "chip", "want", "tolerance"),
    [
        ("R02 L01", "h100_sxm", 9.89e14, 1e-9),
        ("R46", "h100_sxm", 1.979e15 / 2, 1e-3),  # the sheet prints the peak with sparsity; dense is half
        ("F01 L05", "h100_sxm", 1e15, ROUNDED),
        ("R03 L02", "tpu_v6e", 9.1e14, ROUNDED),  # the chip table says 9.2e14, Google's sheet 9.18e14
        ("R15", "tpu_v5e", 1.97e14, 1e-9),
        ("N05 T02", "a100_40gb_sxm", 3.12e14, 1e-9),
    ],
)
def test_peaks(row: str, chip: str, want: float, tolerance: float) -> None:
    agree(row, bf16_peak(chip), want, tolerance)


@pytest.mark.parametrize(
    ("row", "chip", "want", "tolerance"),
    [
        ("R07 L03", "h100_sxm", 3.35e12, 1e-9),
        ("R08 L03", "tpu_v6e", 1.6e12, 1e-9),
        ("R16", "tpu_v5e", 8.2e11, 1e-9),
        ("H04", "v100_sxm2_32gb", 9.0e11, 1e-9),  # the document's 900 GB/s is a V100, its 40-80 GB an A100
        ("H04 N05", "a100_40gb_sxm", 1.555e12, 1e-9),
        ("H04 N05", "a100_80gb_sxm", 2.0e12, 0.02),
    ],
)
def test_hbm_bandwidths(row: str, chip: str, want: float, tolerance: float) -> None:
    agree(row, load_chip(chip).hbm.bytes_per_s, want, tolerance)


@pytest.mark.parametrize(
    ("row", "chip", "dtype", "want"),
    [("R14 L08", "tpu_v5e", "bf16", 240.24), ("R27 L20", "h100_sxm", "bf16", 295.2), ("R40", "tpu_v5e", "int8", 480.5)],
)
def test_ridges(row: str, chip: str, dtype: str, want: float) -> None:
    agree(row, load_chip(chip).ridge_flop_per_byte(dtype) or 0.0, want)


def test_a_vector_unit_is_per_core_and_the_memory_per_chip() -> None:
    """R19: the document divides one core's 7e12 FLOP/s by the HBM of both and gets 3 (2.56 exactly); a chip has 5.1."""
    chip = load_chip("tpu_v5p")
    per_core = 8 * 128 * 4 * 1.75e9
    agree("R19 per core", per_core / chip.hbm.bytes_per_s, 2.56)
    agree("R19 per chip", chip.vector_unit.peak_flops_per_s["fp32"] / chip.hbm.bytes_per_s, 5.12)


def test_the_a100_of_the_memory_wall_is_two_chips_mixed_up() -> None:
    """N05: 20 TFLOP/s is an A100 in fp32, 900 GB/s a V100. N06: together they would have a ridge of 22.2."""
    a100, v100 = load_chip("a100_40gb_sxm"), load_chip("v100_sxm2_32gb")
    agree("N05", a100.vector_unit.peak_flops_per_s["fp32"], 19.5e12)
    agree("N06", a100.vector_unit.peak_flops_per_s["fp32"] / v100.hbm.bytes_per_s, 20e12 / 900e9, 0.03)


@pytest.mark.parametrize(
    ("row", "chip", "link", "want"),
    [
        ("L04 L16 ICI one way", "tpu_v5e", "ici", 18.2),
        ("L04 NVLink", "h100_sxm", "nvlink", 7.44),
        ("L04 InfiniBand", "h100_sxm", "infiniband", 67.0),
        ("L04 PCIe", "tpu_v5e", "pcie", 51.25),
        ("L04 DCN", "tpu_v5e", "dcn", 262.4),
    ],
)
def test_links_are_slower_than_memory(row: str, chip: str, link: str, want: float) -> None:
    """L04: "one to two orders of magnitude" is rough; ICI and NVLink are about one, PCIe, InfiniBand, DCN about two."""
    system = load_chip(chip)
    wire = system.links[link]
    rate = wire.bytes_per_s if link == "ici" else wire.egress_bytes_per_s
    agree(row, system.hbm.bytes_per_s / rate, want, 2e-3)


def test_counts() -> None:
    """R26: tokens, not sequences, of 128 GPUs. H01 H02: register files and SMEM, which the document takes from a CPU.
    T05: chips of a 3D-parallel mesh."""
    agree("R26 tokens", 512 * 4096, 2_097_152, SLACK)
    agree("R26 per GPU", 512 * 4096 / 128, 16_384, SLACK)
    agree("H01 vector registers of a v5p core", 64 * 8 * 128 * 4, 256 * 1024, SLACK)
    agree("H02 SMEM of an H100", 132 * 256e3, 33e6, 0.03)
    mesh = Mesh({"D": 8, "T": 4, "P": 2})
    agree("T05", mesh.size, mesh.extent("D") * mesh.extent("T") * mesh.extent("P"), SLACK)
    agree("T05", mesh.size, 64, SLACK)


@pytest.mark.parametrize(("chip", "capacity"), [("a100_80gb_sxm", 40e6), ("h100_sxm", 50e6)])
def test_an_l2_cache_is_large_and_faster_than_hbm(chip: str, capacity: float) -> None:
    """H03: the document's L2 (256 KB to 1 MB, 500 GB/s) is a CPU's, and would be slower than its own HBM (900 GB/s)."""
    described = load_chip(chip)
    assert described.on_chip is not None
    agree("H03", described.on_chip.capacity_bytes, capacity, 0.05)
    assert described.on_chip.bytes_per_s > described.hbm.bytes_per_s


def test_a_memory_that_gets_faster_away_from_the_chip_is_refused() -> None:
    """H03: the hierarchy of the document cannot be simulated, the message says why."""
    hierarchy = ["system.set.on_chip.bandwidth=500 GB/s", "system.set.hbm.bandwidth=900 GB/s"]
    with pytest.raises(SpecError, match="must not get faster away from the chip"):
        outcome("attention_one_head", *hierarchy)


# --- one op on one chip -----------------------------------------------------------------------------------------------

SIZE = st.integers(1, 4096)


@settings(max_examples=60, deadline=None)
@given(SIZE, SIZE, SIZE, st.integers(1, 64))
def test_one_op_lies_between_max_and_sum_and_they_differ_at_most_twofold(b: int, d: int, f: int, tiles: int) -> None:
    """R10 R11 R12 L07: max <= time <= sum <= 2 max for one op, on any shape and cut."""
    summary = words([MATMUL.replace(")", f", tiles={tiles})")], "tpu_v5e", B=b, D=d, F=f)
    parts = number(summary, "t_math"), number(summary, "t_memory")
    lower, upper, time = (number(summary, word) for word in ("lower_bound", "upper_bound", "time"))
    picosecond = 1e-12
    assert lower == pytest.approx(max(parts), abs=picosecond)
    assert upper == pytest.approx(sum(parts), abs=picosecond)
    assert lower - picosecond <= time <= upper + picosecond <= 2 * lower + 3 * picosecond


@settings(max_examples=60, deadline=None)
@given(SIZE, SIZE, SIZE)
def test_compute_bound_is_an_intensity_above_the_ridge(b: int, d: int, f: int) -> None:
    """R13 R22: bound by compute exactly where BDF / (BD + DF + BF) reaches C/H."""
    summary = words([MATMUL], "tpu_v5e", B=b, D=d, F=f)
    intensity = b * d * f / (b * d + d * f + b * f)
    assert summary["intensity"] == pytest.approx(intensity)
    assert (summary["bound_by"] == "compute") == (intensity >= 1.97e14 / 8.2e11)


@pytest.mark.parametrize("n", [1, 2, 1000, 2**20, 2**24])
def test_dot_product_intensity(n: int) -> None:
    """R17 R18: (2N-1) / (4N+2), towards one half. F03: N multiplications and N-1 additions."""
    summary = words(["s:bf16[] = dot(x:bf16[N], y:bf16[N])"], "tpu_v5e", N=n)
    agree("F03", number(summary, "flops"), 2 * n - 1, SLACK)
    agree("R17 R18", number(summary, "intensity"), (2 * n - 1) / (4 * n + 2), SLACK)


def test_a_dot_product_leaves_the_matrix_unit_idle() -> None:
    """L09: half a FLOP per byte against 240 is 480 times. L10: so it is idle for 99.79 % of the time; the document's
    99.5 % is for one FLOP of 240, and is 99.58."""
    delivered = of_library("dot_product_on_the_vector_unit", "flops_per_s")
    agree("L09", bf16_peak("tpu_v5e") / delivered, 480.5)
    agree("L10", 1 - delivered / bf16_peak("tpu_v5e"), 0.9979, 1e-4)
    agree("L10 of the analogy", 1 - 1 / 240, 0.9958, 1e-4)


@pytest.mark.parametrize(("m", "k", "n"), [(1, 1, 1), (3, 5, 7), (512, 4096, 14336)])
def test_matmul_flops(m: int, k: int, n: int) -> None:
    """F03 F04 R21: 2MKN; exactly it is MN(2K-1), K multiplications and K-1 additions for each of MN elements."""
    flops = number(words([MATMUL], "tpu_v5e", B=m, D=k, F=n), "flops")
    agree("F04", flops, 2 * m * k * n, SLACK)
    agree("F03", flops - m * n, m * n * (2 * k - 1), SLACK)


def test_a_batch_is_counted_in_tokens() -> None:
    """R26: rooflines see tokens, whichever sequence they belong to."""
    rows = words([MATMUL], "h100_sxm", B=8 * 512, D=4096, F=4096)
    sequences = words(["y:bf16[S,T,F] = matmul(x:bf16[S,T,D], w:bf16[D,F])"], "h100_sxm", S=8, T=512, D=4096, F=4096)
    for word in ("time", "flops", "hbm_bytes", "intensity"):
        agree(f"R26 {word}", number(sequences, word), number(rows, word), SLACK)


@pytest.mark.parametrize("d", [4096, 1024])
def test_the_roofline_curve_of_int8_weights(d: int) -> None:
    """R43: FLOP/s against B with the exact bytes 2BD + DF + 2BF, all along the curve."""
    for b in (1, 16, 64, 120, 128, 136, 137, 200, 226, 227, 256, 512):
        summary = words(["y:bf16[B,F] = matmul(x:bf16[B,D], w:int8[D,F])"], "tpu_v5e", B=b, D=d, F=d)
        curve = 2 * b * d * d / max(2 * b * d * d / 1.97e14, (4 * b * d + d * d) / 8.2e11)
        agree(f"R43 B={b}", number(summary, "flops_per_s"), curve, 1e-6)


def test_performance_follows_intensity_up_the_slope() -> None:
    """L29: below the ridge performance is intensity times bandwidth; above it the peak."""
    for b in (1, 2, 30, 60, 120, 240, 256, 512, 1024):
        summary = words([MATMUL], "tpu_v5e", B=b, D=8192, F=8192)
        roof = min(number(summary, "intensity") * 8.2e11, 1.97e14)
        agree(f"L29 B={b}", number(summary, "flops_per_s"), roof, 1e-6)


@pytest.mark.parametrize("kib", [256, 512, 1024, 1536, 4096, 6144])
def test_tiles_change_the_bytes_and_not_the_flops(kib: int) -> None:
    """R28: 2 tm tn tk bm bn bk (the document's "m bk bm" is a slip). R29: 2 tm tn (tk (bm bk + bk bn) + bm bn), the
    result once, since it is only written. R30: the loads alone have an intensity of bm bn / (bm + bn)."""
    tiled = outcome("tiled_matmul_512", f"system.set.on_chip.capacity={kib} KiB")
    bm, bn, bk = (int(side) for side in tiled.result.plan.kernels[0].tile.split("x"))
    tm, tn, tk = 8192 // bm, 8192 // bn, 8192 // bk
    loads = 2 * tm * tn * tk * (bm * bk + bk * bn)
    agree("R28", number(tiled.words, "flops"), 2 * tm * tn * tk * bm * bn * bk, SLACK)
    agree("R29", number(tiled.words, "hbm_bytes"), loads + 2 * tm * tn * bm * bn, SLACK)
    agree("R30", number(tiled.words, "flops") / loads, bm * bn / (bm + bn), SLACK)


def test_weights_of_their_own_cost_every_sample_the_same() -> None:
    """R44 L24: with a matrix per sample the batch changes nothing per sample."""
    one = of_library("batched_weights", "time", "workload.dims.B=1")
    for b in (16, 128, 512):
        agree(f"R44 B={b}", of_library("batched_weights", "time", f"workload.dims.B={b}") / b, one, 1e-6)


def test_two_chips_can_be_slower_than_one() -> None:
    """L19: at D = 1024 a second chip makes the matmul 4.275 times slower, C / (W D), even with all compute hidden."""
    slower = of_library("two_chip_narrow", "time") / of_library("one_chip_narrow", "time")
    agree("L19", slower, 1.97e14 / 4.5e10 / 1024)
    agree("L19 speed", 1 / slower, 0.234)


@pytest.mark.parametrize(("b", "gain"), [(8192, 16.0), (1, 2.0)])
def test_mixed_precision(b: int, gain: float) -> None:
    """T02: on an A100 bf16 is 312 / 19.5 = 16 times faster than fp32 where compute decides, twice where memory does."""
    half = words([MATMUL], "a100_40gb_sxm", B=b, D=8192, F=8192)
    full = words([MATMUL.replace("bf16", "fp32")], "a100_40gb_sxm", B=b, D=8192, F=8192)
    agree("T02", number(full, "time") / number(half, "time"), gain, 1e-6)
    agree("L26", number(full, "intensity"), number(half, "intensity") / 2, SLACK)
