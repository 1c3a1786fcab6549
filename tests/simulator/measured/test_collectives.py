"""What collectives take on chips of which that was measured: laws of the curve, and of runs with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, System, load_chip, load_system, parse_topology
from hw.chips import CollectiveTimes
from simulator import Network, Plan, RunOptions, Transfer, parse_graph, simulate
from simulator.measured import collective_delay_s, rail_share

MEASURED = RunOptions(calibration="measured")
KINDS = ("all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast")
RATE = 1e11

own = {
    "start": st.floats(1e-9, 1e-4),
    "step": st.floats(1e-9, 1e-5),
    "fill": st.floats(1e-9, 1e-3),
    "copy": st.floats(1.0, 10.0),
}
exchange = st.none() | st.fixed_dictionaries(own)
times = st.builds(CollectiveTimes, rate=st.floats(0.1, 1.0), exchange=exchange, **own)


def total_s(kind: str, nbytes: float, chips: int, of: CollectiveTimes) -> float:
    """On a switch, whose wires carry the textbook's bytes."""
    rounds = {"all_reduce": 2, "all_to_all": 1 / chips}.get(kind, 1)
    whole = kind == "broadcast"  # all of it goes over every link
    wires_s = rounds * (1 if whole else (chips - 1) / chips) * nbytes / RATE
    return wires_s + collective_delay_s(kind, nbytes, chips, wires_s, of, RATE)


@given(st.sampled_from(KINDS), st.floats(1, 1e11), st.floats(1, 1e11), st.integers(2, 64), times)
def test_more_bytes_take_no_less(kind: str, one: float, other: float, chips: int, of: CollectiveTimes) -> None:
    few, many = sorted((one, other))
    assert total_s(kind, few, chips, of) <= total_s(kind, many, chips, of) * (1 + 1e-12)


@given(st.sampled_from(KINDS), st.floats(1, 1e11), st.integers(2, 63), times)
def test_more_chips_take_no_less(kind: str, nbytes: float, chips: int, of: CollectiveTimes) -> None:
    """Of an exchange with as many bytes a chip."""
    each = (lambda count: nbytes * count) if kind == "all_to_all" else (lambda _count: nbytes)
    assert total_s(kind, each(chips), chips, of) <= total_s(kind, each(chips + 1), chips + 1, of) * (1 + 1e-12)


LINES = {
    "all_reduce": "y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)",
    "all_gather": "y:bf16[N] = all_gather(x:bf16[N_X], over=X)",
    "reduce_scatter": "y:bf16[N_X] = reduce_scatter(x:bf16[N]{U_X}, over=X)",
    "all_to_all": "y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)",
    "broadcast": "y:bf16[N] = broadcast(x:bf16[N], over=X)",
}


@pytest.mark.parametrize("kind", LINES)
@pytest.mark.parametrize("name", ["h100_sxm", "a100_80gb_sxm", "h200"])
def test_a_run_takes_no_less_on_more_chips_of_one_node_or_of_several(name: str, kind: str) -> None:
    """However little it moves: a library starts, and chips meet, inside nodes as well. From 64 MiB on switches add up, the
    faster the more there are of them, and what a ring saves inside a node is up to 3 % of a gather on two."""
    chip = load_chip(name)
    took: dict[int, list[float]] = {}
    for chips in (2, 4, 8, 16, 32):
        nodes = ["switch(8) over nvlink", f"fat_tree({chips // 8}) over infiniband"]
        wiring: Any = nodes if chips > 8 else f"switch({chips}) over nvlink"
        system = System(chip, parse_topology(wiring, chip.links), Mesh({"X": chips}))
        sizes = ({"N": 2**at, **({"M": chips} if kind == "all_to_all" else {})} for at in range(9, 24, 2))
        took[chips] = [simulate(parse_graph([LINES[kind]], each), system, MEASURED).time_s for each in sizes]
    for chips, times in took.items():
        assert times == sorted(times), f"more bytes, {chips} chips"
    for fewer, more in zip((2, 4, 8, 16), (4, 8, 16, 32), strict=True):
        for one, other in zip(took[fewer], took[more], strict=True):
            assert one <= other * (1 + 1e-9), f"{fewer} and {more} chips"


def test_by_hand() -> None:
    """1 GB over 4 chips at 100 GB/s: 7.5 ms on wires, 250 MB copied at 200 GB/s; sqrt(8.75 ms x 14 us) = 350 us lost."""
    of = CollectiveTimes(start=5e-6, step=1e-6, fill=14e-6, copy=2.0)
    assert collective_delay_s("all_gather", 1e9, 4, 7.5e-3, of, RATE) == pytest.approx(5e-6 + 3e-6 + 1.25e-3 + 350e-6)


def test_exchanges_have_times_of_their_own_by_hand() -> None:
    """1 GB of four chips at 100 GB/s: 1.875 ms on wires, 62.5 MB copied at 500 GB/s; sqrt(2 ms x 5 us) = 100 us lost."""
    own_times = {"start": 7e-6, "step": 2e-6, "fill": 5e-6, "copy": 5.0}
    of = CollectiveTimes.model_validate(
        {"start": 5e-6, "step": 1e-6, "fill": 14e-6, "copy": 2.0, "exchange": own_times}
    )
    expected = 7e-6 + 6e-6 + 125e-6 + 100e-6
    assert collective_delay_s("all_to_all", 1e9, 4, 1.875e-3, of, RATE) == pytest.approx(expected)
    as_rings = of.model_copy(update={"exchange": None})
    assert collective_delay_s("all_gather", 1e9, 4, 7.5e-3, of, RATE) == collective_delay_s(
        "all_gather", 1e9, 4, 7.5e-3, as_rings, RATE
    )


@pytest.mark.parametrize(
    ("chip", "measured_us"),
    [
        ("rtx_6000_ada", {100352: 20.1, 985088: 101.5, 1073666050: 93987.0}),
        ("rtx_pro_6000", {100352: 15.3, 985088: 39.4, 1073666050: 28943.0}),
    ],
)
def test_over_pcie_bytes_of_two_cards_pass_through_their_host(chip: str, measured_us: dict[int, float]) -> None:
    """NCCL's all-reduces, medians (github:zksainx/pipeweave 55e0317 dataset/collective)."""
    found = load_chip(chip)
    system = System(found, parse_topology("switch(2) over pcie", found.links), Mesh({"X": 2}))
    for nbytes, measured in measured_us.items():
        graph = parse_graph(["y:int8[N] = all_reduce(x:int8[N]{U_X}, over=X)"], {"N": nbytes})
        got = 1e6 * simulate(graph, system, MEASURED).time_s
        print(f"{chip}, {nbytes} B: measured {measured} us, predicted {got:.1f}")
        assert abs(got / measured - 1) < (0.35 if nbytes < 1e6 else 0.01)


def node(name: str, chips: int) -> System:
    chip = load_chip(name)
    return System(chip, parse_topology(f"switch({chips}) over nvlink", chip.links), Mesh({"X": chips}))


@given(st.integers(1, 2**28), st.sampled_from((2, 4, 8)))
@settings(max_examples=20, deadline=None)
def test_a_run_takes_what_the_curve_says(elements: int, chips: int) -> None:
    graph = parse_graph(["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": elements})
    system = node("a100_80gb_sxm", chips)
    result = simulate(graph, system, MEASURED)
    chip = system.kinds[0]
    measured, link = chip.calibration.measured, chip.links["nvlink"]
    assert measured is not None
    rate = link.bytes_per_s * link.count
    wires_s = 2 * (chips - 1) / chips * 2 * elements / (rate * measured.efficiency("nvlink"))
    of = measured.collectives["nvlink"]
    delay_s = collective_delay_s("all_reduce", 2 * elements, chips, wires_s, of, rate)
    assert result.time_s == pytest.approx(delay_s + wires_s, rel=1e-6, abs=2e-12)
    assert result.lower_bound_s <= result.time_s <= result.upper_bound_s * (1 + 1e-9)


def reduced(nbytes: int, chips: int, **options: Any) -> tuple[float, str]:
    graph = parse_graph(["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": nbytes // 2})
    result = simulate(graph, node("h100_sxm", chips), RunOptions(calibration="measured", **options))
    assert result.lower_bound_s <= result.time_s <= result.upper_bound_s * (1 + 1e-9)
    return result.time_s, result.plan.kernels[0].traffic.algorithm


def test_switches_add_up_where_that_is_faster() -> None:
    """512 MiB on eight H100: 70 us and 9 / 8 of the bytes at 0.658 x 450 GB/s; few bytes, and few chips, go round."""
    found, by = reduced(2**29, 8)
    assert by == "in_switch"
    assert found == pytest.approx(70e-6 + 9 / 8 * 2**29 / (0.658 * 450e9), rel=1e-6)
    for nbytes, chips in ((2**20, 8), (2**29, 2)):
        assert reduced(nbytes, chips)[0] == reduced(nbytes, chips, collectives="ring")[0]


def test_who_asks_for_a_way_gets_it() -> None:
    assert reduced(2**29, 8, collectives="ring")[1] == "ring"
    assert reduced(2**29, 8, collectives="ring")[0] > reduced(2**29, 8)[0]
    # asked for, it takes what it was measured to take, however few the bytes are
    assert reduced(2**20, 8, collectives="in_switch")[0] > 70e-6


def test_a_faster_link_is_faster_through_its_switches() -> None:
    """All but the start goes as the link does."""
    found, by = reduced(2**29, 8, speedup={"nvlink": 2.0})
    assert by == "in_switch"
    assert found - 70e-6 == pytest.approx((reduced(2**29, 8)[0] - 70e-6) / 2, rel=1e-6)


PORT = 47e9
"""Bytes/s of a port of 400 Gbit/s between nodes of H100: 46 to 48 GB/s, as github:NVIDIA/nccl-tests issue 290 expects."""


def test_by_the_data_sheet_there_is_none_and_over_other_links_the_rate_alone() -> None:
    lines, sizes = ["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": 2**20}
    system = node("h100_sxm", 8)
    at_once = 2 * 7 / 8 * 2**21 / 450e9
    assert simulate(parse_graph(lines, sizes), system, RunOptions()).time_s == pytest.approx(at_once, rel=1e-6)
    apart = replace(system, topology=parse_topology("switch(8) over infiniband", system.kinds[0].links))
    found = simulate(parse_graph(lines, sizes), apart, MEASURED).time_s
    assert found == pytest.approx(2 * 7 / 8 * 2**21 / PORT, rel=1e-6)


def test_switches_of_a_link_that_was_not_measured_are_left_alone() -> None:
    """That NVLink's add up is no word about PCIe's: there it takes what other ways take."""
    graph = parse_graph(["r:fp32[N] = all_reduce(g:fp32[N]{U_X}, over=X)"], {"N": 2**24})
    options, chip = RunOptions(calibration="measured"), load_chip("h100_sxm")
    plain, adding = (
        simulate(graph, System(chip, parse_topology(f"{wiring} over pcie", chip.links), Mesh({"X": 4})), options)
        for wiring in ("switch(4)", "switch(4,in_switch_reduction=yes)")
    )
    assert adding.time_s == plain.time_s


# Unlike chips


def mixed(names: Sequence[str], wiring: str | list[str], axes: Mapping[str, int]) -> System:
    kinds = {name: load_chip(name) for name in names}
    chips = tuple(kinds[name] for name in names)
    topology = parse_topology(wiring, chips[0].links, lambda number: chips[number].links)
    return System(chips[0], topology, Mesh(axes), chips)


@pytest.mark.parametrize("wiring", ["switch", "full", "ring"])
@pytest.mark.parametrize("kind", ["all_reduce", "all_to_all"])
def test_of_unlike_chips_the_slowest_decides_wherever_it_stands(kind: str, wiring: str) -> None:
    """An A100 loses more to a collective than an H100 beside it, whichever is chip 0."""
    line = {
        "all_reduce": "y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)",
        "all_to_all": "y:bf16[M,N_X] = all_to_all(x:bf16[M_X,N], over=X)",
    }[kind]
    graph = parse_graph([line], {"N": 2**22, "M": 8})
    names = ["h100_sxm", "a100_80gb_sxm", "h100_sxm", "a100_80gb_sxm"]
    found = []
    for order in (names, names[1:] + names[:1]):
        system = mixed(order, f"{wiring}(4) over nvlink", {"X": 4})
        plan = simulate(graph, system, MEASURED).plan
        (joined,) = plan.kernels[0].traffic.groups
        wires_s = max(nbytes / rate for nbytes, rate in _over_wires(plan, joined.transfer))
        nbytes = 2 * 2**22 * (8 if kind == "all_to_all" else 1)
        slowest = 0.0
        for chip in system.kinds:
            of, link = chip.calibration.measured, chip.links["nvlink"]
            assert of is not None
            rate = link.bytes_per_s * link.count
            slowest = max(slowest, collective_delay_s(kind, nbytes, 4, wires_s, of.collectives["nvlink"], rate))
        assert joined.transfer.latency_s == pytest.approx(slowest, rel=1e-9)
        found.append(simulate(graph, system, MEASURED).time_s)
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def _over_wires(plan: Plan, transfer: Transfer) -> list[tuple[float, float]]:
    rates = Network(plan.system, plan.options).rates
    return [(nbytes, rates[wire]) for wire, nbytes in transfer.wires.items()]


@pytest.mark.parametrize("nodes", [1, 40])
def test_a_group_takes_what_its_own_chips_take(nodes: int) -> None:
    """Nodes of four A100 beside as many of four H100, many enough for groups to be looked at as images: each as alone."""
    graph = parse_graph(["y:bf16[N] = all_reduce(x:bf16[N]{U_X}, over=X)"], {"N": 2**24})
    names = ["a100_80gb_sxm"] * 4 * nodes + ["h100_sxm"] * 4 * nodes
    levels = ["switch(4) over nvlink", f"switch({2 * nodes}) over infiniband"]
    system = mixed(names, levels, {"X": 4, "Y": 2 * nodes})
    groups = simulate(graph, system, MEASURED).plan.kernels[0].traffic.groups
    assert len(groups) == 2 * nodes
    for joined in groups:
        chip = system.kinds[system.kind_of[joined.members[0]]]
        alone = simulate(graph, node(chip.name, 4), MEASURED).plan.kernels[0].traffic.groups[0]
        assert joined.transfer.latency_s == pytest.approx(alone.transfer.latency_s, rel=1e-9)


@pytest.mark.parametrize(
    ("kind", "chips", "nodes", "share"),
    [
        ("all_reduce", 32, 4, (31 / 32) / (3 / 4)),
        ("all_gather", 16, 2, (15 / 16) / (1 / 2)),
        ("all_to_all", 16, 2, 1.0),
        ("all_reduce", 4, 4, 1.0),
        ("all_reduce", 8, 1, 1.0),
    ],
)
def test_rings_over_nodes_ask_more_of_their_cards(kind: str, chips: int, nodes: int, share: float) -> None:
    assert rail_share(kind, chips, nodes) == pytest.approx(share)


RAILS = {2**29: 326.9, 2**30: 361.99, 2**33: 380.39, 2**34: 381.8}
"""All-reduces of 32 B200 on four nodes: bytes, and the bus bandwidth in GB/s, of which the last is fitted to:
github:stas00/ml-engineering 744d01e18b, network/README.md (8 x 50 GB/s of EFA a node)."""


@pytest.mark.parametrize("nbytes", list(RAILS))
def test_an_all_reduce_over_nodes_takes_what_was_measured(nbytes: int) -> None:
    system = load_system("dgx_b200", nodes=4)
    graph = parse_graph(["y:fp32[N] = all_reduce(x:fp32[N]{U_X}, over=X)"], {"N": nbytes // 4})
    found = simulate(graph, system, MEASURED).time_s
    assert found == pytest.approx(2 * 31 / 32 * nbytes / RAILS[nbytes] / 1e9, rel=0.03)


def test_one_chip_of_each_node_is_a_ring_of_nodes() -> None:
    """Replicas of eight tensor-parallel chips: each rail is a ring by itself, whatever is said of rails."""
    system = replace(load_system("dgx_h100", nodes=4), mesh=Mesh({"T": 8, "D": 4}))
    graph = parse_graph(["y:fp32[N] = all_reduce(x:fp32[N]{U_D}, over=D)"], {"N": 2**28})
    plain = simulate(graph, system).time_s
    assert simulate(graph, system, MEASURED).time_s == pytest.approx(plain * 50e9 / PORT, rel=1e-6)


@pytest.mark.parametrize(
    ("like", "names"),
    [
        ("h100_sxm", ["h200", "h800", "h20", "b200", "b300", "gb200", "gb300"]),
        ("a100_80gb_sxm", ["a100_40gb_sxm"]),
    ],
)
def test_chips_with_the_library_of_another_send_and_hold_cores_as_it_does(like: str, names: Sequence[str]) -> None:
    """Each by its own bandwidth: a few bytes take what they take there, and as many channels go on."""
    lines = ["s:bf16[N] = send(x:bf16[N], from=0, to=1)", "r:bf16[N] = recv(from=0, to=1)"]

    def system(name: str) -> System:
        chip = load_chip(name)
        return System(chip, parse_topology("switch(8) over nvlink", chip.links), Mesh({"X": 8}))

    def sent_s(name: str) -> float:
        return simulate(parse_graph(lines, {"N": 8}), system(name), MEASURED).time_s

    def cores(name: str, collectives: str) -> float:
        graph = parse_graph([LINES["all_reduce"]], {"N": 2**26})
        run = simulate(graph, system(name), replace(MEASURED, collectives=collectives))
        (held,) = {group.transfer.cores for group in run.plan.kernels[0].traffic.groups}
        return held

    ways = ("ring", "in_switch") if like == "h100_sxm" else ("ring",)
    for name in names:
        assert sent_s(name) == pytest.approx(sent_s(like), rel=1e-3), name
        for way in ways:
            assert cores(name, way) == cores(like, way) > 0, (name, way)
