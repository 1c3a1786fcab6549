"""The peak that an op runs at: that of its widest input's format, or of the next wider one that a chip has.

Source: data sheets, through the catalogue.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import SpecError
from simulator import DTYPE_BYTES, RunOptions, usable_dtype
from tests.support.strategies import kernels_of, one, run

FULL = RunOptions(overlap="full")
DIMS: dict[str, Any] = {"M": 6, "N": 10, "K": 14}


@given(
    st.sampled_from(["fp4", "fp8", "fp16", "bf16", "tf32", "fp32", "fp64"]),
    st.sets(st.sampled_from(["fp8", "fp16", "bf16", "fp32", "fp64"])),
)
def test_the_peak_is_that_of_the_dtype_or_the_next_wider_one(asked: str, peaks: set[str]) -> None:
    got = usable_dtype(asked, peaks)
    wide = [DTYPE_BYTES[name] for name in peaks if DTYPE_BYTES[name] >= DTYPE_BYTES[asked]]
    if asked in peaks:
        assert got == asked
    elif wide:
        assert got in peaks
        assert DTYPE_BYTES[got] == min(wide)
    else:
        assert got is None


@pytest.mark.parametrize(
    ("chip", "a", "b", "rate"),
    [
        ("tpu_v5e", "bf16", "bf16", 1.97e14), ("tpu_v5e", "int8", "int8", 3.94e14), ("tpu_v5e", "bf16", "int8", 1.97e14),
        ("v100_sxm2_32gb", "bf16", "bf16", 1.25e14), ("a100_80gb_sxm", "fp8", "fp8", 3.12e14),
        ("h100_sxm", "fp8", "fp8", 1.979e15), ("h100_sxm", "fp32", "bf16", 6.7e13),
    ],
)  # fmt: skip
def test_a_matmul_runs_at_the_peak_of_its_widest_input(chip: str, a: str, b: str, rate: float) -> None:
    result = run([f"y:bf16[M,N] = matmul(x:{a}[M,K], w:{b}[K,N])"], DIMS, one(chip), FULL)
    assert result.plan.kernels[0].times_s["matrix_unit"] == pytest.approx(2 * 6 * 10 * 14 / rate, rel=1e-12)


def test_a_chip_without_a_peak_as_wide_says_so() -> None:
    with pytest.raises(SpecError, match=r"^ops:1:13: tpu_v5e has no matrix_unit.peak for fp64 or wider; it has bf16, "):
        kernels_of("y:fp64[M] = matmul(x:fp64[M,K], v:fp64[K])", **DIMS)
