"""Ops that slide a window over rows and columns: convolution with groups and dilation, pooling.

The oracle walks over the windows: it lists where each one stands, counts its products, and marks what it covers.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hw import SpecError
from simulator import Kernel, RunOptions
from tests.support.strategies import kernels_of, many, one, run, show_error

FULL = RunOptions(overlap="full")


def starts(size: int, window: int, stride: int, pad: int, dilation: int) -> list[list[int]]:
    """The rows under each window, padding counted in."""
    rows = range(-pad, size + pad)
    windows = [[start + dilation * step for step in range(window)] for start in rows[::stride]]
    return [window for window in windows if window[-1] < size + pad]


small = st.integers(1, 3)


@given(st.data())
def test_conv2d_multiplies_each_window_of_a_group_with_each_of_its_filters(data: st.DataObject) -> None:
    draw = data.draw
    groups, per_group, filters, batch = draw(small), draw(small), draw(small), draw(small)
    sizes = [draw(st.integers(1, 8)) for _ in range(2)]
    reach, stride, dilation = ([draw(small) for _ in range(2)] for _ in range(3))
    pad = [draw(st.integers(0, 2)) for _ in range(2)]
    found = [starts(*each) for each in zip(sizes, reach, stride, pad, dilation, strict=True)]
    assume(all(found))
    madds = 0
    for _ in itertools.product(range(batch), range(groups), range(filters), *found):
        madds += per_group * reach[0] * reach[1]
    shape = [f"{batch},{groups * filters},{len(found[0])},{len(found[1])}"]
    shape += [
        f"{batch},{groups * per_group},{sizes[0]},{sizes[1]}",
        f"{groups * filters},{per_group},{reach[0]},{reach[1]}",
    ]
    options = f"stride={stride}, pad={pad}, dilation={dilation}, groups={groups}"
    line = "y:bf16[{}] = conv2d(x:bf16[{}], w:bf16[{}], {})".format(*shape, options)
    (kernel,) = kernels_of(line)
    assert kernel.matrix_flops == 2 * madds
    assert kernel.hbm_bytes == 2 * sum(np.prod([int(size) for size in each.split(",")]) for each in shape)


@given(st.data())
def test_pooling_compares_or_adds_what_is_under_each_window(data: st.DataObject) -> None:
    draw = data.draw
    sizes, reach = ([draw(st.integers(1, 8)) for _ in range(2)] for _ in range(2))
    stride = draw(st.one_of(st.none(), st.lists(small, min_size=2, max_size=2)))
    pad = [draw(st.integers(0, 2)) for _ in range(2)]
    found = [starts(*each, 1) for each in zip(sizes, reach, stride or reach, pad, strict=True)]
    assume(all(found))
    comparisons = additions = divisions = 0
    for down, across in itertools.product(*found):
        comparisons += len(down) * len(across) - 1
        additions += len(down) * len(across) - 1
        divisions += 1
    step = f", stride={stride}" if stride else ""
    line = "y:bf16[5,7,{},{}] = {{}}(x:bf16[5,7,{},{}], window={}, pad={}{})".format(
        *map(len, found), *sizes, reach, pad, step
    )
    largest, mean = (kernels_of(line.format(kind))[0] for kind in ("max_pool2d", "avg_pool2d"))
    assert largest.vector_flops == 35 * comparisons
    assert mean.vector_flops == 35 * (additions + divisions)
    assert largest.hbm_bytes == mean.hbm_bytes == 2 * 35 * (sizes[0] * sizes[1] + len(found[0]) * len(found[1]))


# MobileNet's depthwise block: 3x3 over 112x112, 32 channels, batch 8, on a v5e (1.97e14 FLOP/s, 8.2e11 B/s)

DEPTHWISE = "y:bf16[8,32,112,112] = conv2d(x:bf16[8,32,112,112], w:bf16[32,1,3,3], pad=1, groups=32)"


def test_a_depthwise_convolution_is_bound_by_memory() -> None:
    result = run([DEPTHWISE], {}, one(), FULL)
    nbytes, flops = 2 * (2 * 8 * 32 * 112 * 112 + 32 * 9), 2 * 8 * 32 * 112 * 112 * 9
    print(show_error("depthwise 3x3", result.time_s, nbytes / 8.2e11))
    assert result.time_s == pytest.approx(nbytes / 8.2e11, rel=1e-6)
    assert result.plan.kernels[0].times_s["matrix_unit"] == pytest.approx(flops / 1.97e14)


def test_padding_fills_the_width_of_the_unit_for_each_group_of_a_convolution() -> None:
    """A group's matmul is [NPQ, 9] with [9, 1]: on a unit of 128 x 128 it takes as long as [NPQ, 128] with [128, 128]."""
    padded = run([DEPTHWISE], {}, one(), RunOptions(overlap="full", padding=True))
    want = 32 * 2 * (8 * 112 * 112) * 128 * 128 / 1.97e14
    assert padded.plan.kernels[0].times_s["matrix_unit"] == pytest.approx(want)


# Sharding

FOUR = many("ring(4)", {"X": 4})


def on_four(line: str) -> list[Kernel]:
    return [planned.kernel for planned in run([line], {}, FOUR, FULL).plan.kernels]


@pytest.mark.parametrize("groups", [4, 8])
def test_groups_of_a_convolution_are_shared_out_with_their_channels(groups: int) -> None:
    plain = (
        f"y:bf16[2,16,9,9] = conv2d(x:bf16[2,8,9,9], w:bf16[16,{8 // groups},3,3], b:bf16[16], pad=1, groups={groups})"
    )
    cut = plain.replace("[2,16", "[2,16_X").replace("[2,8", "[2,8_X").replace("[16", "[16_X")
    (alone,), (shared,) = kernels_of(plain), on_four(cut)
    assert shared.matrix_flops == alone.matrix_flops / 4
    assert shared.hbm_bytes == alone.hbm_bytes / 4


def test_groups_that_do_not_divide_over_the_chips_are_gathered_first() -> None:
    line = "y:bf16[2,4,9,9] = conv2d(x:bf16[2,8_X,9,9], w:bf16[4,4,3,3], pad=1, groups=2)"
    kinds = [kernel.kind for kernel in on_four(line)]
    assert kinds == ["all_gather", "conv2d"]


def test_channels_of_a_pooling_are_shared_out_and_its_rows_are_gathered() -> None:
    line = "y:bf16[4,8_X,4,4] = max_pool2d(x:bf16[4,8_X,8,8], window=2)"
    (shared,), (alone,) = on_four(line), kernels_of(line.replace("_X", ""))
    assert (shared.vector_flops, shared.hbm_bytes) == (alone.vector_flops / 4, alone.hbm_bytes / 4)
    rows = on_four("y:bf16[4,8,4,4] = max_pool2d(x:bf16[4,8,8_X,8], window=2)")
    assert [kernel.kind for kernel in rows] == ["all_gather", "max_pool2d"]


def test_a_chip_reads_the_rows_under_the_windows_of_its_part_of_the_output() -> None:
    """Rows 0-2, 2-4, 4-6 and 6-8 of nine: three of nine, of nine columns."""
    (kernel,) = on_four("y:bf16[1,1,4_X,7] = max_pool2d(x:bf16[1,1,9,9], window=3, stride=[2, 1])")
    assert kernel.hbm_bytes == 2 * (3 * 9 + 7)
    assert kernel.vector_flops == 7 * 8


def test_equal_sizes_in_other_places_are_other_dims() -> None:
    """56 images of 56 channels and 56 rows: only rows and columns have to be whole."""
    line = "y:bf16[56_X,56,56,56] = conv2d(x:bf16[56_X,56,56,56], w:bf16[56,56,3,3], pad=1)"
    (kernel,) = on_four(line)
    assert kernel.matrix_flops == 2 * 14 * 56 * 56 * 56 * 56 * 9


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "y:bf16[1,1,3,3] = max_pool2d(x:bf16[1,1,9,9], window=[3, 3, 3])",
            "window= wants one number, or [rows, columns]",
        ),
        (
            "y:bf16[1,1,4,4] = max_pool2d(x:bf16[1,1,9,9], window=3)",
            "with stride=3 the output is [1,1,3,3], not [1,1,4,4]",
        ),
        ("y:bf16[1,1,3,3] = avg_pool2d(x:bf16[1,1,9,9])", "needs window="),
        ("y:bf16[1,1,3] = avg_pool2d(x:bf16[1,1,9], window=3)", "takes x[N,C,H,W]"),
        ("y:bf16[1,1,1,1] = max_pool2d(x:bf16[1,1,2,2], window=3)", "the output is [1,1,0,0]"),
        (
            "y:bf16[1,3,9,9] = conv2d(x:bf16[1,4,9,9], w:bf16[3,2,1,1], groups=2)",
            "4 channels in and 3 out do not make 2",
        ),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,4,9,9], w:bf16[4,4,1,1], groups=2)", "4 channels in 2 groups, w wants 4"),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,4,9,9], w:bf16[4,4,1,1], groups=0)", "groups= wants a whole number from 1"),
        ("y:bf16[1,4,9,9] = conv2d(x:bf16[1,4,9,9], w:bf16[4,4,1,1], pad=-1)", "pad= wants 0 or more"),
    ],
)
def test_windows_that_do_not_fit_are_told(line: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        kernels_of(line)
    assert words in str(caught.value), str(caught.value)


def test_names_may_stand_for_sizes() -> None:
    dims: dict[str, Any] = {"N": 2, "C": 8, "H": 14, "P": 7}
    (kernel,) = kernels_of("y:bf16[N,C,P,P] = avg_pool2d(x:bf16[N,C,H,H], window=2)", **dims)
    assert kernel.vector_flops == 2 * 8 * 49 * 4
