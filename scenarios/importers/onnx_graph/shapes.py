"""An ONNX model with the format and the sizes of every tensor.

Model: sizes are those that ONNX's own inference finds, once open dims are given numbers; where it finds none, arithmetic
lines up its inputs. What initialisers hold is not looked at, but for small ones, from which shapes follow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from hw.input import unknown
from scenarios.importers.dtypes import dtype_named
from scenarios.importers.onnx_graph.blocks import SUB_GRAPHS, Block
from scenarios.importers.onnx_graph.control import Control
from scenarios.importers.onnx_graph.folding import Folding
from scenarios.importers.onnx_graph.sequences import Sequences

Like = tuple[str, tuple[int, ...]]

_MOST_BYTES = 1 << 31
_LARGE = 4096
_FROM, _FOLLOWED = 13, 17


@dataclass
class OnnxModel:
    """A model. `types`: format and sizes by name; `weights`: names of initialisers; `open_dims`: sizes taken for open ones,
    `left_open`: the names of all of them; `blocks`: its loops, by their first output; `doubts`: what does not follow of
    other sub-graphs."""

    path: Path
    name: str
    nodes: Sequence[Any]
    inputs: Sequence[str]
    types: dict[str, Like] = field(default_factory=dict)
    weights: set[str] = field(default_factory=set)
    open_dims: dict[str, int] = field(default_factory=dict)
    left_open: tuple[str, ...] = ()
    blocks: Mapping[str, Block] = field(default_factory=dict)
    doubts: Sequence[str] = ()

    def type_of(self, node: Any, at: int = 0) -> Like:
        """The format and sizes of what a node makes. Raises ValueError where nobody knows them."""
        name = node.output[at]
        if name in self.types:
            return self.types[name]
        known = [self.types[each] for each in node.input if each in self.types]
        if not known or len(known) < len([each for each in node.input if each]):
            raise ValueError(f"the shape of {name} is not known: infer shapes before, or give its open dims (--dim)")
        return known[0][0], _together([dims for _, dims in known])


def _together(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """Shapes lined up at the right, where a 1 stands for any."""
    turned = zip_longest(*(dims[::-1] for dims in shapes), fillvalue=1)
    return tuple(max(sizes) for sizes in turned)[::-1]


def read_model(path: Path, dims: Mapping[str, int]) -> OnnxModel:
    """A model of a file. Raises SpecError for what is none, RunError where onnx is missing."""
    onnx = _onnx()
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SpecError([Problem(Mark(str(path)), "the file is over 2 GiB: save its weights as external data")])
        model = onnx.load_model_from_string(path.read_bytes())
    except OSError as error:
        raise SpecError([Problem(Mark(str(path)), f"cannot read the file: {error.strerror or error}")]) from None
    except SpecError:
        raise
    except Exception as error:  # whatever protobuf finds wrong with it
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError([Problem(Mark(str(path)), f"this is no ONNX model: {first[0][:200]}")]) from None
    made = OnnxModel(path, model.graph.name or path.stem, (), [each.name for each in model.graph.input])
    left_open = _close(model, dims, made)
    _strip(model.graph)
    _modernise(model)
    try:
        inferred = onnx.shape_inference.infer_shapes(_inlined(model), data_prop=True)
    except Exception as error:
        first = str(error).strip().splitlines() or [type(error).__name__]
        raise SpecError([Problem(Mark(str(path)), f"the shapes of this model do not fit: {first[0][:200]}")]) from None
    folding = Folding(onnx, inferred)
    control = Control(folding, dims)
    Sequences(folding)
    made.nodes = folding.run(inferred.graph.node)
    made.blocks, made.doubts = control.blocks, control.doubts
    _take_types(onnx, inferred.graph, made)
    left_open |= control.asked
    made.left_open = tuple(sorted(left_open))
    strange = [Problem(Mark("--dim"), unknown("dim", name, made.left_open)) for name in dims if name not in left_open]
    if strange:
        raise SpecError(strange)
    if not made.nodes:
        raise SpecError([Problem(Mark(str(path)), "there is no node in this model")])
    return made


def _onnx() -> Any:
    try:
        import onnx
        import onnx.defs
        import onnx.reference
        import onnx.shape_inference
    except ImportError:
        raise RunError("ONNX models need onnx: pip install 'overlapse[onnx]'") from None
    return onnx


def _close(model: Any, dims: Mapping[str, int], made: OnnxModel) -> set[str]:
    """Give open dims of inputs their sizes: what is asked for, else 1. What they are called."""
    found: set[str] = set()
    for value in model.graph.input:
        for at, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.HasField("dim_value") and dim.dim_value > 0:
                continue
            name = dim.dim_param or f"{value.name}.{at}"
            found.add(name)
            size = dims.get(name, 1)
            if name not in dims:
                made.open_dims[name] = 1
            dim.ClearField("dim_param")
            dim.dim_value = size
    return found


def _strip(graph: Any) -> None:
    """Take the content out of large initialisers: it is not needed, and inference would copy it."""
    for each in graph.initializer:
        if len(each.raw_data) > _LARGE:
            each.ClearField("raw_data")
    for node in graph.node:
        for said in node.attribute:
            for inner in (said.g, *said.graphs) if said.type in SUB_GRAPHS else ():
                _strip(inner)


def _inlined(model: Any) -> Any:
    """A model with its own functions in the place of their calls."""
    if not model.functions:
        return model
    import onnx.inliner

    return onnx.inliner.inline_local_functions(model)


def _modernise(model: Any) -> None:
    """Ops of versions 13 to 16 have the shapes of version 17, in which inference follows shapes that models work out."""
    for each in model.opset_import:
        if each.domain in ("", "ai.onnx") and _FROM <= each.version < _FOLLOWED:
            each.version = _FOLLOWED


def _take_types(onnx: Any, graph: Any, made: OnnxModel) -> None:
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        sizes = [dim.dim_value for dim in kind.shape.dim]
        if value.type.HasField("tensor_type") and kind.HasField("shape") and all(size > 0 for size in sizes):
            made.types[value.name] = _dtype(onnx, kind.elem_type), tuple(sizes)
    for each in graph.initializer:
        made.weights.add(each.name)
        made.types[each.name] = _dtype(onnx, each.data_type), tuple(max(1, int(size)) for size in each.dims)


def _dtype(onnx: Any, number: int) -> str:
    """A format by its number; what we have none for is taken for one of 8 bytes."""
    try:
        return dtype_named(onnx.TensorProto.DataType.Name(number)) or "fp64"
    except ValueError:
        return "fp64"
