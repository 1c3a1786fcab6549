"""The one-line language of ops: read, printed back, and every mistake at its line and column.

Law (round trip): reading what was printed gives the same graph, and printing what was read gives the same words, for any
graph that the language can write. A block in round r numbers its names; a carried tensor is the last round's. A graph
built from Python equals the same lines.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hw import SpecError
from hw.input import parse_document
from simulator import KINDS, GraphBuilder, Items, Op, OpGraph, Repeat, parse_graph, print_items, print_op, read_items
from tests.support.strategies import graphs, outcome

MATMUL = "y:bf16[B,F]{U_X} = matmul(x:bf16[B,D_X], w:bf16[D_X,F])"


def problems_of(lines: list[Any]) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_graph(lines, {})
    return [str(problem) for problem in caught.value.problems]


# Reading and printing


def test_the_parts_of_a_line() -> None:
    line = "y:bf16[B,F]{U_XY}@on_chip = matmul(x:bf16[B,D_XY], w:int8[D_XY,4096]@host, tiles=4, after=[a, b])"
    (op,) = parse_graph([line], {}).items
    assert isinstance(op, Op)
    assert (op.name, op.kind, [tensor.name for tensor in op.inputs]) == ("y", "matmul", ["x", "w"])
    assert (op.output.dtype, op.output.partial, op.output.memory) == ("bf16", "XY", "on_chip")
    assert [(dim.size, dim.axes) for dim in op.inputs[1].dims] == [("D", "XY"), (4096, "")]
    assert [tensor.memory for tensor in op.inputs] == ["hbm", "host"]
    assert op.options == (("tiles", "4"), ("after", "[a, b]"))
    assert (op.option("tiles"), op.option("chunks")) == ("4", None)


@given(graphs())
def test_what_is_printed_reads_back_as_the_same_graph_in_the_same_words(items: Items) -> None:
    text = print_items(items)
    again = read_items(text)
    assert again == items
    assert print_items(again) == text


def bare(items: Items) -> Items:
    """The same without options, whose words are kept as they are written."""
    return tuple(
        replace(item, options=()) if isinstance(item, Op) else replace(item, items=bare(item.items)) for item in items
    )


@given(graphs(), st.lists(st.integers(0, 2), min_size=7, max_size=7))
def test_space_between_the_words_means_nothing(items: Items, spaces: list[int]) -> None:
    def spaced(line: str) -> str:
        words = re.findall(r"[\w.]+|\S", line)
        return "".join(" " * spaces[at % 7] + word for at, word in enumerate(words))

    def walk(printed: list[Any]) -> list[Any]:
        return [spaced(item) if isinstance(item, str) else {**item, "ops": walk(item["ops"])} for item in printed]

    assert read_items(walk(print_items(bare(items)))) == bare(items)


def test_a_tensor_is_typed_where_it_first_appears_only() -> None:
    lines = ["a:bf16[B] = add(x:bf16[B], x)", "b:bf16[B] = relu(x)", "c:bf16[B] = add(b, y:fp32[B])"]
    assert print_items(parse_graph(lines, {}).items) == lines
    verbose = ["a:bf16[B] = add(x:bf16[B], x:bf16[B])", "b:bf16[B] = relu(x:bf16[B])", lines[2]]
    assert print_items(parse_graph(verbose, {}).items) == lines
    (op,) = parse_graph([MATMUL], {}).flat()
    assert print_op(op, {"x", "w"}) == "y:bf16[B,F]{U_X} = matmul(x, w)"


# Blocks

BLOCK = {
    "repeat": 3,
    "carry": {"x": "y"},
    "ops": ["h:bf16[B,D] = matmul(x, w:bf16[C,D])", "y:bf16[B,C] = matmul(h, v:bf16[D,C], after=[h])"],
}
START = "x:bf16[B,C] = relu(z:bf16[B,C])"


def test_a_block_prints_back() -> None:
    lines = [START, BLOCK, "out:bf16[B,C] = relu(y)"]
    assert print_items(parse_graph(lines, {}).items) == lines


def test_a_block_unrolls_as_by_hand() -> None:
    """Weights first seen inside are each round's own; x is the last round's y; after the block y is the last one's."""
    flat = parse_graph([START, BLOCK, "out:bf16[B,C] = relu(y)"], {}).flat()
    by_hand = [
        START,
        "h.0:bf16[B,D] = matmul(x, w.0:bf16[C,D])",
        "y.0:bf16[B,C] = matmul(h.0, v.0:bf16[D,C], after=[h.0])",
        "h.1:bf16[B,D] = matmul(y.0, w.1:bf16[C,D])",
        "y.1:bf16[B,C] = matmul(h.1, v.1:bf16[D,C], after=[h.1])",
        "h.2:bf16[B,D] = matmul(y.1, w.2:bf16[C,D])",
        "y.2:bf16[B,C] = matmul(h.2, v.2:bf16[D,C], after=[h.2])",
        "out:bf16[B,C] = relu(y.2)",
    ]
    assert print_items(flat) == by_hand
    assert parse_graph(by_hand, {}).flat() == flat


def test_a_tensor_from_outside_is_shared_by_all_rounds() -> None:
    lines = ["t:bf16[B] = relu(w:bf16[B])", {"repeat": 2, "ops": ["a:bf16[B] = add(t, w)"]}]
    assert [[tensor.name for tensor in op.inputs] for op in parse_graph(lines, {}).flat()[1:]] == [["t", "w"]] * 2


def test_blocks_in_blocks() -> None:
    inner = {"repeat": 2, "carry": {"h": "g"}, "ops": ["g:bf16[B] = add(h, w:bf16[B])"]}
    outer = {"repeat": 2, "carry": {"x": "y"}, "ops": ["h:bf16[B] = relu(x:bf16[B])", inner, "y:bf16[B] = relu(g)"]}
    got = print_items(parse_graph([outer], {}).flat())
    assert got == [
        "h.0:bf16[B] = relu(x:bf16[B])",
        "g.0.0:bf16[B] = add(h.0, w.0.0:bf16[B])",
        "g.0.1:bf16[B] = add(g.0.0, w.0.1:bf16[B])",
        "y.0:bf16[B] = relu(g.0.1)",
        "h.1:bf16[B] = relu(y.0)",
        "g.1.0:bf16[B] = add(h.1, w.1.0:bf16[B])",
        "g.1.1:bf16[B] = add(g.1.0, w.1.1:bf16[B])",
        "y.1:bf16[B] = relu(g.1.1)",
    ]


def shrunk(items: Items) -> Items:
    """The same with at most three rounds a block, and no word about rounds, so that it can be unrolled."""
    found: list[Op | Repeat] = []
    for item in items:
        if isinstance(item, Op):
            found.append(replace(item, inputs=tuple(replace(each, rounds=()) for each in item.inputs)))
        else:
            count = item.count if isinstance(item.count, int) else 2
            found.append(replace(item, count=min(count, 3), items=shrunk(item.items)))
    return tuple(found)


@given(graphs())
def test_an_unrolled_graph_has_every_op_of_every_round_and_reads_back(items: Items) -> None:
    def count(parts: Items) -> int:
        return sum(1 if isinstance(item, Op) else int(item.count) * count(item.items) for item in parts)

    few = shrunk(items)
    flat = OpGraph({}, few).flat()
    assert len(flat) == count(few)
    assert read_items(print_items(flat)) == flat


def test_numbered_names_meet_no_other_name() -> None:
    """Two ops of one name would be two makers of one tensor."""
    lines = ["h.0:bf16[B] = relu(x:bf16[B])", {"repeat": 2, "ops": ["h:bf16[B] = relu(x)"]}]
    got = outcome(lambda: [op.name for op in parse_graph(lines, {}).flat()])
    if isinstance(got, ValueError):
        assert "h.0" in str(got)
    else:
        assert len(set(got)) == len(got)


def test_numbered_inputs_meet_no_other_input() -> None:
    """A weight of each round is a tensor of its own, and not the one that happens to be called so."""
    lines = ["a:bf16[B] = relu(w.0:bf16[B])", {"repeat": 2, "ops": ["b:bf16[B] = relu(w:bf16[B])"]}]
    got = outcome(lambda: [op.inputs[0].name for op in parse_graph(lines, {}).flat()])
    assert "w.0" in str(got) if isinstance(got, ValueError) else len(set(got)) == 3


# Mistakes


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("", 1, "expected the name of the output, found the end of the line"),
        ("= relu(x:bf16[B])", 1, "expected the name of the output, found '= relu"),
        ("y:bf16[B]", 10, "expected '=' after 'y', found the end of the line"),
        ("y:bf16[B] relu(x:bf16[B])", 11, "expected '=' after 'y', found 'relu("),
        ("y = relu(x:bf16[B])", 1, "the output needs a type, e.g. y:bf16[B,D]"),
        ("y: = relu(x:bf16[B])", 2, "expected a type after 'y:', such as bf16[B,D]"),
        ("y:bf16[B] = (x:bf16[B])", 13, "expected an op kind such as matmul"),
        ("y:bf16[B] = relu x:bf16[B]", 18, "expected '(' after 'relu', found 'x:bf16[B]'"),
        ("y:bf16[B] = relu(x:bf16[B]", 27, "expected ',' or ')' after an argument, found the end of the line"),
        ("y:bf16[B] = relu(x:bf16[B] w:bf16[B])", 28, "expected ',' or ')' after an argument, found 'w:bf16"),
        ("y:bf16[B] = relu(x:bf16[B],)", 28, "expected the name of an input or an option, found ')'"),
        ("y:bf16[B] = relu(x:bf16[B]) z", 29, "nothing may follow the closing bracket, found 'z'"),
        ("y:bf17[B] = relu(x:bf16[B])", 3, "unknown dtype 'bf17', did you mean 'bf16'?"),
        ("y:bf16[B] = relu(x:b16[B])", 20, "unknown dtype 'b16'"),
        (
            "y:bf16[B,D_x] = relu(x:bf16[B])",
            10,
            "'D_x' is not a dim; write a name or a size, with axes as in D_XY, did you mean 'D_X'?",
        ),
        ("y:bf16[B,, D] = relu(x:bf16[B])", 10, "'' is not a dim"),
        ("y:bf16[B, -4] = relu(x:bf16[B])", 11, "'-4' is not a dim"),
        ("y:bf16[B, 0] = relu(x:bf16[B])", 10, "a dim of size 0 holds nothing"),
        ("y:bf16[B_X,D_X] = relu(x:bf16[B])", 1, "mesh axis X is used twice in y:bf16[B_X,D_X]"),
        ("y:bf16[B_X]{U_X} = relu(x:bf16[B])", 1, "mesh axis X is used twice"),
        ("y:bf16[B] = relu(x:bf16[B_XX])", 18, "mesh axis X is used twice"),
        ("y:bf16[B]@hbn = relu(x:bf16[B])", 11, "unknown memory 'hbn', did you mean 'hbm'?"),
        ("y:bf16[B] = relu(x)", 18, "tensor 'x' has no type: write it where it first appears"),
        ("y:bf16[B] = relu(x:bf16[B], tiles=)", 35, "option tiles= has no value"),
        ("y:bf16[B] = relu(x:bf16[B], tiles=4, tiles=4)", 38, "option tiles= is given twice"),
        ("y:bf16[B] = relu(tiles=4, x:bf16[B])", 27, "input 'x' stands after an option; inputs come first"),
        ("y:bf16[B] = add(x:bf16[B], x:fp32[B])", 28, "'x' was bf16[B] before"),
        ("y:bf16[B] = relu(y:bf16[B])", 1, "tensor 'y' already exists"),
    ],
)
def test_a_syntax_error_has_its_column_and_says_what_is_wanted(line: str, column: int, words: str) -> None:
    (problem,) = problems_of([line])
    assert problem.startswith(f"ops:1:{column}: "), problem
    assert words in problem


def test_every_wrong_line_is_reported_and_right_ones_are_not_blamed() -> None:
    lines = [
        "y:bf16[B] = relu(x:bf16[B], )",
        "z:bf16[B] = add(y, x)",
        "v:bf16[B] = relu(u)",
        "t:bf16[B] = relu(z)",
        "z:bf16[B] = relu(t)",
    ]
    assert [problem.split(":")[1] for problem in problems_of(lines)] == ["1", "3", "5"]


def test_a_misspelt_tensor_gets_the_nearest_name() -> None:
    (problem,) = problems_of(["hidden:bf16[B] = relu(x:bf16[B])", "y:bf16[B] = relu(hiden)"])
    assert problem.startswith("ops:2:18: ")
    assert "did you mean 'hidden'?" in problem


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"repeat": 0, "ops": ["a:bf16[B] = relu(x)"]}, "repeat wants a whole number from 1 to 100000"),
        ({"repeat": True, "ops": ["a:bf16[B] = relu(x)"]}, "repeat wants a whole number"),
        (
            {"repeat": 1001, "ops": [{"repeat": 1000, "ops": ["a:bf16[B] = relu(x)"]}]},
            "the block has 1001000 ops; more than 1000000 are refused",
        ),
        ({"repeat": 10**6, "ops": ["a:bf16[B] = relu(x)"]}, "repeat wants a whole number"),
        ({"ops": ["a:bf16[B] = relu(x)"]}, "repeat wants a whole number"),
        ({"repeat": 2}, "ops wants a list of op lines"),
        ({"repeat": 2, "ops": []}, "ops wants a list of op lines, one at least"),
        ({"repeat": 2, "ops": "a:bf16[B] = relu(x)"}, "ops wants a list of op lines"),
        ({"repeat": 2, "ops": [3]}, "3 is not an op line"),
        ({"repat": 2, "repeat": 2, "ops": ["a:bf16[B] = relu(x)"]}, "unknown key 'repat', did you mean 'repeat'?"),
        ({"repeat": 2, "carry": ["x"], "ops": ["a:bf16[B] = relu(x)"]}, "carry wants a mapping {start: end}"),
        (
            {"repeat": 2, "carry": {"q": "a"}, "ops": ["a:bf16[B] = relu(x)"]},
            "'q' is not a tensor that the block takes",
        ),
        (
            {"repeat": 2, "carry": {"a": "a"}, "ops": ["a:bf16[B] = relu(x)"]},
            "'a' is not a tensor that the block takes",
        ),
        (
            {"repeat": 2, "carry": {"x": "x"}, "ops": ["a:bf16[B] = relu(x)"]},
            "'x' is not a tensor that the block makes",
        ),
        ({"repeat": 2, "carry": {"x": 1}, "ops": ["a:bf16[B] = relu(x)"]}, "'1' is not a tensor that the block makes"),
        ({"repeat": 2, "carry": {"x": "a"}, "ops": ["a:fp32[B] = relu(x)"]}, "x is bf16[B], a is fp32[B]"),
        (7, "7 is not an op line"),
        (None, "null is not an op line"),
    ],
)
def test_a_wrong_block(block: Any, words: str) -> None:
    (problem,) = problems_of(["x:bf16[B] = relu(w:bf16[B])", block])
    assert problem.startswith("ops:2:1: ")
    assert words in problem


def test_a_number_too_long_to_print_is_not_an_op_line() -> None:
    """YAML reads 0x with any number of digits; Python refuses to print a number that long."""
    (problem,) = problems_of([int("f" * 5000, 16)])
    assert "is not an op line" in problem


def test_places_in_a_file() -> None:
    """Column of the line in the file plus column in the line, quoted or not, in blocks too."""
    text = """\
ops:
  - y:bf16[B] = relu(q)
  - 'z:bf16[B] = relu(q)'
  - repeat: 2
    carry: {x: w}
    ops:
      - v:bf17[B] = relu(t:bf16[B])
"""
    document = parse_document(text, "s.yaml")
    with pytest.raises(SpecError) as caught:
        read_items(document.data["ops"], document, ("ops",))
    places = [f"{problem.mark.line}:{problem.mark.column}" for problem in caught.value.problems]
    assert places == ["2:22", "3:23", "5:16", "7:11"]


PARTS = st.sampled_from(
    ["y", "x", ":", "bf16", "fp8", "[", "]", "B", "_X", "{U_X}", "@host", " = ", "relu", "(", ")", ", ", "tiles=4", "\n",
     "repeat", "\ud800", "²", "٣", "0", "9" * 30]
)  # fmt: skip


@given(st.lists(st.one_of(st.text(), st.lists(PARTS, max_size=14).map("".join)), min_size=1, max_size=4))
@settings(max_examples=300)
def test_any_text_is_a_graph_or_a_located_refusal(lines: list[str]) -> None:
    got = outcome(lambda: read_items(lines))
    if isinstance(got, ValueError):
        assert isinstance(got, SpecError)
        assert got.problems
    else:
        assert read_items(print_items(got)) == got


@given(st.integers(0, len(MATMUL) - 1), st.sampled_from(["", *"x:[]{}(),=@_U1 "]))
def test_a_line_with_one_sign_changed_is_another_line_or_an_error_within_it(at: int, sign: str) -> None:
    line = MATMUL[:at] + sign + MATMUL[at + 1 :]
    got = outcome(lambda: parse_graph([line], {}).items)
    if isinstance(got, ValueError):
        assert isinstance(got, SpecError)
        for problem in got.problems:
            assert (problem.mark.file, problem.mark.line) == ("ops", 1)
            assert 1 <= problem.mark.column <= len(line) + 1
    else:
        assert read_items(print_items(got)) == got


# The same graph from Python


def test_a_built_graph_equals_its_lines() -> None:
    g = GraphBuilder(B=256, D=8192, F=8192)
    y = g.matmul("x:bf16[B,D]", "w:bf16[D,F]", out="y:bf16[B,F]", tiles=4)
    z = g.relu(y, out="z:bf16[B,F]", after=["y"])
    g.op("send", z, out="s:bf16[B,F]", from_=0, to=1)
    g.attention("q:bf16[F,B]", "k:bf16[F,B]", "v:bf16[F,B]", out="o:bf16[F,B]", causal=True)
    lines = [
        "y:bf16[B,F] = matmul(x:bf16[B,D], w:bf16[D,F], tiles=4)",
        "z:bf16[B,F] = relu(y, after=[y])",
        "s:bf16[B,F] = send(z, from=0, to=1)",
        "o:bf16[F,B] = attention(q:bf16[F,B], k:bf16[F,B], v:bf16[F,B], causal=true)",
    ]
    built = g.graph()
    assert built == parse_graph(lines, {"B": 256, "D": 8192, "F": 8192})
    assert print_items(built.items) == lines
    assert (y, z) == ("y", "z")


@pytest.mark.parametrize("variant", ["standard", "flash", "linear"])
def test_a_variant_of_attention_is_chosen_from_python_as_in_a_line(variant: str) -> None:
    tensors = ["q:bf16[B,D]", "k:bf16[B,D]", "v:bf16[B,D]"]
    g = GraphBuilder(B=4, D=8)
    g.attention(*tensors, out="o:bf16[B,D]", kind=variant)
    assert g.graph() == parse_graph(
        [f"o:bf16[B,D] = attention({', '.join(tensors)}, kind={variant})"], {"B": 4, "D": 8}
    )


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_is_a_method_of_the_builder(kind: str) -> None:
    g = GraphBuilder(B=4)
    assert getattr(g, kind)("x:bf16[B]", out="y:bf16[B]") == "y"
    assert g.graph() == parse_graph([f"y:bf16[B] = {kind}(x:bf16[B])"], {"B": 4})


def test_a_kind_that_does_not_exist_is_no_method() -> None:
    with pytest.raises(AttributeError, match="unknown op kind 'matmull', did you mean 'matmul'"):
        GraphBuilder().matmull  # noqa: B018


def test_the_sizes_of_dims_can_be_changed() -> None:
    graph = parse_graph([MATMUL], {"B": 1, "D": 2, "F": 3})
    assert graph.with_dims(B=7).dims == {"B": 7, "D": 2, "F": 3}
    assert graph.with_dims(B=7).items == graph.items
    assert graph.dims["B"] == 1
