"""What a hostile or careless file may cost: time that grows with its length and no faster, and memory up to a limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from analysis import read_trace
from hw import Dimension, SpecError, load_chip, parse_topology
from hw.input import UnknownNames, parse, parse_document, read_document
from hw.network import MAX_LINKS, MAX_NODES, read_graph
from scenarios.claims.condition import parse_condition
from scenarios.expressions.expression import parse_expression
from scenarios.language.value_text import read_values
from simulator import GraphBuilder, parse_graph

LONG = 100_000
"""Characters: time in their square would be minutes."""

MOST_S = 5.0


def quantity(text: str) -> None:
    parse(text, Dimension.BANDWIDTH)


def topology(text: str) -> None:
    parse_topology(text, load_chip("h100_sxm").links)


def op(text: str) -> None:
    parse_graph([text], {"B": 4})


def values(text: str) -> None:
    read_values(text, 1000)


def document(text: str) -> None:
    parse_document(text, "long.yaml")


HOSTILE: dict[str, tuple[Callable[[str], object], str]] = {
    "blanks before a unit": (quantity, "1" + " " * LONG + "x y"),
    "blanks before a number": (quantity, " " * LONG + "x"),
    "digits": (quantity, "1" * LONG + "x y"),
    "digits after a point": (quantity, "1." + "1" * LONG + " x y"),
    "underscores": (quantity, "1_" * LONG + " x y"),
    "an exponent": (quantity, "1e" + "1" * LONG + " x y"),
    "a unit": (quantity, "1 " + "x" * LONG),
    "blanks in a wiring": (topology, "ring(" + " " * LONG + "=)"),
    "blanks after a size": (topology, "ring(4," + "a" * LONG + " " * LONG + "=)"),
    "sizes": (topology, "torus(" + "4," * LONG + ")"),
    "options": (topology, "torus(4,4," + "a=b," * LONG + ")"),
    "brackets": (topology, "torus(4,4,wrap=" + "[" * LONG + ")"),
    "links": (topology, "ring(4)" + " over " * LONG),
    "a name": (op, "y." * LONG + " = relu(x)"),
    "a name without a type": (op, "y:bf16[B] = relu(" + "x" * LONG + ":" + " " * LONG + "?"),
    "open brackets": (op, "y:bf16[B] = relu(" + "x:bf16[" * LONG),
    "inputs": (op, "y:bf16[B] = add(" + "x:bf16[B]," * LONG + ")"),
    "dims": (op, "y:bf16[" + "B," * LONG + "] = relu(x:bf16[B])"),
    "axes": (op, "y:bf16[B_" + "X" * LONG + "] = relu(x:bf16[B])"),
    "partial sums": (op, "y:bf16[B]" + "{U_X" * LONG + " = relu(x)"),
    "options of an op": (op, "y:bf16[B] = relu(x:bf16[B]" + "".join(f", a{n}=1" for n in range(LONG)) + ")"),
    "a range": (values, "1" * LONG + ":"),
    "colons": (values, "1:" * LONG),
    "blanks in a range": (values, "1" + " " * LONG + "?:2"),
    "another range": (values, "1" + " " * LONG + "-" + " " * LONG + "x"),
    "quotes": (values, "'" * LONG),
    "blanks in a condition": (parse_condition, "t_math >= a" + " " * LONG + "b"),
    "a value in a condition": (parse_condition, "time > 1" + " " * LONG + "x y"),
    "a word in a condition": (parse_condition, "a." * LONG + " ="),
    "an expression": (parse_expression, "1+" * LONG + "1"),
    "brackets of an expression": (parse_expression, "(" * LONG + ")" * LONG),
    "powers": (parse_expression, "9**" * LONG + "9"),
    "plain text": (document, "a: b" + " " * LONG + "c"),
    "brackets of YAML": (document, "a: " + "[" * LONG),
    "a quoted text": (document, 'a: "' + "x" * LONG),
    "blank lines": (document, "a: b\n" + "\n" * LONG + "  c\n"),
}


@pytest.mark.parametrize(("read", "text"), HOSTILE.values(), ids=HOSTILE)
def test_long_text_is_read_in_time_that_grows_with_its_length(read: Callable[[str], object], text: str) -> None:
    begin = time.process_time()
    with suppress(ValueError, KeyError):
        read(text)
    assert time.process_time() - begin < MOST_S


@pytest.mark.long
@pytest.mark.parametrize("odd", ["\t", r"\p", '", "x": [1,], "y": "'])
def test_a_trace_whose_every_event_is_nearly_json_is_read_in_time_that_grows_with_its_length(
    odd: str, tmp_path: Path
) -> None:
    events, name = 25_000, f"{'k' * 80}{odd}"
    event = f'{{"ph": "X", "cat": "kernel", "name": "{name}", "pid": 0, "tid": 7, "ts": 1, "dur": 1}}'
    path = tmp_path / "odd.json"
    path.write_text(f"[{', '.join([event] * events)}]")
    begin = time.process_time()
    timeline = read_trace(path)
    assert len(timeline) == events
    assert time.process_time() - begin < 2 * MOST_S  # a walk through the text for each of them takes 20


def test_edges_are_read_in_time_that_grows_with_their_length(tmp_path: Path) -> None:
    graph = tmp_path / "long.edges"
    for line in ("chip0 chip1 1" + " " * LONG + "x y", "chip0 chip1 " + '"' * LONG, "a" * LONG, "1 " * LONG):
        graph.write_text(line + "\n")
        begin = time.process_time()
        with pytest.raises(SpecError):
            read_graph(str(graph))
        assert time.process_time() - begin < MOST_S


@pytest.mark.long
def test_names_that_are_not_there_are_looked_for_in_long_lists_a_few_times_only() -> None:
    """What each of many wrong names may stand for is nothing that anybody reads."""
    names = [f"y{number}" for number in range(20_000)]
    unknown = UnknownNames("op", names)
    begin = time.process_time()
    messages = [unknown.message(f"z{number}") for number in range(20_000)]
    assert time.process_time() - begin < 30
    assert messages[-1] == "unknown op 'z19999'"
    assert "Allowed: " in messages[0]


@pytest.mark.long
@pytest.mark.parametrize("wrong", ["untyped", "claimed", "fused"])
def test_a_file_in_which_every_name_is_wrong_is_soon_answered(tmp_path: Path, wrong: str) -> None:
    many = range(2_000)
    inputs = "z{}" if wrong == "untyped" else "x:bf16[B]"
    lines = [f"    - y{n}:bf16[B] = relu({inputs.format(n)})\n" for n in many]
    fuse = f"  fuse: [[{', '.join(f'q{n}' for n in many)}]]\n" if wrong == "fused" else ""
    claims = f"expect: {{{', '.join(f'ops.z{n}.time: 1 s' for n in many)}}}\n" if wrong == "claimed" else ""
    path = tmp_path / "wrong.yaml"
    path.write_text(
        f"name: a\nsystem: {{chip: tpu_v5e}}\nworkload:\n  dims: {{B: 64}}\n{fuse}  ops:\n{''.join(lines)}{claims}"
    )
    from scenarios import load_scenario

    begin = time.process_time()
    with pytest.raises(SpecError) as caught:
        load_scenario(str(path))
    assert len(caught.value.problems) >= 2_000
    assert time.process_time() - begin < 20


# Sizes


ZERO = Path("/dev/zero")
"""A file without end."""
needs_zero = pytest.mark.skipif(not ZERO.exists(), reason="there is no /dev/zero here")


@needs_zero
def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(SpecError, match="/dev/zero:1:1: the file is over 16 MiB, the most that is read"):
        read_document(ZERO)


ENDLESS = {
    "run": ["run", "/dev/zero"],
    "check": ["check", "/dev/zero"],
    "study": ["study", "library:llama3_8b_block", "--vary", "workload=/dev/zero"],
    "roofline": ["roofline", "/dev/zero"],
    "topology": ["topology", "/dev/zero"],
}


@needs_zero
@pytest.mark.parametrize("arguments", ENDLESS.values(), ids=ENDLESS)
def test_no_command_reads_for_ever(arguments: list[str]) -> None:
    limited = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))"  # 4 GiB
    command = [sys.executable, "-c", f"{limited}; from scenarios.cli import main; main()", *arguments]
    shown = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 2
    assert "the file is over 16 MiB" in shown.stdout + shown.stderr


@pytest.mark.parametrize(("name", "most"), [("big.yaml", 16), ("big.json", 64), ("big.edges", 64)])
def test_a_file_beyond_its_limit_is_refused_with_the_limit(tmp_path: Path, name: str, most: int) -> None:
    path = tmp_path / name
    with path.open("wb") as file:
        file.truncate(most * 2**20 + 1)  # a file with a hole: nothing is written
    with pytest.raises(SpecError, match=f"the file is over {most} MiB, the most that is read"):
        (read_document if most == 16 else lambda file: read_graph(str(file)))(path)


@pytest.mark.parametrize(("part", "most"), [("nodes", MAX_NODES), ("links", MAX_LINKS), ("edges", MAX_LINKS)])
def test_a_graph_of_too_many_parts_is_refused_before_they_are_looked_at(tmp_path: Path, part: str, most: int) -> None:
    path = tmp_path / "big.json"
    path.write_text(json.dumps({"nodes": [], part: [0] * (most + 1)}))
    begin = time.process_time()
    with pytest.raises(SpecError, match=f"{most + 1:,} {part} are too many: a graph has at most {most:,}"):
        read_graph(str(path))
    assert time.process_time() - begin < 20


def test_an_op_line_beyond_its_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(SpecError, match="an op line has at most 20,000 characters, this one"):
        op("y:bf16[B] = add(" + ", ".join(["x:bf16[B]"] * 3_000) + ")")


def test_a_pipe_can_be_read(tmp_path: Path) -> None:
    """A limit must not need to know a size beforehand: `overlapse run <(generate)`."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["sh", "-c", f"echo 'name: piped' > '{pipe}'"]):
        assert read_document(pipe).data == {"name": "piped"}


# Smaller things


def test_a_mistake_inside_a_block_keeps_the_ops_before_it() -> None:
    g = GraphBuilder(B=64)
    y = g.relu("x:bf16[B]", out="y:bf16[B]")
    with suppress(AttributeError), g.repeat(3, y="z"):
        g.relu(y, out="w:bf16[B]")
        g.rellu("w", out="z:bf16[B]")
    with g.repeat(3, y="z"):
        g.relu(y, out="z:bf16[B]")
    assert [op.name for op in g.graph().flat()] == ["y", "z.0", "z.1", "z.2"]


def test_a_mistake_inside_a_block_in_a_block_keeps_what_is_around_it() -> None:
    g = GraphBuilder(B=64)
    with g.repeat(2, x="y"):
        g.relu("x:bf16[B]", out="a:bf16[B]")
        with suppress(ZeroDivisionError), g.repeat(2):
            g.relu("a", out="b:bf16[B]")
            _ = 1 / 0
        g.relu("a", out="y:bf16[B]")
    assert [op.name for op in g.graph().flat()] == ["a.0", "y.0", "a.1", "y.1"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("64-512", "64:512:x2"),
        ("64 - 512", "64:512:x2"),
        ("64..512", "64:512:x2"),
        ("64...512", "64:512:x2"),
        ("64–512", "64:512:x2"),
        ("64 to 512", "64:512:x2"),
        ("1 TB/s-4 TB/s", "1 TB/s:4 TB/s:x2"),
        ("8,64-512", "64:512:x2"),
    ],
)
def test_a_range_in_another_way_of_writing_is_told_how_it_is_written(written: str, meant: str) -> None:
    with pytest.raises(ValueError, match="is not a range; did you mean") as caught:
        read_values(written, 100)
    assert meant in str(caught.value)


@pytest.mark.parametrize(
    ("written", "values"),
    [("1e-3", [0.001]), ("-1", [-1]), ("1e-3,2e-3", [0.001, 0.002]), ("h100-sxm,b-c", ["h100-sxm", "b-c"])],
)
def test_numbers_and_names_with_a_dash_are_no_ranges(written: str, values: list[object]) -> None:
    assert read_values(written, 100) == values


def test_a_list_of_levels_in_quotes_is_told_to_lose_them() -> None:
    with pytest.raises(ValueError, match="is a list in quotes: without them it is a list of levels"):
        topology("[switch(8) over nvlink, fat_tree(16) over infiniband]")
