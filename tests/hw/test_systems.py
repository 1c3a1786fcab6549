"""Systems: the shipped ones against their sources, slices and nodes, hosts, and the commands that show them.

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

from hw import Host, Mesh, SpecError, System, load_chip, load_system, system_names
from hw.systems import system_file
from tests.support.cases import overlapse
from tests.support.systems import scenario, wired

ROOT = Path(__file__).parents[2]


def test_the_demanded_systems_are_there() -> None:
    assert set(system_names()) >= {
        "dgx_v100", "dgx_a100", "dgx_h100", "dgx_h200", "dgx_b200", "dgx_b300", "gb200_nvl72", "gb300_nvl72", "mi300x_node",
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
    "dgx_b300": (8, 900e9, 800e9),
    "gb300_nvl72": (72, 900e9, 7200e9),
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
