"""ONNX models with sub-graphs, functions and few bits: FLOPs and bytes counted by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from scenarios.importers import Imported, ImportOptions, import_files
from tests.scenarios.importers.test_onnx import hbm_bytes, matrix_flops
from tests.support.mutations import refusals

onnx: Any = pytest.importorskip("onnx", reason="onnx is not here: pip install '.[onnx]'", exc_type=ImportError)
helper: Any = pytest.importorskip("onnx.helper")
numpy_helper: Any = pytest.importorskip("onnx.numpy_helper")
np: Any = pytest.importorskip("numpy")
FLOAT, UINT8, INT8, INT64, BOOL = 1, 2, 3, 7, 9
B, D = 16, 64
STEP = 2 * B * D * D

node = helper.make_node


def value(name: str, dims: Sequence[int | str] | None, kind: int = FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, dims)


def graph(nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], held: Mapping[str, Any]) -> Any:
    arrays = [numpy_helper.from_array(np.asarray(array), name) for name, array in held.items()]
    return helper.make_graph(list(nodes), "net", list(inputs), list(outputs), arrays)


def read(folder: Path, made: Any, opset: int = 17, options: ImportOptions | None = None, **more: Any) -> Imported:
    imports = [helper.make_opsetid(name, number) for name, number in (("", opset), ("own", 1), ("com.microsoft", 1))]
    path = folder / "net.onnx"
    onnx.save(helper.make_model(made, opset_imports=imports, ir_version=10, **more), path)
    return import_files([path], options=options)


def weights(*names: str) -> dict[str, Any]:
    return {name: np.zeros((D, D), np.float32) for name in names}


# Branches


def branches(condition: Sequence[Any], held: Mapping[str, Any], given: Sequence[Any] = ()) -> Any:
    """Either one matmul or two, in branches that read what is around them."""
    one = graph([node("MatMul", ["x", "w"], ["a"])], [], [value("a", [B, D])], {})
    two = graph(
        [node("MatMul", ["x", "v"], ["h"]), node("MatMul", ["h", "w"], ["a"])], [], [value("a", [B, D])], weights("v")
    )
    nodes = [*condition, node("If", ["take"], ["y"], then_branch=one, else_branch=two, name="choice"),
             node("Relu", ["y"], ["z"])]  # fmt: skip
    return graph(nodes, [value("x", [B, D]), *given], [value("z", [B, D])], {**weights("w"), **held})


@pytest.mark.parametrize("opset", [13, 17, 22])
def test_an_if_is_the_branch_that_its_condition_takes(tmp_path: Path, opset: int) -> None:
    for taken, matmuls in ((True, 1), (False, 2)):
        made = read(tmp_path, branches([], {"take": np.array(taken)}), opset)
        assert matrix_flops(made) == matmuls * STEP
        assert not made.unpriced


def test_a_condition_may_follow_from_shapes(tmp_path: Path) -> None:
    """As torch exports what depends on the size of a batch."""
    asks = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "first"], ["rows"], axis=0),
            node("Greater", ["rows", "limit"], ["take"])]  # fmt: skip
    for limit, matmuls in ((B - 1, 1), (B, 2)):
        held = {"first": np.array(0), "limit": np.array(limit)}
        assert matrix_flops(read(tmp_path, branches(asks, held))) == matmuls * STEP


def test_an_if_on_data_has_no_rule_and_is_told(tmp_path: Path) -> None:
    """It makes what its branches make, B x D numbers of 4 bytes, of a condition of one byte."""
    made = read(tmp_path, branches([], {}, [value("take", [], BOOL)]))
    assert [(each.kind, each.count, each.nbytes) for each in made.unpriced] == [("If", 1, 4 * B * D + 1)]
    assert "which branch choice (If) takes does not follow from constants and shapes" in made.notes


# Loops


def loop(turns: Any, body: Sequence[Any], begins: str = "", leaves: int = 0, on: str = "on") -> Any:
    """A Loop that carries h; its body makes `next`, and `left` where it leaves something behind."""
    outs = [value("on_out", [], BOOL), value("next", None), *[value("left", None)] * leaves]
    given = [value("i", [], INT64), value("on", [], BOOL), value("h", None)]
    inner = graph([*body, node("Identity", [on], ["on_out"])], given, outs, {})
    held = {**weights("w"), **({"m": np.array(turns)} if turns else {}), "yes": np.array(True)}
    made = ["y", "all"][: 1 + leaves]
    nodes = [
        node("Loop", ["m" if turns else "", begins, "x"], made, body=inner, name="layers"),
        node("Relu", ["y"], ["z"]),
    ]
    ends = [value("z", None), *[value("all", None)] * leaves]
    return graph(nodes, [value("x", [B, D])], ends, held)


LAYER = [node("MatMul", ["h", "w"], ["next"], name="mm")]


def test_a_loop_of_known_turns_is_a_block(tmp_path: Path) -> None:
    for begins in ("", "yes"):
        made = read(tmp_path, loop(12, LAYER, begins))
        assert matrix_flops(made) == 12 * STEP
        assert made.ops[0]["repeat"] == 12
        assert made.ops[0]["carry"] == {"x": "mm"}
    # each turn reads and writes what is carried, and reads the weight; relu reads and writes
    assert hbm_bytes(made) == 12 * 4 * (2 * B * D + D * D) + 2 * 4 * B * D


def test_what_turns_leave_behind_is_put_together(tmp_path: Path) -> None:
    made = read(tmp_path, loop(12, [*LAYER, node("Identity", ["next"], ["left"])], leaves=1))
    assert hbm_bytes(made) == 12 * 4 * (2 * B * D + D * D) + 2 * 12 * 4 * B * D + 2 * 4 * B * D


def test_a_loop_of_unknown_turns_is_asked_for(tmp_path: Path) -> None:
    """Data may end it: each turn asks whether to go on."""
    asks = [node("ReduceMax", ["next"], ["most"], keepdims=0), node("Less", ["most", "limit"], ["more"])]
    asks.insert(0, node("Constant", [], ["limit"], value_float=1.0))
    made = read(tmp_path, loop(12, [*LAYER, *asks], on="more"))
    assert [(each.kind, each.count) for each in made.unpriced] == [("Loop", 1)]
    assert "how often layers (Loop) goes round is not known: say it with --dim layers=N" in made.notes
    said = read(tmp_path, loop(12, [*LAYER, *asks], on="more"), options=ImportOptions(dims={"layers": 7}))
    assert matrix_flops(said) == 7 * STEP
    assert not said.unpriced


def test_a_dim_that_is_not_open_is_told(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"--dim.*unknown dim 'layer', did you mean 'layers'"):
        read(tmp_path, loop(12, LAYER), options=ImportOptions(dims={"layer": 7}))


def test_a_loop_in_which_something_grows_is_written_out(tmp_path: Path) -> None:
    """h has B rows more each turn."""
    body = [node("Slice", ["h", "zero", "rows", "zero"], ["part"]), node("MatMul", ["h", "w"], ["grown"], name="mm"),
            node("Concat", ["grown", "part"], ["next"], axis=0)]  # fmt: skip
    body[:0] = [node("Constant", [], [name], value_ints=[size]) for name, size in (("zero", 0), ("rows", B))]
    made = read(tmp_path, loop(3, body))
    assert matrix_flops(made) == (1 + 2 + 3) * STEP
    assert not made.unpriced


def test_a_scan_has_as_many_turns_as_what_it_scans(tmp_path: Path) -> None:
    """A cell that adds a step of the input to its state, and leaves each state behind."""
    cell = [node("MatMul", ["h", "w"], ["kept"], name="mm"), node("Add", ["kept", "step"], ["next"]),
            node("Identity", ["next"], ["left"])]  # fmt: skip
    inner = graph(cell, [value("h", None), value("step", None)], [value("next", None), value("left", None)], {})
    nodes = [node("Scan", ["x", "steps"], ["last", "all"], body=inner, num_scan_inputs=1, name="cell"),
             node("Relu", ["all"], ["z"])]  # fmt: skip
    given = [value("x", [B, D]), value("steps", [20, B, D])]
    made = read(tmp_path, graph(nodes, given, [value("z", [20, B, D])], weights("w")))
    assert matrix_flops(made) == 20 * STEP
    add = 3 * B * D
    assert hbm_bytes(made) == 20 * 4 * (2 * B * D + D * D + add) + 2 * 2 * 20 * 4 * B * D


def test_a_loop_may_collect_its_results_in_a_sequence(tmp_path: Path) -> None:
    """As scripts do with a list, of which they make one tensor: the turns are written out."""
    body = [*LAYER, node("SequenceInsert", ["list", "next"], ["longer"]), node("Identity", ["on"], ["on_out"])]
    tensors = helper.make_sequence_type_proto(helper.make_tensor_type_proto(FLOAT, None))
    given = [value("i", [], INT64), value("on", [], BOOL), value("h", None), helper.make_value_info("list", tensors)]
    outs = [value("on_out", [], BOOL), value("next", None), helper.make_value_info("longer", tensors)]
    nodes = [node("SequenceEmpty", [], ["none"], dtype=FLOAT),
             node("Loop", ["m", "", "x", "none"], ["y", "all"], body=graph(body, given, outs, {}), name="layers"),
             node("ConcatFromSequence", ["all"], ["stacked"], axis=0, new_axis=1),
             node("SequenceAt", ["all", "m1"], ["second"]), node("Add", ["stacked", "second"], ["z"])]  # fmt: skip
    held = {**weights("w"), "m": np.array(3), "m1": np.array(1)}
    made = read(tmp_path, graph(nodes, [value("x", [B, D])], [value("z", [3, B, D])], held))
    assert matrix_flops(made) == 3 * STEP
    assert not made.unpriced
    layers, stack, add = 3 * (2 * B * D + D * D), 2 * 3 * B * D, (3 + 1 + 3) * B * D
    assert hbm_bytes(made) == 4 * (layers + stack + add)


RECURRENT = [("LSTM", 4, 1, 0), ("LSTM", 4, 2, 1), ("GRU", 3, 1, 0), ("GRU", 3, 2, 0), ("RNN", 1, 1, 1)]


@pytest.mark.parametrize(("kind", "gates", "directions", "layout"), RECURRENT)
def test_a_recurrent_layer_has_a_turn_a_step(
    tmp_path: Path, kind: str, gates: int, directions: int, layout: int
) -> None:
    """The inputs of all steps at once; then each turn reads the state, its matrix and both products, and writes them."""
    steps, width, size = 20, 32, D
    wide = gates * size
    held = {"w": np.zeros((directions, wide, width), np.float32), "r": np.zeros((directions, wide, size), np.float32)}
    way = "bidirectional" if directions == 2 else "forward"
    nodes = [node(kind, ["x", "w", "r"], ["y", "last"], hidden_size=size, direction=way, layout=layout, name="cell"),
             node("Relu", ["y"], ["z"])]  # fmt: skip
    dims = [B, steps, width] if layout else [steps, B, width]
    made = read(tmp_path, graph(nodes, [value("x", dims)], [value("z", None)], held))
    rows = steps * B
    assert matrix_flops(made) == 2 * rows * directions * wide * (width + size)
    inputs = rows * width + directions * wide * width + rows * directions * wide
    turn = directions * (B * size + wide * size + B * wide) + directions * B * (
        2 * wide + size * (3 if kind == "LSTM" else 1)
    )
    assert hbm_bytes(made) == 4 * (inputs + steps * turn + 2 * rows * directions * size)
    assert [each["carry"] for each in made.ops if isinstance(each, dict)] == [{"cell_state": "cell"}]


def test_functions_of_the_model_stand_where_they_are_called(tmp_path: Path) -> None:
    layer = helper.make_function(
        "own", "Layer", ["a", "b"], ["c"],
        [node("MatMul", ["a", "b"], ["h"]), node("Relu", ["h"], ["c"])], [helper.make_opsetid("", 17)],
    )  # fmt: skip
    calls = [node("Layer", ["x", "w"], ["h1"], domain="own"), node("Layer", ["h1", "w"], ["y"], domain="own")]
    made = read(tmp_path, graph(calls, [value("x", [B, D])], [value("y", [B, D])], weights("w")), functions=[layer])
    assert matrix_flops(made) == 2 * STEP
    assert not made.unpriced


def test_weights_that_lie_elsewhere_need_not_be_there(tmp_path: Path) -> None:
    made = graph([node("MatMul", ["x", "w"], ["y"])], [value("x", [B, D])], [value("y", [B, D])], weights("w"))
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, tmp_path / "net.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert matrix_flops(import_files([tmp_path / "net.onnx"])) == STEP


def test_broken_loops_are_read_or_refused(tmp_path: Path) -> None:
    read(tmp_path, loop(12, LAYER))
    model = onnx.load(tmp_path / "net.onnx")
    for each in model.graph.initializer:
        each.ClearField("raw_data")
    said = refusals(model.SerializeToString(), tmp_path / "net.onnx", lambda path: import_files([path], "onnx").text)
    assert len(said) > 10


# Few bits


def test_products_of_quantised_matrices(tmp_path: Path) -> None:
    zeros = {"zu": np.array(0, np.uint8), "zi": np.array(0, np.int8)}
    held = {"w": np.zeros((D, D), np.int8), "s": np.array(1.0, np.float32), **zeros}
    nodes = [node("QuantizeLinear", ["x", "s", "zu"], ["q"]),
             node("QLinearMatMul", ["q", "s", "zu", "w", "s", "zi", "s", "zu"], ["p"], name="mm"),
             node("DequantizeLinear", ["p", "s", "zu"], ["y"]), node("Relu", ["y"], ["z"])]  # fmt: skip
    made = read(tmp_path, graph(nodes, [value("x", [B, D])], [value("z", [B, D])], held))
    assert matrix_flops(made) == STEP
    # x is read as 4 bytes, and bytes from then on, until relu writes 4 again
    quantise, product, relu = 5 * B * D, 2 * B * D + D * D, 5 * B * D
    assert hbm_bytes(made) == pytest.approx(quantise + product + relu, rel=0.01)


def test_weights_are_read_in_the_bits_that_they_have(tmp_path: Path) -> None:
    """A weight that is dequantised before its matmul, and one of 4 bits in blocks of 32 with a scale each."""
    held = {"w": np.zeros((D, D), np.int8), "s": np.array(1.0, np.float32), "packed": np.zeros((D, D // 32, 16), np.uint8),
            "scales": np.zeros((D, D // 32), np.float32)}  # fmt: skip
    nodes = [node("DequantizeLinear", ["w", "s"], ["f"]), node("MatMul", ["x", "f"], ["h"], name="mm"),
             node("MatMulNBits", ["h", "packed", "scales"], ["y"], domain="com.microsoft", K=D, N=D, bits=4, block_size=32),
             node("MatMul", ["y", "v"], ["z"])]  # fmt: skip
    made = read(tmp_path, graph(nodes, [value("x", [B, D])], [value("z", [B, D])], {**held, **weights("v")}))
    assert matrix_flops(made) == 3 * STEP
    expected = 6 * 4 * B * D + D * D + (D * D / 2 + 4 * D * D / 32) + 4 * D * D
    assert hbm_bytes(made) == expected
    assert not made.unpriced


# What transformers have


def test_attention_as_one_op(tmp_path: Path) -> None:
    """Of opset 23 with heads in the last dim, and grouped queries behind what was seen before."""
    b, s, past, h, few, d = 2, 32, 96, 8, 2, 16
    nodes = [node("Attention", ["q", "k", "v"], ["y"], q_num_heads=h, kv_num_heads=few), node("Relu", ["y"], ["z"])]
    inputs = [value("q", [b, s, h * d]), value("k", [b, s, few * d]), value("v", [b, s, few * d])]
    made = read(tmp_path, graph(nodes, inputs, [value("z", [b, s, h * d])], {}), opset=23)
    assert matrix_flops(made) == 4 * b * h * s * s * d
    names = ["q", "k", "v", "pk", "pv", "seen", "total"], ["y", "nk", "nv"]
    grouped = node("GroupQueryAttention", *names, num_heads=h, kv_num_heads=few, domain="com.microsoft")
    nodes = [grouped, node("Relu", ["nk"], ["z"]), node("Relu", ["y"], ["u"])]
    inputs = [value("q", [b, 1, h * d]), value("k", [b, 1, few * d]), value("v", [b, 1, few * d]),
              value("pk", [b, few, past, d]), value("pv", [b, few, past, d])]  # fmt: skip
    held = {"seen": np.array([past, past], np.int32), "total": np.array([past + 1], np.int32)}
    made = read(tmp_path, graph(nodes, inputs, [value("u", [b, 1, h * d])], held))
    assert matrix_flops(made) == 4 * b * h * (past + 1) * d
    assert not made.unpriced
    new, kept, out = b * few * d, b * few * (past + 1) * d, b * h * d
    assert hbm_bytes(made) == 4 * (2 * 2 * new + 2 * out + 2 * kept + 2 * out + 2 * kept)


def test_sums_with_their_norm_and_einsum(tmp_path: Path) -> None:
    nodes = [node("SkipSimplifiedLayerNormalization", ["x", "r", "g"], ["n", "", "", "sum"], domain="com.microsoft"),
             node("Einsum", ["n", "w"], ["p"], equation="bd,ed->be"), node("Add", ["p", "sum"], ["z"])]  # fmt: skip
    held = {**weights("w"), "g": np.zeros(D, np.float32)}
    made = read(tmp_path, graph(nodes, [value("x", [B, D]), value("r", [B, D])], [value("z", [B, D])], held))
    assert matrix_flops(made) == STEP
    assert not made.unpriced
    assert hbm_bytes(made) == 4 * (3 * B * D + (2 * B * D + D) + (2 * B * D + D * D) + 3 * B * D)


@pytest.mark.parametrize(
    ("equation", "sizes", "out", "flops"),
    [
        ("bhid,bhjd->bhij", [(2, 3, 8, 16), (2, 3, 4, 16)], [2, 3, 8, 4], 2 * 6 * 8 * 4 * 16),
        ("...ij,...jk->...ik", [(5, 8, 16), (5, 16, 4)], [5, 8, 4], 2 * 5 * 8 * 4 * 16),
        ("ij,jk,kl->il", [(8, 16), (16, 4), (4, 32)], [8, 32], 2 * 8 * 16 * 4 + 2 * 8 * 4 * 32),
        ("ij,jk", [(8, 16), (16, 4)], [8, 4], 2 * 8 * 16 * 4),
    ],
)
def test_einsums_are_products_from_the_left(
    tmp_path: Path, equation: str, sizes: list[tuple[int, ...]], out: list[int], flops: int
) -> None:
    names = "xyz"[: len(sizes)]
    given = [value(name, list(size)) for name, size in zip(names, sizes, strict=True)]
    made = read(tmp_path, graph([node("Einsum", list(names), ["u"], equation=equation)], given, [value("u", out)], {}))
    assert not made.unpriced
    assert matrix_flops(made) == flops
