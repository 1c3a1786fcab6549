"""Chips of one kind that differ for good (`run.spread`): the slowest of those that wait for each other, against brute force.

The oracle has no line of the engine's: chips with paces of their own (normal draws), kernels on a chip as long as its pace
says, collectives that begin when the last of a group has come; how long each takes on a chip like most is read off a run
without spread. Laws: where chips do the same, any paces give the run in which all chips are as slow as the slowest; the mean
over draws is the run's time where nothing overlaps, and at least that where something does (the mean of a maximum); a
pipeline takes at most the run's time. Source of means of the largest of n: closed forms for n <= 5 (Bose and Gupta 1959).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis import timeline_frame
from hw import Mesh, System, load_chip, parse_topology
from simulator import Result, RunOptions, parse_graph, simulate
from simulator.lowering.efficiency import expected_largest, pace_of

DRAWS = 3000
_ROOT = math.sqrt(math.pi)


@pytest.mark.parametrize(
    ("count", "largest"),
    [
        (1, 0.0),
        (2, 1 / _ROOT),
        (3, 1.5 / _ROOT),
        (4, 3 / _ROOT * (0.5 + math.asin(1 / 3) / math.pi)),
        (5, 5 / _ROOT * (0.25 + 1.5 * math.asin(1 / 3) / math.pi)),
    ],
)
def test_the_mean_of_the_largest_normal_draw(count: int, largest: float) -> None:
    assert expected_largest(count) == pytest.approx(largest, rel=1e-12, abs=1e-12)


def test_the_mean_of_the_largest_of_very_many() -> None:
    """Between n draws' 1 - 1/n quantile and sqrt(2 ln n)."""
    for count in (100, 16_384, 10**6, 10**9):
        assert _quantile(1 - 1 / count) < expected_largest(count) < math.sqrt(2 * math.log(count))


def _quantile(share: float) -> float:
    low, high = -12.0, 12.0
    while high - low > 1e-9:
        middle = (low + high) / 2
        low, high = (middle, high) if 0.5 * math.erfc(middle / math.sqrt(2)) > 1 - share else (low, middle)
    return low


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.floats(0, 0.5), st.floats(0, 0.5))
def test_a_pace_grows_with_chips_and_spread(few: int, more: int, small: float, large: float) -> None:
    few, more = sorted((few, more))
    small, large = sorted((small, large))
    assert 1.0 <= pace_of(small, few) <= pace_of(small, more) * (1 + 1e-12) <= pace_of(large, more) * (1 + 1e-12)


# Programs of kernels and collectives


@dataclass(frozen=True)
class Op:
    """A kernel, or (`over` axes) a collective, which waits for an op before it, if any."""

    over: str
    after: int | None
    flops: float


@dataclass(frozen=True)
class Program:
    """Ops on a torus whose axes X and Y do not share wires."""

    sizes: tuple[int, int]
    ops: tuple[Op, ...]

    def system(self) -> System:
        chip = load_chip("tpu_v5e")
        return System(chip, parse_topology(f"torus({self.sizes[0]},{self.sizes[1]})", chip.links), Mesh(self.mesh))

    @property
    def mesh(self) -> dict[str, int]:
        return dict(zip("XY", self.sizes, strict=True))

    def run(self, **options: Any) -> Result:
        lines = []
        for at, op in enumerate(self.ops):
            after = f", after=[y{op.after}]" if op.after is not None else ""
            if op.over:
                asked = f"x{at}:bf16[E,F]{{U_{op.over}}}, over={op.over}{after}"
                lines.append(f"y{at}:bf16[E,F] = all_reduce({asked})")
            else:
                lines.append(f"y{at}:bf16[1] = custom(x{at}:bf16[1], flops={op.flops} FLOP, unit=matrix{after})")
        graph = parse_graph(lines, {"E": 1024, "F": 2048})
        return simulate(graph, self.system(), RunOptions(overlap="full", **options))

    def groups(self, axis: str) -> Sequence[Sequence[int]]:
        return self.system().groups(axis)


@st.composite
def programs(draw: st.DrawFn, serial: bool = False) -> Program:
    sizes = draw(st.sampled_from([(2, 2), (4, 2), (3, 3), (4, 4)]))
    ops: list[Op] = []
    for at in range(draw(st.integers(2, 7))):
        over = draw(st.sampled_from(["", "", "X", "Y"]))
        before = at - 1 if serial else draw(st.integers(0, at - 1)) if at and draw(st.booleans()) else None
        ops.append(Op(over, before if at else None, draw(st.sampled_from([2e11, 1e12, 5e12]))))
    return Program(sizes, tuple(ops))


def replayed(program: Program, seconds: Sequence[float], paces: Any) -> Any:
    """When each chip is done with all, for many draws of the chips' paces at once."""
    ends: list[Any] = []
    free: dict[str, Any] = {}
    for op, takes in zip(program.ops, seconds, strict=True):
        none = np.zeros_like(paces)
        begin = np.maximum(free.get(op.over, none), ends[op.after] if op.after is not None else none)
        if op.over:
            for group in map(list, program.groups(op.over)):
                begin[:, group] = begin[:, group].max(axis=1, keepdims=True)
        end = begin + (takes if op.over else takes * paces)
        ends.append(end)
        free[op.over] = end
    return np.maximum.reduce(ends)


def taken(program: Program) -> list[float]:
    """How long each op takes on chips that are alike; nothing here shares a resource."""
    frame = timeline_frame(program.run())
    frame = frame[frame["chip"] == 0]
    return [
        float((row["end"] - row["begin"]).iloc[0])
        for row in (frame[frame["op"] == f"y{at}"] for at in range(len(program.ops)))
    ]


def apart(program: Program) -> list[list[int]]:
    """Sets of chips that wait for each other."""
    size, asked = program.sizes[0] * program.sizes[1], {op.over for op in program.ops} - {""}
    sets = [{chip} for chip in range(size)]
    for group in (group for axis in asked for group in program.groups(axis)):
        met = [each for each in sets if each & set(group)]
        sets = [each for each in sets if each not in met] + [set().union(*met)]
    return [sorted(each) for each in sets]


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(programs(), st.sampled_from([0.01, 0.05]), st.integers(0, 100))
def test_chips_go_as_the_slowest_that_they_wait_for(program: Program, spread: float, seed: int) -> None:
    alike, seconds, sets = program.run(), taken(program), apart(program)
    size = program.sizes[0] * program.sizes[1]
    slack = 1e-9 * alike.time_s + 2e-12 * len(program.ops)
    assert replayed(program, seconds, np.ones((1, size))).max() == pytest.approx(alike.time_s, abs=slack)
    paces = 1 + spread * np.random.default_rng(seed).standard_normal((DRAWS, size))
    slowest = paces.copy()
    for members in sets:
        slowest[:, members] = paces[:, members].max(axis=1, keepdims=True)
    ends, as_slow = (replayed(program, seconds, each) for each in (paces, slowest))
    for members in sets:
        assert np.allclose(ends[:, members].max(axis=1), as_slow[:, members].max(axis=1), rtol=1e-12)
    result = program.run(spread=spread)
    count = max(map(len, sets))
    assert result.plan.slowest_of == count
    expected = replayed(program, seconds, np.full((1, size), pace_of(spread, count)))
    assert expected.max() == pytest.approx(result.time_s, abs=2 * slack)
    mean, error = _mean(np.stack([ends[:, members].max(axis=1) for members in sets]).ravel())
    assert mean >= result.time_s - 5 * error - slack
    assert result.lower_bound_s - slack <= result.time_s <= result.upper_bound_s + slack


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(programs(serial=True), st.sampled_from([0.01, 0.05]), st.integers(0, 100))
def test_where_nothing_overlaps_the_run_takes_the_mean(program: Program, spread: float, seed: int) -> None:
    size, sets = program.sizes[0] * program.sizes[1], apart(program)
    paces = 1 + spread * np.random.default_rng(seed).standard_normal((DRAWS, size))
    ends = replayed(program, taken(program), paces)
    mean, error = _mean(np.stack([ends[:, members].max(axis=1) for members in sets]).ravel())
    assert program.run(spread=spread).time_s == pytest.approx(mean, abs=5 * error + 1e-9 * mean)


def _mean(values: Any) -> tuple[float, float]:
    # draws of sets that do not meet are independent, too
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(programs(), st.sampled_from([0.01, 0.05]), st.sampled_from(["program", "ready"]))
def test_folding_is_exact_and_more_spread_takes_longer(program: Program, spread: float, order: str) -> None:
    full = program.run(spread=spread, order=order, fold=False)
    folded = program.run(spread=spread, order=order)
    assert folded.time_s == full.time_s
    assert folded.plan.classes == program.run(order=order).plan.classes
    times = [program.run(spread=each).time_s for each in (0.0, spread, 2 * spread)]
    assert all(one <= other for one, other in pairwise(times))
    same, plain = program.run(spread=0.0), program.run()
    assert (list(same.begin_ps), list(same.end_ps)) == (list(plain.begin_ps), list(plain.end_ps))


# A pipeline, wires, hosts, kernels that were measured


@pytest.mark.parametrize(("stages", "batches"), [(2, 1), (4, 3), (4, 12)])
def test_a_pipeline_takes_at_most_the_time_of_the_slowest_of_all_its_stages(stages: int, batches: int) -> None:
    """Stages with paces of their own take sum(f) + (M - 1) max(f), of which the mean is no more."""
    lines = []
    for batch in range(batches):
        for stage in range(stages):
            if stage:
                lines.append(f"r{batch}s{stage}:bf16[1] = recv(from={stage - 1}, to={stage})")
            given = f"r{batch}s{stage}" if stage else f"x{batch}:bf16[1]"
            lines.append(f"y{batch}s{stage}:bf16[1] = custom({given}, flops=1e12 FLOP, unit=matrix, on={stage})")
            if stage < stages - 1:
                lines.append(f"t{batch}s{stage}:bf16[1] = send(y{batch}s{stage}, from={stage}, to={stage + 1})")
    chip, spread = load_chip("h100_sxm"), 0.05
    system = System(chip, parse_topology(f"line({stages}) over nvlink", chip.links), Mesh({"X": stages}))
    alike, run = (
        simulate(parse_graph(lines, {}), system, RunOptions(overlap="full", spread=each)) for each in (0.0, spread)
    )
    assert run.plan.slowest_of == stages
    alone = alike.time_s / (stages + batches - 1)
    paces = 1 + spread * np.random.default_rng(1).standard_normal((DRAWS, stages))
    mean, error = _mean(alone * (paces.sum(axis=1) + (batches - 1) * paces.max(axis=1)))
    assert alike.time_s < mean - 5 * error or batches == 1
    assert mean - 5 * error <= run.time_s
    assert run.time_s == pytest.approx(alike.time_s * pace_of(spread, stages), rel=1e-4)


def test_wires_and_hosts_and_chips_that_meet_nobody_are_as_fast() -> None:
    chip = load_chip("h100_sxm")
    node = System(chip, parse_topology("switch(4) over nvlink", chip.links), Mesh({"X": 4}))
    gather = ["y:bf16[B,F] = all_gather(x:bf16[B_X,F], over=X)"]
    matmul = ["z:bf16[B,F] = matmul(a:bf16[B,D], w:bf16[D,F])"]
    given = ["t:bf16[1] = custom(k:bf16[1], time=1 ms)", *gather]
    far = ["f:bf16[B,F] = copy(h:bf16[B,F]@host)", *gather]
    eager = {"dispatch": "eager", "calibration": "measured"}

    def seconds(lines: Sequence[str], spread: float, **options: Any) -> float:
        graph = parse_graph(list(lines), {"B": 4096, "D": 8192, "F": 8192})
        return simulate(graph, node, RunOptions(overlap="full", spread=spread, **options)).time_s

    for lines in (gather, matmul, given, far):
        assert seconds(lines, 0.05) == seconds(lines, 0.0)
    graph = parse_graph([*matmul, *gather], {"B": 4096, "D": 8192, "F": 8192})
    usual, slow = (simulate(graph, node, RunOptions(spread=each)).plan.kernels[1].times_s for each in (0.0, 0.05))
    assert usual == slow != {}  # what a collective reads and writes is as fast as its wires
    for options in ({}, {"calibration": "measured"}, eager):
        assert seconds([*matmul, *gather], 0.05, **options) > seconds([*matmul, *gather], 0.0, **options)


def test_a_measured_kernel_is_as_much_longer_after_its_start() -> None:
    chip = load_chip("h100_sxm")
    node = System(chip, parse_topology("switch(4) over nvlink", chip.links), Mesh({"X": 4}))
    lines = [
        "z:bf16[B,B] = matmul(a:bf16[B,B], w:bf16[B,B])",
        "y:bf16[B,B] = all_gather(x:bf16[B_X,B], over=X, after=[z])",
    ]
    results = [
        simulate(parse_graph(lines, {"B": 8192}), node, RunOptions(calibration="measured", spread=spread))
        for spread in (0.0, 0.05)
    ]
    variants = [each.plan.kernels[0].variants[0] for each in results]
    usual, slow = (max(each.times_s.values()) for each in variants)
    assert slow == pytest.approx(usual * (1 + 0.05 * expected_largest(4)), rel=1e-12)
    assert variants[0].latency_s == variants[1].latency_s
    assert variants[1].usual_s["matrix_unit"] == pytest.approx(variants[0].times_s["matrix_unit"], rel=1e-12)
