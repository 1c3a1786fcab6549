"""Counts of "How to Scale Your Model" that are no run: ridges, pods, hosts, cores, registers, clocks.
Model: each figure follows from the catalogue where the catalogue has it, else from the widths that the source gives.
Assumes: nothing is simulated; the rows that are a run are scenarios of the library.
Law: the computed figure equals the exact answer to its six digits. The source's printed answer may be rounded: the
error against it is printed, not judged.
Source: "How to Scale Your Model", chapters on rooflines, TPUs and GPUs; `answer` is recomputed from their inputs."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hw import load_chip
from hw.chips import Derivation

SIX_DIGITS = 5e-6
SUBLANES, LANES = 8, 128  # of a TPU's vector unit
LANE_UNITS = 4  # arithmetic units of a lane
ARRAYS = 4  # systolic arrays of a core
WARP = 32  # lanes beside each tensor core of a GPU


def derivation(chip: str) -> Derivation:
    """How the peak of a chip comes about; every chip asked for here says it."""
    derived = load_chip(chip).matrix_unit.derived
    assert derived is not None
    return derived


def peak(chip: str) -> float:
    return load_chip(chip).matrix_unit.peak_flops_per_s["bf16"]


def ridge(chip: str) -> float:
    found = load_chip(chip).ridge_flop_per_byte("bf16")
    assert found is not None
    return found


def one_array(chip: str) -> float:
    """FLOP/s of one systolic array."""
    return derivation(chip).flops_per_cycle * derivation(chip).clock_hz


def tpu_cores(chip: str) -> int:
    """Cores of a TPU, from its arrays."""
    return derivation(chip).units // ARRAYS


def cuda_cores(chip: str) -> int:
    """Lanes of a GPU, from its tensor cores."""
    return derivation(chip).units * WARP


@dataclass(frozen=True, kw_only=True)
class Row:
    """One answer: its number in the source, the exact and the printed value, and how it is computed here."""

    id: str
    what: str
    unit: str
    answer: float
    printed: float
    compute: Callable[[], float]


ROWS = (
    Row(
        id="RL03", what="ridge of a TPU v5e", unit="FLOP/B", answer=240.244, printed=240,
        compute=lambda: ridge("tpu_v5e"),
    ),
    Row(
        id="RL20", what="batch of one of 2048 GPUs that share 512 sequences of 4096", unit="tokens", answer=1024,
        printed=1024, compute=lambda: 512 * 4096 / 2048,
    ),
    Row(
        id="TP02", what="one array of a TPU v5e, bf16[8,128] x [128,128] every 8 cycles", unit="FLOP/s",
        answer=4.9152e13, printed=5e13, compute=lambda: one_array("tpu_v5e"),
    ),
    Row(
        id="TP03", what="a pod of 16 x 16 TPU v5e", unit="FLOP/s", answer=5.0432e16, printed=5.1e16,
        compute=lambda: 16 * 16 * peak("tpu_v5e"),
    ),
    Row(
        id="TP04", what="a pod of 16 x 20 x 28 TPU v5p", unit="FLOP/s", answer=4.11264e18, printed=4.1e18,
        compute=lambda: 16 * 20 * 28 * peak("tpu_v5p"),
    ),
    Row(
        id="TP05", what="hosts of that pod, one for every four chips", unit="hosts", answer=2240, printed=2240,
        compute=lambda: 16 * 20 * 28 / 4,
    ),
    Row(
        id="TP15", what="vector unit of one TPU v5p core", unit="FLOP/s", answer=7.168e12, printed=7e12,
        compute=lambda: load_chip("tpu_v5p").vector_unit.peak_flops_per_s["fp32"] / tpu_cores("tpu_v5p"),
    ),
    Row(
        id="TP16", what="64 vector registers of a TPU v5p core, 32 bit a lane", unit="B", answer=262144,
        printed=256000, compute=lambda: 64 * SUBLANES * LANES * 4,
    ),
    Row(
        id="GP01", what="CUDA cores of an H100", unit="cores", answer=16896, printed=16896,
        compute=lambda: cuda_cores("h100_sxm"),
    ),
    Row(
        id="GP29", what="clock at which the lanes of a B200 reach its fp32 peak", unit="Hz", answer=2.11149e9,
        printed=2.1e9,
        compute=lambda: load_chip("b200").vector_unit.peak_flops_per_s["fp32"] / (2 * cuda_cores("b200")),
    ),
)  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_count_is_the_exact_answer(row: Row) -> None:
    got = row.compute()
    error, rounding = got / row.answer - 1, got / row.printed - 1
    print(f"{row.id} {row.what}: {got:.6g} {row.unit}, error {error:+.5%}, against the printed answer {rounding:+.3%}")
    assert got == pytest.approx(row.answer, rel=SIX_DIGITS)


def test_four_arrays_make_the_peak_of_a_v5e() -> None:
    """TP02 again: the data sheet rounds 1.966e14 to 1.97e14."""
    error = ARRAYS * one_array("tpu_v5e") / peak("tpu_v5e") - 1
    print(f"TP02 four arrays against the data sheet: {error:+.3%}")
    assert derivation("tpu_v5e").units == ARRAYS
    assert abs(error) < 0.0025


def test_lanes_and_clock_make_the_vector_unit_of_a_v5p() -> None:
    """TP15 again, from the widths and the clock instead of the catalogue's peak."""
    assert tpu_cores("tpu_v5p") == 2
    lanes = SUBLANES * LANES * LANE_UNITS * derivation("tpu_v5p").clock_hz
    error = lanes / 7.168e12 - 1
    print(f"TP15 8 x 128 x 4 units at the clock of the catalogue: {error:+.5%}")
    assert lanes == pytest.approx(7.168e12, rel=SIX_DIGITS)
