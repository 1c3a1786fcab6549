"""Nodes of an ONNX model as op lines.

Model: matmuls, convolutions and norms are their kinds; reshapes, transposes and slices are views; what works out shapes
costs nothing. A bias is fused with what it is added to (Gemm, Conv). Loops whose turns are known are blocks; sub-graphs of
which that is not known, and ops of other domains that nobody knows, have no rule. Numbers of few bits are made numbers of
many (DequantizeLinear) by the kernel that reads them, as runtimes do it.
Source: the ONNX operator schemas, opset 13 to 22.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from hw import Mark, Problem, SpecError
from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.onnx_graph.names import ELEMENTWISE, MOVES, ONE, REDUCTIONS, SMALL, TWO, VIEWS
from scenarios.importers.onnx_graph.shapes import OnnxModel
from scenarios.importers.op_lines import OpLines, Value

_MOST_SMALL = 64
"""Elements that what works out shapes may have."""

_ARRAYS = {
    **dict.fromkeys(
        ("MatMul", "Gemm", "Conv", "ConvTranspose", "Gather", "FusedMatMul", "MatMulInteger", "ConvInteger"), 2
    ),
    **dict.fromkeys(("QLinearMatMul", "QLinearConv"), 8),
    "MatMulNBits": 3,
}
"""How many inputs some ops must have."""


class OnnxWalk:
    """A model on its way to lines. `fused`: ops that are one kernel."""

    def __init__(self, model: OnnxModel, lines: OpLines) -> None:
        self.model, self.lines = model, lines
        self.values: dict[str, Value] = {}
        self.small: set[str] = set()
        self.fused: list[list[str]] = []

    def run(self) -> None:
        """Write the lines of all nodes. Raises SpecError with everything that cannot be read."""
        for name in (*self.model.inputs, *sorted(self.model.weights)):
            if name in self.model.types and name not in self.values:
                self.values[name] = self.lines.source(name, *self.model.types[name])
        self.small |= {name for name in self.model.weights if self.values[name].elements <= _MOST_SMALL}
        problems: list[Problem] = []
        for number, node in enumerate(self.model.nodes):
            try:
                self.write(node)
            except (ValueError, IndexError, KeyError, TypeError) as error:
                said = f"node {number} ({node.op_type} {node.name}): {error}"
                problems.append(Problem(Mark(str(self.model.path)), said))
                break  # what follows from it cannot be read either
        if problems:
            raise SpecError([*problems, *(Problem(Mark(str(self.model.path)), doubt) for doubt in self.model.doubts)])

    def write(self, node: Any) -> None:
        """The lines of a node. Raises ValueError, IndexError, KeyError or TypeError for one that is not as it should be."""
        given = [name for name in node.input if name]
        missing = [name for name in given if name not in self.values]
        if missing:
            raise ValueError(f"nothing before it makes {missing[0]}")
        if self._is_small(node, given):
            return
        inputs = [self.values[name] for name in given]
        if len(inputs) < _ARRAYS.get(node.op_type, 0):
            raise ValueError(f"it has {len(inputs)} inputs")
        made = _RULES.get(node.op_type, OnnxWalk._by_name)(self, node, inputs)
        self.values[node.output[0]] = made
        for at, name in enumerate(node.output[1:], 1):
            if name and name not in self.values:
                self.values[name] = self._beside(made, node, at)

    def _is_small(self, node: Any, given: list[str]) -> bool:
        """Whether a node only works out shapes; what it makes is then a tensor that nothing makes."""
        starts = node.op_type in SMALL or (given and all(name in self.small for name in given))
        if not starts or node.op_type in ("If", "Loop", "Scan"):
            return False
        for name in node.output:
            like = self.model.types.get(name, ("int64", (1,)))
            if math.prod(like[1]) > _MOST_SMALL and node.op_type not in ("Constant", "Range"):
                return False
            self.values[name] = self.lines.source(name or node.op_type, *like)
            if math.prod(like[1]) <= _MOST_SMALL:
                self.small.add(name)
        return True

    def _beside(self, made: Value, node: Any, at: int) -> Value:
        """What a node makes beside its first output: who reads it waits for that."""
        like = self.model.types.get(node.output[at], (made.dtype, (1,)))
        other = Value("", *like)
        if other.nbytes <= made.nbytes and other.dtype == made.dtype:
            return self.lines.view(made, like[1])
        return self.lines.source(node.output[at], *like)

    def _by_name(self, node: Any, inputs: list[Value]) -> Value:
        """An op whose table says all of it."""
        kind, like, label = node.op_type, self.model.type_of(node), label_in_lines(node)
        if kind in VIEWS:
            return self._view(inputs[0], like[1], label)
        if kind in ONE:
            return self.lines.op(ONE[kind], inputs[:1], label, like)
        if kind in TWO and len(inputs) == 2:
            return self.lines.op(TWO[kind], inputs, label, like)
        if kind in ELEMENTWISE:
            return self.lines.op("elementwise", inputs, label, like)
        written = Value("", *like).nbytes
        if kind in MOVES or kind == "ConstantOfShape":
            return self.lines.moved([one for one in inputs if one.name], label, like, 2 * written)
        if kind in REDUCTIONS:
            flops = REDUCTIONS[kind] * inputs[0].elements
            moved = inputs[0].nbytes + written
            return self.lines.op("custom", inputs, label, like, f"flops={flops} FLOP", f"bytes={moved:.15g} B")
        return self.lines.unknown(f"{node.domain}.{kind}" if node.domain else kind, inputs, label, like)

    def _view(self, value: Value, dims: tuple[int, ...], label: str) -> Value:
        if value.elements > math.prod(dims):
            return self.lines.part(value, dims, label)
        if value.elements < math.prod(dims):
            return self._full(value, dims)
        return self.lines.view(value, dims, label=label)

    def _full(self, value: Value, dims: tuple[int, ...]) -> Value:
        """A value with all its elements in memory: what was expanded is written out."""
        if value.elements >= math.prod(dims):
            return self.lines.view(value, dims)
        full = Value("", value.dtype, dims)
        return self.lines.moved([value], f"{value.name}_expanded", (value.dtype, dims), value.nbytes + full.nbytes)

    def _expand(self, _node: Any, inputs: list[Value]) -> Value:
        return inputs[0]

    def _dropout(self, _node: Any, inputs: list[Value]) -> Value:
        """Nothing: exported models are not trained."""
        return inputs[0]

    def _split(self, node: Any, inputs: list[Value]) -> Value:
        for at, name in enumerate(node.output):
            dims = self.model.type_of(node, at)[1]
            self.values[name] = self.lines.part(inputs[0], dims, name)
        return self.values[node.output[0]]

    def _quantised(self, node: Any, inputs: list[Value]) -> Value:
        """An op between a scale and a zero for each of its inputs."""
        plain = [inputs[0], inputs[3], *inputs[8:9]]
        return self._conv(node, plain) if node.op_type == "QLinearConv" else self._matmul(node, plain[:2])

    def _integers(self, node: Any, inputs: list[Value]) -> Value:
        """An op whose further inputs are zeros."""
        return self._conv(node, inputs[:2]) if node.op_type == "ConvInteger" else self._matmul(node, inputs[:2])

    def _matmul(self, node: Any, inputs: list[Value]) -> Value:
        a, b = inputs[0], inputs[1]
        dtype, dims = self.model.type_of(node)
        turn_a, turn_b = attribute(node, "transA", 0), attribute(node, "transB", 0)
        k = a.dims[-2] if turn_a and len(a.dims) > 1 else a.dims[-1]
        if len(b.dims) <= 2:
            n = 1 if len(b.dims) < 2 else b.dims[0] if turn_b else b.dims[1]
            return self._biased(node, self._flat(node, (a, b), k, n), inputs[2:])
        m = 1 if len(a.dims) < 2 else a.dims[-1] if turn_a else a.dims[-2]
        n = b.dims[-2] if turn_b else b.dims[-1]
        lead = dims[: max(0, len(dims) - 2)]
        pair = self._full(a, (*lead, m, k)), self._full(b, (*lead, k, n))
        return self.lines.matmul(pair, (math.prod(lead), m, n, k), label_in_lines(node), (dtype, dims))

    def _flat(self, node: Any, pair: tuple[Value, Value], k: int, n: int) -> Value:
        """A product with one matrix; where the dims say so already, in them."""
        a, b = pair
        like = self.model.type_of(node)
        natural = len(a.dims) > 1 and a.dims[-1] == k and len(b.dims) == 2 and like[1] == (*a.dims[:-1], n)
        if natural:
            return self.lines.op("matmul", [a, self.lines.view(b, (k, n))], label_in_lines(node), like)
        return self.lines.matmul(pair, (1, a.elements // k, n, k), label_in_lines(node), like)

    def _biased(self, node: Any, made: Value, rest: list[Value]) -> Value:
        """A sum that is written by the kernel which makes what it is added to."""
        if not rest or node.op_type not in ("Gemm", "Conv", "QLinearConv"):
            return made
        bias = rest[0]
        if node.op_type != "Gemm":
            bias = self.lines.view(bias, (bias.elements, *(1 for _ in made.dims[2:])))
        added = self.lines.op("add", [made, bias], f"{made.name}_bias", (made.dtype, made.dims))
        if self.lines.is_last_pair(made, added):
            self.fused.append([made.name, added.name])
        return added

    def _conv(self, node: Any, inputs: list[Value]) -> Value:
        image, kernel = inputs[0], inputs[1]
        like, label = self.model.type_of(node), label_in_lines(node)
        spatial = len(image.dims) - 2
        turned = node.op_type == "ConvTranspose"
        groups = attribute(node, "group", 1)
        pads = attribute(node, "pads", [0] * (2 * spatial))
        same = attribute(node, "auto_pad", b"NOTSET") in (b"NOTSET", b"VALID")
        if spatial != 2 or turned or not same or list(pads[:spatial]) != list(pads[spatial:]):
            over = image.dims if turned else like[1]
            flops = 2 * math.prod(over) * math.prod(kernel.dims[1:])
            moved = image.nbytes + kernel.nbytes + Value("", *like).nbytes
            said = f"flops={flops} FLOP", f"bytes={moved:.15g} B", "unit=matrix"
            return self.lines.op("custom", [image, kernel], label, like, *said)
        options = [
            f"stride=[{_pair(attribute(node, 'strides', [1, 1]))}]",
            f"pad=[{_pair(pads[:2])}]",
            f"dilation=[{_pair(attribute(node, 'dilations', [1, 1]))}]",
            *([f"groups={groups}"] if groups > 1 else []),
        ]
        return self._biased(node, self.lines.op("conv2d", [image, kernel], label, like, *options), inputs[2:])

    def _softmax(self, node: Any, inputs: list[Value]) -> Value:
        like = self.model.type_of(node)
        axis = attribute(node, "axis", -1) % len(like[1])
        return self.lines.op("softmax", [self._full(inputs[0], like[1])], label_in_lines(node), like, f"axis={axis}")

    def _norm(self, node: Any, inputs: list[Value]) -> Value:
        """A norm over the last dims, read as one."""
        dtype, dims = self.model.type_of(node)
        row = math.prod(dims[attribute(node, "axis", -1) :])
        rows = (math.prod(dims) // row, row)
        kind = "rms_norm" if "RMS" in node.op_type or "Simplified" in node.op_type else "layer_norm"
        scales = [self.lines.view(each, (row,)) for each in inputs[1:] if each.elements == row]
        most = 2 if kind == "layer_norm" else 1
        given = [self.lines.view(inputs[0], rows), *scales[:most]]
        return self.lines.view(self.lines.op(kind, given, label_in_lines(node), (dtype, rows)), dims)

    def _gather(self, node: Any, inputs: list[Value]) -> Value:
        """Rows of a table, or elements of anything."""
        like = self.model.type_of(node)
        table, ids = inputs[0], inputs[1]
        if len(table.dims) == 2 and attribute(node, "axis", 0) == 0 and like[1] == (*ids.dims, table.dims[1]):
            return self.lines.op("embedding", [table, ids], label_in_lines(node), like)
        return self.lines.moved([table, ids], label_in_lines(node), like, 2 * Value("", *like).nbytes + ids.nbytes)


def label_in_lines(node: Any) -> str:
    """What the line of a node is called: the last part of its name."""
    return str(node.name or f"{node.op_type}_{node.output[0]}").strip("/").rpartition("/")[2] or node.op_type


def _pair(sizes: Any) -> str:
    return ", ".join(str(size) for size in sizes)


Rule = Callable[[OnnxWalk, Any, list[Value]], Value]

_RULES: dict[str, Rule] = {
    "MatMul": OnnxWalk._matmul,
    "FusedMatMul": OnnxWalk._matmul,
    **dict.fromkeys(
        ("MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul", "ConvInteger"), OnnxWalk._integers
    ),
    **dict.fromkeys(("QLinearMatMul", "QLinearConv"), OnnxWalk._quantised),
    "Gemm": OnnxWalk._matmul,
    "Conv": OnnxWalk._conv,
    "ConvTranspose": OnnxWalk._conv,
    "Softmax": OnnxWalk._softmax,
    "LogSoftmax": OnnxWalk._softmax,
    "LayerNormalization": OnnxWalk._norm,
    "RMSNormalization": OnnxWalk._norm,
    "SimplifiedLayerNormalization": OnnxWalk._norm,
    "Gather": OnnxWalk._gather,
    "Expand": OnnxWalk._expand,
    "Dropout": OnnxWalk._dropout,
    "Split": OnnxWalk._split,
}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """A function becomes the rule of ops of some names: it writes their lines, and gives back their first output."""

    def added(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(names, function))
        return function

    return added
