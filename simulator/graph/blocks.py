"""What can be wrong with the blocks of a graph: how many rounds they have, and rounds that ops ask for.

Both show only with the sizes of dims, and need nothing of the system.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from hw import Problem, SpecError
from hw.input import unknown
from simulator.graph.copied import once
from simulator.graph.items import MAX_OPS, MAX_ROUNDS, Repeat, every_block, op_count
from simulator.graph.op_graph import OpGraph
from simulator.graph.unroll import asks_for_rounds


def block_problems(graph: OpGraph, broken_dims: Collection[str] = (), rounds: bool = True) -> list[Problem]:
    """Every problem of the blocks; nothing of rounds where their numbers are wrong. `broken_dims`: those whose sizes are
    wrong, which has been told; `rounds`: whether what is made in which round is known, since every op could be read."""
    blocks = list(every_block(once(graph.items)))
    found = [problem for block in blocks for problem in _counted(block, graph, broken_dims)]
    if found or any(block.count in broken_dims for block in blocks):
        return found
    return list(_large(graph)) or (_round_problems(graph) if rounds else [])


def _round_problems(graph: OpGraph) -> list[Problem]:
    """Every reference to a round that cannot be; the graph is unrolled for it, and stays so."""
    try:
        if asks_for_rounds(once(graph.items)):
            len(graph.unrolled)
    except SpecError as error:
        return list(dict.fromkeys(error.problems))
    return []


def _counted(block: Repeat, graph: OpGraph, broken_dims: Collection[str]) -> Iterator[Problem]:
    """What is wrong with the number of rounds of a block that a dim gives."""
    if not isinstance(block.count, str) or block.count in broken_dims:
        return
    size = graph.dims.get(block.count)
    if size is None:
        yield Problem(block.source.mark, unknown("dim", block.count, {*graph.dims, *broken_dims}))
    elif size > MAX_ROUNDS:
        message = f"repeat: {block.count} = {size}; more than {MAX_ROUNDS} rounds are refused"
        yield Problem(block.source.mark, message)


def _large(graph: OpGraph) -> Iterator[Problem]:
    """Blocks that are too many ops with all their rounds."""
    for item in once(graph.items):
        count = op_count((item,), graph.dims)
        if count > MAX_OPS:
            yield Problem(item.source.mark, f"the block has {count} ops; more than {MAX_OPS} are refused")
