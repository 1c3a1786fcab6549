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
    NUMBERS,
    ONE,
    PUTS,
    REDUCTIONS,
    REREADS,
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
    dtype, dims = walk.like(node)
    if dtype != value.dtype and op_name(node.target) in REREADS:
        return walk.lines.read_as(value, node.name, (dtype, dims))
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


@rule(*NUMBERS)
def _number(_walk: Walk, node: Any, _arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return node.meta.get("val")


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


@rule("nll_loss", "nll_loss_forward", "nll_loss_nd", "nll_loss2d", "nll_loss2d_forward")
def _picked_losses(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """Of each row of scores the one that a label says."""
    scores, labels = arguments[0], arguments[1]
    moved = labels.nbytes + Value("", scores.dtype, labels.dims).nbytes + walk.nbytes(node)
    said = f"flops={labels.elements} FLOP", f"bytes={moved:.15g} B"
    return walk.made(node, lambda label, like: walk.lines.op("custom", [scores, labels], label, like, *said))


@rule("nll_loss_backward", "nll_loss2d_backward")
def _loss_gradient(walk: Walk, node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    """Zeros, and in each row a number where a label says."""
    inputs = list(flat(arguments))
    labels = arguments[2]
    like = walk.like(node)
    return walk.lines.moved(inputs, node.name, like, labels.nbytes + Value("", *like).nbytes)
