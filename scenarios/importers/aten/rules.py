"""Rules of aten ops: each writes the lines of a node from its arguments.

Model: FLOPs of matmuls, convolutions and attention are 2 a multiply-add, as torch.utils.flop_counter has them; bytes are
those of what is read and written. A bias that a library adds as it writes is fused with what it is added to.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from scenarios.importers.aten.names import (
    ELEMENTWISE,
    EXPANDS,
    GATHERS,
    LISTS,
    MOVES,
    NOT_WRITTEN,
    ONE,
    PUTS,
    REDUCTIONS,
    SELECTS,
    TWO,
    VIEWS,
    WRITTEN,
)
from scenarios.importers.aten.walk import RULES, Like, Tree, Walk, flat, op_name, rule
from scenarios.importers.op_lines import Value


@rule(*VIEWS)
def _view(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    value = arguments[0]
    if not isinstance(value, Value):
        return value
    _, dims = walk.like(node)
    if value.elements < math.prod(dims):  # it was expanded, and is written out now
        return walk.whole(value, dims)
    if value.elements > math.prod(dims):
        return walk.lines.part(value, dims, node.name)
    return walk.lines.view(value, dims, label=node.name)


@rule(*EXPANDS)
def _expand(_walk: Walk, _node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return arguments[0]


@rule(*LISTS)
def _parts(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    counted = range(len(node.meta["val"]))
    return tuple(walk.lines.part(arguments[0], walk.like(node, at)[1], f"{node.name}_{at}") for at in counted)


@rule("getitem")
def _element(_walk: Walk, _node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    whole, at = arguments[0], arguments[1]
    return whole[at] if isinstance(whole, list | tuple) else whole


@rule("clone", "contiguous", "_to_copy", "to", "type_as", "copy", "convert_element_type")
def _copy(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """A copy or a cast; nothing where the format stays and nothing was expanded or turned."""
    value = arguments[1] if str(node.target).startswith("aten.copy") else arguments[0]
    dtype, dims = walk.like(node)
    if not isinstance(value, Value):
        return walk.lines.source(node.name, dtype, dims)
    if value.dtype != dtype:
        return walk.lines.op("cast", [walk.whole(value, dims)], node.name, (dtype, dims))
    if value.elements < math.prod(dims):
        return walk.whole(value, dims)
    return walk.lines.op("copy", [walk.lines.view(value, dims)], node.name, (dtype, dims))


@rule(*NOT_WRITTEN)
def _nothing(walk: Walk, node: Any, _arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return walk.lines.source(node.name, *walk.like(node))


@rule(*WRITTEN)
def _written(walk: Walk, node: Any, _arguments: list[Any], _named: dict[str, Any]) -> Tree:
    like = walk.like(node)
    if math.prod(like[1]) <= 1:
        return walk.lines.source(node.name, *like)
    return walk.lines.moved([], node.name, like, Value("", *like).nbytes)


@rule(*ONE, *TWO)
def _arithmetic(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """Arithmetic; a number that one side is costs no tensor."""
    name = node.target.__name__.partition(".")[0].rstrip("_")
    inputs = list(flat(arguments[:2] if name in TWO else arguments[:1]))
    like = walk.like(node)
    del named
    if not inputs:
        return node.meta.get("val")
    kind = {**ONE, **TWO}.get(name)
    if kind is None or (name in TWO and len(inputs) < 2):
        return walk.lines.op("elementwise", inputs, node.name, like)
    return walk.lines.op(kind, inputs, node.name, like)


@rule(*ELEMENTWISE)
def _elementwise(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    inputs = list(flat([*arguments, *named.values()]))
    if not inputs:
        return node.meta.get("val")
    return walk.made(node, lambda label, like: walk.lines.op("elementwise", inputs, label, like))


@rule("dropout", "feature_dropout", "alpha_dropout")
def _dropout(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """A dropout; nothing where it is not trained."""
    rate, trains = ([*arguments[1:3], 0.5, False])[:2]
    if not trains or not rate:
        return arguments[0]
    return walk.lines.op("dropout", [arguments[0]], node.name, walk.like(node))


_BACKWARD = {"gelu_backward": "gelu_backward", "silu_backward": "silu_backward", "tanh_backward": "tanh_backward",
             "sigmoid_backward": "sigmoid_backward"}  # fmt: skip


@rule(*_BACKWARD)
def _gradient(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    kind = _BACKWARD[node.target.__name__.partition(".")[0]]
    return walk.lines.op(kind, [arguments[1], arguments[0]], node.name, walk.like(node))


@rule("softmax", "_softmax", "log_softmax", "_log_softmax", "_safe_softmax")
def _softmax(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    dtype, dims = walk.like(node)
    value = walk.whole(arguments[0], dims)
    return walk.lines.op("softmax", [value], node.name, (dtype, dims), f"axis={arguments[1] % max(1, len(dims))}")


@rule("_softmax_backward_data", "_log_softmax_backward_data")
def _softmax_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    dtype, dims = walk.like(node)
    axis = f"axis={arguments[2] % max(1, len(dims))}"
    return walk.lines.op(
        "softmax_backward", [arguments[1], walk.whole(arguments[0], dims)], node.name, (dtype, dims), axis
    )


def reduced(walk: Walk, node: Any, inputs: Sequence[Value], per_element: float = 1.0) -> Tree:
    """A kernel that goes once over what it reads, `per_element` FLOP for each, and writes what it makes."""
    if not inputs:
        return node.meta.get("val")
    flops = per_element * max(value.elements for value in inputs)
    read = sum(value.nbytes for value in {one.name: one for one in inputs}.values())

    def make(label: str, like: Like) -> Value:
        written = Value("", *like).nbytes
        return walk.lines.op(
            "custom", inputs, label, like, f"flops={flops:.15g} FLOP", f"bytes={read + written:.15g} B"
        )

    return walk.made(node, make)


def _register_reductions() -> None:
    for name, flops in REDUCTIONS.items():

        def reduction(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any], per: float = flops) -> Tree:
            return reduced(walk, node, list(flat([*arguments, *named.values()])), per)

        RULES[name] = reduction


_register_reductions()


@rule(*MOVES)
def _moved(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """What is moved is read once and written once."""
    inputs = list(flat([*arguments, *named.values()]))
    return walk.made(node, lambda label, like: walk.lines.moved(inputs, label, like, 2 * Value("", *like).nbytes))


@rule(*GATHERS)
def _picked(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    inputs = list(flat([*arguments, *named.values()]))
    numbers = sum(value.nbytes for value in inputs[1:])
    return walk.made(
        node, lambda label, like: walk.lines.moved(inputs, label, like, 2 * Value("", *like).nbytes + numbers)
    )


@rule(*SELECTS)
def _selected(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    inputs = list(flat([*arguments, *named.values()]))
    read = sum(value.nbytes for value in inputs)
    return walk.made(node, lambda label, like: walk.lines.moved(inputs, label, like, read + walk.nbytes(node)))


@rule(*PUTS)
def _put(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """A part of a tensor in place: what is put there, and the numbers that say where."""
    inputs = list(flat([*arguments, *named.values()]))
    name = op_name(node.target).rstrip("_")
    whole, rest = inputs[0], inputs[1:]
    put = [value for value in rest if value.dtype == whole.dtype]
    numbers = sum(value.nbytes for value in rest if value.dtype != whole.dtype)
    moved = numbers + PUTS[name] * (put[-1].nbytes if put else numbers)
    return walk.made(node, lambda label, like: walk.lines.moved(inputs, label, like, moved))


@rule("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def _bags(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """Rows of a table, added up bag by bag."""
    table, ids = arguments[0], arguments[1]
    rows = ids.elements * table.dims[-1]
    moved = Value("", table.dtype, (rows,)).nbytes + ids.nbytes + Value("", *walk.like(node)).nbytes
    said = f"flops={rows} FLOP", f"bytes={moved:.15g} B"
    return walk.made(node, lambda label, like: walk.lines.op("custom", [table, ids], label, like, *said))


@rule("embedding")
def _embedding(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return walk.lines.op("embedding", arguments[:2], node.name, walk.like(node))


@rule("embedding_dense_backward")
def _embedding_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    given, ids = arguments[0], arguments[1]
    given = walk.whole(given, (*ids.dims, walk.like(node)[1][-1]))
    return walk.lines.op("embedding_backward", [ids, given], node.name, walk.like(node))


@rule("layer_norm", "native_layer_norm", "rms_norm", "_fused_rms_norm")
def _norm(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    """A norm over the last dim; of several they are read as one."""
    shape = walk.sizes(arguments[1])
    kind = "rms_norm" if "rms" in str(node.target) else "layer_norm"
    scales = list(flat([*arguments[2:4], *named.values()]))
    row = math.prod(shape)

    def make(label: str, like: Like) -> Value:
        rows = (math.prod(like[1]) // row, row)
        given = [
            walk.lines.view(walk.whole(arguments[0], like[1]), rows),
            *(walk.lines.view(each, (row,)) for each in scales),
        ]
        return walk.lines.view(walk.lines.op(kind, given, label, (like[0], rows)), like[1])

    return walk.made(node, make)


@rule("native_layer_norm_backward")
def _norm_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    row = math.prod(walk.sizes(arguments[2]))

    def make(label: str, like: Like) -> Value:
        rows = (math.prod(like[1]) // row, row)
        scale = [walk.lines.view(arguments[5], (row,))] if isinstance(arguments[5], Value) else []
        given = [walk.lines.view(arguments[1], rows), *scale, walk.lines.view(walk.whole(arguments[0], like[1]), rows)]
        return walk.lines.view(walk.lines.op("layer_norm_backward", given, label, (like[0], rows)), like[1])

    return walk.made(node, make)


@rule("batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "native_batch_norm",
      "_batch_norm_with_update", "_native_batch_norm_legit_functional", "cudnn_batch_norm")  # fmt: skip
def _batch_norm(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """In training twice over its input: once for statistics, once to normalise."""
    trains = "no_training" not in str(node.target) and any(each is True for each in arguments[5:6])
    value = arguments[0]

    def make(label: str, like: Like) -> Value:
        moved = value.nbytes * (2 if trains else 1) + Value("", *like).nbytes
        flops = value.elements * (10 if trains else 4)
        return walk.lines.op(
            "custom", list(flat(arguments[:5])), label, like, f"flops={flops} FLOP", f"bytes={moved:.15g} B"
        )

    return walk.made(node, make)


@rule("native_batch_norm_backward", "batch_norm_backward", "cudnn_batch_norm_backward")
def _batch_norm_backward(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    inputs = list(flat(arguments))

    def make(label: str, like: Like) -> Value:
        nbytes = Value("", *like).nbytes
        return walk.lines.op(
            "custom", inputs, label, like, f"flops={11 * math.prod(like[1])} FLOP", f"bytes={5 * nbytes:.15g} B"
        )

    return walk.made(node, make)
