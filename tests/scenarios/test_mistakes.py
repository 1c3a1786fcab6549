"""Mistakes that people make, and what they are told: the message, the place, the caret, the name that was meant.

Each was typed, its message read, and judged by whether a newcomer knows what to do next. What a message has to say is
written here; none may be a traceback, none may tell of more than the one mistake that was made.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.cases import MATMUL, overlapse, written

GOOD = """\
name: mine
about: A matmul over four chips.
system:
  chip: h100_sxm
  topology: switch(4) over nvlink
  mesh: {X: 4}
workload:
  dims: {B: 4096, D: 8192, F: 8192}
  ops:
    - y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])
    - z:bf16[B,F] = all_reduce(y, over=X)
run: {overlap: full}
"""
MODEL = """\
name: mine
system: {chip: h100_sxm, topology: switch(4) over nvlink}
workload: {model: llama3_8b, mode: train, batch: 8, seq: 128, parallel: {tp: 4}}
"""


@dataclass(frozen=True)
class Mistake:
    """What is typed instead of what, where the message points (the text under the caret), and what it has to say."""

    name: str
    typed: str
    instead_of: str
    under_caret: str
    says: tuple[str, ...]
    file: str = GOOD


MISTAKES = (
    Mistake("a chip misspelt", "h100_smx", "h100_sxm", "h100_smx", ("unknown chip 'h100_smx'", "did you mean 'h100_sxm'?")),
    Mistake("a key misspelt", "worklaod:", "workload:", "worklaod", ("unknown key", "did you mean 'workload'?")),
    Mistake("a dim that there is not", "z:bf16[B,G]", "z:bf16[B,F]", "G]", ("unknown dim 'G'", "Allowed: B, D, F")),
    Mistake("an op kind misspelt", "matmull(", "matmul(", "matmull", ("unknown op kind", "did you mean 'matmul'?")),
    Mistake("a kind as PyTorch calls it", "mm(", "matmul(", "mm", ("unknown op kind 'mm'", "did you mean 'matmul'?")),
    Mistake("a collective as JAX calls it", "psum(", "all_reduce(", "psum", ("did you mean 'all_reduce'?",)),
    Mistake(
        "a line of a list without its dash", "    z:bf16", "    - z:bf16", "z:bf16[B,F]",
        ("no line of a list, which begins with '- '",),
    ),
    Mistake("a quotation that is not closed", 'name: "mine', "name: mine", '"mine', ("that begins here has no end",)),
    Mistake("an option misspelt", "ovr=X", "over=X", "ovr", ("unknown option of all_reduce", "did you mean 'over'?")),
    Mistake("a dtype as PyTorch says it", "x:bfloat16", "x:bf16", "bfloat16", ("unknown dtype", "did you mean 'bf16'?")),
    Mistake("a tensor misspelt", "all_reduce(yy", "all_reduce(y", "yy", ("'yy' has no type", "did you mean 'y'?")),
    Mistake(
        "a size where a rate is meant", "mesh: {X: 4}\n  set: {hbm.bandwidth: 80 GB}", "mesh: {X: 4}", "80 GB",
        ("'80 GB' is an amount of data, hbm.bandwidth wants a bandwidth",),
    ),
    Mistake(
        "a unit as data sheets write it", "mesh: {X: 4}\n  set: {hbm.bandwidth: 3.35 TBps}", "mesh: {X: 4}", "3.35 TBps",
        ("unknown unit 'TBps'", "did you mean 'TB/s'?"),
    ),
    Mistake(
        "a figure of the chip misspelt", "mesh: {X: 4}\n  set: {hbm.bandwith: 3 TB/s}", "mesh: {X: 4}", "hbm.bandwith",
        ("unknown key 'hbm.bandwith'", "did you mean 'hbm.bandwidth'?"),
    ),
    Mistake("an axis that there is not", "over=Y", "over=X", "over=Y", ("unknown mesh axis 'Y'", "Allowed: X")),
    Mistake("an axis in small letters", "x:bf16[B,D_x]", "x:bf16[B,D_X]", "D_x", ("not a dim", "did you mean 'D_X'?")),
    Mistake("a word of an option misspelt", "overlap: ful}", "overlap: full}", "ful}", ("'ful'", "run.overlap", "'full'")),
    Mistake("a key of run misspelt", "{overlaps: full}", "{overlap: full}", "overlaps", ("did you mean 'run.overlap'?",)),
    Mistake("a negative dim", "{B: -4096", "{B: 4096", "-4096", ("dim B is -4096", "from 1 to")),
    Mistake("a dim with a prefix", "{B: 4k", "{B: 4096", "4k", ("dim B wants a whole number, not '4k'",)),
    Mistake("a tab", "\tchip:", "  chip:", "\\tchip", ("indented with spaces", "tab")),
    Mistake("a key twice", "  chip: h200\n  chip:", "  chip:", "chip: h100_sxm", ("duplicate key 'chip'", "line 4")),
    Mistake("a bracket left open", "w:bf16[D_X,F]\n    - z", "w:bf16[D_X,F])\n    - z", "", ("expected ',' or ')'", "end")),
    Mistake("a topology misspelt", "swich(4)", "switch(4)", "swich", ("unknown topology", "did you mean 'switch'?")),
    Mistake("a link misspelt", "over nvlnk", "over nvlink", "switch(4)", ("unknown link", "did you mean 'nvlink'?")),
    Mistake(
        "an op without what it makes", "relu(z)\nrun", "z:bf16[B,F] = all_reduce(y, over=X)\nrun", "(z)",
        ("expected '=' after 'relu'", "an op line is OUT:DTYPE[DIMS] = KIND(INPUTS"),
    ),
    Mistake("ops that are no list", "    y:bf16[B,F]{U_X}", "    - y:bf16[B,F]{U_X}", "", ("workload.ops", "a list")),
    Mistake(
        "a claim misspelt", "run: {overlap: full}\nexpect: {tmie: 1 ms}", "run: {overlap: full}", "tmie",
        ("unknown result word", "did you mean 'time'?"),
    ),
    Mistake(
        "a claim in another unit", "run: {overlap: full}\nexpect: {time: 1 GB}", "run: {overlap: full}", "1 GB",
        ("'1 GB' is an amount of data, time wants a time",),
    ),
    Mistake(
        "a condition cut short",
        "run: {overlap: full}\nstudy: {find: {smallest: workload.dims.B, from: 1, to: 8, where: time >}}",
        "run: {overlap: full}", "time >", ("'time >' is not an expression", "t_math >= t_network"),
    ),
    Mistake(
        "a file to extend that is not there", "name: mine\nextends: base.yml", "name: mine", "base.yml",
        ("no file 'base.yml' to extend",),
    ),
    Mistake("a model misspelt", "llama3_8", "llama3_8b", "llama3_8", ("unknown model", "did you mean 'llama3_8b'"), MODEL),
    Mistake("a mode misspelt", "training", "train", "training", ("unknown mode", "did you mean 'train'?"), MODEL),
    Mistake("chips that do not multiply", "tp: 3", "tp: 4", "{tp: 3}", ("tp 3 is 3 chips", "the system's 4"), MODEL),
    Mistake("a degree misspelt", "{tpp: 4}", "{tp: 4}", "tpp", ("workload.parallel.tpp", "did you mean"), MODEL),
    Mistake(
        "a comma inside braces", "torus(2,2) over nvlink}", "switch(4) over nvlink}", "", ("quote",), MODEL,
    ),
)  # fmt: skip


def test_there_are_twenty_five_and_more() -> None:
    assert len({each.name for each in MISTAKES}) == len(MISTAKES) >= 25


@pytest.mark.parametrize("file", [GOOD, MODEL])
def test_without_a_mistake_it_runs(file: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(file)
    assert overlapse("run", str(path)).exit_code == 0


@pytest.mark.parametrize("mistake", MISTAKES, ids=[each.name for each in MISTAKES])
def test_a_mistake_is_told(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert mistake.file.count(mistake.instead_of) >= 1
    Path("mine.yaml").write_text(mistake.file.replace(mistake.instead_of, mistake.typed, 1))
    done = overlapse("run", "mine.yaml")
    assert done.exit_code == 2
    assert "Traceback" not in done.output
    places = re.findall(r"^mine\.yaml:(\d+):(\d+): (.*)$", done.output, re.MULTILINE)
    assert len(places) == 1, done.output  # one mistake, one message
    (_, _, message) = places[0]
    for wanted in mistake.says:
        assert wanted in message
    lines = done.output.splitlines()
    at = next(number for number, line in enumerate(lines) if line.strip() == "^")
    shown, caret = lines[at - 1], lines[at].index("^")
    assert shown[caret:].startswith(mistake.under_caret), shown


@pytest.mark.parametrize(
    ("study", "code", "told"),
    [
        (
            "{vary: {workload.dims.B: [0, -3]}}",
            2,
            "none of the 2 rows of the study can be run; of the first: dim B is 0",
        ),
        ("{vary: {system.chip: [h100, tpu]}}", 2, "none of the 2 rows of the study can be run; of the first: unknown"),
        ("{vary: {workload.dims.B: [0, 64]}}", 0, "1 passed, 0 failed"),
    ],
)
def test_a_study_of_which_no_row_can_be_run_does_not_pass_the_check(
    tmp_path: Path, study: str, code: int, told: str
) -> None:
    path = written(tmp_path, f"{MATMUL}study: {study}\n")
    shown = overlapse("check", path)
    assert shown.exit_code == code
    assert told in " ".join(shown.output.split())


BESIDE_A_WRONG_FILE = {
    "search": (
        ["search", "F", "--jobs", "0", "--most", "0", "--goal", "speed", "--vary", "tp", "--cluster", "here"],
        ["--jobs", "--most", "--goal", "--vary", "--cluster"],
    ),
    "search with a plot": (["search", "F", "--plot", "a.bmp", "--draw", "0"], ["--plot", "--draw"]),
    "study": (
        ["study", "F", "--jobs", "0", "--cluster", "here", "--vary", "a.b", "--export", "a.xls"],
        ["--jobs", "--cluster", "--vary", "a.xls"],
    ),
    "find": (["find", "F", "workload.dims.B", "--where", "time > 1"], ["find"]),
    "crossover": (["crossover", "F", "--x", "B", "--y", "D", "--where", "time > 1"], ["--x", "--y"]),
    "what-if": (["what-if", "F", "--edit", "nonsense"], ["--edit"]),
    "compare": (["compare", "F", "G"], ["other.yaml"]),
    "run": (["run", "F", "--out", "F"], ["no folder to write to"]),
    "report": (["report", "F", "--out", "F"], ["was not written by Overlapse"]),
    "calibrate": (
        ["calibrate", "R", "--chip", "h100", "--start", "old", "--out", "F"],
        ["rows.csv:1", "unknown chip", "was not written by Overlapse"],
    ),
    "validate": (["validate", "R", "--chip", "h100"], ["rows.csv:1", "unknown chip"]),
    "bench": (["bench", "tpu", "--suite", "all", "--out", "F"], ["bench:1", "--suite", "was not written"]),
}


@pytest.mark.parametrize(("asked", "told"), BESIDE_A_WRONG_FILE.values(), ids=BESIDE_A_WRONG_FILE)
def test_what_is_wrong_with_options_is_told_beside_what_is_wrong_with_the_file(
    tmp_path: Path, asked: list[str], told: list[str]
) -> None:
    (tmp_path / "rows.csv").write_text("suite,name\nmatmul,a\n")
    files = {"F": written(tmp_path, MATMUL.replace("tpu_v5e", "tpu_v5x")), "R": str(tmp_path / "rows.csv")}
    files["G"] = written(tmp_path, MATMUL.replace("tpu_v5e", "tpu_v5y"), "other.yaml")
    shown = overlapse(*(files.get(word, word) for word in asked))
    assert shown.exit_code == 2
    for each in [*told, *(["scenario.yaml:2:"] if "R" not in asked and asked[0] != "bench" else [])]:
        assert each in shown.stderr, each
