"""Collectives against their closed forms, with latency, and against a step-by-step flood of shards.

Law, with V the gathered (or to-be-scattered) bytes on one chip, N chips, W a link's one-way bandwidth, alpha a hop:
ring: all-gather = reduce-scatter = floor(N/2) hops of alpha + V/(N W); line: N-1 such hops; switch: alpha + V (N-1)/(N W)
with W of all ports; all-reduce is the two in sequence. Several wrapped axes: V / sum(W_both); an axis that does not wrap
halves its W. Levels: the slowest decides, with the W of a whole node. All-to-all, V over all chips: a torus
V max(axis) / (4 N W_both), a switch V (N-1) / (N^2 W).
Source: "How to Scale Your Model", chapters on sharding and on GPUs.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Chip, Link, Mesh, Router, RunError, System, Topology, load_chip, parse_topology
from simulator import CollectiveRequest, Group, RunOptions, Transfer, canonical
from tests.support.strategies import chip_with, many, run, show_error

FULL = RunOptions(overlap="full")
SIZES = (2, 3, 4, 5, 8, 16)
W = {"ring": 4.5e10, "line": 4.5e10, "switch": 18 * 25e9}
HOPS: dict[str, Callable[[int], int]] = {"ring": lambda n: n // 2, "line": lambda n: n - 1}
ROUNDS = {"all_gather": 1, "reduce_scatter": 1, "all_reduce": 2}
LINES = {
    "all_gather": "y:bf16[E,F] = all_gather(x:bf16[E_X,F], over=X)",
    "reduce_scatter": "y:bf16[E_X,F] = reduce_scatter(x:bf16[E,F]{U_X}, over=X)",
    "all_reduce": "y:bf16[E,F] = all_reduce(x:bf16[E,F]{U_X}, over=X)",
}
LINKS = {"ici": Link(bandwidth=4.5e10, latency=1e-6, count=4)}


def wired(kind: str, size: int, alpha: float, mesh: dict[str, int] | None = None) -> System:
    """TPU v5e on a ring or line, H100 on a switch."""
    name, link = ("h100_sxm", "nvlink") if kind == "switch" else ("tpu_v5e", "ici")
    chip: Chip = chip_with(name, {f"links.{link}.latency": alpha})
    return many(f"{kind}({size})", mesh or {"X": size}, chip)


def collective(kind: str, topology: Topology, nbytes: float, root: int = 0) -> Transfer:
    """The textbook's transfer among all chips."""
    pieces = tuple(axis for axis in topology.axes if axis.size > 1)
    group = Group(topology, Router(topology), range(topology.size), pieces)
    return canonical(group, CollectiveRequest(kind, nbytes, root))


def closed_form(kind: str, topology: str, n: int, nbytes: float, alpha: float) -> float:
    if topology == "switch":
        phase = alpha + nbytes * (n - 1) / (n * W["switch"])
    else:
        phase = HOPS[topology](n) * (alpha + nbytes / (n * W[topology]))
    return ROUNDS[kind] * phase


@pytest.mark.parametrize("alpha", [0.0, 1e-6])
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("topology", sorted(W))
@pytest.mark.parametrize("kind", sorted(LINES))
def test_the_time_is_the_textbooks(kind: str, topology: str, n: int, alpha: float) -> None:
    """240 x 8192 in bf16: divides over every N of the list."""
    got = run([LINES[kind]], {"E": 240, "F": 8192}, wired(topology, n, alpha), FULL).time_s
    want = closed_form(kind, topology, n, 240 * 8192 * 2, alpha)
    print(show_error(f"{kind} {topology}({n}) alpha={alpha:g}, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


def test_the_books_all_gather_over_a_ring_and_over_a_line_of_four() -> None:
    """V = 2048 x 8192 in bf16 on a TPU v5e: V / W_both on the ring, 1.5 times as long without the wraparound."""
    for topology, want in (("ring", 372.827e-6), ("line", 559.241e-6)):
        got = run([LINES["all_gather"]], {"E": 2048, "F": 8192}, wired(topology, 4, 0.0), FULL).time_s
        print(show_error(f"all-gather on {topology}(4), s", got, want))
        assert got == pytest.approx(want, rel=2e-6)


# By messages


def flood(n: int, wrapped: bool) -> tuple[int, Counter[tuple[int, int]]]:
    """Hops until every chip has every shard, and shards by wire, if each chip passes on, both ways, what just came;
    a shard that would come from both sides at once comes from the left only."""
    held = [{chip} for chip in range(n)]
    right, left = ({chip: chip for chip in range(n)} for _ in range(2))  # chip -> shard to pass on
    hops, carried = 0, Counter[tuple[int, int]]()
    while any(len(shards) < n for shards in held):
        hops += 1
        next_right, next_left = dict[int, int](), dict[int, int]()
        for chip, shard in right.items():
            to = (chip + 1) % n
            if (wrapped or to) and shard not in held[to]:
                next_right[to] = shard
        for chip, shard in left.items():
            to = (chip - 1) % n
            if (wrapped or chip) and shard not in held[to] and next_right.get(to) != shard:
                next_left[to] = shard
        for to, shard in next_right.items():
            held[to].add(shard)
            carried[(to - 1) % n, to] += 1
        for to, shard in next_left.items():
            held[to].add(shard)
            carried[(to + 1) % n, to] += 1
        right, left = next_right, next_left
    return hops, carried


def by_chips(topology: Topology, transfer: Transfer) -> dict[tuple[int, int], float]:
    total: dict[tuple[int, int], float] = {}
    for number, nbytes in transfer.wires.items():
        wire = topology.wires[number]
        ends = int(wire.source.removeprefix("chip")), int(wire.target.removeprefix("chip"))
        total[ends] = total.get(ends, 0.0) + nbytes
    return {ends: nbytes for ends, nbytes in total.items() if nbytes}


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 16])
def test_a_ring_carries_what_a_flood_of_shards_carries(n: int) -> None:
    hops, carried = flood(n, wrapped=True)
    topology = parse_topology(f"ring({n})", LINKS)
    transfer = collective("all_gather", topology, 1000.0 * n)
    assert by_chips(topology, transfer) == {ends: 1000.0 * count for ends, count in carried.items()}
    assert transfer.latency_s == pytest.approx(hops * 1e-6)
    assert transfer.sent_bytes == 1000.0 * max(
        sum(count for (source, _), count in carried.items() if source == chip) for chip in range(n)
    )


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 7, 8, 16])
def test_a_line_lasts_as_long_as_a_flood_of_shards(n: int) -> None:
    """The phase lasts N-1 hops of a shard: the wire into the last chip carries all the others."""
    hops, carried = flood(n, wrapped=False)
    topology = parse_topology(f"line({n})", LINKS)
    transfer = collective("all_gather", topology, 1000.0 * n)
    assert by_chips(topology, transfer) == {ends: 1000.0 * count for ends, count in carried.items()}
    assert transfer.latency_s == pytest.approx(hops * 1e-6)
    assert transfer.sent_bytes == 1000.0 * max(
        sum(count for (source, _), count in carried.items() if source == chip) for chip in range(n)
    )


# Laws

TOPOLOGIES = st.builds(
    lambda kind, n: parse_topology(f"{kind}({n})", LINKS), st.sampled_from(sorted(W)), st.integers(1, 20)
)


@given(TOPOLOGIES, st.floats(1.0, 1e12))
def test_an_all_reduce_is_a_reduce_scatter_and_an_all_gather(topology: Topology, nbytes: float) -> None:
    parts = [collective(kind, topology, nbytes) for kind in ("reduce_scatter", "all_gather")]
    whole = collective("all_reduce", topology, nbytes)
    assert whole.latency_s == parts[0].latency_s + parts[1].latency_s
    assert whole.sent_bytes == parts[0].sent_bytes + parts[1].sent_bytes
    scattered, gathered = (part.wires for part in parts)
    assert whole.wires == pytest.approx({wire: scattered[wire] + gathered[wire] for wire in gathered})
    # a scatter is a gather backwards: as long, and as many bytes over each link as the gather has the other way
    assert parts[0].latency_s == pytest.approx(parts[1].latency_s)
    assert sorted(scattered.values()) == pytest.approx(sorted(gathered.values()))


@given(TOPOLOGIES, st.sampled_from(sorted(ROUNDS)), st.floats(1.0, 1e12), st.floats(1.0, 100.0))
def test_bytes_scale_and_latency_does_not(topology: Topology, kind: str, nbytes: float, factor: float) -> None:
    one, more = (collective(kind, topology, size) for size in (nbytes, factor * nbytes))
    assert more.latency_s == pytest.approx(one.latency_s, rel=1e-9)
    assert set(more.wires) == set(one.wires)
    for wire, moved in one.wires.items():
        assert more.wires[wire] == pytest.approx(factor * moved)


@given(TOPOLOGIES, st.sampled_from(sorted(ROUNDS)))
def test_every_chip_must_receive_what_it_lacks(topology: Topology, kind: str) -> None:
    """A gather brings (N-1)/N of V to each chip, and a scatter takes as much from it: its wires carry at least that."""
    n, nbytes = topology.size, 1e6
    into, out = ({f"chip{chip}": 0.0 for chip in range(n)} for _ in range(2))
    for wire, moved in collective(kind, topology, nbytes).wires.items():
        for way, node in ((into, topology.wires[wire].target), (out, topology.wires[wire].source)):
            if node in way:
                way[node] += moved
    for way in {"all_gather": [into], "reduce_scatter": [out], "all_reduce": [into, out]}[kind]:
        for moved in way.values():
            assert moved >= nbytes * (n - 1) / n * (1 - 1e-12)


@pytest.mark.parametrize("kind", sorted(ROUNDS))
@pytest.mark.parametrize("topology", sorted(W))
def test_a_chip_alone_has_nothing_to_send(kind: str, topology: str) -> None:
    assert collective(kind, parse_topology(f"{topology}(1)", LINKS), 1e9) == Transfer()


def test_a_switch_may_be_cut_into_groups_that_do_not_meet() -> None:
    """Two groups of four on a switch of eight: each as fast as alone on a switch of four."""
    line = "y:bf16[E,F] = all_gather(x:bf16[E_Y,F], over=Y)"
    got = run([line], {"E": 240, "F": 8192}, wired("switch", 8, 1e-6, {"X": 2, "Y": 4}), FULL).time_s
    want = closed_form("all_gather", "switch", 4, 240 * 8192 * 2, 1e-6)
    print(show_error("all-gather over 4 of 8, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


@pytest.mark.parametrize("overlap", ["auto", "none"])
def test_a_collective_streams_its_packets_except_without_overlap(overlap: Literal["auto", "none"]) -> None:
    nbytes, alpha = 240 * 8192 * 2, 1e-6
    got = run([LINES["all_gather"]], {"E": 240, "F": 8192}, wired("ring", 4, alpha), RunOptions(overlap=overlap)).time_s
    memory_s = (nbytes / 4 + nbytes) / 8.2e11
    want = closed_form("all_gather", "ring", 4, nbytes, alpha) + (memory_s if overlap == "none" else 0.0)
    print(show_error(f"all-gather, overlap {overlap}, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


def test_chunks_pay_the_latency_each() -> None:
    line = LINES["all_gather"].replace("over=X", "over=X, chunks=4")
    got = run([line], {"E": 240, "F": 8192}, wired("ring", 4, 1e-6), FULL).time_s
    want = closed_form("all_gather", "ring", 4, 240 * 8192 * 2, 0.0) + 4 * 2 * 1e-6
    print(show_error("all-gather in 4 chunks, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=5e-12)


@pytest.mark.parametrize(("n", "printed"), [(1, 2886.63e-6), (8, 1665.72e-6)])
def test_a_sharded_matmul_and_its_all_reduce_overlap_chunk_by_chunk(n: int, printed: float) -> None:
    """4096 x 8192 x 8192 contracted over two chips: T_math / n + T_comms."""
    lines = [
        f"y:bf16[B,F]{{U_X}} = matmul(x:bf16[B,D_X], w:bf16[D_X,F], chunks={n})",
        f"z:bf16[B,F] = all_reduce(y, over=X, chunks={n})",
    ]
    got = run(lines, {"B": 4096, "D": 8192, "F": 8192}, wired("line", 2, 0.0), FULL).time_s
    want = 4096 * 8192 * 8192 / 1.97e14 / n + 2 * 4096 * 8192 / 4.5e10
    print(show_error(f"two chips, {n} chunks, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=20e-12)
    assert got == pytest.approx(printed, rel=5e-6)


# Several axes, several levels

GATHER = "y:bf16[E,F] = all_gather(x:bf16[E_X,F], over=X)"
EXCHANGE = "y:bf16[E,F_X] = all_to_all(x:bf16[E_X,F], over=X)"
BYTES = 3840 * 3840 * 2  # of an array whose dims divide over every size below
FAST_HBM = {"hbm.bandwidth": 5e12}


def seconds(line: str, topology: str, chip: Chip, options: RunOptions = FULL) -> float:
    """A collective of BYTES over all chips."""
    size = parse_topology(topology, chip.links).size
    return run([line], {"E": 3840, "F": 3840}, many(topology, {"X": size}, chip), options).time_s


def tpu(alpha: float = 0.0, **more: object) -> Chip:
    """A TPU v5e with six links, for tori of three axes."""
    return chip_with("tpu_v5e", {"links.ici.latency": alpha, "links.ici.count": 6, **FAST_HBM, **more})


def check(what: str, got: float, want: float) -> None:
    print(show_error(f"{what}, s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


@pytest.mark.parametrize("fold", [True, False])
@pytest.mark.parametrize("axes", [(4,), (8,), (16,), (4, 4), (4, 8), (4, 4, 4), (2, 2)])
def test_an_all_to_all_on_a_torus_is_bound_by_its_longest_axis(axes: tuple[int, ...], fold: bool) -> None:
    text = f"torus({','.join(map(str, axes))})"
    got = seconds(EXCHANGE, text, tpu(), RunOptions(overlap="full", fold=fold))
    check(f"all-to-all on {text}", got, BYTES * max(axes) / (4 * math.prod(axes) * 9e10))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 16])
def test_an_all_to_all_on_a_switch_sends_each_chip_its_part(n: int) -> None:
    chip = chip_with("h100_sxm", {"links.nvlink.latency": 1e-6, **FAST_HBM})
    got = seconds(EXCHANGE, f"switch({n})", chip)
    check(f"all-to-all on switch({n})", got, 1e-6 + BYTES * (n - 1) / (n * n * W["switch"]))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6, 8, 10, 16])
def test_an_all_to_all_on_a_line_is_bound_by_its_middle(n: int) -> None:
    """n^2/4 pairs cross it; the bytes of near ones are sent while those of far ones are on their way."""
    got = seconds(EXCHANGE, f"line({n})", tpu(1e-6))
    pair_s = BYTES / n**2 / 4.5e10
    ends = []
    for wire in range(n - 1):
        apart = [there - here for here in range(wire + 1) for there in range(wire + 1, n)]
        ends += [hops * 1e-6 + sum(d >= hops for d in apart) * pair_s for hops in range(1, n)]
    check(f"all-to-all on line({n})", got, max(ends))


@pytest.mark.parametrize("alpha", [0.0, 1e-6])
@pytest.mark.parametrize("axes", [(4, 4), (4, 8), (2, 4), (4, 4, 4), (3, 5)])
def test_an_all_gather_over_several_wrapped_axes_uses_all_links(axes: tuple[int, ...], alpha: float) -> None:
    text = f"torus({','.join(map(str, axes))})"
    want = BYTES / (len(axes) * 9e10) + sum(size // 2 for size in axes) * alpha
    check(f"all-gather on {text}, alpha {alpha:g}", seconds(GATHER, text, tpu(alpha)), want)


def test_an_all_gather_on_a_grid_of_two_by_two_uses_all_links() -> None:
    check("all-gather on grid(2,2)", seconds(GATHER, "grid(2,2)", tpu()), 3 / 4 * BYTES / (2 * 4.5e10))


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_an_all_gather_on_a_full_mesh_uses_all_ports(n: int) -> None:
    chip = chip_with("h100_sxm", {"links.nvlink.latency": 1e-6, **FAST_HBM})
    want = 1e-6 + BYTES * (n - 1) / (n * W["switch"])
    check(f"all-gather on full({n})", seconds(GATHER, f"full({n})", chip), want)


@pytest.mark.parametrize("nodes", [2, 4, 32])
@pytest.mark.parametrize("kind", sorted(LINES))
def test_two_levels_are_as_slow_as_the_slower_one(kind: str, nodes: int) -> None:
    """A node of eight: 450 GB/s a chip inside, 8 x 50 GB/s a node outside."""
    chip = chip_with("h100_sxm", FAST_HBM)
    levels = ["switch(8) over nvlink", f"switch({nodes}) over infiniband"]
    system = System(chip, parse_topology(levels, chip.links), Mesh({"X": 8 * nodes}))
    got = run([LINES[kind]], {"E": 3840, "F": 3840}, system, FULL).time_s
    slower = max(7 / (8 * 450e9), (nodes - 1) / (nodes * 8 * 50e9))
    check(f"{kind} over {nodes} nodes", got, ROUNDS[kind] * BYTES * slower)


# A ring one way round


ONE_WAY = RunOptions(overlap="full", collectives="ring_one_way")


@pytest.mark.parametrize("n", [2, 3, 4, 5, 7, 8, 12, 16, 31, 32, 48, 63, 64, 4096])
@pytest.mark.parametrize("topology", ["ring", "switch"])
def test_an_all_reduce_round_a_ring_one_way(topology: str, n: int) -> None:
    """2 (n-1) (alpha + V / (n beta)), on a ring and on a fabric. 4096 chips are quick because they are folded."""
    if topology == "ring":
        chip, beta = tpu(1e-6), 4.5e10
    else:
        chip, beta = chip_with("h100_sxm", {"links.nvlink.latency": 1e-6, **FAST_HBM}), W["switch"]
    got = seconds(LINES["all_reduce"], f"{topology}({n})", chip, ONE_WAY)
    check(f"one-way all-reduce on {topology}({n})", got, 2 * (n - 1) * (1e-6 + BYTES / (n * beta)))


@pytest.mark.parametrize(
    ("n", "fold"), [(2, False), (5, False), (16, False), (64, False), (64, True), (512, True), (4096, True)]
)
def test_the_same_message_by_message(n: int, fold: bool) -> None:
    """By messages it takes what the formula says, to a ps for each of its 2 (n-1) rounds; folded up to 4096 chips."""
    options = replace(ONE_WAY, network="messages", fold=fold)
    system = wired("ring", n, 1e-6)
    result = run([LINES["all_reduce"]], {"E": 3840, "F": 3840}, system, options)
    assert result.plan.kernels[0].traffic.form == "messages"
    assert result.plan.classes == (1 if fold else n)
    rounds = 2 * (n - 1)
    want = rounds * (1e-6 + BYTES / (n * 4.5e10))
    print(f"n = {n}: got {result.time_s:.12g} s, formula {want:.12g} s, off by {result.time_s / want - 1:.1e}")
    assert abs(result.time_s - want) <= max(1e-9 * want, 1e-12 * (rounds + 1))


# From chip to chip


@pytest.mark.parametrize(
    ("topology", "target", "hops"),
    [("ring", 1, 1), ("ring", 3, 3), ("ring", 4, 4), ("ring", 5, 3), ("ring", 7, 1), ("line", 7, 7), ("switch", 7, 1)],
)
@pytest.mark.parametrize("routing", ["split", "single"])
def test_a_send_pays_each_hop_once_and_the_bytes_once(
    topology: str, target: int, hops: int, routing: Literal["split", "single"]
) -> None:
    """To the antipode of a ring half goes each way, unless one way is asked for."""
    lines = [f"s:bf16[N] = send(x:bf16[N], from=0, to={target})", f"y:bf16[N] = recv(from=0, to={target})"]
    options = RunOptions(overlap="full", routing=routing)
    got = run(lines, {"N": 10**6}, wired(topology, 8, 1e-6), options).time_s
    ways = 2 if topology == "ring" and target == 4 and routing == "split" else 1
    want = hops * 1e-6 + 2e6 / W[topology] / ways
    print(show_error(f"send 0 to {target} on {topology}(8), s", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=2e-12)


def test_a_transfer_uses_the_wires_of_its_route_only() -> None:
    lines = ["s:bf16[N] = send(x:bf16[N], from=0, to=6)", "y:bf16[N] = recv(from=0, to=6)"]
    system = many("ring(8)", {"X": 8})
    assert system.topology is not None
    traffic = run(lines, {"N": 100}, system, FULL).plan.kernels[0].traffic
    assert traffic.pair
    (group,) = traffic.groups
    assert tuple(group.members) == (0, 6)
    wires = {(system.topology.wires[number].name, nbytes) for number, nbytes in group.transfer.wires.items()}
    hops = (system.topology.between(*ends)[0] for ends in (("chip0", "chip7"), ("chip7", "chip6")))
    assert wires == {(system.topology.wires[number].name, 200.0) for number in hops}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("s:bf16[N] = send(x:bf16[N], from=0, to=1)", "s (send on chip 0)"),
        ("y:bf16[N] = recv(from=0, to=1)", "y (recv on chip 1)"),
    ],
)
def test_a_send_without_its_recv_is_a_deadlock_with_a_name(line: str, words: str) -> None:
    with pytest.raises(RunError, match="deadlock") as caught:
        run([line], {"N": 64}, many("ring(4)", {"X": 4}), FULL)
    assert words in str(caught.value)


def test_the_rates_used_here_are_those_of_the_chips() -> None:
    assert load_chip("tpu_v5e").links["ici"].bytes_per_s == W["ring"]
    assert load_chip("h100_sxm").links["nvlink"].egress_bytes_per_s == W["switch"]
