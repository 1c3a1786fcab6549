"""Systems: the shipped ones against their sources, slices and nodes, unlike chips, hosts, and what is said of wrong ones.

The figures typed here are those of the sources named beside them, not of the files of `hw/systems`.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import Host, Mesh, SpecError, System, Topology, load_chip, load_system, system_names
from hw.systems import system_file
from scenarios import Scenario, build_scenario, load_scenario, read_source
from tests.support.cases import overlapse

ROOT = Path(__file__).parents[2]


def wired(system: System) -> Topology:
    assert system.topology is not None
    return system.topology


def test_the_demanded_systems_are_there() -> None:
    assert set(system_names()) >= {
        "dgx_v100", "dgx_a100", "dgx_h100", "dgx_h200", "dgx_b200", "gb200_nvl72", "mi300x_node",
        "tpu_v4", "tpu_v5p", "tpu_v5e", "tpu_v6e",
    }  # fmt: skip


@pytest.mark.parametrize("name", system_names())
def test_every_system_builds_with_a_source_for_every_figure(name: str) -> None:
    described = system_file(name)
    assert described.name == name
    assert described.about
    assert set(described.sources) == set(described.figures())
    assert all(source.strip() for source in described.sources.values())
    one, three = load_system(name), load_system(name, nodes=3)
    assert three.size == 3 * one.size
    assert len(wired(three).levels) == len(wired(one).levels) + 1
    assert list(three.mesh.axes.values()) == [three.size]
    first = (ROOT / "hw" / "systems" / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")  # what it is, and the modelling decisions, as comments


# out of a chip inside its node, bytes/s one way, all links together: NVIDIA and AMD data sheets; "How to Scale Your Model",
# chapters on TPUs and GPUs; and out of a whole node: 4 x 100 Gbit/s, 8 x 200, 8 x 400, 72 x 400 Gbit/s; DCN by chip
RATES = {
    "dgx_v100": (8, 150e9, 50e9),
    "dgx_a100": (8, 300e9, 200e9),
    "dgx_h100": (8, 450e9, 400e9),
    "dgx_h200": (8, 450e9, 400e9),
    "dgx_b200": (8, 900e9, 400e9),
    "gb200_nvl72": (72, 900e9, 3600e9),
    "mi300x_node": (8, 448e9, 400e9),
    "tpu_v4": (64, 6 * 45e9, 64 * 6.25e9),
    "tpu_v5p": (64, 6 * 90e9, 64 * 6.25e9),
    "tpu_v5e": (256, 4 * 45e9, 256 * 3.125e9),
    "tpu_v6e": (256, 4 * 90e9, 256 * 12.5e9),
}


@pytest.mark.parametrize("name", sorted(RATES))
def test_a_system_wires_the_bandwidth_of_its_sources(name: str) -> None:
    size, egress, out = RATES[name]
    system = load_system(name)
    assert system.size == size
    sent = Counter[str]()
    for wire in wired(system).wires:
        sent[wire.source] += wire.bytes_per_s  # type: ignore[assignment]
    assert [sent[f"chip{chip}"] for chip in range(size)] == pytest.approx([egress] * size)
    nodes = wired(load_system(name, nodes=2))
    leaving = 0.0
    for _, wire in nodes.of_level(1):
        node0 = wire.source in {f"chip{chip}" for chip in range(size)} or wire.source.startswith("level1.0.node0.")
        # with NICs of its own a node sends no more than they carry
        if node0 and ".nic" not in wire.target and not wire.target.startswith("chip"):
            leaving += wire.bytes_per_s
    assert leaving == pytest.approx(out)


def test_the_hybrid_cube_mesh() -> None:
    """NVIDIA DGX-1 V100: six NVLinks a GPU; nvidia-smi topo -m: four neighbours, two of them over two links."""
    topology = wired(load_system("dgx_v100"))
    for chip in range(8):
        rates = sorted(wire.bytes_per_s for wire in topology.wires if wire.source == f"chip{chip}")
        assert rates == [25e9, 25e9, 50e9, 50e9]
    quads = ({0, 1, 2, 3}, {4, 5, 6, 7})
    pairs = {(int(wire.source[4:]), int(wire.target[4:])) for wire in topology.wires}
    for quad in quads:
        assert all((a, b) in pairs for a in quad for b in quad if a != b)
    assert {pair for pair in pairs if pair[0] < 4 <= pair[1]} == {(0, 4), (1, 5), (2, 6), (3, 7)}


def test_rails_and_nics_of_the_nodes() -> None:
    assert wired(load_system("dgx_h100", nodes=64)).levels[1].shared is False
    v100 = wired(load_system("dgx_v100", nodes=2))
    shared = v100.trunks(1)
    assert [trunk.chips for trunk in shared[:4]] == [(0, 1), (2, 3), (4, 5), (6, 7)]
    assert {v100.wires[trunk.up[0]].bytes_per_s for trunk in shared} == {12.5e9}
    assert v100.wires[v100.port_out(0, 1)].bytes_per_s == 15.75e9  # PCIe 3.0 x16


# Slices

CUBES = [
    ((4, 4, 4), True),
    ((4, 4, 8), True),
    ((8, 16, 12), True),
    ((2, 2, 1), False),
    ((2, 4, 4), False),
    ((4, 8, 2), False),
]


@pytest.mark.parametrize(("sizes", "wraps"), CUBES)
@pytest.mark.parametrize("name", ["tpu_v4", "tpu_v5p"])
def test_a_slice_of_whole_cubes_wraps(name: str, sizes: tuple[int, ...], wraps: bool) -> None:
    """ "How to Scale Your Model", chapter on TPUs: axes wrap in full 4x4x4 cubes; 2x2x4 has none."""
    topology = wired(load_system(name, slice="x".join(map(str, sizes))))
    assert [axis.size for axis in topology.axes] == list(sizes)
    assert {axis.kind for axis in topology.axes} == {"ring" if wraps else "line"}


@given(st.integers(1, 16), st.integers(1, 16))
def test_only_a_full_axis_of_a_v5e_pod_wraps(rows: int, columns: int) -> None:
    topology = wired(load_system("tpu_v5e", slice=f"{rows}x{columns}"))
    assert [axis.kind for axis in topology.axes] == ["ring" if size == 16 else "line" for size in (rows, columns)]
    rings = (columns if rows == 16 else 0) + (rows if columns == 16 else 0)
    assert len(topology.wires) == 2 * (rings + rows * (columns - 1) + columns * (rows - 1))


@pytest.mark.parametrize(
    ("name", "wanted", "words"),
    [
        ("tpu_v5e", "16x32", "a slice 16x32 does not fit into the pod of 16x16"),
        ("tpu_v5p", "32x4x4", "does not fit into the pod of 16x20x28"),
        ("tpu_v5p", "4x4", "a slice 4x4 will not do: it has 3 axes"),
        ("tpu_v5p", "4by4", "'4by4' will not do for slice: write the chips along each axis, as in 4x4x8"),
        ("tpu_v5p", "0x4x4", "will not do for slice"),
        ("dgx_h100", "4x4", "a slice wants a base that comes in slices"),
    ],
)
def test_a_slice_that_there_is_not(name: str, wanted: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        load_system(name, slice=wanted)


def test_a_pod_may_lie_on_its_side() -> None:
    assert load_system("tpu_v5p", slice="28x16x20").size == 8960


# Hosts


def test_hosts_of_a_dgx() -> None:
    host = load_system("dgx_h100", nodes=2).host
    assert host is not None
    assert host.memory is not None
    assert (host.chips, host.pcie_switches, host.uplink_bytes_per_s) == (8, 4, 63e9)
    assert host.memory.bytes_per_s == pytest.approx(2 * 8 * 4800e6 * 8)  # two sockets, 8 channels of DDR5-4800
    assert [host.host_of(chip) for chip in (0, 7, 8, 15)] == [0, 0, 1, 1]
    assert [host.switch_of(chip) for chip in range(10)] == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    for name in ("dgx_a100", "dgx_h100", "dgx_h200", "dgx_b200"):
        system = load_system(name)
        assert system.host is not None
        assert system.host.memory is not None
        assert system.chip.host is not None
        assert system.host.memory.bytes_per_s == pytest.approx(8 * system.chip.host.bytes_per_s)
        assert system.host.memory.capacity_bytes == pytest.approx(8 * system.chip.host.capacity_bytes)


@given(st.integers(1, 64), st.integers(1, 64))
def test_switches_of_a_host_have_equal_parts(chips: int, switches: int) -> None:
    host = Host(chips=chips, pcie_switches=switches)
    assert bool(host.problem()) == (chips % switches != 0)
    if chips % switches:
        return
    parts = Counter(host.switch_of(chip) for chip in range(3 * chips))
    assert set(parts.values()) == {chips // switches}
    assert len(parts) == 3 * switches


# In scenarios

HEAD = "name: s\nsystem:\n"
TAIL = '\nworkload: {ops: ["y:bf16[64] = relu(x:bf16[64])"]}\n'


def scenario(folder: Path, system: str, name: str = "s.yaml") -> Scenario:
    path = folder / name
    path.write_text(HEAD + "".join(f"  {line}\n" for line in system.splitlines()) + TAIL)
    return load_scenario(str(path))


def problems(folder: Path, system: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        scenario(folder, system)
    return [str(problem).removeprefix(str(folder) + "/") for problem in caught.value.problems]


def test_levels_in_a_scenario(tmp_path: Path) -> None:
    text = "chip: h100_sxm\ntopology: [switch(8) over nvlink, 'fat_tree(4,leaf=2) over infiniband']\nmesh: {T: 8, D: 4}"
    system = scenario(tmp_path, text).system
    assert (system.size, str(system.topology)) == (
        32,
        "[switch(8) over nvlink, fat_tree(4,leaf=2) over infiniband]",
    )
    assert system.groups("D")[3] == (3, 11, 19, 27)


def test_unlike_chips_in_their_order(tmp_path: Path) -> None:
    text = """\
chips: [4 x v100_sxm2_32gb, 2 x a100_80gb_sxm, h100_sxm, {chip: h100_sxm, set: {hbm.bandwidth: 1 TB/s}}]
topology: switch(8) over nvlink"""
    system = scenario(tmp_path, text).system
    assert [system.chip_at(chip).name for chip in range(8)] == ["v100_sxm2_32gb"] * 4 + ["a100_80gb_sxm"] * 2 + [
        "h100_sxm"
    ] * 2
    assert list(system.kind_of) == [0, 0, 0, 0, 1, 1, 2, 3]
    assert system.chip_at(7).hbm.bytes_per_s == 1e12
    assert [wired(system).wires[wired(system).port_out(chip, 0)].bytes_per_s for chip in (0, 4, 6)] == [
        150e9,
        300e9,
        450e9,
    ]


def test_a_straggler_and_a_set_for_all(tmp_path: Path) -> None:
    text = """\
chips: [{chip: h100_sxm, count: 7}, {chip: h100_sxm, set: {hbm.bandwidth: 2 TB/s}}]
topology: switch(8) over ethernet
set: {links.ethernet.bandwidth: 12.5 GB/s, hbm.bandwidth: 3 TB/s}"""
    system = scenario(tmp_path, text).system
    assert [chip.hbm.bytes_per_s for chip in system.kinds] == [3e12, 2e12]  # an entry's own set wins
    assert {wire.bytes_per_s for wire in wired(system).wires} == {12.5e9}  # a link that the chip lacks is added
    assert list(system.kind_of) == [0] * 7 + [1]


def test_equal_entries_are_one_kind(tmp_path: Path) -> None:
    system = scenario(tmp_path, "chips: [h100_sxm, 3 x h100_sxm]\ntopology: ring(4) over nvlink").system
    assert len(system.kinds) == 1
    assert list(system.kind_of) == [0, 0, 0, 0]


def test_a_base_and_what_one_changes_of_it(tmp_path: Path) -> None:
    system = scenario(tmp_path, "base: dgx_h100\nnodes: 4\nmesh: {T: 8, D: 4}").system
    assert (system.size, system.chip.name, system.host) == (32, "h100_sxm", load_system("dgx_h100").host)
    assert wired(system).levels[1].kind == "fat_tree"
    other = scenario(
        tmp_path, "base: dgx_h100\nchip: h200\nset: {links.nvlink.bandwidth: 1 GB/s}\nhost: {chips: 4}"
    ).system
    assert other.chip.name == "h200"
    assert {wire.bytes_per_s for wire in wired(other).wires} == {18e9}
    assert other.host is not None
    assert (other.host.chips, other.host.pcie_switches) == (4, 4)
    v100 = scenario(tmp_path, "base: dgx_v100\nset: {links.nvlink.bandwidth: 1 GB/s}").system
    assert {wire.bytes_per_s for wire in wired(v100).wires} == {1e9, 2e9}
    pod = scenario(tmp_path, "base: tpu_v5p\nslice: 4x4x8\nmesh: {X: 4, Y: 4, Z: 8}").system
    assert str(pod.topology) == "torus(4,4,8) over ici"
    own = scenario(tmp_path, "base: tpu_v5p\ntopology: ring(4)").system
    assert (str(own.topology), own.host is not None) == ("ring(4) over ici", True)
    mixed = scenario(tmp_path, "base: dgx_h100\nchips: [4 x h100_sxm, 4 x h200]\nnodes: 2").system
    assert list(mixed.kind_of) == ([0] * 4 + [1] * 4) * 2


def test_a_base_in_a_file_and_paths_beside_it(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "pair.edges").write_text("chip0 chip1 7 GB/s 3us\n")
    (inner / "mine.yaml").write_text(
        "name: mine\nchip: tpu_v5e\ntopology: pair.edges\nscale_out: ring({nodes}) over ici\n"
    )
    system = scenario(tmp_path, "base: inner/mine.yaml\nnodes: 3").system
    assert (system.size, {wire.bytes_per_s for _, wire in wired(system).of_level(0)}) == (6, {7e9})
    assert scenario(tmp_path, "chip: tpu_v5e\ntopology: inner/pair.edges").system.size == 2
    assert load_system(str(inner / "mine.yaml"), nodes=2).size == 4


def test_studies_change_any_part_of_a_system(tmp_path: Path) -> None:
    plain = scenario(tmp_path, "chip: tpu_v5e\ntopology: ring(4)")
    assert plain.having("system.chip", "tpu_v5p").system.chip.name == "tpu_v5p"
    assert plain.having("system.topology", "line(2)").system.size == 2
    based = scenario(tmp_path, "base: dgx_h100\nnodes: 2")
    assert based.having("system.nodes", 3).system.size == 24
    assert based.having("system.chip", "h200").system.chip.name == "h200"
    assert based.having("system.base", "dgx_a100").system.chip.name == "a100_80gb_sxm"
    assert based.having("system.set.links.nvlink.bandwidth", "1 GB/s").system.chip.links["nvlink"].bytes_per_s == 1e9
    (tmp_path / "pair.edges").write_text("chip0 chip1 7 GB/s\n")
    assert plain.having("system.topology", "pair.edges").system.size == 2


WRONG = [
    ("mesh: {}", "s.yaml:3:3: 'system.chip' is missing: a name of the catalogue, or chips: [...], or base: a system"),
    ("chip: h100_sxm\nchips: [h100_sxm]", "s.yaml:4:10: chip and chips are both given; write one of them"),
    ("chips: []", "s.yaml:3:10: chips wants at least one chip"),
    ("chips: [2 x h100_sxm]\ntopology: ring(4) over nvlink", "s.yaml:3:10: chips lists 2 chips, ring(4) over nvlink has"),
    ("chips: [2 x h100_sxm]", "s.yaml:3:10: chips lists 2 chips, there is no topology, so there is one chip"),
    ("chips: [4 x h100_smx]\ntopology: ring(4)", "s.yaml:3:11: unknown chip 'h100_smx', did you mean 'h100_sxm'?"),
    ("chips: [0 x h100_sxm]\ntopology: ring(4)", "s.yaml:3:11: '0 x h100_sxm': the count must be from 1 to 65536"),
    ("chips: [{chip: h100_sxm, cuont: 4}]\ntopology: ring(4)", "s.yaml:3:28: unknown key 'cuont', did you mean 'count'?"),
    ("chips: [{chip: h100_sxm, count: x}]\ntopology: ring(4)", "s.yaml:3:35: count is 'x'; it must be a whole number"),
    ("chips: [{count: 4}]\ntopology: ring(4)", "s.yaml:3:11: an entry of chips wants a chip"),
    ("chips: [{chip: h100_sxm, set: 4}]", "s.yaml:3:33: set wants a mapping of dotted names"),
    ("chips: [{chip: h100_sxm, set: {hbm.bandwith: 1 TB/s}}]", "s.yaml:3:34: unknown key 'hbm.bandwith'"),
    ("chips: [4 x h100_sxm, 4 x tpu_v5e]\ntopology: switch(8) over nvlink", "s.yaml:4:13: chip 4: unknown link 'nvlink'"),
    ("base: dgx_h10", "s.yaml:3:9: unknown system 'dgx_h10', did you mean 'dgx_h100'?"),
    ("base: nowhere.yaml", "there is no system file"),
    ("base: [a]", "s.yaml:3:9: base wants the name of a system"),
    ("base: dgx_h100\nnodes: 0", "s.yaml:4:10: 0 will not do for system.nodes"),
    ("base: dgx_h100\nnodes: many", "s.yaml:4:10: 'many' will not do for system.nodes"),
    ("base: dgx_h100\nnodes: 60000", "s.yaml:4:10: switch(8) x fat_tree(60000,leaf=32,rails=yes) is out of range"),
    ("chip: h100_sxm\nnodes: 4", "s.yaml:4:10: nodes wants a base that can be joined"),
    (
        "chip: h100_sxm\ntopology: switch(8) over nvlink\nscale_out: switch({nodes}) over infiniband",
        "s.yaml:5:14: scale_out says how nodes are joined, and nodes, how many there are, is missing",
    ),
    ("chip: h100_sxm\nslice: 4x4", "s.yaml:4:10: a slice wants a base that comes in slices"),
    ("base: tpu_v5e\nslice: 17x1", "s.yaml:4:10: a slice 17x1 does not fit"),
    ("base: tpu_v5e\nslice: 4x4\ntopology: ring(4)", "s.yaml:4:10: a slice wants a base that comes in slices"),
    ("base: dgx_h100\nmesh: {X: 4}", "s.yaml:4:9: the mesh has 4 places, switch(8) over nvlink has 8 chips"),
    ("base: dgx_h100\nhost: {pcie_switches: 3}", "s.yaml:4:25: a host's 8 chips cannot be shared out evenly over 3 "),
    ("base: dgx_h100\nhost: {disk: {bandwidth: 1 TB/s}}",
     "s.yaml:4:28: memory must not get faster away from the chip: the host's disk"),
    ("chip: h100_sxm\nhost: {chips: 0}", "s.yaml:4:17: 0 will not do for system.host.chips"),
    ("chip: h100_sxm\nhost: {chips: 8, memory: {capacity: 1 TB}}", "'system.host.memory.bandwidth' is missing"),
    ("chip: h100_sxm\nhost: {chips: 8, uplink: 32 GB}", "s.yaml:4:28: '32 GB' is an amount of data, system.host.uplink"),
    ("chip: h100_sxm\nhost: {chip: 8}", "unknown key 'system.host.chip', did you mean 'system.host.chips'?"),
    ("chip: h100_sxm\ntopology: [switch(8), ring(4) over nvlink]", "'switch(8)': in a list of levels each says its link"),
    ("chip: h100_sxm\ntopology: nowhere.json", "s.yaml:4:13: there is no graph file"),
    ("chip: h100_sxm\ntopology: 4", "s.yaml:4:13: "),
]  # fmt: skip


@pytest.mark.parametrize(("system", "words"), WRONG)
def test_a_wrong_system_is_refused_at_its_place(tmp_path: Path, system: str, words: str) -> None:
    said = problems(tmp_path, system)
    assert any(words in each for each in said), said
    assert len(said) <= 3, said


def test_mistakes_do_not_hide_each_other(tmp_path: Path) -> None:
    said = problems(
        tmp_path, "chips: [2 x h100, {chip: tpu_v5e, count: 0}]\nmesh: {x: 4}\nhost: {chips: 8, pcie_switches: 3}"
    )
    assert len(said) == 5
    assert [each.split(":")[1] for each in said] == ["3", "3", "4", "4", "5"]


def test_what_is_wrong_in_a_graph_is_reported_there(tmp_path: Path) -> None:
    (tmp_path / "g.edges").write_text("chip0 chip1 fast\n")
    assert problems(tmp_path, "chip: h100_sxm\ntopology: g.edges")[0].startswith("g.edges:1:13: 'fast' is not a number")


def test_a_base_has_no_base(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("name: b\nbase: dgx_h100\n")
    assert problems(tmp_path, "base: b.yaml")[0].startswith("b.yaml:2:1: 'b.yaml' has a base itself")


def test_the_document_of_a_scenario_keeps_what_was_written(tmp_path: Path) -> None:
    built = scenario(tmp_path, "base: dgx_h100")
    assert built.document.data["system"] == {"base": "dgx_h100"}
    again = build_scenario(read_source(built.path), built.path)
    assert again.system == built.system


# The commands


def test_systems_are_listed_and_shown() -> None:
    listed = overlapse("systems").stdout
    assert all(name in listed for name in system_names())
    shown = overlapse("systems", "dgx_h100").stdout
    assert "DGX SuperPOD reference architecture" in shown.replace("\n", " ")
    assert "fat_tree(n,leaf=32,rails=yes) over infiniband" in shown
    assert {row["system"] for row in json.loads(overlapse("systems", "--json").stdout)} == set(system_names())
    assert "sources" in json.loads(overlapse("systems", "dgx_v100", "--json").stdout)
    assert "did you mean 'dgx_h100'" in overlapse("systems", "dgx_h10").stderr


def test_topology_of_anything(tmp_path: Path) -> None:
    bare = overlapse("topology", "torus(4,4)", "--chip", "tpu_v5e").stdout
    assert "16 x tpu_v5e" in bare
    assert "diameter    4 hops" in bare
    assert "bisection   360 GB/s one way" in bare  # 2 x 4 wires of 45 GB/s
    levels = "[switch(8) over nvlink, fat_tree(16,leaf=4) over infiniband]"
    record = json.loads(overlapse("topology", levels, "--json").stdout)
    assert (record["chips"], record["diameter_hops"]) == (128, 2)
    assert record["bisection_bytes_per_s"] == 64 * 50e9
    assert [row["count"] for row in record["links"]] == [128, 128, 4]
    big = overlapse("topology", "dgx_h100", "--nodes", "1024").stdout
    assert "8192 x h100_sxm" in big
    assert len(big.splitlines()) <= 40
    assert "torus(4,4,8)" in overlapse("topology", "tpu_v5p", "--slice", "4x4x8").stdout
    path = scenario(tmp_path, "base: dgx_v100\nnodes: 2").path
    assert "16 x v100" in overlapse("topology", str(path)).stdout
    (tmp_path / "g.edges").write_text("chip0 s 10GB/s\nchip1 s 10GB/s\n")
    shown = overlapse("topology", str(tmp_path / "g.edges")).stdout
    assert "chip0 ── s" in shown
    assert "every balanced cut tried" in shown


def test_a_topology_is_drawn_before_there_is_a_workload(tmp_path: Path) -> None:
    path = tmp_path / "half.yaml"
    path.write_text("name: half\nsystem: {chip: tpu_v5e, topology: ring(4)}\n")
    assert "ring(4) over ici" in overlapse("topology", str(path)).stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dgx_h10"], "did you mean 'dgx_h100'"),
        (["tours(4,4)"], "unknown topology 'tours', did you mean 'torus'"),
        (["torus(4,4"], "is not a topology"),
        (["ring(4)", "--chip", "h100_smx"], "--chip:1:1: unknown chip 'h100_smx', did you mean 'h100_sxm'"),
        (["ring(4)", "--nodes", "2"], "--nodes:1:1: 'ring(4)' takes no --nodes"),
        (["dgx_h100", "--chip", "h200"], "takes no --chip"),
        (["nowhere.yaml"], "nowhere.yaml:1:1: cannot read the file"),
        (["library:nothing_at_all"], "unknown scenario of the library"),
        (["tpu_v5e", "--slice", "99x99"], "does not fit into the pod of 16x16"),
    ],
)
def test_wrong_questions(arguments: list[str], words: str) -> None:
    shown = overlapse("topology", *arguments)
    assert shown.exit_code == 2
    assert words in shown.stderr
    assert "Traceback" not in shown.stderr


def test_one_chip_alone_has_nothing_to_draw(tmp_path: Path) -> None:
    assert "nothing is wired" in overlapse("topology", str(scenario(tmp_path, "chip: tpu_v5e").path)).stdout


def test_mesh_and_size_of_every_system_by_hand() -> None:
    chip = load_chip("h100_sxm")
    assert System(chip).host is None
    assert load_system("dgx_h100", mesh={"T": 4, "D": 2}).mesh == Mesh({"T": 4, "D": 2})
    assert math.prod(load_system("tpu_v5e", nodes=2, mesh={"X": 16, "Y": 16, "D": 2}).mesh.axes.values()) == 512
