"""Sliding-window attention: pairs counted one by one, keys and values read where a query sees them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import SpecError, System
from simulator import RunOptions
from tests.support.strategies import chip_with, kernels_of, many, one, run, show_error

FULL = RunOptions(overlap="full")


def sees(query: int, key: int, causal: bool, window: int | None) -> bool:
    """Whether the query at a position sees the key at another."""
    near = window is None or abs(query - key) < window
    return near and (key <= query or not causal)


def attention(queries: int, keys: int, causal: bool, window: int | None, kind: str = "flash") -> Any:
    options = f"kind={kind}, causal={str(causal).lower()}" + (f", window={window}" if window else "")
    line = f"o:bf16[H,T,E] = attention(q:bf16[H,T,D], k:bf16[G,S,D], v:bf16[G,S,E], {options})"
    return kernels_of(line, H=6, G=2, D=16, E=20, T=queries, S=keys)


@given(st.integers(1, 24), st.integers(0, 24), st.booleans(), st.one_of(st.none(), st.integers(1, 60)))
def test_flash_computes_the_pairs_that_are_not_masked_and_reads_the_keys_that_are_seen(
    queries: int, more: int, causal: bool, window: int | None
) -> None:
    keys = queries + more
    positions = range(more, keys)  # the queries are the last of the keys
    pairs = [(i, j) for i in positions for j in range(keys) if sees(i, j, causal, window)]
    seen = {j for _, j in pairs}
    (kernel,) = attention(queries, keys, causal, window)
    assert kernel.matrix_flops == pytest.approx(6 * 2 * len(pairs) * (16 + 20), rel=1e-12)
    assert kernel.vector_flops == pytest.approx(6 * 5 * len(pairs), rel=1e-12)
    nbytes = 2 * (6 * queries * (16 + 20) + 2 * len(seen) * (16 + 20))
    assert kernel.hbm_bytes == pytest.approx(nbytes, rel=1e-12)


@given(st.integers(1, 12), st.integers(0, 12), st.booleans(), st.integers(1, 30))
def test_standard_computes_what_is_masked_too(queries: int, more: int, causal: bool, window: int) -> None:
    plain = attention(queries, queries + more, False, None, "standard")
    masked = attention(queries, queries + more, causal, window, "standard")
    for one_kernel, other in zip(plain, masked, strict=True):
        assert (one_kernel.flops, one_kernel.hbm_bytes) == (other.flops, other.hbm_bytes)


def test_a_window_of_1024_over_8192_positions() -> None:
    """32 heads of 128 on an H100: sum of min(i + 1, 1024) pairs; q, k, v and o of 67 MB each all move."""
    given = "q:bf16[B,H,S,D], k:bf16[B,H,S,D], v:bf16[B,H,S,D]"
    line = f"o:bf16[B,H,S,D] = attention({given}, kind=flash, causal=true, window=1024)"
    result = run([line], {"B": 1, "S": 8192, "H": 32, "D": 128}, one("h100_sxm"), FULL)
    pairs = sum(min(i + 1, 1024) for i in range(8192))
    want = 32 * 4 * 128 * pairs / 9.89e14
    print(show_error("time of a window of 1024", result.time_s, want))
    assert result.time_s == pytest.approx(want, rel=1e-9)
    assert result.plan.kernels[0].hbm_bytes == 4 * 2 * 32 * 8192 * 128


def test_a_decode_step_reads_the_window_of_its_cache() -> None:
    (kernel,) = attention(1, 8192, True, 1024)
    assert kernel.hbm_bytes == 2 * (6 * (16 + 20) + 2 * 1024 * (16 + 20))
    assert kernel.matrix_flops == pytest.approx(6 * 2 * 1024 * 36)


def test_a_window_as_wide_as_the_keys_is_none() -> None:
    for causal in (False, True):
        assert attention(7, 9, causal, 9) == attention(7, 9, causal, 100)
        wide, none = attention(7, 9, causal, 9)[0], attention(7, 9, causal, None)[0]
        assert (wide.flops, wide.hbm_bytes) == (none.flops, none.hbm_bytes)


@given(st.sampled_from([2, 4]), st.integers(1, 6), st.integers(0, 12), st.booleans(), st.integers(1, 30))
def test_a_chip_with_some_of_the_queries_reads_what_those_see(
    chips: int, block: int, more: int, causal: bool, window: int
) -> None:
    """The chip that sees most; FLOPs are a chip's share of all pairs."""
    queries = chips * block
    keys = queries + more
    seen = [
        len(
            {
                j
                for i in range(more + chip * block, more + (chip + 1) * block)
                for j in range(keys)
                if sees(i, j, causal, window)
            }
        )
        for chip in range(chips)
    ]
    pairs = sum(sees(i, j, causal, window) for i in range(more, keys) for j in range(keys))
    line = "o:bf16[H,T_X,D] = attention(q:bf16[H,T_X,D], k:bf16[H,S,D], v:bf16[H,S,D], causal={}, window={})"
    system = many(f"ring({chips})", {"X": chips})
    (planned,) = run(
        [line.format(str(causal).lower(), window)], {"H": 3, "T": queries, "S": keys, "D": 8}, system, FULL
    ).plan.kernels
    assert planned.kernel.hbm_bytes == pytest.approx(2 * 3 * 8 * (2 * block + 2 * max(seen)), rel=1e-12)
    assert planned.kernel.matrix_flops == pytest.approx(3 * 2 * 2 * 8 * pairs / chips, rel=1e-12)


@given(st.integers(1, 64), st.integers(1, 600), st.booleans(), st.sampled_from([1, 4]))
def test_a_block_of_queries_reads_the_keys_that_any_of_them_sees(
    window: int, length: int, causal: bool, group: int
) -> None:
    """At least what the blocks see, counted one by one; at most what as many blocks in the middle would."""
    line = (
        "o:bf16[H,S,D] = attention(q:bf16[H,S,D], k:bf16[G,S,D], v:bf16[G,S,D], "
        f"causal={str(causal).lower()}, window={window})"
    )
    chip = System(chip_with("h100_sxm", {"on_chip.capacity": 96 * 1024}))
    dims = {"H": group, "G": 1, "S": length, "D": 64}
    (planned,) = run([line], dims, chip, RunOptions(overlap="auto")).plan.kernels
    rows = int(planned.tile.split("q")[0])
    places, passes = -(-rows // group), -(-group * length // rows)
    blocks = [range(start, min(length, start + places)) for start in range(0, length, places)]
    seen = [len({j for i in block for j in range(length) if sees(i, j, causal, window)}) for block in blocks]
    middle = places - 1 + (window if causal else 2 * window - 1)
    once, a_key = 2 * 64 * 2 * group * length, 2 * 64 * 2
    assert planned.hbm_bytes >= (once + a_key * max(length, sum(seen))) * (1 - 1e-12)
    assert planned.hbm_bytes <= (once + a_key * max(length, passes * middle)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("kind=linear, window=4", "linear attention keeps no keys and has no window"),
        ("window=0", "window= wants a whole number from 1"),
        ("window=[3, 4]", "window= wants a whole number from 1"),
    ],
)
def test_windows_that_cannot_be_are_told(options: str, words: str) -> None:
    line = f"o:bf16[H,T,D] = attention(q:bf16[H,T,D], k:bf16[H,T,D], v:bf16[H,T,D], {options})"
    with pytest.raises(SpecError, match=r"^ops:1:\d+: ") as caught:
        kernels_of(line, H=2, T=8, D=4)
    assert words in str(caught.value)


def test_a_window_of_more_queries_than_keys_is_refused() -> None:
    with pytest.raises(SpecError, match="window=4 with 9 queries over 7 keys: more queries than keys"):
        attention(9, 7, False, 4)
