"""What is written into memory that is there already: a KV cache that grows by a token, or is written over, and buffers in
which collectives work where they are.

Model: the new elements are read once and written once; the output is the cache itself, of which only what was added takes
memory of its own.
"""

from __future__ import annotations

from typing import Any

import pytest

from analysis.runs import holdings, memory_peaks
from simulator import Result, RunOptions
from tests.support.strategies import many, one, run, show_error

FULL = RunOptions(overlap="full")
DIMS: dict[str, Any] = {"B": 4, "K": 8, "H": 32, "C": 8191, "S": 8192, "R": 8193, "D": 128}
TOKEN = 2 * 4 * 8 * 128
"""Bytes of one token of k, or of v."""

DECODE = [
    "k2:bf16[B,K,S,D] = append(k:bf16[B,K,C,D], kn:bf16[B,K,1,D])",
    "v2:bf16[B,K,S,D] = append(v:bf16[B,K,C,D], vn:bf16[B,K,1,D])",
    "o:bf16[B,H,1,D] = attention(q:bf16[B,H,1,D], k2, v2)",
]
QUERY = 2 * 4 * 32 * 128


def bytes_of(result: Result) -> dict[str, float]:
    return {planned.kernel.name: planned.hbm_bytes for planned in result.plan.kernels}


def peak(result: Result) -> float:
    return max(memory_peaks(result).values())


def test_a_decode_step_reads_the_context_and_the_new_token_and_writes_the_new_token_alone() -> None:
    result = run(DECODE, DIMS, one("h100_sxm"), FULL)
    want = {"k2": 2 * TOKEN, "v2": 2 * TOKEN, "o": 2 * 8192 * TOKEN + 2 * QUERY}
    print(show_error("bytes of a decode step", sum(bytes_of(result).values()), sum(want.values())))
    assert bytes_of(result) == want
    assert result.time_s == pytest.approx(sum(want.values()) / 3.35e12, rel=1e-6)


def test_the_memory_of_a_cache_is_counted_once() -> None:
    result = run(DECODE, DIMS, one("h100_sxm"), FULL)
    want = 2 * 8192 * TOKEN + 2 * TOKEN + 2 * QUERY  # the grown caches, the new tokens given, q and o
    print(show_error("peak memory of a decode step", peak(result), want))
    assert peak(result) == want


def test_a_cache_that_an_op_makes_stays_to_the_end() -> None:
    """k is made by a copy, grows twice, and is read; whoever comes next wants it, whatever is done before."""
    lines = [
        "k:bf16[B,K,C,D] = copy(k0:bf16[B,K,C,D]@host)",
        "k2:bf16[B,K,S,D] = append(k, n:bf16[B,K,1,D])",
        "k3:bf16[B,K,R,D] = append(k2, n)",
        "y:bf16[B,K,R,D] = relu(k3)",
        "z:bf16[1] = copy(w:bf16[1])",
    ]
    result = run(lines, DIMS, one("h100_sxm"), FULL)
    assert bytes_of(result)["k2"] == bytes_of(result)["k3"] == 2 * TOKEN
    assert peak(result) == 8193 * TOKEN + TOKEN + 8193 * TOKEN + 2 + 2  # the cache, n, y beside it, w and z
    ends = {held.tensor: held.end_s for held in holdings(result)}
    assert ends["k"] == ends["k2"] == ends["k3"] == result.time_s


def test_a_grown_cache_that_nobody_reads_is_a_result_and_stays() -> None:
    lines = [
        "k:bf16[B,K,C,D] = copy(k0:bf16[B,K,C,D]@host)",
        "k2:bf16[B,K,S,D] = append(k, n:bf16[B,K,1,D])",
        "z:bf16[S] = copy(w:bf16[S])",
    ]
    result = run(lines, DIMS, one("h100_sxm"), FULL)
    assert {held.end_s for held in holdings(result)} == {result.time_s}


def test_an_update_writes_over_a_part_and_takes_no_memory() -> None:
    """The ring of a sliding window in a block: as many rounds as one likes, no more memory."""
    block = {"repeat": 3, "carry": {"k": "k2"}, "ops": ["k2:bf16[B,K,S,D] = update(k:bf16[B,K,S,D], n:bf16[B,K,1,D])"]}
    result = run([block], DIMS, one("h100_sxm"), FULL)
    assert set(bytes_of(result).values()) == {2 * TOKEN}
    assert peak(result) == 8192 * TOKEN + 3 * TOKEN  # the cache, and the tokens that three rounds are given


def test_what_makes_the_new_token_may_be_fused_with_writing_it_and_what_reads_the_cache_may_not() -> None:
    lines = [
        "n:bf16[B,K,1,D] = scale(x:bf16[B,K,1,D])",
        "k2:bf16[B,K,S,D] = append(k:bf16[B,K,C,D], n)",
        "y:bf16[B,K,S,D] = relu(k2)",
    ]
    result = run(lines, DIMS, one("h100_sxm"), FULL, [["n", "k2", "y"]])
    assert bytes_of(result) == {"n+k2": 2 * TOKEN, "y": 2 * 8192 * TOKEN}
    assert peak(result) == 8192 * TOKEN + TOKEN + 8192 * TOKEN  # the grown cache, x, y


def test_heads_of_a_cache_may_be_sharded_and_its_tokens_may_not() -> None:
    two = many("line(2)", {"X": 2}, "h100_sxm")
    heads = run(["k2:bf16[B,K_X,S,D] = append(k:bf16[B,K_X,C,D], n:bf16[B,K_X,1,D])"], DIMS, two, FULL)
    assert bytes_of(heads) == {"k2": TOKEN}
    tokens = run(["k3:bf16[B,K,R,D] = append(k:bf16[B,K,S_X,D], n:bf16[B,K,1,D])"], DIMS, two, FULL)
    assert [planned.kernel.kind for planned in tokens.plan.kernels] == ["all_gather", "append"]


WHOLE = 2 * 4096 * 1024
SHARD = WHOLE // 4
OVER = {"I": 4096, "J": 1024}


@pytest.mark.parametrize(
    ("line", "apart", "together"),
    [
        ("y:bf16[I,J] = all_gather(x:bf16[I_X,J], over=X{})", SHARD + WHOLE, WHOLE),
        ("y:bf16[I_X,J] = reduce_scatter(x:bf16[I,J]{U_X}, over=X{})", WHOLE + SHARD, WHOLE),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_X}, over=X{})", 2 * WHOLE, WHOLE),
    ],
)
def test_a_collective_in_place_has_one_buffer(line: str, apart: int, together: int) -> None:
    four = many("ring(4)", {"X": 4}, "h100_sxm")
    found = [run([line.replace("over=X{}", f"over=X{told}")], OVER, four, FULL) for told in ("", ", in_place=true")]
    assert [peak(result) for result in found] == [apart, together]
    assert found[0].time_s == found[1].time_s


def test_a_shard_of_what_was_scattered_keeps_the_whole_until_it_is_read() -> None:
    lines = [
        "g:bf16[I,J]{U_X} = scale(h:bf16[I,J]{U_X})",
        "r:bf16[I_X,J] = reduce_scatter(g, over=X, in_place=true)",
        "z:bf16[I_X,J] = relu(r)",
        "e:bf16[I,J] = copy(h0:bf16[I,J])",
    ]
    result = run(lines, OVER, many("ring(4)", {"X": 4}, "h100_sxm"), FULL)
    ends = {held.tensor: held.end_s for held in holdings(result)}
    read = next(held.begin_s for held in holdings(result) if held.tensor == "z")
    assert read < ends["g"] < result.time_s
    assert "r" not in ends  # it takes nothing of its own


def test_gathered_where_it_is_out_of_a_view_takes_nothing_more() -> None:
    lines = [
        "o:bf16[I_X,J] = view(stored:bf16[I,J])",
        "w:bf16[I,J] = all_gather(o, over=X, in_place=true)",
        "y:bf16[I,J] = relu(w)",
    ]
    result = run(lines, OVER, many("ring(4)", {"X": 4}, "h100_sxm"), FULL)
    assert peak(result) == 2 * WHOLE
