"""Rules of loops whose turns are known (see `control`): blocks that repeat."""

from __future__ import annotations

from typing import Any

from scenarios.importers.onnx_graph.blocks import Block
from scenarios.importers.onnx_graph.walk import OnnxWalk, label_in_lines, rule
from scenarios.importers.op_lines import Value


@rule("Loop", "Scan")
def _block(walk: OnnxWalk, node: Any, inputs: list[Value]) -> Value:
    """A loop whose turns are known, as a block that repeats; what each turn leaves behind is put together behind it."""
    block = walk.model.blocks.get(node.output[0])
    if block is None:
        return walk.lines.unknown(node.op_type, inputs, label_in_lines(node), walk.model.type_of(node))
    _enter(walk, block)
    with walk.lines.repeated(block.count) as words:
        for inner, outer in block.slices:
            walk.values[inner] = walk.lines.part(walk.values[outer], walk.model.types[inner][1], inner)
        for each in block.nodes:
            walk.write(each)
        walk.lines.carry(words, [(walk.values[one], walk.values[other]) for one, other in block.carried])
    for inner, outer in block.results:
        walk.values[outer] = walk.values[inner]
    for inner, outer in block.stacked:
        like = walk.model.types[outer]
        moved = 2 * Value("", *like).nbytes
        walk.values[outer] = walk.lines.moved([walk.values[inner]], outer, like, moved)
    return walk.values[node.output[0]]


def _enter(walk: OnnxWalk, block: Block) -> None:
    """What the first turn of a block is given."""
    for inner, outer in block.initial:
        walk.values[inner] = walk.values[outer]
        walk.small |= {inner} if outer in walk.small else set()
    for name in block.given:
        walk.values[name] = walk.lines.source(name, "int64", (1,))
        walk.small.add(name)
