"""One machine and one work give one time and one story, however they are written down.

Law: kernels on a chip are slowed alike, and users' processes as kernels; a collective takes the same time as one task or
message by message, told in the same words; two bytes of a stranger change nothing that two bytes cannot; no run of alike
chips is longer than its upper bound.
Source: each value is derived beside its test from amounts over capacities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from analysis import Summary
from hw import System
from simulator import Result, RunOptions, Simulation, parse_graph, simulate
from tests.support.strategies import chip_with, many, one, run, show_error

VECTOR = 6.144e12  # FLOP/s of a TPU v5e's vector unit in fp32
HBM = 8.2e11
FULL = RunOptions(overlap="full")
MESSAGES = replace(FULL, network="messages")


def end_s(result: Result, op: str) -> float:
    kernels = [planned.kernel.name for planned in result.plan.kernels]
    return (
        max(end for end, kernel in zip(result.end_ps, result.plan.program.kernel, strict=True) if kernels[kernel] == op)
        / 1e12
    )


def custom(name: str, flops: float, nbytes: float, more: str = "") -> str:
    return f"{name}:bf16[1] = custom(x_{name}:bf16[1], flops={flops} FLOP, bytes={nbytes} B, unit=vector{more})"


# Shares


@pytest.mark.parametrize("nbytes", [1.0, 1e6, 6e7])
def test_a_small_op_beside_a_large_one_is_slowed_as_much(nbytes: float) -> None:
    """Both are bound by the vector unit: half of it each, whatever each moves through HBM, until the small one ends."""
    small_s, large_s = 1e8 / VECTOR, 1e10 / VECTOR
    lines = [custom("small", 1e8, nbytes / 100), custom("large", 1e10, nbytes, ", queue=a")]
    result = run(lines, {}, one("tpu_v5e"), FULL)
    print(show_error("the small one, s", end_s(result, "small"), 2 * small_s))
    assert end_s(result, "small") == pytest.approx(2 * small_s, rel=1e-9)
    assert end_s(result, "large") == pytest.approx(small_s + large_s, rel=1e-9)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_none_of_n_kernels_is_slower_than_n_times_alone(count: int) -> None:
    """Unlike ones: bound by the unit, by HBM, by both in turn."""
    kinds = [(1e9, 1e3), (1e6, 1e8), (5e8, 6.6e7), (1e9, 1e8), (3e8, 1e6), (1e7, 1e7), (2e9, 3e8)][:count]
    lines = [custom(f"k{at}", flops, nbytes, f", queue=q{at}") for at, (flops, nbytes) in enumerate(kinds)]
    result = run(lines, {}, one("tpu_v5e"), RunOptions(overlap="none"))
    for at, (flops, nbytes) in enumerate(kinds):
        alone = flops / VECTOR + nbytes / HBM
        assert end_s(result, f"k{at}") <= count * alone * (1 + 1e-9) + 1e-12, at


def test_a_faster_memory_is_no_reason_to_be_slower() -> None:
    """An element-wise op, a matmul after it, and a large vector op beside both; nothing overlaps inside an op."""
    lines = [
        "t0:bf16[B,D] = gelu(e0:bf16[B,D])",
        "t1:bf16[B,F] = matmul(a1:bf16[B,D], w1:bf16[D,F], queue=b, after=[t0])",
        custom("t4", 1e10, 1e8, ", queue=a"),
    ]
    dims = {"B": 5040, "D": 5040, "F": 2520}
    times = []
    for factor in (1, 4):
        chip = chip_with("tpu_v5e", {"on_chip.bandwidth": "1e14 B/s", "hbm.bandwidth": f"{factor * HBM} B/s"})
        times.append(run(lines, dims, one(chip), RunOptions(overlap="none")).time_s)
    print(show_error("HBM four times as fast against once, s", times[1], times[0]))
    assert times[1] <= times[0]


@pytest.mark.parametrize(("faster", "want_ms"), [(1, 15.0), (2, 20.0)])
def test_who_computes_faster_takes_more_memory_from_a_neighbour_that_is_slowed_alike(
    faster: int, want_ms: float
) -> None:
    """One kernel computes for 30 ms and moves bytes for 15 ms; the other moves bytes for 10 ms. Slowed alike by s, they fill
    HBM: s/2 + s = 1, and the second takes 10 / (2/3) = 15 ms. With the unit twice as fast the first asks for HBM all the
    time: s + s = 1, and it takes 20 ms. So a faster unit can make a run slower without any change of order."""
    chip = chip_with("tpu_v5e", {"vector_unit.peak.fp32": f"{faster * VECTOR} FLOP/s"})
    lines = [
        custom("first", 0.03 * VECTOR, 0.015 * HBM),
        f"second:bf16[1] = custom(y:bf16[1], bytes={0.01 * HBM} B, queue=q)",
    ]
    result = run(lines, {}, one(chip), FULL)
    print(show_error("the second, s", end_s(result, "second"), want_ms / 1e3))
    assert end_s(result, "second") == pytest.approx(want_ms / 1e3, rel=1e-6)


@pytest.mark.parametrize("unit", ["matrix_unit", "vector_unit", "hbm"])
def test_a_process_and_an_op_share_what_both_use(unit: str) -> None:
    """1 ms alone each: both end at 2 ms, whichever resource it is and however many bytes either moves."""
    work = {
        "matrix_unit": "flops=1.97e11 FLOP, bytes=8 B, unit=matrix",
        "vector_unit": f"flops={VECTOR / 1e3} FLOP, bytes=8 B",
        "hbm": f"bytes={HBM / 1e3} B",
    }[unit]
    graph = parse_graph([f"y:bf16[1] = custom(x:bf16[1], {work})"], {})
    simulation = Simulation(graph, one("tpu_v5e"), FULL)
    ended = []

    def process() -> Any:
        yield simulation.use({f"chip0.{unit}": HBM / 1e3 if unit == "hbm" else 1e-3})
        ended.append(simulation.now)

    simulation.process(process())
    result = simulation.run()
    assert result.time_s == pytest.approx(2e-3, rel=1e-6)
    assert ended == [pytest.approx(2e-3, rel=1e-6)]


# Forms


GATHER = ["y:bf16[N] = all_gather(x:bf16[N_XY], over=XY)"]
STRANGER = ["s:bf16[1] = send(v:bf16[1], from=0, to=1)", "r:bf16[1] = recv(from=0, to=1)"]


@pytest.mark.parametrize("wiring", ["torus(4,4)", "grid(4,2)", "torus(2,2)", "grid(3,3)"])
def test_two_bytes_of_a_stranger_change_nothing(wiring: str) -> None:
    """They take two bytes' time of a wire, and the hops of the way."""
    sizes = [int(size) for size in wiring.strip("torusgid()").split(",")]
    chip = chip_with("tpu_v5e", {"links.ici.latency": "1 us"})
    system = many(wiring, {"X": sizes[0], "Y": sizes[1]}, chip)
    alone, beside = (run(lines, {"N": 720 * 10**4}, system, FULL).time_s for lines in (GATHER, GATHER + STRANGER))
    print(show_error(f"{wiring}, beside two bytes, s", beside, alone))
    assert alone <= beside <= alone + 2 / 4.5e10 + 2e-12


ALPHA = 37e-6


def test_an_all_to_all_on_a_line_takes_one_time() -> None:
    """Eight chips, 25 GB/s one way, V/64 for each pair. The middle wire is crossed by 16 pairs; those that are d hops
    apart or more are min(...) of them: the last to end are the two ends of the line, 7 hops and their own bytes."""
    chip = chip_with("h100_sxm", {"links.nvlink.latency": f"{ALPHA} s"})
    lines = ["y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)"]
    pair_s = 8 * 720720 * 2 / 64 / 25e9
    apart = [there - here for here in range(4) for there in range(4, 8)]
    want = max(hops * ALPHA + sum(each >= hops for each in apart) * pair_s for hops in range(1, 8))
    for options in (FULL, MESSAGES):
        got = run(lines, {"N": 720720, "M": 8}, many("line(8)", {"X": 8}, chip), options).time_s
        print(show_error(f"{options.network}, s", got, want))
        assert got == pytest.approx(want, rel=1e-6)
    assert want == pytest.approx(7 * ALPHA + pair_s)


BLOCK = [
    "h:bf16[B,F_X] = matmul(x:bf16[B,D], w:bf16[D,F_X])",
    "y:bf16[B,D]{U_X} = matmul(h, u:bf16[F_X,D], chunks=4)",
    "z:bf16[B,D] = all_reduce(y, over=X, chunks=4)",
    "e:bf16[B,D] = gelu(z)",
]


def words_of(result: Result) -> dict[str, Any]:
    return dict(Summary(result.plan, lambda: result).as_dict())


@pytest.mark.parametrize("wiring", ["ring(8)", "line(8)", "switch(8)"])
def test_both_forms_of_a_collective_are_told_in_the_same_words(wiring: str) -> None:
    chip = chip_with("tpu_v5e", {"links.ici.latency": "1 us"})
    results = [
        run(BLOCK, {"B": 2048, "D": 4096, "F": 8192}, many(wiring, {"X": 8}, chip), each) for each in (FULL, MESSAGES)
    ]
    one_task, messages = (words_of(result) for result in results)
    near = abs(results[1].time_s / results[0].time_s - 1)
    assert near < 0.01
    for word in (
        "lower_bound",
        "upper_bound",
        "bound_by",
        "t_math",
        "t_network",
        "t_memory",
        "t_overhead",
        "network_bytes",
    ):
        assert messages[word] == one_task[word], word
    assert messages["eta"] == pytest.approx(one_task["eta"], abs=0.02)


# Bounds


def thin_tree(lines: Sequence[str], **options: Any) -> Result:
    system: System = many("fat_tree(8,leaf=2,oversubscription=2) over nvlink", {"X": 8}, "h100_sxm")
    return simulate(parse_graph(lines, {"N": 11531520}), system, RunOptions(overlap="full", **options))


@pytest.mark.parametrize("routing", ["split", "single"])
@pytest.mark.parametrize("network", ["task", "messages"])
@pytest.mark.parametrize("fold", [True, False])
def test_a_collective_and_a_send_on_a_thin_tree_stay_below_their_sum(routing: Any, network: Any, fold: bool) -> None:
    lines = [
        "y0:bf16[N] = all_reduce(x0:bf16[N]{U_X}, over=X, queue=q0)",
        "s:bf16[N] = send(v:bf16[N], from=0, to=1)",
        "rr:bf16[N] = recv(from=0, to=1)",
    ]
    result = thin_tree(lines, routing=routing, network=network, fold=fold)
    assert result.lower_bound_s <= result.time_s * (1 + 1e-9)
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9)
    assert 0 <= result.eta <= 1


@pytest.mark.parametrize("network", ["task", "messages"])
def test_groups_that_share_a_trunk_stay_below_the_upper_bound(network: Any) -> None:
    """Two groups of four across two leaves of four behind one thin trunk each: what both ask of it counts."""
    system = many("fat_tree(8,leaf=4,oversubscription=4) over nvlink", {"X": 2, "Y": 4}, "h100_sxm")
    lines = ["y:bf16[N] = all_gather(x:bf16[N_X], over=X)"]
    result = simulate(parse_graph(lines, {"N": 11531520}), system, RunOptions(overlap="full", network=network))
    assert result.time_s <= result.upper_bound_s * (1 + 1e-9)
    # 4 chips of a leaf each get half of V over a trunk as wide as one of them
    assert result.time_s == pytest.approx(4 * 11531520 * 2 / 2 / 450e9, rel=2e-2)


def test_the_upper_bound_of_one_chip_is_the_plain_sum() -> None:
    lines = [custom("a", 1e9, 1e6), custom("b", 1e8, 1e8, ", queue=q"), custom("c", 1e7, 1e5)]
    result = run(lines, {}, one("tpu_v5e"), FULL)
    want = sum(flops / VECTOR + nbytes / HBM for flops, nbytes in ((1e9, 1e6), (1e8, 1e8), (1e7, 1e5)))
    assert result.upper_bound_s == pytest.approx(want, rel=1e-9)
    assert result.time_s <= result.upper_bound_s
