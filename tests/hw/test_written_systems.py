"""Systems as a scenario writes them: levels, unlike chips, bases and what is changed of them, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hw import SpecError, load_system
from scenarios import build_scenario, read_source
from tests.support.systems import scenario, wired


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
