"""Uneven all-to-alls: `shares=` says what part of what each chip holds goes to the chip at each place of the group.

Law: on a switch it takes what the busiest port does: with N chips that hold H bytes each, (N-1) H max(share) into the
favourite (no chip sends more than that); equal shares are no shares; by messages it takes the same, and folded as full.
What follows works on what came: a chip has its share of the dim, in whole elements.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import Mesh, Router, System, load_chip
from simulator import CollectiveRequest, Group, RunOptions, bind, canonical, parse_graph, print_items, simulate
from simulator.collectives.algorithms.exchange import exchanged
from simulator.collectives.flight import by_routes
from tests.support.planning import problems_of
from tests.support.strategies import chip_with, many, run

DIMS = {"I": 4096, "J": 1024}
LINE = "y:bf16[I,J_X] = all_to_all(x:bf16[I_X,J], over=X{more})"
V = 4096 * 1024 * 2
W = 450e9  # H100: 18 links of 25 GB/s


def seconds(shares: str, topology: str = "switch(4)", chip: str = "h100_sxm", **options: Any) -> float:
    more = f", shares={shares}" if shares else ""
    link = {"h100_sxm": "nvlink", "tpu_v5e": "ici"}[chip]
    system = many(topology, {"X": 4}, chip_with(chip, {f"links.{link}.latency": "0 s"}))
    return run([LINE.format(more=more)], DIMS, system, RunOptions(overlap="full", **options)).time_s


@pytest.mark.parametrize("network", ["task", "messages"])
@pytest.mark.parametrize(
    ("shares", "busiest"),
    [
        # bytes through the busiest port, in parts of the 2 MiB that each of the four chips holds
        ("[1/2, 1/4, 1/4, 0]", 3 * 1 / 2),
        ("[0.7, 0.1, 0.1, 0.1]", 3 * 0.7),
        ("[0, 0, 0, 1]", 3.0),
        ("[1/3, 1/3, 1/3, 0]", 1.0),  # into any of the first three, and out of the last
        ("[0.25, 0.25, 0.25, 0.25]", 3 / 4),
    ],
)
def test_a_switch_takes_as_long_as_its_busiest_port(shares: str, busiest: float, network: str) -> None:
    assert seconds(shares, network=network) == pytest.approx(busiest * V / 4 / W, rel=1e-9, abs=2e-12)


@pytest.mark.parametrize("network", ["task", "messages"])
def test_a_ring_takes_as_long_as_its_busiest_wire(network: str) -> None:
    """All goes to chip 0: its neighbours send straight to it, the antipode half each way: 1.5 x 2 MiB on both wires in."""
    got = seconds("[1, 0, 0, 0]", "ring(4)", "tpu_v5e", network=network)
    assert got == pytest.approx(1.5 * V / 4 / 4.5e10, rel=1e-9, abs=2e-12)


@pytest.mark.parametrize(
    ("topology", "chip"), [("switch(4)", "h100_sxm"), ("ring(4)", "tpu_v5e"), ("line(4)", "tpu_v5e")]
)
def test_equal_shares_are_no_shares(topology: str, chip: str) -> None:
    assert seconds("[1/4, 1/4, 1/4, 1/4]", topology, chip) == seconds("", topology, chip)
    graph = parse_graph([LINE.format(more=", shares=[0.25, 0.25, 0.25, 0.25]")], DIMS)
    (kernel,) = bind(graph, many(topology, {"X": 4}, chip))
    assert kernel.communication is not None
    assert kernel.communication.shares == ()


@pytest.mark.parametrize("topology", ["switch(4)", "ring(5)", "line(4)", "full(4)", "ring(8)"])
def test_equal_messages_ask_what_the_closed_form_asks(topology: str) -> None:
    size = int(topology.strip("swtchringlefu()"))
    system = many(topology, {"X": size})
    assert system.topology is not None
    group = Group(system.topology, Router(system.topology, "split"), tuple(range(size)), system.pieces("X"))
    ask = CollectiveRequest("all_to_all", 1e6)
    form, routed = canonical(group, ask), by_routes(group, exchanged(group, ask))
    assert routed.wires == pytest.approx({wire: nbytes for wire, nbytes in form.wires.items() if nbytes})


@settings(max_examples=40)
@given(st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any))
def test_any_shares_step_by_step_in_one_piece_and_folded(parts: list[int]) -> None:
    shares = "[" + ", ".join(f"{part}/{sum(parts)}" for part in parts) + "]"
    system = many("switch(8)", {"X": 4, "Y": 2}, chip_with("h100_sxm", {"links.nvlink.latency": "0 s"}))
    lines = [LINE.format(more=f", shares={shares}"), "z:bf16[I,J_X] = relu(y)"]
    found = {}
    for name, options in (
        ("folded", {"network": "task"}),
        ("full", {"network": "task", "fold": False}),
        ("steps", {"network": "messages"}),
    ):
        result = run(lines, DIMS, system, RunOptions(overlap="full", **options))
        found[name] = result.time_s
        if name == "folded":
            assert result.plan.classes <= 4  # the two groups are alike
    assert found["folded"] == found["full"]
    assert found["steps"] == pytest.approx(found["full"], rel=1e-9, abs=4e-12)
    alone = 3 * max(parts) / sum(parts) * V / 4 / W
    rows = [1024 * part // sum(parts) for part in parts]
    by_rest = sorted(range(4), key=lambda at: (1024 * parts[at] % sum(parts), parts[at]), reverse=True)
    rows = [here + (at in by_rest[: 1024 - sum(rows)]) for at, here in enumerate(rows)]
    got = max(rows) * 4096 * 2  # bytes of J_X on the chip that gets most
    rate = system.chip.hbm.bytes_per_s
    want = max(alone, (V / 4 + got) / rate) + 2 * got / rate
    assert found["full"] == pytest.approx(want, rel=1e-9, abs=4e-12)


def test_shares_print_back_as_written() -> None:
    line = LINE.format(more=", shares=[1/2, 0.25, 0.25, 0]")
    assert print_items(parse_graph([line], DIMS).items) == [line]


@pytest.mark.parametrize(
    ("shares", "words"),
    [
        ("[1/2, 1/2]", "shares= has 2 parts, a group over Y has 4 chips"),
        ("[0.5, 0.25, 0.25, 0.1]", "the parts add up to 1.1, shares= wants 1 in all"),
        ("[0.5, 0.25, 0.2, 0]", "the parts add up to 0.95, shares= wants 1 in all"),
        ("[1.5, -0.5, 0, 0]", "shares= wants parts of 1 such as"),
        ("[1/0, 0, 0, 0]", "shares= wants parts of 1 such as"),
        ("[nan, 0, 0, 0]", "shares= wants parts of 1 such as"),
        ("[1e9, 0, 0, 0]", "shares= wants parts of 1 such as"),
        ("half", "shares= wants parts of 1 such as"),
    ],
)
def test_shares_that_will_not_do_are_refused_at_their_place(shares: str, words: str) -> None:
    (problem,) = problems_of(f"y:bf16[B,F_Y] = all_to_all(x:bf16[B_Y,F], over=Y, shares={shares})")
    assert problem.startswith("ops:1:51: "), problem
    assert words in problem


def test_only_what_shares_out_or_puts_together_takes_shares() -> None:
    (problem,) = problems_of("y:bf16[B,F] = broadcast(x:bf16[B,F], over=Y, shares=[1, 0, 0, 0])")
    assert "shares" in problem
    assert "broadcast" in problem


@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("collectives", ["canonical", "ring_one_way"])
@pytest.mark.parametrize("shares", ["1, 0, 0, 0", "0, 0, 0, 1", "0.5, 0.5, 0, 0", "0.7, 0.2, 0.1, 0"])
@pytest.mark.parametrize("topology", ["ring(4)", "line(4)", "switch(4)", "torus(2,2)"])
def test_a_shard_that_one_chip_has_streams_through_the_others(
    topology: str, shares: str, collectives: str, back: bool
) -> None:
    """Message by message the busiest wire is busy all the time but for the slices on their way: no chip waits for all of
    a large shard before it passes on the first of it."""
    line = f"y:bf16[I] = all_gather(x:bf16[I_X], over=X, shares=[{shares}])"
    if back:
        line = f"y:bf16[I_X] = reduce_scatter(x:bf16[I]{{U_X}}, over=X, shares=[{shares}])"
    system = many(f"{topology} over ici", {"X": 4}, chip_with("tpu_v5p", {"links.ici.latency": 0.0}))
    options = RunOptions(overlap="full", collectives=collectives, network="messages")
    result = simulate(parse_graph([line], {"I": 8_000_000}), system, options)
    assert result.lower_bound_s <= result.time_s + 1e-12 * len(result.begin_ps)  # each message to a picosecond
    assert result.time_s == pytest.approx(result.lower_bound_s, rel=0.02)
    task = simulate(parse_graph([line], {"I": 8_000_000}), system, replace(options, network="task"))
    assert task.time_s == pytest.approx(result.lower_bound_s, rel=1e-9)


@pytest.mark.parametrize("network", ["task", "messages"])
@pytest.mark.parametrize("collectives", ["canonical", "ring", "ring_one_way", "auto"])
@pytest.mark.parametrize("line", ["all_gather(x:int8[I_X], over=X", "reduce_scatter(x:int8[I]{U_X}, over=X"])
def test_unequal_shards_go_round_a_ring_whose_links_lead_one_way(line: str, collectives: str, network: Any) -> None:
    """All that chip 0 has passes over all wires but the one that leads to it; sums for chip 0 over all but its own."""
    ring = nx.DiGraph()
    ring.add_edges_from(((at, (at + 1) % 4) for at in range(4)), bandwidth=50e9)
    out = "y:int8[I]" if line.startswith("all") else "y:int8[I_X]"
    graph = parse_graph([f"{out} = {line}, shares=[1, 0, 0, 0])"], {"I": 120_000_000})
    options = RunOptions(overlap="full", collectives=collectives, network=network)
    result = simulate(graph, System(load_chip("h100_sxm"), ring, Mesh({"X": 4})), options)
    assert result.lower_bound_s == pytest.approx(2400e-6, rel=1e-9)  # 120 MB over 50e9 B/s
    assert result.time_s == pytest.approx(2400e-6, rel=0.02)
