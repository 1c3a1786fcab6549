"""ONNX models as scenarios: FLOPs and bytes counted by hand, open dims by option, broken files refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hw import SpecError
from hw.input import parse_document
from scenarios import build_scenario, summarise
from scenarios.importers import Imported, ImportOptions, import_files
from simulator import lower
from tests.support.mutations import refusals

onnx: Any = pytest.importorskip("onnx", reason="onnx is not here: pip install '.[onnx]'", exc_type=ImportError)
helper: Any = pytest.importorskip("onnx.helper")
FLOAT, INT64 = 1, 7


def saved(
    folder: Path,
    nodes: Sequence[Any],
    inputs: Mapping[str, Sequence[int | str]],
    weights: Mapping[str, Sequence[int]],
    made: Sequence[int | str] | None = None,
    opset: int = 17,
) -> Path:
    """A model whose weights are all zero; one that is called ids has whole numbers."""
    given = [
        helper.make_tensor_value_info(name, INT64 if name == "ids" else FLOAT, dims) for name, dims in inputs.items()
    ]
    held = []
    for name, dims in weights.items():
        count = 1
        for size in dims:
            count *= size
        held.append(helper.make_tensor(name, FLOAT, dims, bytes(4 * count), raw=True))
    out = helper.make_tensor_value_info(nodes[-1].output[0], FLOAT, made)
    graph = helper.make_graph(list(nodes), "net", given, [out], held)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)], ir_version=9
    )
    path = folder / "net.onnx"
    onnx.save(model, path)
    return path


def built(made: Imported) -> Any:
    return build_scenario(parse_document(made.text, "made.yaml"), Path("made.yaml"))


def hbm_bytes(made: Imported) -> float:
    return float(str(summarise(built(made))["hbm_bytes"]))


def matrix_flops(made: Imported) -> float:
    scenario = built(made)
    plan = lower(scenario.graph, scenario.system, scenario.options)
    works = (work for planned in plan.kernels for work in planned.kernel.works)
    return sum(work.flops for work in works if work.unit == "matrix_unit")


def mlp() -> list[Any]:
    return [
        helper.make_node("Gemm", ["x", "w", "b"], ["h"], transB=1, name="up"),
        helper.make_node("Relu", ["h"], ["a"], name="act"),
        helper.make_node("MatMul", ["a", "v"], ["y"], name="down"),
    ]


WEIGHTS = {"w": (256, 128), "b": (256,), "v": (256, 32)}


def test_a_network_costs_what_its_shapes_say(tmp_path: Path) -> None:
    """A bias is added as the first matmul writes; every tensor passes memory once for each op that reads or writes it."""
    made = import_files([saved(tmp_path, mlp(), {"x": [64, 128]}, WEIGHTS)])
    assert matrix_flops(made) == 2 * 64 * 128 * 256 + 2 * 64 * 256 * 32
    expected = 64 * 128 + 256 * 128 + 256 + 64 * 256 + 2 * 64 * 256 + 64 * 256 + 256 * 32 + 64 * 32
    assert hbm_bytes(made) == 4 * expected
    assert not made.unpriced


def test_open_dims_are_asked_for(tmp_path: Path) -> None:
    path = saved(tmp_path, mlp(), {"x": ["batch", 128]}, WEIGHTS)
    one = import_files([path])
    assert any("dim batch is open, and taken to be 1" in note for note in one.notes)
    assert matrix_flops(import_files([path], options=ImportOptions(dims={"batch": 64}))) == 64 * matrix_flops(one)


@pytest.mark.parametrize("opset", [15, 17, 21])
def test_a_transformer_block_costs_what_its_shapes_say(tmp_path: Path, opset: int) -> None:
    """Tokens looked up, split into heads, scored, mixed; the model works its shapes out, as exporters write it."""
    b, s, d, h = 2, 16, 64, 4
    node = helper.make_node
    heads = [
        step
        for name in "qkv"
        for step in (
            node("MatMul", ["e", f"w{name}"], [f"m{name}"], name=f"proj_{name}"),
            node("Reshape", [f"m{name}", "heads"], [f"r{name}"]),
            node("Transpose", [f"r{name}"], [f"t{name}"], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]),
        )
    ]
    nodes = [
        node("Gather", ["table", "ids"], ["e"], axis=0, name="lookup"),
        node("Shape", ["ids"], ["size"]),
        node("Shape", ["table"], ["table_size"], start=1),
        node("Constant", [], ["count"], value=helper.make_tensor("count", INT64, (1,), [h])),
        node("Div", ["table_size", "count"], ["each"]),
        node("Concat", ["size", "count", "each"], ["heads"], axis=0),
        *heads,
        node("MatMul", ["tq", "tk"], ["score"], name="scores"),
        node("Softmax", ["score"], ["p"], axis=-1),
        node("MatMul", ["p", "tv"], ["mix"], name="mix"),
        node("Transpose", ["mix"], ["back"], perm=[0, 2, 1, 3]),
        node("Reshape", ["back", "flat"], ["joined"]),
        node("MatMul", ["joined", "wo"], ["y"], name="out"),
    ]
    nodes.insert(0, node("Constant", [], ["flat"], value=helper.make_tensor("f", INT64, (3,), [b, s, d])))
    weights = {"table": (1000, d), **{f"w{name}": (d, d) for name in "qkvo"}}
    made = import_files([saved(tmp_path, nodes, {"ids": [b, s]}, weights, opset=opset)])
    assert not made.unpriced
    assert matrix_flops(made) == 4 * 2 * b * s * d * d + 2 * 2 * b * s * s * d
    assert any(" = embedding(" in line for line in made.ops)


def test_a_convolution_stack_costs_what_its_shapes_say(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["c"], strides=[2, 2], pads=[3, 3, 3, 3], name="stem"),
        helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        helper.make_node("Conv", ["n", "g"], ["d"], group=32, pads=[0, 0, 1, 1], name="depthwise"),
        helper.make_node("GlobalAveragePool", ["d"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w"], ["y"]),
    ]
    weights = {"k": (32, 3, 7, 7), "b": (32,), "s": (32,), "m": (32,), "v": (32,), "g": (32, 1, 2, 2), "w": (32, 10)}
    made = import_files([saved(tmp_path, nodes, {"x": [4, 3, 64, 64]}, weights)])
    stem, depthwise = 2 * 4 * 32 * 32 * 32 * 3 * 49, 2 * 4 * 32 * 32 * 32 * 4
    assert matrix_flops(made) == stem + depthwise + 2 * 4 * 32 * 10
    assert not made.unpriced


def test_what_has_no_rule_is_listed_with_its_bytes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Det", ["x"], ["d"]), helper.make_node("Relu", ["d"], ["y"])]
    path = saved(tmp_path, nodes, {"x": [1024, 8, 8]}, {})
    made = import_files([path])
    assert [(each.kind, each.count, each.nbytes) for each in made.unpriced] == [("Det", 1, 4 * 1024 * 65)]
    with pytest.raises(SpecError, match="custom needs at least one of flops="):
        built(made)
    assert hbm_bytes(import_files([path], options=ImportOptions(unknown="bytes"))) == 4 * 1024 * 67


def test_a_shape_that_nobody_knows_is_told(tmp_path: Path) -> None:
    """Nobody knows what an op of somebody's own makes; it is taken for one that keeps shapes, but what is cast has none."""
    nodes = [
        helper.make_node("Mine", ["x"], ["shape"], domain="mine"),
        helper.make_node("Cast", ["shape"], ["sizes"], to=INT64),
        helper.make_node("Reshape", ["x", "sizes"], ["r"]),
        helper.make_node("Tile", ["r", "sizes"], ["y"]),
        helper.make_node("MatMul", ["y", "y"], ["z"]),
    ]
    message = r"net.onnx:1:1: node 1 \(Cast \): the shape of sizes is not known: infer shapes before"
    with pytest.raises(SpecError, match=message):
        import_files([saved(tmp_path, nodes, {"x": [4, 4]}, {})])


def test_broken_models_are_read_or_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, mlp(), {"x": [4, 128]}, WEIGHTS)
    whole = path.read_bytes()
    small = onnx.load_model_from_string(whole)
    for each in small.graph.initializer:
        each.ClearField("raw_data")
    said = refusals(small.SerializeToString(), path, lambda each: import_files([each], "onnx").text)
    assert len(said) > 10


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("opset", [13, 16, 20])
def test_what_torch_exports_has_the_flops_of_torch_s_counter(tmp_path: Path, opset: int) -> None:
    """Scripted, so that a loop and a branch on the size of a batch come along as such."""
    torch: Any = pytest.importorskip(
        "torch", reason="PyTorch is not here: pip install '.[torch]'", exc_type=ImportError
    )
    counter: Any = pytest.importorskip("torch.utils.flop_counter")

    class Steps(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.step = torch.nn.Conv2d(3, 32, 4, 4), torch.nn.Linear(32, 32)
            self.wide, self.narrow = torch.nn.Linear(32, 128), torch.nn.Linear(32, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x = self.stem(x).flatten(2).transpose(1, 2)
            kept = []
            for _ in range(x.size(0) + 2):
                x = torch.nn.functional.gelu(self.step(x))
                kept.append(x)
            x = torch.cat(kept, 1)
            if x.size(0) > 1:
                return self.wide(x)
            return self.narrow(x)

    model, given = Steps().eval(), torch.zeros(2, 3, 32, 32)
    with counter.FlopCounterMode(display=False) as counted:
        model(given)
    path, names = tmp_path / "steps.onnx", {"input_names": ["x"], "dynamic_axes": {"x": {0: "batch"}}}
    torch.onnx.export(torch.jit.script(model), (given,), path, opset_version=opset, dynamo=False, **names)
    assert {"Loop", "If", "SequenceEmpty"} <= {node.op_type for node in onnx.load(path).graph.node}
    made = import_files([path], options=ImportOptions(dims={"batch": 2}))
    assert not made.unpriced
    assert matrix_flops(made) == counted.get_total_flops()
