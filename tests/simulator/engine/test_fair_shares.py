"""Max-min fair shares of flows on links, against an independent oracle in fractions.

Model: a flow crosses links, each with a part of its bytes, and may be bounded by itself. The oracle fills all flows alike
until a link is full or a bound is reached, in fractions; it shares no code and no units with the solver. The checklist is
what solvers of this kind are known to get wrong: bounds, links that nobody shares, subflows, zero demands, complete
matrices, sums of bounds above capacity, bounds and flows that come and go.
Source: Bertsekas and Gallager, "Data Networks", 6.5.2; the cases of SimGrid's solver tests (teshsuite/surf, maxmin).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, System, parse_topology
from simulator import Engine, Program, Queue, Resource, RunOptions, Shape, Simulation, parse_graph
from simulator.engine.fairness import fair_rates
from simulator.engine.fluid_pool import Use
from tests.support.oracle import OracleTask
from tests.support.oracle import simulate as oracle_run
from tests.support.strategies import chip_with

F = Fraction


@dataclass(frozen=True)
class Flow:
    """The part of its bytes that a flow puts on each link (usually 1), and the bytes/s that it asks at most."""

    parts: Mapping[int, Fraction]
    bound: Fraction | None = None


def flow(*links: int, bound: Fraction | int | None = None) -> Flow:
    return Flow(dict.fromkeys(links, F(1)), None if bound is None else F(bound))


def oracle(flows: Sequence[Flow], capacity: Sequence[Fraction | int | None]) -> list[Fraction]:
    """Bytes/s of each flow; a link of capacity None is not shared: it gives everyone all they ask."""
    got: dict[int, Fraction] = {}
    while len(got) < len(flows):
        filling = [at for at in range(len(flows)) if at not in got]
        bounds = [bound for bound in (flows[at].bound for at in filling) if bound is not None]
        levels: list[tuple[Fraction, int]] = [(bound, -1) for bound in bounds]
        for link, most in enumerate(capacity):
            each = sum((flows[at].parts.get(link, F(0)) for at in filling), F(0))
            if most is not None and each:
                taken = sum((rate * flows[at].parts.get(link, F(0)) for at, rate in got.items()), F(0))
                levels.append(((F(most) - taken) / each, link))
        lowest = min(level for level, _ in levels)
        full = {link for level, link in levels if level == lowest}
        for at in filling:
            if flows[at].bound == lowest or any(flows[at].parts.get(link) for link in full):
                got[at] = lowest
    return [got[at] for at in range(len(flows))]


def solved(flows: Sequence[Flow], capacity: Sequence[Fraction | int | None], nbytes: float = 1e6) -> list[float]:
    """What the solver says of flows of so many bytes: of each by itself, and the same of alike ones counted together."""
    uses = []
    for at, each in enumerate(flows):
        times = [(link, float(part) * nbytes / float(capacity[link] or 1)) for link, part in each.parts.items()]
        shared = tuple((link, time) for link, time in times if capacity[link] is not None and time > 0.0)
        alone = max([time for _, time in shared] + ([nbytes / float(each.bound)] if each.bound else []))
        uses.append(Use(at, alone, shared, nbytes))
    shared_links = {link for link, most in enumerate(capacity) if most is not None}
    rates = fair_rates(uses, [1] * len(uses), shared_links)
    first = [flows.index(each) for each in flows]
    distinct = sorted(set(first))
    together = fair_rates([uses[at] for at in distinct], [first.count(at) for at in distinct], shared_links)
    assert [together[distinct.index(at)] for at in first] == pytest.approx(rates, rel=1e-9)
    return [rate * nbytes for rate in rates]


def check(flows: Sequence[Flow], capacity: Sequence[Fraction | int | None], *want: Fraction | int) -> None:
    assert oracle(flows, capacity) == list(want)
    # a cap is kept as a whole number of picoseconds of the whole flow: 1e6 of them
    assert solved(flows, capacity) == pytest.approx([float(each) for each in want], rel=2e-5)


def test_a_bounded_flow_leaves_the_rest_to_others() -> None:
    check([flow(0, bound=1), flow(0), flow(0)], [10], 1, F(9, 2), F(9, 2))


def test_a_bound_above_the_fair_share_is_no_bound() -> None:
    check([flow(0, bound=9), flow(0)], [10], 5, 5)


def test_bounds_that_add_up_to_more_than_there_is_share_what_there_is() -> None:
    check([flow(0, bound=2), flow(0, bound=6), flow(0, bound=7)], [10], 2, 4, 4)


def test_bounds_that_add_up_to_less_are_all_reached() -> None:
    check([flow(0, bound=2), flow(0, bound=3), flow(0, bound=4)], [10], 2, 3, 4)


def test_a_link_that_nobody_shares_gives_all_to_everyone() -> None:
    check([flow(0, bound=8), flow(0, bound=8), flow(0, 1)], [None, 5], 8, 8, 5)


def test_a_flow_of_two_subflows_on_two_links_is_one_flow() -> None:
    """Half of its bytes each way: with a stranger on one of the links, all get 20/3 there: 20/3 and half of 20/3."""
    check([Flow({0: F(1, 2), 1: F(1, 2)}), flow(0)], [10, 10], F(20, 3), F(20, 3))


def test_a_flow_that_crosses_a_link_twice_counts_twice_there() -> None:
    check([Flow({0: F(2)}), flow(0)], [9], 3, 3)


def test_a_demand_of_nothing_is_no_demand() -> None:
    check([Flow({0: F(0), 1: F(1)}), flow(0), flow(0)], [4, 10], 10, 2, 2)


@pytest.mark.parametrize("count", [1, 2, 7, 40])
def test_on_a_complete_matrix_all_get_a_part_of_the_narrowest(count: int) -> None:
    capacity = [7, 3, 5, 11]
    check([flow(0, 1, 2, 3) for _ in range(count)], capacity, *[F(3, count)] * count)


def test_the_parking_lot() -> None:
    """One long way over three links and a stranger on each: the narrowest decides, strangers take the rest."""
    check([flow(0, 1, 2), flow(0), flow(1), flow(2)], [10, 4, 10], 2, 8, 2, 8)


def test_what_is_freed_by_a_bottleneck_elsewhere_is_given_out_again() -> None:
    check([flow(0, 1), flow(0), flow(1), flow(1), flow(1)], [10, 4], 1, 9, 1, 1, 1)


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Flow], list[int | None]]:
    links = draw(st.integers(1, 5))
    capacity = draw(
        st.lists(st.one_of(st.integers(1, 50), st.integers(1, 50), st.none()), min_size=links, max_size=links)
    )
    parts = st.sampled_from([F(1), F(1), F(1, 2), F(2), F(1, 3)])
    flows = []
    for _ in range(draw(st.integers(1, 12))):
        crossed = draw(st.dictionaries(st.integers(0, links - 1), parts, min_size=1))
        bound = draw(st.one_of(st.none(), st.integers(1, 40)))
        open_ended = all(capacity[link] is None for link in crossed)
        each = Flow(crossed, F(bound or 3) if open_ended or bound else None)
        flows += [each] * draw(st.sampled_from([1, 1, 3]))
    return flows, capacity


@settings(max_examples=300)
@given(networks())
def test_random_flows_get_what_the_oracle_says(case: tuple[list[Flow], list[int | None]]) -> None:
    flows, capacity = case
    want = [float(rate) for rate in oracle(flows, capacity)]
    assert solved(flows, capacity) == pytest.approx(want, rel=1e-4)


# Flows that come and go

CHIP = chip_with(
    "h100_sxm", {"links.nvlink.latency": 0.0, "links.nvlink.count": 4, "links.nvlink.bandwidth": "25 GB/s"}
)
W = 100 * 10**9


def watched(arrivals: Sequence[tuple[float, int, dict[str, float]]]) -> tuple[float, list[float]]:
    """When a send of 100 MB from chip 0 to chip 1 ends beside users' flows, and when each of those does: at so many seconds
    they begin, with so many bytes on chip 0's port and more elsewhere."""
    sent = "int8[100000000]"
    lines = [f"s:{sent} = send(x:{sent}, from=0, to=1)", f"r:{sent} = recv(from=0, to=1)"]
    system = System(CHIP, parse_topology("switch(3) over nvlink", CHIP.links), Mesh({"X": 3}))
    run = Simulation(parse_graph(lines, {}), system, RunOptions(overlap="full"))
    port = next(name for name in run.resources if name.startswith("nvlink:chip0>"))
    ended = [0.0] * len(arrivals)

    def user(at: int) -> Any:
        seconds, nbytes, more = arrivals[at]
        yield run.timeout(seconds)
        yield run.use({port: float(nbytes), **more})
        ended[at] = run.now

    for at in range(len(arrivals)):
        run.process(user(at))
    return run.run().time_s, ended


def test_a_flow_beside_a_users_flow_gets_half_whatever_their_bytes() -> None:
    """100 MB at 100 GB/s; from 0.2 ms on a user's 10 MB beside it: until 0.4 ms each gets half, then the send has all."""
    time_s, (user,) = watched([(0.2e-3, 10 * 10**6, {})])
    assert user == pytest.approx(0.4e-3, rel=1e-6)
    assert time_s == pytest.approx(1.1e-3, rel=1e-6)


def test_users_flows_that_come_one_after_the_other_take_a_third_each_while_they_are_there() -> None:
    arrivals: list[tuple[float, int, dict[str, float]]] = [(0.0, 20 * 10**6, {}), (0.1e-3, 20 * 10**6, {})]
    # 0 to .1 ms halves: 5 MB each gone; then thirds: the first has 15 MB, done at .1 + .45; then the second's 5 MB in halves
    time_s, ended = watched(arrivals)
    assert ended == pytest.approx([0.55e-3, 0.65e-3], rel=1e-6)
    assert time_s == pytest.approx(1.4e-3, rel=1e-6)


def test_a_bound_that_comes_and_goes_gives_the_rest_back() -> None:
    """A user's 20 MB also ask 0.8 ms of a matrix unit: it gets 25 GB/s at most, so 75 of 100 are left for the send, which
    has 40 MB to go when the user is done, and then all."""
    time_s, (user,) = watched([(0.0, 20 * 10**6, {"chip2.matrix_unit": 0.8e-3})])
    assert user == pytest.approx(0.8e-3, rel=1e-6)
    assert time_s == pytest.approx(0.8e-3 + 40 * 10**6 / W, rel=1e-6)


# Something faster that makes a run slower

GB = 10**9


def ended(
    rates: Sequence[int], tasks: Sequence[tuple[Mapping[int, int], Sequence[int]]]
) -> tuple[list[int], list[Any]]:
    """When tasks end, in ps, by the engine and by the exact oracle: each of GB on some wires (GB/s), after some others."""
    program = Program(
        resources=[Resource(f"wire{at}", "network", 1e9 * rate) for at, rate in enumerate(rates)],
        queues=[Queue(at, "q") for at in range(len(tasks))],
    )
    exact = []
    for at, (amounts, after) in enumerate(tasks):
        times = {wire: F(10**12 * amount, rates[wire]) for wire, amount in amounts.items()}
        stage, weight = [(wire, float(time)) for wire, time in times.items()], max(amounts.values()) * GB
        program.add([at], program.intern(Shape.of(0, [stage], math.inf, weight)), after)
        exact.append(OracleTask(queues=(at,), deps=tuple(after), amounts=times, weight=F(weight)))
    engine = Engine(program)
    engine.run()
    return list(engine.end), oracle_run(exact, [F(1)] * len(rates)).end


@pytest.mark.parametrize(("second", "first_ends_s", "all_end_s"), [(4, F(1), F(4)), (12, F(13, 10), F(43, 10))])
def test_a_wire_three_times_as_fast_makes_a_run_slower_by_max_min_alone(
    second: int, first_ends_s: Fraction, all_end_s: Fraction
) -> None:
    """A has 8 GB on wire 1 (10 GB/s), B 5 GB on wires 1 and 2, C 7 GB on wire 2; D comes after A and decides.

    Wire 2 of 4 GB/s: B and C get 2 each there, so A has 8 of wire 1: it ends at 1 s. Wire 2 of 12 GB/s: wire 1 is full at 5
    each, C has 7. B ends at 1 s, when A has 3 GB to go, at 10: 1.3 s. Every share is fair, and the order is the same.
    """
    tasks: list[tuple[dict[int, int], list[int]]] = [({0: 8}, []), ({0: 5, 1: 5}, []), ({1: 7}, []), ({2: 30}, [0])]
    got, exact = ended([10, second, 10], tasks)
    assert [exact[0], max(exact)] == [first_ends_s * 10**12, all_end_s * 10**12]
    assert [float(each) for each in exact] == pytest.approx(got, abs=len(tasks))
