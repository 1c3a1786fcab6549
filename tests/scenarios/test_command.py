"""The command beside its runs: version, help, completion, the library's shelf, a scenario to start from, standard input,
questions asked on the command line, and errors with their line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hw import VERSION
from scenarios import LIBRARY, library_names, load_scenario, run
from tests.support.cases import overlapse

BLOCK = "llama3_8b_block"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_command_is_told_in_a_line_that_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    listed = overlapse("-h").stdout.partition("Commands:\n")[2].splitlines()
    assert len([line for line in listed if line]) > 20
    assert [line for line in listed if line.rstrip().endswith("...") or len(line) > 80] == []


def test_version_and_short_help() -> None:
    assert overlapse("--version").stdout == f"overlapse {VERSION}\n"
    for words in ([], ["run"], ["library"]):
        assert overlapse(*words, "-h").stdout == overlapse(*words, "--help").stdout
    assert "--show-completion" in overlapse("-h").stdout


# The library


def test_every_scenario_of_the_library_is_listed() -> None:
    """With what it is about: `test_library` compares."""
    listed = json.loads(overlapse("library", "--json").stdout)["scenarios"]
    assert {each["name"] for each in listed} == {f"library:{name}" for name in library_names()}


def test_words_are_sought_in_names_themes_and_texts() -> None:
    shown = overlapse("library", "gpt3", "parameter").stdout
    assert "library:gpt3_6pd" in shown
    assert BLOCK not in shown
    assert overlapse("library", "GPT3", "Parameter").stdout == shown
    nothing = overlapse("library", "llama3_8b_blok")
    assert nothing.exit_code == 2
    assert "no scenario of the library mentions 'llama3_8b_blok', did you mean 'llama3_8b_block'" in nothing.stderr
    apart = overlapse("library", "gpt3", "softmax", "disk").stderr
    assert "no scenario of the library mentions all of gpt3, softmax, disk; each of them stands in some" in apart


def test_a_scenario_is_printed_as_it_stands() -> None:
    text = library_names()[BLOCK].read_text("utf-8")
    for named in (BLOCK, f"library:{BLOCK}"):
        assert overlapse("library", named, "--print").stdout == text
    several = overlapse("library", "llama3", "--print")
    assert several.exit_code == 2
    assert "scenarios are meant, name one of them" in several.stderr


# A scenario to start from


def test_the_template_runs_and_its_claims_hold() -> None:
    assert overlapse("new", "mine").exit_code == 0
    assert overlapse("check", "mine.yaml").stdout.splitlines()[-1] == "1 passed, 0 failed (2 claims)"
    assert load_scenario("mine.yaml").name == "mine"
    text = Path("mine.yaml").read_text("utf-8")
    assert sum(line.lstrip().startswith("#") for line in text.splitlines()) >= 8


@pytest.mark.parametrize(
    "name", [BLOCK, "llama3_8b_block_a100", "int8_critical_batch_hbm", *sorted(library_names())[::40]]
)
def test_a_copy_says_the_same_under_a_new_name(name: str) -> None:
    assert overlapse("new", "copy", "--from", f"library:{name}").exit_code == 0
    one, other = run(f"library:{name}"), run("copy.yaml")
    assert other.scenario.name == "copy"
    assert dict(one.summary) | {"name": ""} == dict(other.summary) | {"name": ""}
    assert str(LIBRARY) not in Path("copy.yaml").read_text("utf-8")


def test_nothing_is_overwritten_and_names_are_names() -> None:
    Path("mine.yaml").write_text("mine", "utf-8")
    assert overlapse("new", "mine").exit_code == 2
    assert Path("mine.yaml").read_text("utf-8") == "mine"
    for wrong in ("../up", "a/b", "", "-x y"):
        assert overlapse("new", "--", wrong).exit_code == 2
    assert "did you mean" in overlapse("new", "other", "--from", "library:llama3_8b_blok").stderr
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]


# Standard input


def test_a_scenario_comes_by_standard_input() -> None:
    from typer.testing import CliRunner

    from scenarios.cli import app

    text = library_names()[BLOCK].read_text("utf-8")
    piped = CliRunner().invoke(app, ["run", "-", "--json"], input=text)
    assert piped.exit_code == 0
    assert json.loads(piped.stdout) == json.loads(overlapse("run", f"library:{BLOCK}", "--json").stdout)
    for command in ("topology", "roofline"):
        assert CliRunner().invoke(app, [command, "-"], input=text).exit_code == 0
    wrong = CliRunner().invoke(app, ["run", "-"], input=text.replace("swiglu(gate", "swigl(gate"))
    assert wrong.exit_code == 2
    line = next(at for at, line in enumerate(text.splitlines(), 1) if "swiglu(gate" in line)
    assert f"-:{line}:23: unknown op kind 'swigl', did you mean 'swiglu'" in wrong.stderr
    assert "    - act:bf16[T,F] = swigl(gate, up)\n" in wrong.stderr


# Questions


@pytest.mark.long
def test_find_answers_as_a_study_does() -> None:
    asked = ("workload.dims.T=1:4096", "--where", "t_math >= t_memory")
    found = json.loads(overlapse("find", f"library:{BLOCK}", *asked, "--json").stdout)["find"]
    Path("study.yaml").write_text(
        f"extends: library:{BLOCK}\nname: s\nexpect: null\n"
        "study: {find: {smallest: workload.dims.T, from: 1, to: 4096, where: t_math >= t_memory}}\n",
        "utf-8",
    )
    assert found == run("study.yaml").found
    last = json.loads(
        overlapse("find", f"library:{BLOCK}", *asked[:-1], "t_math < t_memory", "--largest", "--json").stdout
    )
    assert last["find"] == found - 1
    assert f"T with t_math >= t_memory: {found}" in overlapse("find", f"library:{BLOCK}", *asked).stdout


@pytest.mark.long
def test_crossover_answers_as_a_study_does() -> None:
    axes = ("--x", "workload.dims.T=1:4096", "--y", "system.set.hbm.bandwidth=2 TB/s, 3.35 TB/s")
    told = overlapse("crossover", f"library:{BLOCK}", *axes, "--where", "t_math >= t_memory", "--json").stdout
    slow, fast = (row["workload.dims.T"] for row in json.loads(told)["crossover"])
    asked = ("workload.dims.T=1:4096", "--where", "t_math >= t_memory", "--json")
    assert json.loads(overlapse("find", f"library:{BLOCK}", *asked).stdout)["find"] == fast
    assert slow > fast


def test_wrong_questions_are_told_at_their_option() -> None:
    block = f"library:{BLOCK}"
    mistakes = {
        ("find", block, "workload.dims.T=1", "--where", "t_math > t_memory"): "find:1:1: 'workload.dims.T=1' is not of",
        (
            "find",
            block,
            "workload.dims.T=1:9",
            "--where",
            "t_mth > 1 s",
        ): "--where:1:1: 't_mth > 1 s': unknown result word",
        ("find", block, "workload.dims.Q=1:9", "--where", "t_math > 1 s"): "find:1:1: unknown dim 'Q'",
        ("find", block, "workload.dims.T=1:x", "--where", "t_math > 1 s"): "find:1:1: find: 'x' is not a number",
        ("crossover", block, "--x", "a", "--y", "b=1", "--where", "fits"): "--x:1:1: 'a' is not of the form",
    }
    for words, message in mistakes.items():
        shown = overlapse(*words)
        assert shown.exit_code == 2, words
        assert shown.stderr.startswith(message), shown.stderr


# Errors


def test_a_caret_stands_under_the_place() -> None:
    Path("w.yaml").write_text(
        "name: w\nsystem: {chip: h100_smx}\nworkload: {ops: ['y:bf16[4] = rlu(x:bf16[4])']}\n", "utf-8"
    )
    lines = overlapse("run", "w.yaml").stderr.splitlines()
    assert lines[0].startswith("w.yaml:2:16: unknown chip 'h100_smx'")
    assert lines[1:3] == ["    system: {chip: h100_smx}", "                   ^"]
    at = lines.index("    workload: {ops: ['y:bf16[4] = rlu(x:bf16[4])']}")
    assert lines[at + 1].index("^") == lines[at].index("rlu")


def test_a_long_line_is_shown_around_the_place_and_control_characters_as_escapes() -> None:
    long = ", ".join(f"D{at}: {at + 1}" for at in range(60))
    ops = "ops: ['y:bf16[D1] = relu(x:bf16[D1])']"
    text = f"name: w\nsystem: {{chip: tpu_v5e}}\nworkload: {{dims: {{{long}, E: -1}}, {ops}}}\n"
    Path("w.yaml").write_text(text, "utf-8")
    lines = overlapse("run", "w.yaml").stderr.splitlines()
    assert len(lines) == 3
    assert len(lines[1]) <= 80
    assert lines[1][lines[2].index("^") :].startswith("-1")


THREADS = """
import os, runpy, sys
sys.argv = ["overlapse", "chips", "h100_sxm"]
try:
    runpy.run_module("overlapse", run_name="__main__")
except SystemExit:
    import numpy
    print(len(os.listdir("/proc/self/task")), file=sys.stderr)
"""
"""The command, then how many threads its process has, numpy's among them."""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
@pytest.mark.parametrize(("wanted", "threads"), [(None, 1), ("2", 2)])
def test_a_command_starts_no_threads_for_arithmetic_unless_it_is_told_to(wanted: str | None, threads: int) -> None:
    own = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    environment = {**own, "PYTHONPATH": str(Path(__file__).parents[2])}
    if wanted is not None:
        environment["OPENBLAS_NUM_THREADS"] = wanted
    done = subprocess.run([sys.executable, "-c", THREADS], env=environment, capture_output=True, text=True, check=True)
    assert int(done.stderr) <= threads  # as many as the machine has cores, at most
