"""Shapes that a model works out for itself, node by node, and the sub-graphs that follow from them.

Model: exporters write sizes as arithmetic: the shape of a tensor, a part of it, divided by the number of heads, put together
again, goes into a reshape. What follows from constants and from known shapes is worked out here, small tensors
only, by ONNX's own reference implementation; with these values its inference of a single node finds the rest. What
becomes of sub-graphs, others know (`control`).
Source: onnx.reference, onnx.shape_inference.infer_node_outputs.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from scenarios.importers.onnx_graph.contrib import contrib_shape

_MOST = 4096
"""Elements of what is worked out."""

_NOT_FOLDED = frozenset(("If", "Loop", "Scan", "RandomNormal", "RandomUniform", "Bernoulli", "Multinomial"))
_OWN = ("", "ai.onnx")


Inside = Callable[[Any], list[Any] | None]
"""What stands in the place of a node that has sub-graphs; None where it stays as it is."""


class Folding:
    """A graph, which is given types for all that follows, as `value_info`. `inside`: rules of ops with sub-graphs."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self.onnx, self.graph, self.opsets = onnx, model.graph, list(model.opset_import)
        self.version = {each.domain or "": each.version for each in self.opsets}
        self.types = {
            value.name: value.type for value in (*self.graph.input, *self.graph.value_info, *self.graph.output)
        }
        self.known: dict[str, Any] = {}
        self.inside: Mapping[str, Inside] = {}
        self.hold(self.graph.initializer)

    def hold(self, initializers: Iterable[Any]) -> None:
        """Take what a graph brings along: its sizes, and its content where that is small and there."""
        for each in initializers:
            self.types[each.name] = self.onnx.helper.make_tensor_type_proto(each.data_type, list(each.dims))
            if math.prod(each.dims) <= _MOST and (each.raw_data or not math.prod(each.dims) or _has_data(each)):
                self.known[each.name] = self.onnx.numpy_helper.to_array(each)

    def run(self, nodes: Iterable[Any]) -> list[Any]:
        """Nodes in order, once all is known of them; sub-graphs in the places of theirs."""
        queue, found = deque(nodes), list[Any]()
        while queue:
            node = queue.popleft()
            rule = self.inside.get(node.op_type) if node.domain in _OWN and node.output else None
            inside = rule(node) if rule is not None else None
            if inside is not None:
                queue.extendleft(reversed(inside))
                continue
            self._values(node)
            open_ = [name for name in node.output if name and not is_closed(self.types.get(name))]
            if open_ and all(each in self.types for each in node.input if each):
                self._infer(node, open_)
            found.append(node)
        return found

    def _values(self, node: Any) -> None:
        """What a node makes, where that follows from what is known."""
        given = [name for name in node.input if name]
        if node.op_type in _NOT_FOLDED or node.domain not in _OWN:
            return
        if node.op_type in ("Shape", "Size") and given and is_closed(self.types.get(given[0])):
            sizes = sizes_of(self.types[given[0]])
            said = {each.name: each.i for each in node.attribute}
            part = sizes[said.get("start", 0) : said.get("end", len(sizes))]
            made = np.array(part if node.op_type == "Shape" else math.prod(sizes), dtype=np.int64)
            self.take(node.output[0], made)
            return
        if not all(name in self.known for name in given) or (not given and node.op_type != "Constant"):
            return
        try:
            results = self.onnx.reference.ReferenceEvaluator(node).run(None, {name: self.known[name] for name in given})
        except Exception:  # whatever the reference does not know stays open, and is told where it is needed
            return
        for name, result in zip(node.output, results, strict=False):
            if name and isinstance(result, np.ndarray | np.generic) and np.size(result) <= _MOST:
                self.take(name, np.asarray(result))

    def take(self, name: str, value: Any) -> None:
        """Keep what is known of a tensor."""
        try:
            number = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        except (KeyError, ValueError, TypeError):
            return
        self.known[name] = value
        self.sized(name, number, value.shape)

    def _infer(self, node: Any, open_: list[str]) -> None:
        """The types of what one node makes."""
        if node.domain not in _OWN:
            self._infer_contrib(node)
            return
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
                self.typed(name, found[name])

    def _infer_contrib(self, node: Any) -> None:
        """The types of what an op of another domain makes, where its shape is known."""
        given = [self.types[name] if name else None for name in node.input]
        if not all(each is None or is_closed(each) for each in given):
            return
        sizes = [(each.tensor_type.elem_type, sizes_of(each)) if each is not None else None for each in given]
        for name, like in zip(node.output, contrib_shape(node, sizes), strict=False):
            if name and not is_closed(self.types.get(name)):
                self.sized(name, *like)

    def sized(self, name: str, number: int, sizes: Iterable[int]) -> None:
        """Give a tensor its format, by its number, and its sizes."""
        self.typed(name, self.onnx.helper.make_tensor_type_proto(number, list(sizes)))

    def typed(self, name: str, kind: Any) -> None:
        """Give a tensor its type."""
        self.types[name] = kind
        made = self.graph.value_info.add()
        made.name = name
        made.type.CopyFrom(kind)


def sizes_of(kind: Any) -> list[int]:
    """The sizes of a type that is closed."""
    return [dim.dim_value for dim in kind.tensor_type.shape.dim]


def _has_data(tensor: Any) -> bool:
    return any(
        len(getattr(tensor, part)) for part in ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")
    )


def is_closed(kind: Any) -> bool:
    """Whether a type has a number for each dim."""
    if kind is None or not kind.HasField("tensor_type") or not kind.tensor_type.HasField("shape"):
        return False
    return all(dim.HasField("dim_value") and dim.dim_value > 0 for dim in kind.tensor_type.shape.dim)
