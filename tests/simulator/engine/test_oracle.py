"""The oracle against closed forms that a reader can check by hand, and against the laws of the model.
Model: a small case has one expected number; a random case is judged by laws that do not repeat the algorithm.
Assumes: nothing about the fast engine, which is not imported here.
Law: rates are max-min fair if and only if each task at work runs at its cap or has a bottleneck: a full
resource on which no other task has a higher level x. In program order each begin has a closed form.
Source: the bottleneck condition is in Bertsekas and Gallager, "Data Networks", 2nd edition, section 6.5.2."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.drawing import among, between
from tests.support.oracle import OracleTask, Order, Piece, Schedule, fair_rates, simulate, time_alone

F = Fraction
ORDERS: tuple[Order, ...] = ("program", "ready")


def flow(queue: int, amounts: Mapping[int, int], *, weight: int = 1) -> OracleTask:
    return OracleTask(queues=(queue,), amounts={r: F(amounts[r]) for r in amounts}, weight=F(weight))


def wait(*queues: int, seconds: int = 1, deps: tuple[int, ...] = (), priority: int = 0) -> OracleTask:
    """A task that uses no resource."""
    return OracleTask(queues=queues, deps=deps, fixed=F(seconds), amounts={}, priority=priority)


def integral(pieces: Sequence[Piece]) -> F:
    return sum(((piece.stop - piece.start) * piece.rate for piece in pieces), F(0))


# Closed forms: one task alone


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("tiles", "seconds"), [(1, F(11)), (2, F(17, 2)), (4, F(29, 4)), (None, F(6))])
def test_one_task_is_a_pipeline_of_tiles(order: Order, tiles: int | None, seconds: F) -> None:
    task = OracleTask(queues=(0,), amounts={0: F(6), 1: F(4), 2: F(9)}, tiles=tiles)  # 6 s, 2 s, 3 s
    out = simulate([task], [F(1), F(2), F(3)], order)
    assert (out.begin, out.end) == ([F(0)], [seconds])


@pytest.mark.parametrize("amounts", [{}, {0: 0}])
def test_without_work_a_task_ends_after_its_fixed_time(amounts: Mapping[int, int]) -> None:
    tasks = [replace(flow(0, amounts), fixed=F(3)), flow(0, amounts)]
    out = simulate(tasks, [F(1)])
    assert (out.begin, out.end) == ([F(0), F(3)], [F(3), F(3)])
    assert (out.usage, out.progress) == ([[]], [[], []])


def test_an_unused_resource_does_not_slow_a_task() -> None:
    out = simulate([flow(0, {0: 1}), flow(1, {0: 0, 1: 1})], [F(1), F(1)])
    assert out.end == [F(1), F(1)]


def test_no_tasks() -> None:
    assert simulate([], [F(1)]) == Schedule(begin=[], end=[], usage=[[]], progress=[])


# Closed forms: tasks together


def test_two_equal_tasks_take_twice_as_long() -> None:
    assert simulate([flow(0, {0: 7}), flow(1, {0: 7})], [F(5)]).end == [F(14, 5)] * 2


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 9))
@settings(deadline=None)
def test_processor_sharing(sizes: list[int], capacity: int) -> None:
    """Equal bytes per second to each: the j-th smallest ends when all have sent as much, or all they had."""
    out = simulate([flow(q, {0: size}, weight=size) for q, size in enumerate(sizes)], [F(capacity)])
    ranked, n = sorted(sizes), len(sizes)
    sent = [total + (n - 1 - j) * ranked[j] for j, total in enumerate(accumulate(ranked))]
    assert sorted(end for end in out.end if end is not None) == [F(total, capacity) for total in sent]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 9))
@settings(deadline=None)
def test_equal_weights_share_progress(sizes: list[int], capacity: int) -> None:
    out = simulate([flow(q, {0: size}) for q, size in enumerate(sizes)], [F(capacity)])
    assert out.end == [F(sum(sizes), capacity)] * len(sizes)


def test_a_capped_flow_leaves_the_rest_to_the_other() -> None:
    capped = replace(flow(0, {0: 1, 1: 1}), tiles=1)  # 1 s + 3 s: rate 1/4
    out = simulate([capped, flow(1, {0: 1})], [F(1), F(1, 3)])
    assert out.end == [F(4), F(4, 3)]
    assert out.usage[0] == [(F(0), F(4, 3), F(1)), (F(4, 3), F(4), F(1, 4))]
    assert out.usage[1] == [(F(0), F(4, 3), F(1, 4)), (F(4, 3), F(4), F(1, 4))]


def test_parking_lot() -> None:
    tasks = [flow(0, {0: 1, 1: 1}), flow(1, {0: 1}), flow(2, {1: 1})]
    assert fair_rates(tasks, [F(1), F(1)], range(3)) == {0: F(1, 2), 1: F(1, 2), 2: F(1, 2)}
    assert simulate(tasks, [F(1), F(1)]).end == [F(2)] * 3


def test_parking_lot_with_a_second_bottleneck() -> None:
    """Link 0 holds the long flow to 1/2; the short flow of link 1 takes what that one leaves there."""
    tasks = [flow(0, {0: 1, 1: 1}), flow(1, {0: 1}), flow(2, {1: 3})]
    assert fair_rates(tasks, [F(1), F(3)], range(3)) == {0: F(1, 2), 1: F(1, 2), 2: F(5, 6)}
    assert simulate(tasks, [F(1), F(3)]).end == [F(2), F(2), F(6, 5)]


def test_weighted_shares() -> None:
    """The rates times the weights are equal, so three times the weight is a third of the rate."""
    out = simulate([flow(0, {0: 1}), flow(1, {0: 1}, weight=3)], [F(1)])
    assert out.progress[0] == [(F(0), F(4, 3), F(3, 4))]
    assert out.progress[1] == [(F(0), F(4, 3), F(1, 4)), (F(4, 3), F(2), F(1))]


def test_fixed_time_holds_the_queue_but_no_resource() -> None:
    late = OracleTask(queues=(0,), fixed=F(1), amounts={0: F(2)})
    out = simulate([late, flow(1, {0: 2}), flow(0, {0: 1})], [F(1)])
    # Task 1 is alone until 1, then half each until it ends at 3; the late one has 1 left; then task 2 starts.
    assert (out.begin, out.end) == ([F(0), F(0), F(4)], [F(4), F(3), F(5)])
    assert out.progress[0][0] == (F(1), F(3), F(1, 4))


# Queues


@pytest.mark.parametrize(("order", "begin"), [("program", [0, 5, 6]), ("ready", [0, 5, 0])])
def test_only_program_order_blocks_behind_the_head(order: Order, begin: list[int]) -> None:
    out = simulate([wait(1, seconds=5), wait(0, deps=(0,)), wait(0)], [], order)
    assert out.begin == begin


def test_ready_order_takes_the_highest_priority_then_the_lowest_index() -> None:
    tasks = [wait(0), wait(0), wait(0, priority=1), wait(0, priority=1), wait(0, priority=2, deps=(2,))]
    assert simulate(tasks, [], "ready").begin == [3, 4, 0, 2, 1]
    assert simulate(tasks, [], "program").begin == [0, 1, 2, 3, 4]


def test_all_ends_of_an_instant_come_before_its_starts() -> None:
    """Queue 0 falls idle at the instant when its better candidate becomes ready, so it takes that one."""
    tasks = [wait(0), wait(1), wait(0), wait(0, deps=(1,), priority=1)]
    assert simulate(tasks, [], "ready").begin == [0, 0, 2, 1]


def test_tasks_without_duration_chain_within_an_instant() -> None:
    tasks = [wait(0, seconds=0, deps=(2,)), wait(1, deps=(0,)), wait(2, seconds=0, deps=(3,)), wait(0)]
    assert simulate(tasks, [], "ready").begin == [1, 1, 1, 0]


def test_all_that_can_start_does_so_before_what_ends_at_once_releases_more() -> None:
    """Task 1 starts together with task 0, which takes no time; so task 2, though better, comes too late."""
    tasks = [wait(0, seconds=0), wait(1), wait(1, deps=(0,), priority=1)]
    assert simulate(tasks, [], "ready").begin == [0, 0, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_a_group_starts_when_its_last_member_arrives_and_ends_on_all_at_once(order: Order) -> None:
    before = [wait(queue, seconds=seconds) for queue, seconds in enumerate((1, 4, 2))]
    group = OracleTask(queues=(0, 1, 2), fixed=F(1), amounts={0: F(2)})
    out = simulate([*before, group, *(wait(queue) for queue in range(3))], [F(1)], order)
    assert out.begin[3:] == [4, 7, 7, 7]
    assert out.end[3] == 7


def test_a_queue_waits_for_the_group_that_is_its_best_candidate() -> None:
    """Queue 0 stays idle for group 1 though task 2 is ready; task 3, better and ready at 1, replaces it."""
    tasks = [wait(1, seconds=4), wait(0, 1), wait(0), wait(0, priority=1, deps=(4,)), wait(2)]
    assert simulate(tasks, [], "ready").begin == [0, 4, 5, 1, 0]
    assert simulate(tasks, [], "program").begin == [0, 4, 5, 6, 0]


def test_a_task_without_queues_waits_only_for_its_deps() -> None:
    for order in ORDERS:
        assert simulate([wait(0), wait(deps=(0,)), wait(), wait()], [], order).begin == [0, 1, 0, 0]


# Deadlock


def test_deps_against_the_order_of_two_queues_deadlock_only_in_program_order() -> None:
    """0 before 1 on queue 0, 2 before 3 on queue 1; 0 needs 3 and 2 needs 1. The deps alone have no cycle."""
    tasks = [wait(0, deps=(3,)), wait(0), wait(1, deps=(1,)), wait(1), wait(2), wait(2, deps=(2,))]
    out = simulate(tasks, [])
    assert out.begin == [None, None, None, None, 0, None]
    assert out.end == [None, None, None, None, 1, None]
    assert simulate(tasks, [], "ready").begin == [1, 0, 1, 0, 0, 2]


def test_a_group_that_needs_a_task_behind_it_deadlocks_in_program_order() -> None:
    tasks = [wait(0, 1, deps=(2,)), wait(0), wait(1)]
    assert simulate(tasks, []).end == [None, None, None]
    assert simulate(tasks, [], "ready").end == [2, 1, 1]


@pytest.mark.parametrize("order", ORDERS)
def test_a_cycle_of_deps_never_starts(order: Order) -> None:
    out = simulate([wait(0, deps=(1,)), wait(1, deps=(0,)), wait(2)], [], order)
    assert (out.begin, out.end) == ([None, None, 0], [None, None, 1])


# Wrong input


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"queues": (1, 1)}, "name one twice"),
        ({"deps": (1,)}, "deps"),
        ({"amounts": {2: F(1)}}, "unknown resource"),
        ({"amounts": {0: F(-1)}}, ">= 0"),
        ({"amounts": {0: 1.0}}, "fractions"),
        ({"fixed": F(-1)}, ">= 0"),
        ({"weight": F(0)}, "> 0"),
        ({"tiles": 0}, ">= 1"),
    ],
)
def test_a_wrong_task_is_refused(changes: dict[str, Any], message: str) -> None:
    task = replace(flow(0, {0: 1}), **changes)
    with pytest.raises(ValueError, match=message):
        simulate([task], [F(1), F(1)])


def test_a_wrong_capacity_or_order_is_refused() -> None:
    order: Any = "random"
    with pytest.raises(ValueError, match="capacities"):
        simulate([], [F(0)])
    with pytest.raises(ValueError, match="order"):
        simulate([], [], order)


# Laws, on random cases


@dataclass(frozen=True, kw_only=True)
class Case:
    tasks: list[OracleTask]
    capacities: list[F]
    order: Order


@cache
def fractions(least: int = 0) -> st.SearchStrategy[F]:
    return st.builds(F, st.integers(least, 6), st.integers(1, 3))


@cache
def some(below: int, most: int) -> st.SearchStrategy[set[int]]:
    return st.sets(st.integers(0, below - 1), max_size=most)


FIXED, WEIGHTS = st.just(F(0)) | fractions(), st.just(F(1)) | fractions(1)
AMOUNTS = st.dictionaries(st.integers(0, 2), fractions(), max_size=3)
TILES = st.none() | st.integers(1, 3)
CAPACITIES = st.lists(fractions(1), min_size=3, max_size=3)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Up to 7 tasks on 3 queues and 3 resources; deps point backwards, so none of them can deadlock."""
    tasks = [
        OracleTask(
            queues=tuple(draw(some(3, 3))),
            deps=tuple(draw(some(i, 2))) if i else (),
            fixed=draw(FIXED),
            amounts=draw(AMOUNTS),
            tiles=draw(TILES),
            weight=draw(WEIGHTS),
            priority=draw(between(0, 2)),
        )
        for i in range(draw(between(1, 7)))
    ]
    return Case(tasks=tasks, capacities=draw(CAPACITIES), order=draw(among(ORDERS)))


def run(case: Case) -> tuple[Schedule, list[F], list[F]]:
    """The schedule, with its begins and ends, all of which must be there."""
    out = simulate(case.tasks, case.capacities, case.order)
    begin = [time for time in out.begin if time is not None]
    end = [time for time in out.end if time is not None]
    assert len(begin) == len(end) == len(case.tasks)
    return out, begin, end


def sharing(tasks: Sequence[OracleTask], i: int) -> list[int]:
    """The other tasks that have a queue in common with task i."""
    return [j for j, task in enumerate(tasks) if j != i and set(task.queues) & set(tasks[i].queues)]


@given(cases())
@settings(deadline=None)
def test_conservation(case: Case) -> None:
    out, _, end = run(case)
    for r, capacity in enumerate(case.capacities):
        asked = sum((task.amounts.get(r, F(0)) for task in case.tasks), F(0))
        assert integral(out.usage[r]) == asked
        assert all(0 < piece.rate <= capacity and piece.start < piece.stop for piece in out.usage[r])
        assert all(a.stop <= b.start for a, b in zip(out.usage[r], out.usage[r][1:], strict=False))
        assert asked / capacity <= max(end)
    for task, pieces in zip(case.tasks, out.progress, strict=True):
        assert integral(pieces) == (1 if any(task.amounts.values()) else 0)


@given(cases())
@settings(deadline=None)
def test_a_task_works_from_the_end_of_its_fixed_time_to_its_own_end(case: Case) -> None:
    out, begin, end = run(case)
    for i, (task, pieces) in enumerate(zip(case.tasks, out.progress, strict=True)):
        edges = [begin[i] + task.fixed, *(piece.stop for piece in pieces)]
        assert [piece.start for piece in pieces] == edges[:-1]
        assert edges[-1] == end[i] >= begin[i] + task.fixed + time_alone(task, case.capacities)


@given(cases())
@settings(deadline=None)
def test_work_conservation_and_fairness_in_every_interval(case: Case) -> None:
    out, _, _ = run(case)
    for now in {piece.start for pieces in out.progress for piece in pieces}:
        at_work, used = rates_at(now, out.progress), rates_at(now, out.usage)
        full = [r for r, rate in used.items() if rate == case.capacities[r]]
        for i, rate in at_work.items():
            cap = 1 / time_alone(case.tasks[i], case.capacities)
            assert rate <= cap
            assert rate == cap or any(has_bottleneck(case.tasks, at_work, i, r) for r in full)


def rates_at(now: F, pieces_of: Sequence[Sequence[Piece]]) -> dict[int, F]:
    return {i: p.rate for i, pieces in enumerate(pieces_of) for p in pieces if p.start <= now < p.stop}


def has_bottleneck(tasks: Sequence[OracleTask], rates: Mapping[int, F], i: int, r: int) -> bool:
    """Task i uses resource r, and no other that uses it has a higher level x."""
    users = [j for j in rates if tasks[j].amounts.get(r)]
    return i in users and all(rates[j] * tasks[j].weight <= rates[i] * tasks[i].weight for j in users)


@given(cases())
@settings(deadline=None)
def test_causality_and_no_double_booking(case: Case) -> None:
    _, begin, end = run(case)
    for i, task in enumerate(case.tasks):
        assert all(end[j] <= begin[i] for j in task.deps)
        assert all(end[j] <= begin[i] or end[i] <= begin[j] for j in sharing(case.tasks, i))


@given(cases())
@settings(deadline=None)
def test_program_order_begins_at_the_last_dep_or_predecessor(case: Case) -> None:
    case = replace(case, order="program")
    _, begin, end = run(case)
    for i, task in enumerate(case.tasks):
        before = [j for j in sharing(case.tasks, i) if j < i]
        assert begin[i] == max((end[j] for j in {*task.deps, *before}), default=F(0))


@given(cases())
@settings(deadline=None)
def test_ready_order_leaves_a_task_waiting_only_for_a_busy_queue_or_a_better_candidate(case: Case) -> None:
    """At every instant, after its starts, each task that is ready but has not begun has such a reason."""
    case = replace(case, order="ready")
    _, begin, end = run(case)
    ready = [max((end[j] for j in task.deps), default=F(0)) for task in case.tasks]
    rank = [(-task.priority, i) for i, task in enumerate(case.tasks)]
    for now in {*begin, *end}:
        waiting = [i for i in range(len(begin)) if ready[i] <= now < begin[i]]
        for i in waiting:
            others = sharing(case.tasks, i)
            busy = any(begin[j] <= now < end[j] for j in others)
            assert busy or any(j in waiting and rank[j] < rank[i] for j in others)
    for i, now in enumerate(begin):  # none overtakes a better candidate
        for j in sharing(case.tasks, i):
            assert rank[i] < rank[j] or now <= ready[j] or begin[j] <= now


@given(cases(), fractions(1))
@settings(deadline=None)
def test_scaling(case: Case, factor: F) -> None:
    out, begin, end = run(case)
    faster = [replace(task, fixed=task.fixed / factor) for task in case.tasks]
    _, *times = run(replace(case, tasks=faster, capacities=[c * factor for c in case.capacities]))
    assert times == [[time / factor for time in begin], [time / factor for time in end]]
    heavier = [replace(task, weight=task.weight * factor) for task in case.tasks]
    assert simulate(heavier, case.capacities, case.order) == out


@given(cases(), st.permutations(range(3)))
@settings(deadline=None)
def test_the_names_of_resources_do_not_matter(case: Case, name: list[int]) -> None:
    out, _, _ = run(case)
    tasks = [replace(task, amounts={name[r]: task.amounts[r] for r in task.amounts}) for task in case.tasks]
    renamed = simulate(tasks, [case.capacities[name.index(r)] for r in range(3)], case.order)
    assert renamed == replace(out, usage=[out.usage[name.index(r)] for r in range(3)])
