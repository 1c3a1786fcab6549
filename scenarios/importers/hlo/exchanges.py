"""Rules for collectives, in the words of what one chip has before and after.

Model: a chip's array is read as its part of a sum, or of a larger array that is cut over the group; a view says so, which
costs nothing. What a collective leaves is read in the sizes of one chip again.
"""

from __future__ import annotations

import math

from scenarios.importers.collectives import collective_kind
from scenarios.importers.groups import Groups
from scenarios.importers.hlo.lowering import Lowering, Tree, flat, label_of, rule
from scenarios.importers.hlo.module import Instruction, Shape, leaves
from scenarios.importers.hlo.replica_groups import read_groups, read_pairs, ring_of
from scenarios.importers.op_lines import Value

_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-broadcast")


@rule(*(f"{name}{end}" for name in _COLLECTIVES for end in ("", "-start")))
def _collective(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    kind = collective_kind(each.opcode)
    assert kind is not None
    inputs = [value for tree in operands for value in flat(tree)]
    if not inputs:
        raise ValueError("it wants arrays for operands")
    made = [_over(run, each, kind, value) for value in inputs]
    if not each.opcode.endswith("-start") and run.module.scheduled:
        run.waits = made[-1].name
    if isinstance(each.type, Shape) or len(made) == 1:
        return made[0]
    return tuple(made)


def _over(run: Lowering, each: Instruction, kind: str, value: Value) -> Value:
    groups = read_groups(each.attributes.get("replica_groups", ""), run.module.partitions)
    size = len(groups[0])
    if size < 2:
        return value
    over = _letters(run, groups)
    axes = f"<{over}>"
    dims = list(value.dims) or [1]
    flat = run.lines.view(value, dims)
    text = [str(each_size) for each_size in dims]
    if kind == "all_reduce":
        partial = run.lines.view(flat, dims, f"[{','.join(text)}]{{U_{axes}}}")
        return run.lines.op(kind, [partial], label_of(each), (value.dtype, value.dims), f"over={over}")
    if kind == "broadcast":
        return run.lines.op(kind, [flat], label_of(each), (value.dtype, value.dims), f"over={over}")
    return _resharded(run, each, kind, flat, (over, axes, size))


def _resharded(run: Lowering, each: Instruction, kind: str, value: Value, over: tuple[str, str, int]) -> Value:
    """A collective that makes an array of another size, as one along a single dim."""
    letters, axes, size = over
    out = next(shape for shape in reversed(leaves(each.type)) if shape.dtype)
    if kind == "all_gather":
        whole = value.elements * size
        part = run.lines.view(value, (value.elements,), f"[{whole}_{axes}]")
        made = run.lines.op(kind, [part], label_of(each), (value.dtype, (whole,)), f"over={letters}")
        return run.lines.view(made, out.dims) if math.prod(out.dims) == whole else made
    if value.elements % size:
        raise ValueError(f"{value.elements} elements cannot be shared by {size}")
    if kind == "reduce_scatter":
        partial = run.lines.view(value, (value.elements,), f"[{value.elements}]{{U_{axes}}}")
        made = run.lines.sharded(
            kind, partial, label_of(each), f"[{value.elements}_{axes}]", (value.elements // size,), f"over={letters}"
        )
    else:
        rows = run.lines.view(value, (value.elements,), f"[{size}_{axes},{value.elements}]")
        made = run.lines.sharded(
            kind, rows, label_of(each), f"[{size},{value.elements}_{axes}]", (value.elements,), f"over={letters}"
        )
    return run.lines.view(made, out.dims)


@rule("collective-permute", "collective-permute-start")
def _permute(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    value = operands[0]
    pairs = read_pairs(each.attributes.get("source_target_pairs", ""))
    groups = ring_of(pairs, run.module.partitions)
    if len(groups[0]) < 2:
        return value
    made = run.lines.op(
        "permute", [value], label_of(each), (value.dtype, value.dims), f"over={_letters(run, groups)}", "shift=1"
    )
    if each.opcode == "collective-permute" and run.module.scheduled:
        run.waits = made.name
    return made


def _letters(run: Lowering, groups: Groups) -> str:
    """What stands for groups until it is known which axes there are."""
    return run.groups.setdefault(groups, f"\0{len(run.groups)}\0")
