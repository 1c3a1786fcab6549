"""What reaches the terminal: paths whole however long they are, control characters as escapes, floods as counts."""

from __future__ import annotations

import io
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hw import SpecError
from hw.input import printable
from scenarios.console.streams import ERRORS
from scenarios.console.terminal import console, print_rows
from tests.support.cases import MATMUL, overlapse, problem_lines, started, written

CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Everything that moves a cursor or turns a line, but the newline."""

PLAIN = """\
name: plain
system: {chip: tpu_v5e, set: {hbm.bandwidth: 800 GB/s}}
workload:
  dims: {B: 512, D: 1024}
  ops:
    - y:bf16[B,D] = relu(x:bf16[B,D])
"""


def long_folder(base: Path, length: int, name: str) -> Path:
    """A folder whose whole path has so many characters."""
    filler = (name * length)[: max(1, length - len(str(base)) - 1)]
    folder = base / filler.strip()
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("length", range(60, 120, 7))
@pytest.mark.parametrize("name", ["folder", "two words "])
@pytest.mark.parametrize("command", ["explain", "sources"])
def test_a_path_is_whole_at_any_length(tmp_path: Path, command: str, name: str, length: int) -> None:
    path = long_folder(tmp_path, length, name) / "plain.yaml"
    path.write_text(PLAIN)
    place = f"{path}:2:46" if command == "sources" else f"{path}:1:7"
    assert place in overlapse(command, str(path)).stdout


def test_a_path_below_the_working_directory_is_shown_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "plain.yaml").write_text(PLAIN)
    (folder / "wrong.yaml").write_text(PLAIN.replace("tpu_v5e", "tpu_v5x"))
    monkeypatch.chdir(tmp_path)
    assert re.search(r"(?<!/)here/plain\.yaml:1:7", overlapse("explain", str(folder / "plain.yaml")).stdout)
    assert overlapse("run", str(folder / "wrong.yaml")).stderr.startswith("here/wrong.yaml:2:16: ")
    assert str(folder) not in overlapse("run", str(folder / "wrong.yaml")).stderr


def test_an_error_in_a_study_names_its_file_in_one_piece(tmp_path: Path) -> None:
    path = long_folder(tmp_path, 110, "folder") / "plain.yaml"
    path.write_text(PLAIN)
    wrong = path.with_name("no such chip file.yaml")
    shown = overlapse("study", str(path), "--vary", f"system.chip=tpu_v5e,'{wrong}'")
    assert f"there is no chip file '{wrong}'" in shown.stdout


WIRED = """\
name: wired
system: {chip: tpu_v5e, topology: FILE over ici, mesh: {X: 4}}
workload:
  dims: {B: 512, D: 1024}
  ops:
    - y:bf16[B,D] = all_gather(x:bf16[B_X,D], over=X)
expect: {time: 1 s}
"""


@pytest.mark.parametrize("length", [40, 77, 100, 200])
@pytest.mark.parametrize("command", ["run", "explain", "topology", "check", "study", "graph"])
def test_the_path_of_a_graph_file_is_whole_on_every_screen(tmp_path: Path, command: str, length: int) -> None:
    graph = long_folder(tmp_path, length, "folder") / "wires.edges"
    graph.write_text("".join(f"chip{n} chip{(n + 1) % 4} 45GB/s 1us\n" for n in range(4)))
    path = graph.with_name("wired.yaml")
    path.write_text(WIRED.replace("FILE", str(graph)))
    arguments = {
        "study": ["study", str(path), "--vary", f"system.topology={graph} over ici,ring(4)"],
        "graph": ["topology", str(graph), "--chip", "tpu_v5e"],
    }.get(command, [command, str(path)])
    shown = overlapse(*arguments).stdout
    assert str(path if command == "check" else graph) in shown
    broken = [line for line in shown.splitlines() if "folderfolder" in line and str(graph.parent) not in line]
    assert not broken


@given(st.lists(st.tuples(st.text("ab c", max_size=40), st.text("d ef", max_size=80), st.text("/gh", max_size=120))))
def test_rows_break_no_word(rows: list[tuple[str, str, str]]) -> None:
    out = console()
    out.file = io.StringIO()
    print_rows(out, rows, ("", "", ""))
    printed = sorted(out.file.getvalue().split())
    assert printed == sorted(word for row in rows for cell in row for word in cell.split())


HOSTILE = {
    "escape": "\\e[31mred",
    "title": "\\e]0;title\\a",
    "clear": "\\e[2J",
    "back": "a\\b\\b\\bb",
    "return": "a\\rb",
    "single csi": "\\x9b31m",
    "turned": "\\u202Etxt.exe",
    "delete": "a\\x7f",
    "null": "a\\0b",
    "newline": "a\\nFAIL b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("command", ["run", "check", "explain", "study", "what-if", "compare", "roofline", "topology"])
def test_names_cannot_control_the_terminal(tmp_path: Path, command: str, text: str) -> None:
    """In a scenario's texts, a chip's name and sources, a study's values, and claims that fail."""
    path = tmp_path / "hostile.yaml"
    path.write_text(
        f'name: "{text}"\nabout: "{text}"\n'
        "system:\n  chip:\n"
        f'    name: "{text}"\n    about: "{text}"\n'
        "    matrix_unit: {peak: {bf16: 1e14}}\n    vector_unit: {peak: {fp32: 1e13}}\n"
        "    hbm: {capacity: 1 GB, bandwidth: 1 TB/s}\n"
        f'    links: {{"l{text}": {{bandwidth: 1 GB/s}}}}\n'
        f'    sources: {{hbm: "{text}"}}\n'
        'workload:\n  dims: {B: 64}\n  ops: ["y:bf16[B] = relu(x:bf16[B])"]\n'
        f'study: {{vary: {{name_of: ["{text}"]}}}}\n'.replace("name_of", "system.chip")
        + "expect: {time: 1 s}\n"
    )
    arguments = [command, str(path)] + ([str(path)] if command == "compare" else [])
    shown = overlapse(*arguments)
    assert not CONTROL.findall(shown.stdout + shown.stderr)


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_names_in_errors_cannot_control_the_terminal(tmp_path: Path, text: str) -> None:
    path = tmp_path / "hostile.yaml"
    path.write_text(
        f'name: a\n"k{text}": 1\nsystem: {{chip: "c{text}", topology: "t{text}", mesh: {{"{text}": 2}}}}\n'
        f'workload:\n  dims: {{"{text}": 1, B: "{text}"}}\n  ops: ["{text}", "y:bf16[B] = {text}(x:bf16[B])"]\n'
        f'run: {{overlap: "{text}", collectives: "{text}", efficiency: {{"{text}": 1}}}}\n'
        f'expect: {{"{text}": 1, bound_by: "{text}"}}\nstudy: {{find: {{smallest: "{text}", where: "{text}"}}}}\n'
    )
    for command in ("run", "check"):
        shown = overlapse(command, str(path))
        lines = [*shown.stdout.splitlines(), *problem_lines(shown.stderr)]
        assert shown.exit_code == 2
        assert len(lines) > 5
        assert not CONTROL.findall(shown.stdout + shown.stderr)
        told = [line for line in lines if not line.startswith(("FAIL /", "0 passed"))]
        assert all("hostile.yaml:" in line or line.startswith("... and") for line in told)


def test_a_graph_file_cannot_control_the_terminal(tmp_path: Path) -> None:
    graph = tmp_path / "wires.edges"
    graph.write_text("chip0 sw\x1b[31m 1GB/s\nchip1 sw\x1b[31m 1GB/s\nchip1 sw\x1b]0;a 1Gx\x1b/s\n")
    shown = overlapse("topology", str(graph))
    assert shown.exit_code == 2
    assert not CONTROL.findall(shown.stderr)
    graph.write_text("chip0 sw\x1b[31m 1GB/s\nchip1 sw\x1b[31m 1GB/s\n")
    shown = overlapse("topology", str(graph))
    assert shown.exit_code == 0
    assert "sw\\x1b[31m" in shown.stdout
    assert not CONTROL.findall(shown.stdout)


@given(st.text())
def test_printable_text_is_one_harmless_line(text: str) -> None:
    plain = printable(text)
    assert not CONTROL.findall(plain)
    assert len(plain.splitlines()) <= 1
    assert printable(plain) == plain


def test_text_without_control_characters_is_left_alone() -> None:
    for text in ("plain", "µs × 2 → 3", "Größe", "行列", "emoji 🚀", "C:\\path"):
        assert printable(text) == text


@pytest.mark.long
@pytest.mark.parametrize("command", ["run", "check"])
def test_of_many_mistakes_the_first_are_told_and_all_are_counted(tmp_path: Path, command: str) -> None:
    path = tmp_path / "flood.yaml"
    path.write_text(PLAIN + "".join(f"key{number}: 1\n" for number in range(20_000)))
    begin = time.process_time()
    shown = overlapse(command, str(path))
    told = (shown.stderr + shown.stdout).splitlines()
    assert shown.exit_code == 2
    assert sum("unknown key 'key" in line for line in told) == 20
    assert any("... and 19,980 more problems (20,000 in all)" in line for line in told)
    assert time.process_time() - begin < 60


@pytest.mark.long
def test_floods_of_every_kind_end(tmp_path: Path) -> None:
    """Unknown figures of a chip, dims of no size, ops of no kind, claims that fail: a screen of each, not megabytes."""
    many = range(3_000)
    floods = {
        "chip": PLAIN.replace("set: {", "set: {" + ", ".join(f"hbm.k{n}: 1" for n in many) + ", "),
        "dims": PLAIN.replace("dims: {", "dims: {" + ", ".join(f"K{n}: -1" for n in many) + ", "),
        "ops": PLAIN + "".join(f"    - y{n}:bf16[B] = relux(z{n}:bf16[B])\n" for n in many),
        "claims": PLAIN + "expect: {" + ", ".join(f"ops.y{n}.time: 1 s" for n in many) + "}\n",
        "name": PLAIN.replace("tpu_v5e", "x" * 100_000),
        "value": PLAIN.replace("800 GB/s", "y" * 100_000),
    }
    for name, text in floods.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(text)
        shown = overlapse("run", str(path))
        assert shown.exit_code == 2
        assert len(shown.stderr) < 50_000, name
        assert len(problem_lines(shown.stderr)) <= 21, name


def test_many_claims_that_fail_are_counted(tmp_path: Path) -> None:
    words = ("time", "lower_bound", "upper_bound", "flops", "hbm_bytes", "intensity", "flops_per_s", "peak_memory")
    ops = "".join(f"    - y{n}:bf16[B,D] = relu(x)\n" for n in range(30))
    claims = "".join(f"  ops.y{n}.time: 1 s\n" for n in range(30)) + "".join(f"  {word}: 12345\n" for word in words)
    path = tmp_path / "claims.yaml"
    path.write_text(PLAIN + ops + "expect:\n" + claims)
    for command in ("run", "check"):
        shown = overlapse(command, str(path)).stdout
        assert "18 more claims failed (38 in all)" in " ".join(shown.split())


def test_the_text_of_an_error_is_short_whoever_prints_it(tmp_path: Path) -> None:
    from scenarios import run

    path = tmp_path / "flood.yaml"
    path.write_text(PLAIN + "".join(f"key{number}: 1\n" for number in range(100)))
    with pytest.raises(SpecError) as caught:
        run(str(path))
    assert len(caught.value.problems) == 100
    assert len(str(caught.value).splitlines()) == 21


BESIDE = """\
name: beside
system: {chip: h100_sxm, topology: switch(2) over nvlink, mesh: {X: 2}}
run: {overlap: full}
workload:
  ops:
    - y:bf16[8192,8192] = matmul(x:bf16[8192,8192], w:bf16[8192,8192])
    - g:bf16[1024,64] = all_gather(s:bf16[1024_X,64], over=X)
"""


def test_what_is_sent_beside_other_work_is_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "beside.yaml"
    path.write_text(BESIDE)
    # half of 131072 bytes at 450 GB/s
    assert "exposed      none: what is sent (145.6 ns) goes beside other work" in overlapse("run", str(path)).stdout


def test_a_latency_that_is_written_as_0_is_a_figure(tmp_path: Path) -> None:
    path = tmp_path / "beside.yaml"
    path.write_text(BESIDE)
    assert "no latency on nvlink (no figure)" in overlapse("run", str(path)).stdout
    said = overlapse("run", str(path), "--set", "system.set.links.nvlink.latency=0 s").stdout
    assert "no latency" not in said


@pytest.mark.parametrize("command", ["chips", "models", "systems"])
def test_a_catalogue_fits_a_terminal_of_80_columns_and_is_whole_elsewhere(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    piped = overlapse(command).stdout
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    shown = re.sub(r"\x1b\[[0-9;]*m", "", overlapse(command).stdout)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 80
    assert {line.split()[0] for line in piped.splitlines() if line.strip()} <= set(shown.split())
    heads = piped.splitlines()[0].split()
    assert ("a wider terminal shows" in shown) == (not set(heads) <= set(shown.splitlines()[0].split()))
    assert "a wider terminal" not in piped


def test_what_goes_on_in_explain_stands_further_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = overlapse("explain", "library:llama3_8b_block").stdout.partition("ops as understood")[0].splitlines()[3:]
    assert any(line.startswith("    ") for line in lines)
    assert all(line.startswith("  ") and len(line) <= 80 for line in lines if line)


DRAWN = [path for place in ("hw/network", "analysis/terminal", "scenarios/cli", "scenarios/outcome")
         for path in sorted(Path(place).rglob("*.py"))]  # fmt: skip


@pytest.mark.parametrize("path", DRAWN, ids=str)
def test_every_character_that_is_drawn_has_one_in_ascii(path: Path) -> None:
    """Of the same width, so that columns stay where they are; only the sign of plus or minus is longer."""
    drawn = {each for line in path.read_text("utf-8").splitlines() for each in line if ord(each) > 127}
    for each in drawn - {"±"}:
        spelled = each.encode("ascii", ERRORS)
        assert len(spelled) == 1, each
        assert spelled != b"?", each


@pytest.mark.parametrize("asked", [["run", "bars.yaml"], ["what-if", "bars.yaml"], ["topology", "torus(3,3)"]])
def test_a_terminal_that_is_not_utf_8_gets_the_same_lines_in_ascii(tmp_path: Path, asked: list[str]) -> None:
    """Every line as long as it is elsewhere, with the same letters and figures in it."""
    written(tmp_path, MATMUL, "bars.yaml")
    plain, spelled = (started(tmp_path, *asked, PYTHONIOENCODING=code).stdout for code in ("utf-8", "ascii"))
    drawn, lines = plain.decode("utf-8").splitlines(), spelled.decode("ascii").splitlines()
    assert [len(line) for line in drawn] == [len(line) for line in lines]
    assert "?" not in spelled.decode("ascii")
    for line, other in zip(drawn, lines, strict=True):
        assert all(b == a for a, b in zip(line, other, strict=True) if ord(a) < 128)


ROUNDS = """\
name: rounds
system: {chip: v100_sxm2_32gb}
workload:
  dims: {B: 512, D: 1024}
  ops:
    - repeat: 40
      carry: {x: y}
      ops: ["h:bf16[B,D] = matmul(x:bf16[B,D], w:bf16[D,D])", "y:bf16[B,D] = relu(h)"]
"""


def test_rounds_of_a_block_are_one_row_under_a_roof(tmp_path: Path) -> None:
    shown = overlapse("roofline", written(tmp_path, ROUNDS)).stdout
    assert re.findall(r"^(h|y)(?: x(\d+)|\.\d+) ", shown, re.MULTILINE) == [("h", "40"), ("y", "40")]


def test_what_is_carried_is_told_as_it_is_written(tmp_path: Path) -> None:
    assert "repeat 40, carry {x: y}:" in overlapse("explain", written(tmp_path, ROUNDS)).stdout


def test_a_format_that_a_chip_lacks_is_told_with_the_one_that_stands_for_it(tmp_path: Path) -> None:
    """Volta's matrix units know no bf16 (NVIDIA V100 data sheet): its times are those of fp16."""
    lacking = overlapse("run", written(tmp_path, ROUNDS)).stdout
    assert "assumed      bf16 at the rate of fp16 (v100_sxm2_32gb has none of its own)" in lacking
    known = overlapse("run", written(tmp_path, ROUNDS.replace("v100_sxm2_32gb", "a100_40gb_sxm"))).stdout
    assert "rate of" not in known


def test_that_chips_wait_for_each_other_is_the_reason_where_it_is() -> None:
    """Four stages, eight microbatches: the chip with most to do is idle while the pipeline fills and empties, and for
    nothing else."""
    shown = " ".join(overlapse("explain", "library:pipeline_bubble").stdout.split())
    assert "most of it because chips wait for each other: up to 7 ms on one chip" in shown
    assert "stand in its way" not in shown


@pytest.mark.parametrize("columns", [64, 72, 80, 100, 130])
def test_letters_and_figures_of_ops_are_whole_on_every_screen(
    tmp_path: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names of ops and of their kinds give way: letters say what the timeline below them shows."""
    made = "what_the_first_matmul_makes_of_it"
    long = ROUNDS.replace("h:bf16", f"{made}:bf16").replace("relu(h)", f"relu({made})")
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = overlapse("run", written(tmp_path, long)).stdout
    rows = re.findall(r"^([a-z+])  \S.*? ((?:[\d.]+) [mun]?s) +([\d.]+ %)", shown, re.MULTILINE)
    assert [letter for letter, _, _ in rows] == ["a", "b"]
    monkeypatch.setenv("COLUMNS", "200")
    wide = overlapse("run", written(tmp_path, long)).stdout
    assert rows == re.findall(r"^([a-z+])  \S.*? ((?:[\d.]+) [mun]?s) +([\d.]+ %)", wide, re.MULTILINE)


def test_a_name_between_colons_is_no_picture(capsys: pytest.CaptureFixture[str]) -> None:
    console().print(":warning: group:a:b")
    assert capsys.readouterr().out == ":warning: group:a:b\n"
