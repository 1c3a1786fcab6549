"""Rules for collectives, in the words of what one chip has before and after.

Model: a chip's array is read as its part of a sum, or of a larger array that is cut over the group; a view says so, which
costs nothing. What a collective leaves is read in the sizes of one chip again.
"""

from __future__ import annotations

from scenarios.importers.collectives import collective_kind
from scenarios.importers.exchanges import letters_of, over_groups
from scenarios.importers.hlo.lowering import Lowering, Tree, flat, label_of, rule
from scenarios.importers.hlo.module import Instruction, Shape, leaves
from scenarios.importers.hlo.replica_groups import groups_of, read_pairs, ring_of
from scenarios.importers.op_lines import Value

_COLLECTIVES = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-broadcast")


@rule(*(f"{name}{end}" for name in _COLLECTIVES for end in ("", "-start")))
def _collective(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    kind = collective_kind(each.opcode)
    assert kind is not None
    inputs = [value for tree in operands for value in flat(tree)]
    if not inputs:
        raise ValueError("it wants arrays for operands")
    if each.opcode.startswith("ragged"):  # what is sent; behind it stand where it goes, offsets and sizes
        inputs = inputs[:1]
    outs = _results(each, len(inputs))
    made = [_over(run, each, kind, value, out) for value, out in zip(inputs, outs, strict=True)]
    if run.holds_up(each):
        run.lines.waits = made[-1].name
    if isinstance(each.type, Shape) or len(made) == 1:
        return made[0]
    return tuple(made)


def _results(each: Instruction, count: int) -> list[Shape]:
    """What a collective makes of each of its operands; what was started says its operands before its results."""
    kind = each.type
    if each.opcode.endswith("-start") and not isinstance(kind, Shape) and len(leaves(kind)) >= 2 * count:
        kind = kind[1]
    found = [shape for shape in leaves(kind) if shape.dtype][:count]
    if len(found) < count:
        raise ValueError(f"it has {count} operands and {len(found)} results")
    return found


def _over(run: Lowering, each: Instruction, kind: str, value: Value, out: Shape) -> Value:
    groups = groups_of(each.attributes, run.module.partitions)
    return over_groups(run, (kind, label_of(each)), value, out.dims, groups)


@rule("collective-permute", "collective-permute-start")
def _permute(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    pairs = each.attributes.get("source_target_pairs", "")
    made = [_sent(run, each, value, pairs) for value in operands if isinstance(value, Value)]
    if run.holds_up(each):
        run.lines.waits = made[-1].name
    return made[0] if len(made) == 1 else tuple(made)


def _sent(run: Lowering, each: Instruction, value: Value, said: str) -> Value:
    """What each chip sends to the next of its ring."""
    groups = ring_of(read_pairs(said), run.module.partitions)
    if len(groups[0]) < 2:
        return value
    options = f"over={letters_of(run, groups)}", "shift=1"
    return run.lines.op("permute", [value], label_of(each), (value.dtype, value.dims), *options)


@rule("send")
def _send(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """What a channel carries; it goes when somebody receives it."""
    run.channels[each.attributes.get("channel_id", "")] = operands[0]
    return operands[0], None, None


@rule("recv")
def _receive(run: Lowering, each: Instruction, _operands: list[Tree]) -> Tree:
    return each, None, None


@rule("recv-done")
def _received(run: Lowering, _each: Instruction, operands: list[Tree]) -> Tree:
    """A transfer along a ring of chips, from what the same channel was given."""
    asked = operands[0][0] if isinstance(operands[0], tuple) else None
    if not isinstance(asked, Instruction):
        raise ValueError("its operand is no recv")
    out = leaves(asked.type)[0]
    pairs = asked.attributes.get("source_target_pairs") or asked.attributes.get("frontend_attributes", "")
    value = run.channels.get(asked.attributes.get("channel_id", ""))
    if value is None or not read_pairs(pairs):
        like = out.dtype or "int8", out.dims
        return run.lines.unknown("recv", [], label_of(asked), like), None
    return _sent(run, asked, value, pairs), None
