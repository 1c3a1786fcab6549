"""Shapes that a model works out for itself, node by node.

Model: exporters write sizes as arithmetic: the shape of a tensor, a part of it, divided by the number of heads, put together
again, goes into a reshape. What follows from constants and from known shapes is worked out here, small tensors
only, by ONNX's own reference implementation; with these values its inference of a single node finds the rest.
Source: onnx.reference, onnx.shape_inference.infer_node_outputs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

_MOST = 4096
"""Elements of what is worked out."""

_NOT_FOLDED = frozenset(("If", "Loop", "Scan", "RandomNormal", "RandomUniform", "Bernoulli", "Multinomial"))


def fold(onnx: Any, graph: Any, opsets: Any) -> None:
    """Give tensors of a graph types (as `value_info`) that inference of the whole has left open."""
    _Folding(onnx, graph, opsets).run()


class _Folding:
    def __init__(self, onnx: Any, graph: Any, opsets: Any) -> None:
        self.onnx, self.graph, self.opsets = onnx, graph, list(opsets)
        self.version = {each.domain or "": each.version for each in opsets}
        self.types = {value.name: value.type for value in (*graph.input, *graph.value_info, *graph.output)}
        self.known: dict[str, Any] = {}
        for each in graph.initializer:
            kind = onnx.helper.make_tensor_type_proto(each.data_type, list(each.dims))
            self.types[each.name] = kind
            if _count(each.dims) <= _MOST and (each.raw_data or _count(each.dims) == 0 or _has_data(each)):
                self.known[each.name] = onnx.numpy_helper.to_array(each)

    def run(self) -> None:
        for node in self.graph.node:
            self._values(node)
            open_ = [name for name in node.output if name and not _is_closed(self.types.get(name))]
            if open_ and all(each in self.types for each in node.input if each):
                self._infer(node, open_)

    def _values(self, node: Any) -> None:
        """What a node makes, where that follows from what is known."""
        given = [name for name in node.input if name]
        if node.op_type in _NOT_FOLDED or node.domain not in ("", "ai.onnx"):
            return
        if node.op_type in ("Shape", "Size") and given and _is_closed(self.types.get(given[0])):
            sizes = [dim.dim_value for dim in self.types[given[0]].tensor_type.shape.dim]
            said = {each.name: each.i for each in node.attribute}
            part = sizes[said.get("start", 0) : said.get("end", len(sizes))]
            made = np.array(part if node.op_type == "Shape" else _count(sizes), dtype=np.int64)
            self._take(node.output[0], made)
            return
        if not all(name in self.known for name in given) or (not given and node.op_type != "Constant"):
            return
        try:
            results = self.onnx.reference.ReferenceEvaluator(node).run(None, {name: self.known[name] for name in given})
        except Exception:  # whatever the reference does not know stays open, and is told where it is needed
            return
        for name, result in zip(node.output, results, strict=False):
            if name and isinstance(result, np.ndarray | np.generic) and np.size(result) <= _MOST:
                self._take(name, np.asarray(result))

    def _take(self, name: str, value: Any) -> None:
        try:
            number = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        except (KeyError, ValueError, TypeError):
            return
        self.known[name] = value
        self._type(name, self.onnx.helper.make_tensor_type_proto(number, list(value.shape)))

    def _infer(self, node: Any, open_: list[str]) -> None:
        """The types of what one node makes."""
        try:
            schema = self.onnx.defs.get_schema(node.op_type, self.version.get(node.domain, 1), node.domain)
            found = self.onnx.shape_inference.infer_node_outputs(
                schema,
                node,
                {name: self.types[name] for name in node.input if name},
                {
                    name: self.onnx.numpy_helper.from_array(self.known[name])
                    for name in node.input
                    if name in self.known
                },
                opset_imports=self.opsets,
            )
        except Exception:  # an op that nobody knows, or shapes that do not fit: told where they are needed
            return
        for name in open_:
            if name in found:
                self._type(name, found[name])

    def _type(self, name: str, kind: Any) -> None:
        self.types[name] = kind
        made = self.graph.value_info.add()
        made.name = name
        made.type.CopyFrom(kind)


def _count(sizes: Any) -> int:
    count = 1
    for size in sizes:
        count *= int(size)
    return count


def _has_data(tensor: Any) -> bool:
    return any(
        len(getattr(tensor, part)) for part in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    )


def _is_closed(kind: Any) -> bool:
    """Whether a type has a number for each dim."""
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return False
    return all(dim.HasField("dim_value") and dim.dim_value > 0 for dim in kind.tensor_type.shape.dim)
