"""Waiting: time in which a chip does nothing because of others. By hand, and against what is left of a chip's time.

Oracle: where nothing but other chips can hold a chip up, it waits whenever it is idle with work still to do; so its waiting
is the end of its last task less the time in which any of its tasks ran.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import Summary
from analysis.runs import waiting_ps, waiting_spans
from simulator import Result, RunOptions, Simulation
from tests.support.claims import of_library, outcome
from tests.support.strategies import chip_with, many, one, run

MS = 1e-3
CHIP = chip_with("tpu_v5p", {"links.ici.latency": "0 s"})
PAIR = many("line(2)", {"P": 2}, CHIP)
PRODUCER = "f:bf16[1] = custom(x:bf16[1], time=10 ms, on=0)"


def sent(number: int) -> list[str]:
    """What chip 0 has made goes to chip 1 over a queue of its own."""
    return [
        f"s{number}:bf16[1] = send(f, from=0, to=1, queue=q{number})",
        f"r{number}:bf16[1] = recv(from=0, to=1, queue=q{number})",
    ]


def words(result: Result) -> Summary:
    return Summary(result.plan, lambda: result)


@pytest.mark.parametrize("receives", [1, 2, 5])
def test_a_chip_that_waits_in_several_queues_waits_once(receives: int) -> None:
    result = run([PRODUCER, *(line for at in range(receives) for line in sent(at))], {}, PAIR)
    assert words(result)["t_waiting"] == pytest.approx(10 * MS, abs=1e-12)
    assert (
        words(result)["bound_by"] == "overhead"
    )  # chip 0 is as long at work as chip 1 waits for it: the first of equals


@pytest.mark.parametrize(("own", "waits"), [(4, 6), (10, 0), (25, 0)])
def test_a_receive_posted_early_costs_nothing_while_its_chip_works(own: int, waits: int) -> None:
    beside = f"g:bf16[1] = custom(z:bf16[1], time={own} ms, on=1)"
    result = run([PRODUCER, *sent(0), *sent(1), beside], {}, PAIR)
    assert words(result)["t_waiting"] == pytest.approx(waits * MS, abs=1e-9)


def test_who_waits_for_an_op_elsewhere_waits_too() -> None:
    lines = [PRODUCER, "g:bf16[1] = custom(z:bf16[1], time=3 ms, on=1, after=[f])"]
    assert words(run(lines, {}, PAIR))["t_waiting"] == pytest.approx(10 * MS)


def test_what_stands_behind_a_receive_in_another_queue_waits_with_it() -> None:
    """Chip 1 works 2 ms, needs what comes at 10 ms, works 1 ms: 8 ms of its 11 it can do nothing."""
    lines = [
        "a:bf16[1] = custom(z:bf16[1], time=2 ms, on=1)",
        PRODUCER,
        *sent(0),
        "b:bf16[1] = custom(r0, time=1 ms)",
    ]
    result = run(lines, {}, PAIR)
    assert words(result)["t_waiting"] == pytest.approx(8 * MS)
    (span,) = waiting_spans(result)[1]
    assert span == (2 * 10**9, 10 * 10**9)


def test_nobody_waits_for_who_is_done() -> None:
    lines = [PRODUCER, "g:bf16[1] = custom(z:bf16[1], time=1 ms, on=1)"]
    assert words(run(lines, {}, PAIR))["t_waiting"] == 0.0


def test_chips_alike_do_not_wait() -> None:
    lines = ["y:bf16[B,F]{U_P} = matmul(x:bf16[B,D_P], w:bf16[D_P,F])", "z:bf16[B,F] = all_reduce(y, over=P)"]
    result = run(lines, {"B": 1024, "D": 1024, "F": 1024}, PAIR, RunOptions(fold=False))
    assert words(result)["t_waiting"] == 0.0


def test_what_holds_a_chip_up_is_not_another_chip() -> None:
    """Chip 1 begins only when a user's process lets it: that is no waiting for others; chip 0 then waits for it."""
    lines = [
        "f:bf16[1] = custom(x:bf16[1], time=1 ms, on=0)",
        "g:bf16[1] = custom(z:bf16[1], time=1 ms, on=1)",
        "s:bf16[1] = send(g, from=1, to=0)",
        "r:bf16[1] = recv(from=1, to=0)",
    ]
    plan = run(lines, {}, PAIR).plan
    simulation = Simulation(plan.graph, PAIR, plan.options)
    let_go = simulation.hold("g")

    def late() -> Any:
        yield simulation.timeout(5 * MS)
        let_go()

    simulation.process(late())
    # chip 0 works for 1 ms, then waits until 1 ms after the other was let go
    assert waiting_ps(simulation.run()) == {0: 5 * 10**9}


def test_fixed_times_at_once_are_one_time() -> None:
    """Two ops of 10 ms in two queues of a chip: 10 ms of a run of 10 ms, not 20."""
    lines = ["a:bf16[1] = custom(x:bf16[1], time=10 ms)", "b:bf16[1] = custom(z:bf16[1], time=4 ms, queue=side)"]
    for more, want in (([], 10), (["c:bf16[1] = custom(b, time=8 ms, queue=side)"], 12)):
        result = run([*lines, *more], {}, one(CHIP), RunOptions(overlap="full"))
        assert words(result)["t_overhead"] == pytest.approx(want * MS)
        assert words(result)["time"] == pytest.approx(want * MS)
    apart = run([lines[0], "b:bf16[1] = custom(a, time=4 ms, queue=side)"], {}, one(CHIP))
    assert words(apart)["t_overhead"] == pytest.approx(14 * MS)


def test_the_bubble_of_a_pipeline_is_seven_of_39_ms() -> None:
    words = outcome("pipeline_bubble").words
    assert words["t_waiting"] == pytest.approx(7 * MS, rel=1e-6)
    assert words["bound_by"] == "compute"


@pytest.mark.parametrize("fold", ["true", "false"])
def test_a_slow_chip_keeps_seven_waiting_by_the_same_time(fold: str) -> None:
    """A GPU at 80 % of eight: the others wait a fifth of the slow one's time, however many are simulated."""
    step = of_library("one_slow_of_eight", "ops.y.time", f"run.fold={fold}")
    assert of_library("one_slow_of_eight", "t_waiting", f"run.fold={fold}") == pytest.approx(0.2 * step, rel=1e-6)


@st.composite
def exchanges(draw: st.DrawFn) -> list[str]:
    """Work of three chips, and what they send each other, in any order."""
    lines: list[str] = []
    made: list[list[str]] = [[], [], []]
    for at in range(draw(st.integers(1, 12))):
        chip, length = draw(st.integers(0, 2)), draw(st.integers(0, 5))
        if draw(st.booleans()) and made[chip]:
            target, queue = (chip + draw(st.integers(1, 2))) % 3, draw(st.sampled_from(["a", "b", "p2p"]))
            of = draw(st.sampled_from(made[chip]))
            lines += [
                f"s{at}:bf16[1] = send({of}, from={chip}, to={target}, queue={queue})",
                f"r{at}:bf16[1] = recv(from={chip}, to={target}, queue={queue})",
            ]
            made[target].append(f"r{at}")
        else:
            of = draw(st.sampled_from(made[chip])) if made[chip] else f"x{at}:bf16[1]"
            lines.append(f"c{at}:bf16[1] = custom({of}, time={length} us, on={chip})")
            made[chip].append(f"c{at}")
    return lines


@given(exchanges(), st.sampled_from(["program", "ready"]))
def test_a_chip_waits_where_it_is_idle_with_work_to_do(lines: list[str], order: Any) -> None:
    result = run(lines, {}, many("ring(3)", {"P": 3}, CHIP), RunOptions(order=order))
    program, found = result.plan.program, waiting_ps(result)
    for chip in range(3):
        mine = [task for task in range(len(program)) if chip in program.chips_of(task)]
        instants = sorted({0, *(t for task in mine for t in (result.begin_ps[task], result.end_ps[task]))})
        idle = sum(
            until - since
            for since, until in pairwise(instants)
            if not any(result.begin_ps[task] <= since < result.end_ps[task] for task in mine)
        )
        assert found.get(chip, 0) == idle
