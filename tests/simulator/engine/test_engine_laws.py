"""The engine against the independent exact oracle, and the laws of DESIGN section 3 on random programs."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import (
    PS_PER_S,
    Engine,
    Order,
    Program,
    Queue,
    Resource,
    Shape,
    dependency_bound_s,
    lower_bound_s,
    upper_bound_s,
)
from simulator.engine.clock import Clock
from simulator.engine.fairness import fair_rates
from simulator.engine.fluid_pool import Use
from tests.support.oracle import fair_rates as exact_rates
from tests.support.oracle import simulate as oracle
from tests.support.programs import Case, cases

LAWS = settings(max_examples=120, deadline=None)


def ran(program: Program, order: Order = "program") -> Engine:
    engine = Engine(program, order=order)
    engine.run()
    return engine


def slack(program: Program, time: float) -> float:
    """1e-9 relative or 1 ps per task, whichever is larger."""
    return max(1e-9 * time, float(len(program)))


@LAWS
@given(cases())
def test_program_order_equals_the_oracle_task_by_task(case: Case) -> None:
    engine, exact = ran(case.program), oracle(case.tasks, case.capacities)
    for task in range(len(case.tasks)):
        begin, end = exact.begin[task], exact.end[task]
        assert begin is not None
        assert end is not None
        allowed = slack(case.program, float(end))
        assert abs(engine.begin[task] - float(begin)) <= allowed
        assert abs(engine.end[task] - float(end)) <= allowed


@LAWS
@given(cases(groups=False))
def test_ready_order_equals_the_oracle_where_no_tie_is_rounded(case: Case) -> None:
    """Ready order decides by who is there first; times that the clock must round may order two arrivals otherwise."""
    exact = oracle(case.tasks, case.capacities, order="ready")
    instants = sorted({time for times in (exact.begin, exact.end) for time in times if time is not None})
    if any(0 < after - before < len(case.tasks) for before, after in pairwise(instants)):
        return
    if any(time.denominator != 1 for time in instants):
        return
    engine = ran(case.program, "ready")
    assert list(engine.end) == [int(time) for time in exact.end if time is not None]


@LAWS
@given(cases())
def test_ready_order_never_deadlocks_and_keeps_the_laws(case: Case) -> None:
    engine = ran(case.program, "ready")
    assert not engine.waiting_tasks()
    assert_causal(case.program, engine)


@LAWS
@given(cases())
def test_causality_and_no_double_booking(case: Case) -> None:
    assert_causal(case.program, ran(case.program))


def assert_causal(program: Program, engine: Engine) -> None:
    lanes: dict[int, list[tuple[int, int]]] = {}
    for task in range(len(program)):
        assert 0 <= engine.begin[task] <= engine.end[task]
        for after in program.successors[task]:
            assert engine.begin[after] >= engine.end[task]
        for queue in program.queues_of(task):
            lanes.setdefault(queue, []).append((engine.begin[task], engine.end[task]))
    for spans in lanes.values():
        for earlier, later in pairwise(sorted(spans)):
            assert later[0] >= earlier[1]


@LAWS
@given(cases())
def test_a_queue_keeps_its_order(case: Case) -> None:
    engine = ran(case.program)
    for queue in range(len(case.program.queues)):
        mine = [task for task in range(len(case.program)) if queue in case.program.queues_of(task)]
        assert all(engine.begin[later] >= engine.end[earlier] for earlier, later in pairwise(mine))


@LAWS
@given(cases())
def test_time_is_between_the_bounds(case: Case) -> None:
    time = ran(case.program).makespan_ps
    allowed = slack(case.program, time)
    assert time >= lower_bound_s(case.program) * PS_PER_S - allowed
    assert time >= dependency_bound_s(case.program) * PS_PER_S - allowed


@LAWS
@given(
    st.booleans().flatmap(lambda groups: cases(most=24, groups=groups)),
    st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_upper_bound_is_the_longest_path_gone_task_by_task(case: Case, chips: list[int]) -> None:
    """Queues of up to three chips, tasks on several of them: each begins when all that it waits for, and the task before
    it on each of its chips, has ended."""
    program = case.program
    program.queues = [Queue(chips[at], queue.name) for at, queue in enumerate(program.queues)]
    ends: list[float] = []
    free = dict.fromkeys(chips, 0.0)
    awaited: list[list[int]] = [[] for _ in range(len(program))]
    for task in range(len(program)):
        for after in program.successors[task]:
            awaited[after].append(task)
    for task in range(len(program)):
        shape = program.shapes[program.shape[task]]
        begin = max([free[chip] for chip in program.chips_of(task)] + [ends[before] for before in awaited[task]])
        ends.append(begin + shape.fixed_ps + shape.serial_ps)
        free.update(dict.fromkeys(program.chips_of(task), ends[task]))
    assert upper_bound_s(program) == pytest.approx(max(ends) / PS_PER_S, rel=1e-12)


@LAWS
@given(cases(groups=False))
def test_time_of_one_chip_is_at_most_the_upper_bound(case: Case) -> None:
    """All queues on one chip: nothing that happens at once can take longer than one thing after the other."""
    case.program.queues = [Queue(0, queue.name) for queue in case.program.queues]
    time = ran(case.program).makespan_ps
    assert time <= upper_bound_s(case.program) * PS_PER_S + slack(case.program, time)


@LAWS
@given(cases())
def test_work_is_conserved_and_capacity_never_exceeded(case: Case) -> None:
    """The rates that the engine sets, integrated over time, are the work asked for."""
    engine = Engine(case.program, shared=range(case.resources))
    done = [0.0] * case.resources
    last = [0]
    pool = engine.pool
    env = engine.env

    def integrate() -> None:
        flows = {flow.key: flow for here in pool.flows for flow in here.values()}
        used = [0.0] * case.resources
        for flow in flows.values():
            shape = case.program.shapes[case.program.shape[flow.key]]
            for resource, time in shape.demands:
                used[resource] += flow.rate * time
        assert all(rate <= 1 + 1e-8 for rate in used)
        for resource, rate in enumerate(used):
            done[resource] += rate * (env.now - last[0])
        last[0] = env.now

    step = env.step
    engine.start()
    while env.peek() != float("inf"):
        if env.peek() > env.now:
            before = env.now
            env._now = int(env.peek())
            integrate()
            env._now = before
        step()
    asked = case.program.work_ps()
    for resource in range(case.resources):
        assert done[resource] == pytest.approx(asked[resource], rel=1e-9, abs=len(case.program))


@LAWS
@given(cases(), st.randoms(use_true_random=False))
def test_the_order_of_dependencies_does_not_matter(case: Case, shuffler: random.Random) -> None:
    first = ran(case.program)
    for successors in case.program.successors:
        shuffler.shuffle(successors)
    again = ran(case.program)
    assert (first.begin, first.end) == (again.begin, again.end)


@LAWS
@given(st.data())
def test_doubling_all_work_and_fixed_times_doubles_all_times(data: st.DataObject) -> None:
    case = data.draw(cases())
    program = case.program
    doubled = Program(
        resources=program.resources,
        queues=program.queues,
        shape=program.shape,
        queue=program.queue,
        groups=program.groups,
        successors=program.successors,
        waits=program.waits,
        kernel=program.kernel,
        chunk=program.chunk,
        shapes=[
            Shape(
                2 * shape.fixed_ps,
                tuple((resource, 2 * time) for resource, time in shape.demands),
                tuple(2 * time for time in shape.stage_ps),
                2 * shape.alone_ps,
                2 * shape.weight,
            )
            for shape in program.shapes
        ],
    )
    once, twice = ran(program), ran(doubled)
    for task in range(len(program)):
        assert abs(twice.end[task] - 2 * once.end[task]) <= 2 * slack(program, once.end[task])


@LAWS
@given(
    st.lists(
        st.tuples(
            st.integers(1, 5), st.integers(1, 9), st.dictionaries(st.integers(0, 3), st.integers(1, 30), min_size=1)
        ),
        min_size=1,
        max_size=8,
    )
)
def test_the_solver_equals_the_exact_one(flows: list[tuple[int, int, dict[int, int]]]) -> None:
    from fractions import Fraction

    from tests.support.oracle import OracleTask

    tasks = [
        OracleTask(
            queues=(at,),
            amounts={resource: Fraction(amount) for resource, amount in amounts.items()},
            tiles=tiles,
            weight=Fraction(weight),
        )
        for at, (tiles, weight, amounts) in enumerate(flows)
    ]
    exact = exact_rates(tasks, [Fraction(1)] * 4, list(range(len(tasks))))
    uses = []
    for at, (tiles, weight, amounts) in enumerate(flows):
        shape = Shape.of(0, [[(resource, float(amount))] for resource, amount in amounts.items()], tiles, weight)
        use = Use(at, shape.alone_ps, shape.demands, shape.weight)
        uses.append(use)
    got = fair_rates(uses, [1] * len(uses), range(4))
    for at, rate in enumerate(got):
        assert rate == pytest.approx(float(exact[at]), rel=1e-9)


# Closed forms


def one_queue_each(shapes: list[Shape], resources: int = 1) -> Program:
    program = Program(
        resources=[Resource(f"r{at}", "memory", 1.0) for at in range(resources)],
        queues=[Queue(0, f"q{at}") for at in range(len(shapes))],
    )
    for at, shape in enumerate(shapes):
        program.add([at], program.intern(shape), ())
    return program


@given(st.lists(st.integers(1, 10**6), min_size=1, max_size=8))
def test_processor_sharing(sizes: list[int]) -> None:
    """n flows on one resource get equal shares: the j-th smallest ends at the sum over i of min(size_i, size_j)."""
    shapes = [Shape.of(0, [[(0, size * 1e3)]], float("inf"), float(size)) for size in sizes]
    engine = ran(one_queue_each(shapes))
    for task, size in enumerate(sizes):
        want = 1e3 * sum(min(size, other) for other in sizes)
        assert abs(engine.end[task] - want) <= max(len(sizes), 1e-9 * want)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(1, 1000))
def test_pipeline_of_tiles(math_ps: int, comms_ps: int, tiles: int) -> None:
    """T = max + min / k."""
    shape = Shape.of(0, [[(0, float(math_ps))], [(1, float(comms_ps))]], tiles, 1.0)
    want = max(math_ps, comms_ps) + min(math_ps, comms_ps) / tiles
    assert abs(ran(one_queue_each([shape], 2)).makespan_ps - want) <= 1


def test_parking_lot() -> None:
    """One long flow over two links, a short one on each: all get one half until the short ones end."""
    long = Shape.of(0, [[(0, 1e6), (1, 1e6)]], float("inf"), 1e6)
    short = [Shape.of(0, [[(at, 1e6)]], float("inf"), 1e6) for at in (0, 1)]
    engine = ran(one_queue_each([long, *short], 2))
    assert list(engine.end) == [2_000_000, 2_000_000, 2_000_000]


def test_a_compute_bound_task_keeps_its_pace() -> None:
    """It asks less than its fair share of HBM, so a stream beside it does not slow it."""
    busy = Shape.of(0, [[(0, 10e6)], [(1, 4e6)]], float("inf"), 4e6)
    stream = Shape.of(0, [[(1, 10e6)]], float("inf"), 10e6)
    engine = ran(one_queue_each([busy, stream], 2))
    assert engine.end[0] == 10_000_000
    assert engine.end[1] == 14_000_000


def test_a_group_task_starts_with_its_last_member() -> None:
    program = Program(resources=[Resource("r", "memory", 1.0)], queues=[Queue(at, "q") for at in range(3)])
    waits = [program.add([at], program.intern(Shape.of(1000 * (at + 1), [], 1.0, 1.0)), ()) for at in range(3)]
    group = program.add([0, 1, 2], program.intern(Shape.of(500, [], 1.0, 1.0)), ())
    engine = ran(program)
    assert [engine.end[task] for task in waits] == [1000, 2000, 3000]
    assert (engine.begin[group], engine.end[group]) == (3000, 3500)


def test_queues_entered_in_opposite_orders_never_start() -> None:
    """Two transfers in opposite order on two queues: nothing starts, and the engine says which."""
    program = Program(resources=[Resource("r", "memory", 1.0)], queues=[Queue(0, "p2p"), Queue(1, "p2p")])
    shape = program.intern(Shape.of(10, [], 1.0, 1.0))
    first, second = program.add([0, 1], shape, ()), program.add([0, 1], shape, ())
    program.places[first, 1] = 5.0
    engine = ran(program)
    assert engine.waiting_tasks() == [first, second]


@pytest.mark.parametrize(("stages", "microbatches"), [(1, 1), (2, 4), (4, 8), (8, 32)])
def test_gpipe_bubble(stages: int, microbatches: int) -> None:
    """Every stage is a queue, microbatch m of stage s waits for m of s-1: idle share (S-1)/(M+S-1)."""
    program = Program(resources=[], queues=[Queue(at, "compute") for at in range(stages)])
    shape = program.intern(Shape.of(1000, [], 1.0, 1.0))
    done: dict[tuple[int, int], int] = {}
    for stage in range(stages):
        for microbatch in range(microbatches):
            before = [done[stage - 1, microbatch]] if stage else []
            done[stage, microbatch] = program.add([stage], shape, before)
    makespan = ran(program).makespan_ps
    bubble = 1 - 1000 * microbatches / makespan
    want = (stages - 1) / (microbatches + stages - 1)
    print(f"bubble {bubble:.6f}, closed form {want:.6f}")
    assert bubble == pytest.approx(want, abs=1e-12)


def test_the_clock_is_whole_picoseconds() -> None:
    engine = ran(one_queue_each([Shape.of(0, [[(0, 1e7 / 3)]], 1.0, 1.0)] * 3))
    assert all(type(time) is int for time in (*engine.begin, *engine.end))
    assert isinstance(engine.env, Clock)
