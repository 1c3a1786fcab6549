"""A name that is not there: told once, at its place, with the names that were likely meant, and without follow-ups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hw import SpecError, load_chip, load_system
from hw.input import did_you_mean, nearest, unknown
from scenarios import library_names, read_source, run
from tests.support.cases import overlapse, problem_lines

GATHER = """\
name: gather
system: {chip: h100_sxm, topology: switch(8) over nvlink, mesh: {X: 8}}
workload:
  dims: {I: 4096, J: 8192}
  ops:
    - y:bf16[I,J] = all_gather(x:bf16[I_X,J], over=X)
    - z:bf16[I_X,J] = relu(v:bf16[I_X,J])
run: {overlap: full, efficiency: {nvlink: 0.9}}
processes: {load: {feeds: z, uses: {chip3.hbm: 1 MB, "nvlink:chip0>switch": 1 MB}}}
"""
"""Everything in it but the dims depends on the chip or the wiring."""


def wrong(path: Path, text: str, *arguments: str) -> list[str]:
    """What is said of a scenario that cannot be read, line by line."""
    path.write_text(text)
    shown = overlapse("run", str(path), *arguments)
    assert shown.exit_code == 2, shown.stdout
    return problem_lines(shown.stderr)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "gather.yaml"


CHIPS = (
    "a100_40gb_sxm",
    "a100_80gb_pcie",
    "b200",
    "h100_nvl",
    "h100_pcie",
    "h100_sxm",
    "h200",
    "p100",
    "tpu_v5e",
    "tpu_v5p",
)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("h100", ", did you mean 'h100_nvl', 'h100_pcie' or 'h100_sxm'?"),
        ("H100", ", did you mean 'h100_nvl', 'h100_pcie' or 'h100_sxm'?"),
        ("A100", ", did you mean 'a100_40gb_sxm' or 'a100_80gb_pcie'?"),
        ("B200", ", did you mean 'b200'?"),
        ("h100-sxm", ", did you mean 'h100_sxm'?"),
        ("H100 SXM", ", did you mean 'h100_sxm'?"),
        ("tpuv5e", ", did you mean 'tpu_v5e'?"),
        ("TPU-v5", ", did you mean 'tpu_v5e' or 'tpu_v5p'?"),
        ("h100_sxn", ", did you mean 'h100_sxm'?"),
        ("nothing_like_it", ""),
        ("", ""),
    ],
)
def test_what_a_name_begins_comes_before_what_it_resembles(name: str, hint: str) -> None:
    assert did_you_mean(name, CHIPS) == hint


def test_many_names_that_begin_alike_are_not_all_listed() -> None:
    hint = did_you_mean("chip", [f"chip{number}" for number in range(30)])
    assert hint.count("'") == 10
    assert "25 more" in hint


def test_a_huge_name_costs_nothing_and_is_cut() -> None:
    assert nearest("x" * 5_000_000, ["x"]) is None
    assert len(unknown("chip", "x" * 5_000_000, ["x"])) < 300


@pytest.mark.parametrize("name", ["H100_SXM", "h100_sxm", "H100_Sxm"])
def test_case_does_not_matter_for_a_chip_or_a_system(path: Path, name: str) -> None:
    path.write_text(GATHER)
    want = run(str(path)).summary["time"]
    path.write_text(GATHER.replace("h100_sxm", name))
    assert run(str(path)).summary["time"] == want
    path.write_text(GATHER.replace("chip: h100_sxm", f"chips: [4 x {name}, 4 x h100_sxm]"))
    assert run(str(path)).summary["time"] == want
    assert load_chip(name) == load_chip("h100_sxm")
    assert load_system("DGX_h100").size == load_system("dgx_h100").size
    assert overlapse("chips", name).exit_code == 0
    assert overlapse("topology", "DGX_H100").exit_code == 0
    assert overlapse("systems", "DGX_H100").exit_code == 0


@pytest.mark.parametrize("chip", ["h100", "h1000_sxm", "./nowhere.yaml", "{name: mine}"])
def test_a_wrong_chip_is_one_error(path: Path, chip: str) -> None:
    """Its links, the wiring over them, the mesh, the efficiencies and the resources are not to blame."""
    lines = wrong(path, GATHER.replace("chip: h100_sxm", f"chip: {chip}"))
    mine = [line for line in lines if "missing" not in line]  # an inline chip lacks several sections, each told
    assert len(lines) == 1 or (chip.startswith("{") and not mine), lines


def test_a_wrong_chip_hides_no_other_mistake(path: Path) -> None:
    text = (
        GATHER.replace("chip: h100_sxm", "chip: h100")
        .replace("relu(v", "rellu(v")
        .replace("overlap: full", "overlap: ful")
    )
    text = text.replace("run: {", "run: {collectives: rings, ")
    said = " ".join(wrong(path, text))
    assert all(word in said for word in ("'h100_sxm'", "'relu'", "overlap"))


def test_a_wrong_topology_is_one_error(path: Path) -> None:
    (line,) = wrong(path, GATHER.replace("switch(8)", "swich(8)"))
    assert "did you mean 'switch'" in line


def test_an_impossible_axis_is_one_error(path: Path) -> None:
    for size in ("-8", "0"):
        (line,) = wrong(path, GATHER.replace("{X: 8}", f"{{X: {size}}}"))
        assert f"mesh axis X has size {size}" in line


def test_wrong_collectives_and_a_wrong_efficiency_are_both_told(path: Path) -> None:
    text = GATHER.replace("overlap: full", "overlap: full, collectives: rings").replace("nvlink: 0.9", "nvlnk: 0.9")
    lines = wrong(path, text.replace("h100_sxm", "v100_sxm2_32gb"))
    assert len(lines) == 2
    assert "did you mean 'ring'" in " ".join(lines)
    assert "did you mean 'nvlink'" in " ".join(lines)


SET = "mesh: {X: 8}, set: {links.nvlnk.bandwidth: 100 GB/s}"


def test_a_figure_of_a_link_that_nothing_has_is_a_mistake(path: Path) -> None:
    (line,) = wrong(path, GATHER.replace("mesh: {X: 8}", SET))
    assert line.startswith(f"{path}:2:79: unknown link 'nvlnk', did you mean 'nvlink'?")


def test_a_link_that_nothing_has_is_told_wherever_it_is_set(path: Path) -> None:
    (line,) = wrong(path, GATHER, "--set", "system.set.links.nvlnk.latency=1 us")
    assert line.startswith("--set:1:1: unknown link 'nvlnk', did you mean 'nvlink'?")
    mixed = "chips: [4 x h100_sxm, {chip: h100_sxm, count: 4, set: {links.nvlnk.latency: 1 us}}]"
    (line,) = wrong(path, GATHER.replace("chip: h100_sxm", mixed))
    assert "unknown link 'nvlnk', did you mean 'nvlink'?" in line
    for part in ("vary", "zip", "random: {values", "find"):
        study = {
            "vary": "study: {vary: {system.set.links.nvlnk.latency: [1 us, 2 us]}}",
            "zip": "study: {zip: {system.set.links.nvlnk.latency: [1 us, 2 us]}}",
            "random: {values": "study: {random: {samples: 2, values: {system.set.links.nvlnk.count: [1, 2]}}}",
            "find": "study: {find: {smallest: system.set.links.nvlnk.count, from: 1, to: 4, where: time > 1 s}}",
        }[part]
        (line,) = wrong(path, GATHER + study + "\n")
        assert "unknown link 'nvlnk', did you mean 'nvlink'?" in line
        assert line.startswith(f"{path}:10:")
    path.write_text(GATHER)
    shown = overlapse("what-if", str(path), "--edit", "system.set.links.nvlnk.bandwidth=1 TB/s")
    assert shown.exit_code == 2
    assert "unknown link 'nvlnk', did you mean 'nvlink'?" in shown.stderr


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("hmb.bandwidth", "'hbm'"),
        ("hbm.bandwith", "'hbm.bandwidth'"),
        ("onchip.capacity", "'on_chip'"),
        ("matrixunit.peak.bf16", "'matrix_unit'"),
        ("matrix_unit.peek.bf16", "'matrix_unit.peak'"),
        ("links.nvlink.latncy", "'links.nvlink.latency'"),
    ],
)
def test_a_figure_that_no_chip_has_is_a_mistake(path: Path, name: str, hint: str) -> None:
    for text, *arguments in (
        (GATHER.replace("mesh: {X: 8}", f"mesh: {{X: 8}}, set: {{{name}: 1}}"),),
        (GATHER, "--set", f"system.set.{name}=1"),
        (GATHER + f"study: {{vary: {{system.set.{name}: [1, 2]}}}}\n",),
    ):
        said = " ".join(wrong(path, text, *arguments))
        assert "did you mean" in said
        assert hint.strip("'") in said


def test_a_link_that_the_wiring_names_may_be_given_to_a_chip(path: Path) -> None:
    """An adapter that the catalogue does not list: 2 x 1 MB over 1 GB/s, of which a chip receives 1 MB."""
    path.write_text(
        "name: adapter\nsystem: {chip: tpu_v5e, topology: switch(2) over ethernet, mesh: {X: 2}, "
        "set: {links.ethernet.bandwidth: 1 GB/s}}\n"
        "workload:\n  dims: {I: 2000000}\n  ops: ['y:int8[I] = all_gather(x:int8[I_X], over=X)']\n"
        "run: {overlap: full}\n"
    )
    assert run(str(path)).summary["time"] == pytest.approx(1e-3, rel=1e-9)


def test_a_way_to_the_host_may_be_given_to_a_chip(path: Path) -> None:
    path.write_text(GATHER.replace("mesh: {X: 8}", "mesh: {X: 8}, set: {links.pcie.bandwidth: 32 GB/s}"))
    (chip,) = run(str(path)).scenario.system.kinds
    assert chip.links["pcie"].bytes_per_s == 32e9


def test_a_link_may_be_set_for_the_chips_that_have_it(path: Path) -> None:
    """Set for all chips of a mixed system: enough if one kind has it."""
    mixed = "chips: [4 x h100_sxm, 4 x h100_sxm]"
    path.write_text(GATHER.replace("chip: h100_sxm", mixed).replace("mesh: {X: 8}", SET.replace("nvlnk", "nvlink")))
    assert {chip.links["nvlink"].bytes_per_s for chip in run(str(path)).scenario.system.kinds} == {100e9}


ODD = ["[network]", "{a: 1}", "[]", "{}", "[[1]]", "{value: [1]}", "{value: {}}", "{tolerance: 1%}", "true", "-1", "x"]


@pytest.mark.parametrize("value", ODD)
@pytest.mark.parametrize("word", ["time", "bound_by", "fits", "find", "eta", "ops.z.time", "ops.z.bound_by"])
def test_a_claim_of_any_shape_is_judged_or_refused_at_its_place(path: Path, word: str, value: str) -> None:
    path.write_text(GATHER + f"expect: {{{word}: {value}}}\n")
    shown = overlapse("check", str(path))
    if shown.exit_code == 2:
        assert f"{path}:10:" in shown.stdout
    else:
        assert shown.exit_code in (0, 1)


def test_one_file_that_cannot_be_checked_keeps_no_other_from_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong input, and even a defect of ours."""
    path.write_text(GATHER)
    path.with_name("a_wrong.yaml").write_text(GATHER + "expect: {bound_by: [network]}\n")
    path.with_name("b_defect.yaml").write_text(GATHER)

    def sometimes(file: str) -> object:
        if "b_defect" in file:
            raise TypeError("unhashable type")
        return run(file)

    monkeypatch.setattr("scenarios.outcome.check.run", sometimes)
    shown = overlapse("check", str(path.parent))
    assert shown.exit_code == 3
    assert "defect of Overlapse: TypeError: unhashable type" in shown.stdout
    assert f"ok   {path}" in shown.stdout
    assert "1 passed, 2 failed" in shown.stdout


def test_nothing_asked_about_an_unknown_chip_is_an_error_of_python() -> None:
    with pytest.raises(SpecError, match="did you mean 'h100_nvl', 'h100_pcie' or 'h100_sxm'"):
        load_chip("h100")


PROGRAM = """\
name: program
system: {chip: h100_sxm}
workload:
  dims: {N: 64}
  ops:
    - x:bf16[N] = relu(nowhere)
    - z:bf16[N] = relu(a:bf16[N], after=x)
    - repeat: 2
      carry: {z: y}
      ops:
        - y:bf16[N] = reluu z
    - s:bf16[N] = relu(z, after=[x, y@round.1])
    - t:bf16[N] = relu(y@round.1)
  fuse: [[x, s]]
processes: {load: {feeds: x, uses: {chip0.hbm: 1 MB}}}
expect: {ops.x.time: 1 us, ops.y.1.time: 1 us}
"""


def test_an_op_that_cannot_be_read_is_known_to_who_speaks_of_it(path: Path) -> None:
    """Waiting for it, carrying it, asking for a round of it, fusing it, feeding it and claims about it are no mistakes."""
    lines = wrong(path, PROGRAM)
    assert [line.split(":")[1] for line in lines] == ["6", "11"], lines


def test_an_op_that_cannot_be_read_hides_no_other_mistake(path: Path) -> None:
    text = PROGRAM.replace("after=x", "after=xx").replace("[x, s]", "[x, ss]").replace("ops.x.time", "ops.xx.time")
    text = text.replace(", y@round.1]", "]").replace("relu(y@round.1)", "relu(z)")
    lines = wrong(path, text)
    assert [line.split(":")[1] for line in lines] == ["6", "7", "11", "14", "16"], lines


def test_a_block_that_carries_what_cannot_be_read_is_told_where_rounds_are_asked_for(path: Path) -> None:
    text = PROGRAM.replace("nowhere", "b:bf16[N]").replace("after=x)", "after=zz@3)")
    lines = wrong(path, text)
    assert [line.split(":")[1] for line in lines] == ["7", "11"], lines


@pytest.mark.parametrize("name", ["n" * 5000, "n" * 300 + "/x.yaml", "nul\0byte", ""])
def test_a_name_that_no_file_can_have_is_no_scenario(name: str) -> None:
    for command in ("check", "run", "what-if", "study", "explain"):
        shown = overlapse(command, name)
        assert shown.exit_code == 2
        assert len(shown.output.splitlines()) <= 3  # nothing is no folder either, whose files would all be checked


def test_only_files_of_a_folder_are_scenarios(path: Path) -> None:
    """A pipe would be waited on for ever; a link to nowhere is told."""
    path.write_text(GATHER)
    os.mkfifo(path.with_name("pipe.yaml"))
    path.with_name("folder.yaml").mkdir()
    shown = overlapse("check", str(path.parent))
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed (0 claims)")
    path.with_name("link.yaml").symlink_to(path.with_name("nowhere.yaml"))
    shown = overlapse("check", str(path.parent))
    assert (shown.exit_code, shown.stdout.splitlines()[-1]) == (2, "1 passed, 1 failed (0 claims)")


def test_a_name_that_the_library_lacks_is_told_in_a_few_lines() -> None:
    shown = overlapse("run", "library:llama3_8b_blok")
    assert shown.exit_code == 2
    assert "did you mean 'llama3_8b_block'?" in shown.stderr
    assert f"({len(library_names())} in all)" in shown.stderr
    assert len(shown.stderr) < 1_000


@pytest.mark.parametrize(
    ("path_to_it", "said"),
    [
        ("a.b", "unknown key 'a'. Allowed: name, processes, run, system, workload"),
        ("wrkload.dims.I", "unknown key 'wrkload', did you mean 'workload'?"),
        ("workload.dims.Q", "unknown key 'workload.dims.Q'. Allowed: I, J"),
        ("run.efficiency.nvlnk", "unknown key 'run.efficiency.nvlnk', did you mean 'run.efficiency.nvlink'?"),
        ("system.set.hbm.bandwidth", "unknown key 'system.set'"),
        ("ops.z.tiles", "its line leaves the option out"),
        ("name.x", "cannot set name.x: name is a plain value"),
    ],
)
def test_what_is_not_there_cannot_be_deleted(path: Path, path_to_it: str, said: str) -> None:
    text = GATHER.replace("relu(v", "relu(x")
    (line,) = wrong(path, text, "--set", f"{path_to_it}=")
    assert line.startswith("--set:1:1: ")
    assert said in line


def test_what_is_there_can_be_deleted_and_what_is_set_twice_too(path: Path) -> None:
    path.write_text(GATHER)
    assert "processes" not in read_source(path, ["processes="]).data
    assert read_source(path, ["run.order=ready", "run.order="]).data == read_source(path).data


def test_every_wrong_override_is_told(path: Path) -> None:
    lines = wrong(path, GATHER, "--set", "a.b=", "--set", "workload.dims.Q=", "--set", "nothing")
    assert [line.split(": ")[0] for line in lines] == ["--set:1:1", "--set:2:1", "--set:3:1"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("system.set.hbm=1", "1 will not do for hbm: it wants a mapping of capacity, bandwidth, latency"),
        ("system.chip=3", "3 will not do for system.chip: it wants text or a mapping (key: value)"),
        ("system.topology=[3]", "3 will not do for system.topology.0: it wants text"),
        (
            "system.set.matrix_unit.tile=[1, 2, 3]",
            "a list will not do for matrix_unit.tile: it wants at most 2 entries",
        ),
        ("system.set.links.nvlink.count=1.5", "1.5 will not do for links.nvlink.count: it wants a whole number"),
        ("system.set.links.nvlink.count=0", "0 will not do for links.nvlink.count: it wants more than 0"),
        ("run.padding=perhaps", "'perhaps' will not do for run.padding: it wants true or false"),
        ("run.overlap=ful", "'ful' will not do for run.overlap: it wants 'full', 'none' or 'auto'"),
        ("workload.dims=3", "3 will not do for workload.dims: it wants a mapping (key: value)"),
        ("workload.ops=3", "3 will not do for workload.ops: it wants a list, as in [a, b]"),
    ],
)
def test_a_value_of_the_wrong_kind_is_told_once_and_in_the_words_of_the_language(
    path: Path, change: str, said: str
) -> None:
    text = GATHER[: GATHER.index("processes")]
    (line,) = wrong(path, text, "--set", change)
    assert line.partition(": ")[2] == said


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("extends: library:llama3_8b_blok\n", "1:10"),
        ("study: {vary: {workload: ['library:llama3_8b_blok']}}\n", "1:28"),
        ("expect: {'run(\"library:llama3_8b_blok\").time < 1 s': true}\n", "1:10"),
    ],
)
def test_a_bundled_scenario_that_is_not_there_is_told_where_it_is_asked_for(path: Path, more: str, place: str) -> None:
    (line,) = wrong(path, more + GATHER[: GATHER.index("processes")].replace("relu(v", "relu(x"))
    assert line.startswith(f"{path}:{place}: ")
    assert "did you mean 'llama3_8b_block'?" in line


def test_a_wrong_value_hides_no_wrong_name_beside_it(path: Path) -> None:
    """Of one section: an algorithm, a resource and a share that there are not, and a word that none of three is."""
    run_section = "run: {collectives: tre, efficiency: {hbn: 2, nvlnk: 20 %}, overlap: fulll}"
    said = wrong(path, GATHER.replace("run: {overlap: full, efficiency: {nvlink: 0.9}}", run_section))
    assert [line.split(": ", 1)[1].split(",")[0] for line in said] == [
        "unknown run.collectives 'tre'",
        "unknown resource 'hbn'",
        "'2' is out of range: run.efficiency.hbn must be more than 0 and at most 1",
        "unknown resource 'nvlnk'",
        "'fulll' will not do for run.overlap: it wants 'full'",
    ]


def test_a_section_that_an_override_replaced_is_wrong_there(path: Path) -> None:
    """The cores that it left out are missing in the scenario, not in the chip's own file."""
    text = GATHER.replace("{chip: h100_sxm,", "{chip: h100_sxm, set: {matrix_unit: {peak: {bf16: 100 TFLOP/s}}},")
    assert wrong(path, text)[0].startswith(f"{path}:2:45: kernels go over cores in waves: matrix_unit.cores is missing")


def test_an_option_that_says_nothing_of_its_target_is_refused(tmp_path: Path) -> None:
    chip = overlapse("roofline", "h100_sxm", "--set", "hbm.bandwidth=1 TB/s")
    assert chip.exit_code == 2
    assert "--set:1:1: h100_sxm is a chip, and --set is for scenarios" in chip.stderr
    rows = tmp_path / "rows.csv"
    rows.write_text("step_s,tflops_per_chip,tokens_per_s_per_chip,gbs\n1,2,3,4\n")
    steps = overlapse("validate", rows, "--chip", "h100_sxm")
    assert steps.exit_code == 2
    assert f"--chip:1:1: each row of {rows} names its chip itself" in steps.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("foo: null", "unknown key 'foo'"),
        ("run: {overlpa: null}", "unknown key 'run.overlpa', did you mean 'run.overlap'?"),
        (
            "system: {set: {hbm.bandwith: null}}",
            "unknown key 'system.set.hbm.bandwith', did you mean 'system.set.hbm.bandwidth'?",
        ),
        ("workload: {dims: {Q: null}}", "unknown dim 'Q'. Allowed: I, J"),
        ("workload: {dimz: {Q: null}}", "unknown key 'workload.dimz'"),
        ("expect: {tme: null}", "expect has no 'tme'"),
        ("study: {vary: {workload.dims.J: null}}", "study.vary has no 'workload.dims.J'"),
        ("system: {mesh: {Y: null}}", "system.mesh has no 'Y'"),
    ],
)
def test_a_null_that_finds_nothing_is_told(tmp_path: Path, text: str, said: str) -> None:
    """Of a file that extends another: what it deletes was there, or is a key that it may leave to its default."""
    (tmp_path / "gather.yaml").write_text(GATHER)
    path = tmp_path / "other.yaml"
    found = wrong(path, f"extends: gather.yaml\n{text}\n")
    assert any(line.startswith(f"{path}:2:") and f"there is nothing to delete: {said}" in line for line in found), found


def test_a_null_may_stand_for_what_could_be_there(tmp_path: Path) -> None:
    (tmp_path / "gather.yaml").write_text(GATHER)
    path = tmp_path / "other.yaml"
    path.write_text(
        "extends: gather.yaml\nrun: {overlap: null, order: null}\nprocesses: null\neconomics: null\n"
        "system: {set: {matrix_unit.derived: null}}\n"
    )
    assert overlapse("run", path).exit_code == 0


@pytest.mark.parametrize(("item", "said"), [("3", "3"), ("null", "null"), ("true", "true"), ("[a]", "a list")])
def test_what_is_no_op_line_is_told_once(path: Path, item: str, said: str) -> None:
    (line,) = wrong(path, f"name: a\nsystem: {{chip: h100_sxm}}\nworkload: {{ops: [{item}]}}\n")
    assert line == f"{path}:3:18: {said} is not an op line"
