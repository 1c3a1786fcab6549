"""Options of ops: a share of the peak, and those that a kind of one's own brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hw import SpecError
from simulator import KINDS, Call, GraphBuilder, RunOptions, kind, parse_graph, simulate
from tests.support.strategies import kernels_of, one, run, show_error

FULL = RunOptions(overlap="full")
DIMS: dict[str, Any] = {"B": 4096, "D": 8192, "F": 8192, "H": 8, "T": 256, "E": 128}
MATMUL_S = 2 * 4096 * 8192 * 8192 / 1.97e14


# A share of the peak


@pytest.mark.parametrize("share", [1.0, 0.3, 0.013])
def test_an_op_runs_at_its_share_of_the_peak_of_its_unit(share: float) -> None:
    result = run([f"y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], efficiency={share})"], DIMS, one(), FULL)
    print(show_error(f"matmul at {share} of the peak", result.time_s, MATMUL_S / share))
    assert result.time_s == pytest.approx(MATMUL_S / share, rel=1e-9)


def test_a_share_of_the_peak_multiplies_that_of_the_run_and_leaves_other_ops_alone() -> None:
    lines = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], efficiency=50 %)", "z:bf16[B,F] = matmul(x, w)"]
    result = run(lines, DIMS, one(), RunOptions(overlap="full", efficiency={"matrix_unit": 0.8}))
    assert result.time_s == pytest.approx((MATMUL_S / 0.5 + MATMUL_S) / 0.8, rel=1e-9)


def test_a_share_of_the_peak_leaves_bytes_as_they_are() -> None:
    """An op that memory bounds stays as it is, one in a fused kernel keeps its own share."""
    line = "y:bf16[B,F] = gelu(x:bf16[B,F], efficiency={})"
    times = [run([line.format(share)], DIMS, one(), FULL).time_s for share in (1, 0.9)]
    assert times[0] == times[1] == pytest.approx(2 * 2 * 4096 * 8192 / 8.2e11, rel=1e-6)
    lines = ["y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], efficiency=0.5)", "z:bf16[B,F] = gelu(y)"]
    (joined,) = run(lines, DIMS, one(), FULL, [["y", "z"]]).plan.kernels
    assert joined.times_s["matrix_unit"] == pytest.approx(2 * MATMUL_S)
    assert joined.times_s["vector_unit"] == pytest.approx(9 * 4096 * 8192 / 6.144e12)


def test_both_units_of_attention_run_at_the_share() -> None:
    line = "o:bf16[H,T,E] = attention(q:bf16[H,T,E], k:bf16[H,T,E], v:bf16[H,T,E], kind={}, efficiency={})"
    for variant in ("flash", "standard"):
        full, half = (run([line.format(variant, share)], DIMS, one(), FULL).plan.kernels for share in (1, 0.5))
        for whole, slowed in zip(full, half, strict=True):
            for unit in ("matrix_unit", "vector_unit"):
                assert slowed.times_s.get(unit, 0.0) == pytest.approx(2 * whole.times_s.get(unit, 0.0))


@pytest.mark.parametrize("share", ["0", "-0.1", "1.01", "120 %", "nan", "fast"])
def test_a_share_of_the_peak_is_more_than_nothing_and_at_most_all(share: str) -> None:
    with pytest.raises(SpecError, match=r"^ops:1:33: .*efficiency= wants"):
        kernels_of(f"y:bf16[B,F] = gelu(x:bf16[B,F], efficiency={share})", **DIMS)


# Options of one's own kinds


@pytest.fixture
def mine() -> Iterator[dict[str, Any]]:
    """Kinds of a user, taken away again; what they were given."""
    seen: dict[str, Any] = {}

    @kind("mine", (1, 1), ("strength", "mode", "stride"))
    def lower(call: Call) -> Any:
        """As many FLOPs an element as it is strong."""
        seen.update(call.options)
        return [call.kernel(vector_flops=call.options.get("strength", 1) * call.output.elements, vector_dtype="bf16")]

    def even(raw: str) -> int:
        if int(raw) % 2:
            raise ValueError(f"'{raw}' will not do: {{key}} wants an even number")
        return int(raw)

    kind("mine_too", (1, 1), {"strength": even})(lower)
    yield seen
    del KINDS["mine"], KINDS["mine_too"]


def test_a_kind_of_ones_own_brings_its_options(mine: dict[str, Any]) -> None:
    (kernel,) = kernels_of("y:bf16[T] = mine(x:bf16[T], strength=2.5, mode=wide, stride=2)", **DIMS)
    assert kernel.vector_flops == 2.5 * 256
    assert (mine["strength"], mine["mode"], mine["stride"]) == (2.5, "wide", (2, 2))
    builder = GraphBuilder(T=256)
    builder.mine("x:bf16[T]", out="y:bf16[T]", strength=3)
    assert simulate(builder.graph(), one(), FULL).plan.kernels[0].kernel.vector_flops == 3 * 256
    assert type(mine["strength"]) is int


def test_an_option_of_ones_own_is_read_as_its_kind_says(mine: dict[str, Any]) -> None:
    assert kernels_of("y:bf16[T] = mine_too(x:bf16[T], strength=4)", **DIMS)[0].vector_flops == 4 * 256
    with pytest.raises(SpecError, match=r"^ops:1:33: '3' will not do: strength= wants an even number"):
        kernels_of("y:bf16[T] = mine_too(x:bf16[T], strength=3)", **DIMS)
    with pytest.raises(SpecError, match=r"unknown option of mine 'strenth', did you mean 'strength'\?"):
        kernels_of("y:bf16[T] = mine(x:bf16[T], strenth=3)", **DIMS)


def test_an_option_of_every_kind_cannot_be_taken_by_one() -> None:
    with pytest.raises(ValueError, match="option 'tiles' of op kind 'other' means something for every kind already"):
        kind("other", (1, 1), ("tiles",))(lambda _call: [])
    assert "other" not in KINDS
    assert parse_graph(["y:bf16[T] = relu(x:bf16[T])"], DIMS)
