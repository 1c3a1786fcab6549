"""Named groups of chips: collectives over chips that are no mesh axis, of any sizes, several of them side by side.

Law: a group costs what its chips' own wiring costs: part of a ring or a line is a line, part of a switch a smaller switch;
a group that has the chips of a mesh axis costs what the axis costs; groups on wires of their own do not slow each other;
folded is full. What is wrong with a group is told at its entry, all of it at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from hw import Chip, Mesh, RunError, SpecError, System, load_chip, parse_topology
from scenarios import load_scenario
from scenarios.cli import app
from simulator import Result, RunOptions, parse_graph, print_items
from tests.support.strategies import chip_with, run, show_error

FULL = RunOptions(overlap="full")
ALPHA = 1e-6
TPU = chip_with("tpu_v5e", {"links.ici.latency": "1 us"})  # links of 4.5e10 B/s one way
H100 = chip_with("h100_sxm", {"links.nvlink.latency": "1 us"})  # 18 NVLinks of 25 GB/s
ICI, NVLINK = 4.5e10, 4.5e11
V = 2 * 4096 * 8192
DIMS = {"I": 4096, "J": 8192}


def grouped(
    topology: str | Sequence[str], named: Mapping[str, Sequence[int]], chip: Chip = TPU, mesh: Any = None
) -> System:
    wired = parse_topology(topology, chip.links)
    return System(chip, wired, Mesh(mesh or {"X": wired.size}, named))


def taken(system: System, *lines: str, options: RunOptions = FULL, dims: Mapping[str, int] = DIMS) -> Result:
    return run(lines, dims, system, options)


def near(got: float, want: float) -> None:
    print(show_error("time", got, want))
    assert got == pytest.approx(want, rel=1e-9, abs=4e-12)


REDUCE = "y:bf16[I,J] = all_reduce(x:bf16[I,J]{{U_{0}}}, over={0})"
GATHER = "y:bf16[I,J] = all_gather(x:bf16[I_{0},J], over={0})"
SCATTER = "y:bf16[I_{0},J] = reduce_scatter(x:bf16[I,J]{{U_{0}}}, over={0})"
SWAP = "y:bf16[I,J_{0}] = all_to_all(x:bf16[I_{0},J], over={0})"
CAST = "y:bf16[I,J] = broadcast(x:bf16[I,J], over={0}, root=1)"
FETCH = "y:bf16[I,J] = gather_to(x:bf16[I_{0},J], over={0}, root=1)"
COLLECTIVES = (REDUCE, GATHER, SCATTER, SWAP, CAST, FETCH)

TWO_SWITCHES = """\
chip0 a 100GB/s 1us
chip1 a 100GB/s 1us
chip2 a 100GB/s 1us
chip3 a 100GB/s 1us
chip4 b 50GB/s 1us
chip5 b 50GB/s 1us
chip6 b 50GB/s 1us
chip7 b 50GB/s 1us
chip8 b 50GB/s 1us
chip9 b 50GB/s 1us
a b 25GB/s 2us
"""


def overlapse(tmp_path: Path, system: str, *ops: str) -> Any:
    path = tmp_path / "groups.yaml"
    lines = "".join(f"    - {op}\n" for op in ops)
    path.write_text(
        f"name: groups\nabout: Groups.\nsystem:\n{system}\n"
        f"workload:\n  dims: {{I: 1000000, J: 8}}\n  ops:\n{lines}run: {{overlap: full}}\n"
    )
    return CliRunner().invoke(app, ["run", str(path), "--json"])


# What a group costs


def test_two_groups_of_other_sizes_each_take_the_time_of_their_own_switch(tmp_path: Path) -> None:
    """Four chips behind one switch, six behind another: 2 V (n-1)/(n W), and a link up and one down for each half."""
    (tmp_path / "two.edges").write_text(TWO_SWITCHES)
    (tmp_path / "two.yaml").write_text(
        "name: two\nabout: Two groups.\n"
        "system: {chip: h100_sxm, topology: two.edges over nvlink, groups: {A: [0-3], B: [4-9]}}\n"
        "workload:\n  dims: {I: 1000000}\n  ops:\n"
        "    - y:int8[I] = all_reduce(x:int8[I]{U_A}, over=A)\n"
        "    - z:int8[I] = all_reduce(w:int8[I]{U_B}, over=B)\n"
        "run: {overlap: full}\n"
    )
    scenario = load_scenario(str(tmp_path / "two.yaml"))
    assert scenario.system.mesh.named == {"A": (0, 1, 2, 3), "B": (4, 5, 6, 7, 8, 9)}
    result = run(print_items(scenario.graph.items), scenario.graph.dims, scenario.system, FULL)
    ends = {
        result.plan.kernels[result.plan.program.kernel[at]].kernel.name: end for at, end in enumerate(result.end_ps)
    }
    near(ends["y"] / 1e12, 2 * (3 / 4 * 1e6 / 100e9 + 2 * ALPHA))
    near(ends["z"] / 1e12, 2 * (5 / 6 * 1e6 / 50e9 + 2 * ALPHA))
    assert result.plan.classes == 2  # of four and of six alike chips


@pytest.mark.parametrize("chips", [(0, 1, 2, 3), (2, 3, 4, 5), (6, 7, 0, 1), (5, 3, 4, 2)])
def test_half_a_ring_is_a_line(chips: tuple[int, ...]) -> None:
    system = grouped("ring(8)", {"A": chips})
    near(taken(system, GATHER.format("A")).time_s, 3 * (ALPHA + V / (4 * ICI)))
    near(taken(system, REDUCE.format("A")).time_s, 6 * (ALPHA + V / (4 * ICI)))


def test_the_two_halves_of_a_ring_work_side_by_side() -> None:
    system = grouped("ring(8)", {"A": (0, 1, 2, 3), "B": (4, 5, 6, 7)})
    both = taken(system, GATHER.format("A"), "z:bf16[I,J] = all_gather(w:bf16[I_B,J], over=B)")
    near(both.time_s, 3 * (ALPHA + V / (4 * ICI)))
    at_once = taken(system, GATHER.format("AB"))
    near(at_once.time_s, 3 * (ALPHA + V / (4 * ICI)))
    assert at_once.plan.classes < 8  # the halves are alike


def test_a_block_of_a_torus_is_a_grid() -> None:
    """2 x 2 chips in the middle of a torus(4,4) have no way round: half of V along each axis first, as on a grid(2,2)."""
    block = taken(grouped("torus(4,4)", {"A": (5, 6, 9, 10)}, mesh={"X": 4, "Y": 4}), REDUCE.format("A"))
    grid = taken(grouped("grid(2,2)", {}, mesh={"X": 2, "Y": 2}), REDUCE.format("XY"))
    assert block.time_s == grid.time_s


def test_some_chips_of_a_switch_are_a_smaller_switch() -> None:
    system = grouped("switch(8) over nvlink", {"A": (6, 1, 4)}, H100)
    near(
        taken(system, GATHER.format("A"), dims={"I": 4095, "J": 8192}).time_s, ALPHA + 2 * 4095 * 8192 * 2 / 3 / NVLINK
    )


def test_one_chip_of_each_node_uses_the_network_between_nodes_alone() -> None:
    """Chips at unlike places of their nodes enter the outer fabric straight: V (n-1)/(n W), W the port there."""
    chip = chip_with("h100_sxm", {"links.nvlink.latency": "0 s", "links.infiniband.latency": "0 s"})
    system = grouped(["switch(8) over nvlink", "switch(4) over infiniband"], {"A": (0, 9, 18, 27)}, chip)
    wide = load_chip("h100_sxm").links["infiniband"].bytes_per_s * load_chip("h100_sxm").links["infiniband"].count
    near(taken(system, GATHER.format("A")).time_s, V * 3 / 4 / wide)


def test_a_group_inside_one_node_uses_the_wires_of_that_node_alone() -> None:
    system = grouped(["switch(8) over nvlink", "switch(4) over infiniband"], {"A": (8, 9, 10, 11)}, H100)
    alone = taken(system, GATHER.format("A"))
    near(alone.time_s, ALPHA + V * 3 / 4 / NVLINK)
    (planned,) = alone.plan.kernels
    assert {system.topology.wires[wire].level for wire in planned.traffic.wires if system.topology} == {0}


@pytest.mark.parametrize("line", COLLECTIVES)
@pytest.mark.parametrize(
    ("topology", "mesh", "chip"),
    [
        ("ring(8)", {"X": 8}, TPU),
        ("ring(2)", {"X": 2}, TPU),
        ("line(5)", {"X": 5}, TPU),
        ("torus(4,4)", {"X": 4, "Y": 4}, TPU),
        ("torus(4,2,wrap=[yes,no])", {"X": 4, "Y": 2}, TPU),
        ("grid(4,2)", {"X": 4, "Y": 2}, TPU),
        ("full(6) over nvlink", {"X": 6}, H100),
        ("switch(8) over nvlink", {"X": 2, "Y": 4}, H100),
        ("fat_tree(16,leaf=4,oversubscription=2) over nvlink", {"X": 4, "Y": 4}, H100),
        (["switch(4) over nvlink", "fat_tree(4,leaf=2) over infiniband"], {"X": 4, "Y": 4}, H100),
        (["switch(4) over nvlink", "fat_tree(4,rails=yes) over infiniband"], {"X": 4, "Y": 4}, H100),
    ],
)
def test_a_group_with_the_chips_of_an_axis_costs_what_the_axis_costs(
    topology: Any, mesh: Mapping[str, int], chip: Chip, line: str
) -> None:
    dims = {"I": 5 * 4032, "J": 4800}
    for axes in mesh if len(mesh) == 1 else (*mesh, "".join(mesh)):
        plain = grouped(topology, {}, chip, mesh)
        named = dict(zip("ABCD", plain.groups(axes), strict=False))  # all of them at once, as the axis has them
        got = taken(grouped(topology, named, chip, mesh), line.format("".join(named)), dims=dims)
        assert got.time_s == taken(plain, line.format(axes), dims=dims).time_s


def test_chips_without_a_wiring_of_their_own_still_reach_each_other() -> None:
    """Every other chip of a ring: whichever way, each wire carries two shards. All at once those of the next chips, two
    hops away, are sent while those of the antipodes are on their way; passed on, a shard would pay two hops twice."""
    system = grouped("ring(8)", {"A": (0, 2, 4, 6)})
    near(taken(system, GATHER.format("A")).time_s, 2 * ALPHA + 2 * V / (4 * ICI))


@pytest.mark.parametrize(
    "line", [line for line in COLLECTIVES if line != FETCH]
)  # single messages take other ways there
def test_parts_of_a_graph_cost_what_the_same_wiring_costs(tmp_path: Path, line: str) -> None:
    """A grid, a ring and a full mesh, chips numbered at random, joined by single links."""
    links = [(row + at, row + at + 1) for row in (0, 4) for at in range(3)] + [(at, at + 4) for at in range(4)]
    links += [(8 + at, 8 + (at + 1) % 6) for at in range(6)]
    links += [(14 + one, 14 + two) for one in range(5) for two in range(one)]
    names = [11, 4, 17, 2, 9, 13, 0, 6, 15, 8, 1, 18, 5, 12, 3, 16, 7, 10, 14]
    path = tmp_path / "parts.edges"
    words = [f"chip{names[a]} chip{names[b]} 25GB/s 1us" for a, b in (*links, (0, 8), (11, 14))]
    path.write_text("\n".join(words))
    named = {"A": names[:8], "B": names[8:14], "C": names[14:]}
    parts = grouped(f"{path} over nvlink", named, H100)
    dims = {"I": 840, "J": 1680}
    full = chip_with("h100_sxm", {"links.nvlink.latency": "1 us", "links.nvlink.count": 4})
    for name, wiring, mesh, chip in (
        ("A", "grid(2,4)", {"X": 2, "Y": 4}, H100),
        ("B", "ring(6)", {"X": 6}, H100),
        ("C", "full(5)", {"X": 5}, full),
    ):
        alone = grouped(f"{wiring} over nvlink", {}, chip, mesh)
        near(
            taken(parts, line.format(name), dims=dims).time_s,
            taken(alone, line.format("".join(mesh)), dims=dims).time_s,
        )


# Who runs what


def test_what_follows_runs_on_the_members_alone() -> None:
    system = grouped("switch(8) over nvlink", {"A": (1, 3, 5)}, H100)
    result = taken(
        system,
        REDUCE.format("A"),
        "z:bf16[I,J] = relu(y)",
        "q:bf16[I_A,J] = gelu(v:bf16[I_A,J])",
        dims={"I": 4095, "J": 512},
    )
    at_work = [
        sorted(each for chip in planned.chips for each in result.plan.members(chip)) for planned in result.plan.kernels
    ]
    assert at_work == [[1, 3, 5]] * 3


def test_places_are_counted_as_the_group_lists_its_chips() -> None:
    """The root of a gather stands at one end of a line, or inside it: 3 shards over its one wire, or 2 and 1, the first
    of them a hop away."""
    for chips, shards in (((0, 1, 2, 3), 2), ((1, 0, 2, 3), 3)):
        got = taken(grouped("line(4)", {"A": chips}), FETCH.format("A")).time_s
        near(got - ALPHA, shards * V / 4 / ICI)


def test_the_order_in_which_chips_are_listed_costs_nothing() -> None:
    for line in (REDUCE, GATHER, SWAP):
        times = {
            taken(grouped("torus(4,4)", {"A": chips}), line.format("A")).time_s
            for chips in ((0, 1, 4, 5), (5, 0, 4, 1))
        }
        assert len(times) == 1


# What is refused


def test_a_member_that_never_comes_is_named_with_its_group(tmp_path: Path) -> None:
    shown = overlapse(
        tmp_path,
        "  {chip: tpu_v5e, topology: ring(8), groups: {A: [0-3]}}",
        "y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_A}, over=A, on=[0, 1])",
    )
    assert shown.exit_code == 3
    words = " ".join(shown.stderr.split())
    assert "deadlock: y (all_reduce over A) waits for ever on chips 0, 1: chips 2, 3 of group A" in words


def test_some_chips_of_an_axis_are_to_be_named_as_a_group() -> None:
    with pytest.raises(RunError, match=r"name them in system\.groups"):
        taken(grouped("ring(8)", {}), "y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_X}, over=X, on=[0,1,2,3])")


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ("{A: [0-3, 8]}", ["4:70: there is no chip 8; the system has chips 0 to 7"]),
        ("{A: [0-99999]}", ["there is no chip 99999; the system has chips 0 to 7"]),
        ("{A: [0-3, 2]}", ["4:70: chip 2 is twice in group A"]),
        ("{A: []}", ["4:64: group A has no chips"]),
        ("{X: [0, 1]}", ["group X has the name of a mesh axis"]),
        ("{tp: [0, 1]}", ["group 'tp' must be a single capital letter"]),
        ("{A: [3-0]}", ["'3-0' names no chips; write numbers and ranges, as in [0-3, 8]"]),
        (
            "{A: [0, -1, 1.5, true, one]}",
            ["-1 names no chips", "1.5 names no", "true names no", "'one' names no chips"],
        ),
        ("{A: {0: 1}}", ["names no chips"]),
        ("[0, 1]", ["groups"]),
        ("{A: [0, 9], B: [0, 0]}", ["there is no chip 9", "chip 0 is twice in group B"]),
    ],
)
def test_what_is_wrong_with_a_group_is_told_at_its_entry(tmp_path: Path, groups: str, words: Sequence[str]) -> None:
    shown = overlapse(
        tmp_path,
        f"  {{chip: tpu_v5e, topology: ring(8), mesh: {{X: 8}}, groups: {groups}}}",
        "y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_X}, over=X)",
    )
    assert shown.exit_code == 2
    message = " ".join(shown.stderr.split())
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_C}, over=C)", "unknown mesh axis or group 'C'"),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_X}, over=A)", "all_reduce over A wants partial sums {U_A}"),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_AX}, over=AX)", "A names chips, X is a mesh axis"),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_AC}, over=[A, C])", "unknown mesh axis or group 'C'"),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_AD}, over=[A, D])", "groups A and D share chips 2, 3"),
        ("y:bf16[I,J] = relu(x:bf16[I_A,J_B])", "splits two dims over the groups A, B"),
        ("y:bf16[I_AE,J] = relu(x:bf16[I_AE,J])", "x cannot be cut alike over the groups A of 4 and E of 2 chips"),
        ("y:bf16[I,J] = broadcast(x:bf16[I,J], over=[A, E], root=3)", "there is no place 3 in a group of 2 chips"),
        ("y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_A}, over=[A, A])", "each mesh axis or group once"),
        ("y:bf16[I_A,J] = relu(x:bf16[I_A,J], on=[5])", "on= names none of the chips of A"),
        ("y:bf16[J_A] = relu(x:bf16[J_A])", None),
    ],
)
def test_what_groups_cannot_do_is_told_at_the_op(tmp_path: Path, op: str, words: str | None) -> None:
    shown = overlapse(
        tmp_path,
        "  chip: tpu_v5e\n  topology: ring(8)\n  groups: {A: [0-3], B: [4-7], D: [2, 3, 6], E: [4, 5]}",
        f'"{op}"',
    )
    assert shown.exit_code == (2 if words else 0), shown.stderr
    assert words is None or words in " ".join(shown.stderr.split())


@pytest.mark.parametrize("written", ["[0-2, 5]", "'0-2, 5'", "[0, 1, '2', 5-5]", "[ 0 - 2 , 5]"])
def test_numbers_and_ranges_are_read(tmp_path: Path, written: str) -> None:
    path = tmp_path / "groups.yaml"
    path.write_text(
        f"name: groups\nsystem: {{chip: tpu_v5e, topology: ring(8), groups: {{A: {written}}}}}\n"
        "workload:\n  dims: {I: 8}\n  ops: ['y:bf16[I] = all_gather(x:bf16[I_A], over=A)']\n"
    )
    assert load_scenario(str(path)).system.mesh.named == {"A": (0, 1, 2, 5)}


def test_groups_are_checked_where_a_system_is_built_in_python() -> None:
    with pytest.raises(SpecError, match="no chip 8"):
        taken(grouped("ring(8)", {"A": (0, 8)}), REDUCE.format("A"))


def test_a_list_of_groups_prints_back_as_it_was_written() -> None:
    line = "y:bf16[I,J] = all_reduce(x:bf16[I,J]{U_AB}, over=[A, B])"
    assert print_items(parse_graph([line], DIMS).items) == [line]


# Folding


WIRINGS = ("ring(8)", "line(8)", "torus(4,2)", "grid(2,4)", "full(8)", "switch(8)", "fat_tree(8,leaf=2)")


@settings(max_examples=60)
@given(st.data())
def test_random_groups_folded_are_the_same_in_full(data: st.DataObject) -> None:
    topology = data.draw(st.sampled_from(WIRINGS))
    chips = data.draw(st.permutations(range(8)))
    cuts = sorted(data.draw(st.sets(st.integers(1, 7), max_size=2)))
    parts = [chips[start:end] for start, end in zip([0, *cuts], [*cuts, 8], strict=True)]
    system = grouped(topology, dict(zip("ABC", parts, strict=False)), H100)
    lines, dims = [], {"I": 840, "J": 1680}
    for name, part in zip("ABC", parts, strict=False):
        line = (
            data.draw(st.sampled_from(COLLECTIVES[:-2]))
            .format(name)
            .replace("y:", f"y{name}:")
            .replace("x:", f"x{name}:")
        )
        lines += [line, f"z{name}:bf16[4] = custom(y{name}, time={len(part)} us)"]
    runs = [taken(system, *lines, dims=dims, options=RunOptions(overlap="full", fold=fold)) for fold in (True, False)]
    assert runs[0].time_s == runs[1].time_s


# Chips renamed


def shuffled_grid(data: st.DataObject, names: Sequence[int]) -> list[str]:
    """Links of some small graph of chips, alike or of two widths, whose chips are called by `names`."""
    size = len(names)
    joined = {(at, data.draw(st.integers(0, at - 1))) for at in range(1, size)}  # a tree, so that all are reached
    joined |= data.draw(st.sets(st.tuples(st.integers(1, size - 1), st.integers(0, size - 2)), max_size=size))
    links = sorted({(max(pair), min(pair)) for pair in joined if pair[0] != pair[1]})
    widths = [data.draw(st.sampled_from(("25GB/s", "50GB/s"))) for _ in links]
    return [f"chip{names[a]} chip{names[b]} {width} 1us" for (a, b), width in zip(links, widths, strict=True)]


@settings(max_examples=40)
@given(data=st.data())
def test_chips_renamed_with_their_groups_take_the_same_time(data: st.DataObject, tmp_path_factory: Any) -> None:
    size = data.draw(st.integers(3, 8))
    names = data.draw(st.permutations(range(size)))
    members = data.draw(st.permutations(range(size)))[: data.draw(st.integers(2, size - 1))]
    line = data.draw(st.sampled_from(COLLECTIVES)).format("A")
    links = shuffled_grid(data, range(size))
    times = []
    for renamed in (list(range(size)), names):
        path = tmp_path_factory.mktemp("graph") / "some.edges"
        ends = {f"chip{at}": f"chip{name}" for at, name in enumerate(renamed)}
        words = [line_.split() for line_ in links]
        path.write_text("".join(f"{ends[a]} {ends[b]} {rest} {lat}\n" for a, b, rest, lat in words))
        topology = parse_topology(f"{path} over nvlink", H100.links, None, path.parent)
        system = System(H100, topology, Mesh({"X": size}, {"A": [renamed[at] for at in members]}))
        times.append(taken(system, line, dims={"I": 840, "J": 1680}).time_s)
    assert times[0] == pytest.approx(times[1], rel=1e-9, abs=4e-12)


@settings(max_examples=30)
@given(
    st.sets(st.integers(0, 15), min_size=2, max_size=8),  # up to 8 chips all orders of a ring are tried
    st.integers(0, 3),
    st.integers(0, 3),
    st.sampled_from(COLLECTIVES),
)
def test_a_group_moved_over_a_torus_takes_the_same_time(members: set[int], down: int, right: int, line: str) -> None:
    def moved(chip: int) -> int:  # turning it round would not do: routes go along one axis first
        return 4 * ((chip // 4 + down) % 4) + (chip % 4 + right) % 4

    chips = sorted(members)
    times = [
        taken(grouped("torus(4,4)", {"A": places}), line.format("A"), dims={"I": 5040, "J": 5040}).time_s
        for places in (chips, [moved(chip) for chip in chips])
    ]
    assert times[0] == pytest.approx(times[1], rel=1e-9, abs=4e-12)
