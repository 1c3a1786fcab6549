"""Grouped matmuls that have kernels of their own, and the bringing of rows to experts, beside timings on a TPU v5p.

Timings: one TPU v5p, 32,768 tokens of width 2,048, gate and up as one matmul, Megablox in tiles of 512 x 1,024 x 1,024
(github:marin-community/marin issue 2704, February 2026); seconds are its FLOPs over the FLOP/s that it tells.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import System, load_chip
from hw.chips import GroupedTimes, chip_kernels
from simulator import Contraction, RunOptions, parse_graph, simulate
from simulator.measured import Device, grouped_s

PEAK = 1e12
TIMES = GroupedTimes(rows=128, columns=256, depth=512, rate=0.5, sums_rate=0.25)
V5P = load_chip("tpu_v5p")


def device(cores: int) -> Device:
    return Device(cores, (("bf16", PEAK),), PEAK, PEAK, PEAK, (128, 128))


@pytest.mark.parametrize(
    ("part", "cores", "steps"),
    [
        # four groups of 160 rows: five tiles and three of them twice; 768 columns are three tiles, 1,024 deep two steps
        (Contraction(4, 160, 768, 1024, ragged="m"), 1, 8 * 3 * 2),
        # of three tiles of columns one core has two
        (Contraction(4, 160, 768, 1024, ragged="m"), 2, 8 * 2 * 2),
        # the same the other way round
        (Contraction(4, 768, 160, 1024, ragged="n"), 2, 8 * 2 * 2),
        # 640 rows are added up, for weights of 1,024 x 768
        (Contraction(4, 1024, 768, 160, ragged="k"), 2, 8 * 2 * 2),
        # one row of the last group is a visit, and whole tiles are done for it
        (Contraction(1, 129, 1, 1, ragged="m"), 1, 2 / 256 / 512),
    ],
)
def test_steps_are_whole_tiles_that_cores_share_out(part: Contraction, cores: int, steps: float) -> None:
    rate = 0.25 if part.ragged == "k" else 0.5
    found = grouped_s(part, "bf16", device(cores), TIMES)
    assert found == pytest.approx(steps * 2 * 128 * 256 * 512 * cores / (PEAK * rate))


@given(
    groups=st.integers(1, 40),
    sizes=st.tuples(st.integers(1, 900), st.integers(1, 900), st.integers(1, 900)),
    ragged=st.sampled_from(("m", "n", "k")),
    cores=st.integers(1, 4),
)
def test_groups_are_no_faster_than_the_peak(groups: int, sizes: tuple[int, int, int], ragged: str, cores: int) -> None:
    part = Contraction(groups, *sizes, ragged=ragged)  # type: ignore[arg-type]
    assert grouped_s(part, "bf16", device(cores), TIMES) >= 0.999 * part.flops / PEAK


def seconds(line: str, experts: int, top: int, width: int) -> float:
    sizes = {"E": experts, "C": 32768 * top // experts, "D": 2048, "F": 2 * width, "G": width, "T": 32768, "K": top}
    return simulate(parse_graph([line], sizes), System(V5P), RunOptions(calibration="measured")).time_s


UP = "y:bf16[E,C,F] = matmul(x:bf16[E,C,D], w:bf16[E,D,F], ragged=C)"
DOWN = "y:bf16[E,C,D] = matmul(x:bf16[E,C,G], w:bf16[E,G,D], ragged=C)"
BACK = (
    "y:bf16[E,D,F] = matmul(x:bf16[E,C,D], w:bf16[E,C,F], ragged=C)",
    "y:bf16[E,C,D] = matmul(x:bf16[E,C,F], w:bf16[E,D,F], ragged=C)",
    "y:bf16[E,G,D] = matmul(x:bf16[E,C,G], w:bf16[E,C,D], ragged=C)",
    "y:bf16[E,C,G] = matmul(x:bf16[E,C,D], w:bf16[E,G,D], ragged=C)",
)
NETWORK = 6 * 32768 * 2048
"""FLOPs of a token's way through one expert, for each of its width, of all tokens."""


def network(experts: int, top: int, width: int, *more: str) -> float:
    return sum(seconds(line, experts, top, width) for line in (UP, DOWN, *more))


@pytest.mark.parametrize(
    ("experts", "top", "narrow", "wide", "shared"), [(64, 2, 153.487, 194.395, 0), (60, 8, 284.156, 306.866, 5632)]
)
def test_wider_experts_take_the_steps_more_that_were_measured(
    experts: int, top: int, narrow: float, wide: float, shared: int
) -> None:
    """1,024 and 2,048 wide, with rows that were brought before: all else is the same in both, but for activations."""
    measured = [NETWORK * (top * width + shared) / (rate * 1e12) for width, rate in ((1024, narrow), (2048, wide))]
    added = network(experts, top, 2048) - network(experts, top, 1024)
    assert added == pytest.approx(measured[1] - measured[0], rel=0.04)


@pytest.mark.parametrize("width", [1280, 1408, 1536, 1792])
def test_a_width_between_tiles_takes_as_long_as_the_next_whole_one(width: int) -> None:
    """8.41 to 8.50 ms were measured of these four, and 8.48 of 2,048."""
    assert network(64, 2, width) == pytest.approx(network(64, 2, 2048), rel=0.01)


@pytest.mark.parametrize(("rates", "more", "times"), [((134.609, 73.714), (), 1), ((119.405, 63.486), BACK, 3)])
def test_more_experts_take_the_visits_more_that_were_measured(
    rates: tuple[float, float], more: tuple[str, ...], times: int
) -> None:
    """32 and 256 experts of two a token, forward and with the backward pass: the same rows, in 224 visits more."""
    measured = [times * NETWORK * 2 * 1408 / (rate * 1e12) for rate in rates]
    added = network(256, 2, 1408, *more) - network(32, 2, 1408, *more)
    assert added == pytest.approx(measured[1] - measured[0], rel=0.05)


def test_bringing_rows_to_experts_takes_what_is_less_where_they_were_brought_before() -> None:
    """65,536 rows, seven widths of 64 experts (full and brought before, TFLOP/s), and 262,144 of 60."""
    line = "e:bf16[E,C,D] = dispatch(x:bf16[T,D], r:fp32[T,K])"
    pairs = {1024: (129.667, 153.487), 1280: (110.362, 122.056), 1408: (120.037, 133.961), 1536: (130.475, 145.467)}
    pairs |= {1792: (151.461, 171.643), 2048: (175.016, 194.395)}
    less = [NETWORK * 2 * width * (1e-12 / full - 1e-12 / brought) for width, (full, brought) in pairs.items()]
    assert seconds(line, 64, 2, 1408) == pytest.approx(sum(less) / len(less), rel=0.05)
    all_flops = NETWORK * (8 * 1408 + 5632)
    assert seconds(line, 60, 8, 1408) == pytest.approx(all_flops * (1e-12 / 208.236 - 1e-12 / 236.072), rel=0.05)


def test_a_v5p_has_the_kernels_of_tpus_but_for_those_of_experts() -> None:
    found, others = (chip_kernels(load_chip(name)) for name in ("tpu_v5p", "tpu_v5e"))
    assert found is not None
    assert others is not None
    assert (found.like, others.times.matmul.grouped) == ("tpu_v5p", None)
    assert found.times.attention == others.times.attention
