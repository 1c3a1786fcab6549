"""Rules for what holds other instructions: calls, tuples, loops, branches, and the bodies of shard_maps."""

from __future__ import annotations

import math
import re

from hw import SpecError
from scenarios.importers.hlo.costs import branches_of, called_by, cost_of, nbytes
from scenarios.importers.hlo.lowering import Lowering, Tree, flat, rule
from scenarios.importers.hlo.module import Computation, Instruction, Module, leaves
from scenarios.importers.op_lines import OpLines, Value

_TURNS = re.compile(r'"known_trip_count":\{"n":"(\d{1,9})"\}|trip_count=(\d{1,9})')
_MOST_TURNS = 1_000_000


@rule("async-start")
def _begin(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    with run.beside_others():
        return _call(run, each, operands)


@rule("call")
def _call(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    called = run.module.computations.get(called_by(each))
    if called is None:
        raise ValueError("it calls no computation of this module")
    return run.inline(called, operands, each)


@rule("tuple", "return")
def _tuple(run: Lowering, _each: Instruction, operands: list[Tree]) -> Tree:
    return tuple(operands)


@rule("opt-barrier", "optimization-barrier")
def _barrier(_run: Lowering, _each: Instruction, operands: list[Tree]) -> Tree:
    return operands[0] if len(operands) == 1 else tuple(operands)


@rule("get-tuple-element")
def _element(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    at = int(each.attributes.get("index", "0"))
    if isinstance(operands[0], Value) and not at:
        return operands[0]  # what makes one array may say that it makes a tuple of one
    if not isinstance(operands[0], tuple) or at >= len(operands[0]):
        raise ValueError(f"its operand has no element {at}")
    return operands[0][at]


@rule("while")
def _while(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    body = run.module.computations.get(called_by(each, "body"))
    if body is None:
        raise ValueError("it has no body in this module")
    turns = _turns(run, each)
    given = operands[0] if operands else ()
    given = run.whole(given, run.given_types[0]) if run.given_types else given
    with run.lines.repeated(turns) as block:
        made = run.inline(body, [given], each)
        run.lines.carry(block, zip(flat(given), flat(made), strict=False))
    return made


def _turns(run: Lowering, each: Instruction) -> int:
    """How often a loop goes round. Raises ValueError where nothing says it."""
    said = _TURNS.search(each.attributes.get("backend_config", ""))
    if said is not None:
        return max(1, min(_MOST_TURNS, int(said[1] or said[2])))
    condition = run.module.computations.get(called_by(each, "condition"))
    turns = _counted(run.module, each, condition) if condition is not None else None
    if turns is None:
        limits = [one.literal for one in (condition.instructions if condition else []) if one.opcode == "constant"]
        found = [int(text) for text in limits if re.fullmatch(r"\d{1,9}", text)]
        turns = found[0] if len(found) == 1 else None
    if turns is None or not 1 <= turns <= _MOST_TURNS:
        run.open_loops.append(each.name)
        turns = run.dims.get(each.name)
    if turns is None:
        raise ValueError(
            "how often this loop goes round is not known: no trip count, no single limit in its condition; "
            f"say it with --dim {each.name}=N"
        )
    return turns


_AHEAD = {"LT": 1, "LE": 1, "GT": -1, "GE": -1, "NE": 0}
"""Which way a counter goes until its condition no longer holds."""


def _counted(module: Module, loop: Instruction, condition: Computation) -> int | None:
    """The turns of a loop that counts by constant steps from one constant to another; None of any other."""
    inside = _Constants(condition)
    root = inside.by_name.get(condition.root)
    while root is not None and root.opcode == "tuple" and len(root.operands) == 1:
        root = inside.by_name.get(root.operands[0])
    if root is None or root.opcode != "compare" or root.attributes.get("direction") not in _AHEAD:
        return None
    counter, limit = inside.place(root.operands[0]), inside.number(root.operands[1])
    first = _first(module, loop, counter)
    step = _step(module.computations.get(called_by(loop, "body")), counter)
    if limit is None or first is None or not step:
        return None
    direction = root.attributes["direction"]
    if _AHEAD[direction] * step < 0:
        return None
    away = limit - first
    if direction == "NE":
        return away // step if away % step == 0 else None
    return -(-away // step) if direction in ("LT", "GT") else away // step + 1


def _first(module: Module, loop: Instruction, counter: int | None) -> int | None:
    """The number with which a loop's counter begins."""
    for computation in module.computations.values():
        around = _Constants(computation)
        if around.by_name.get(loop.name, loop).line == loop.line and loop.name in around.by_name:
            given = around.by_name.get(loop.operands[0])
            if given is None or counter is None or given.opcode != "tuple":
                return None
            return around.number(given.operands[counter])
    return None


def _step(body: Computation | None, counter: int | None) -> int | None:
    """By how much a turn moves the counter."""
    if body is None or counter is None:
        return None
    inside = _Constants(body)
    root = inside.by_name.get(body.root)
    made = inside.by_name.get(root.operands[counter]) if root is not None and root.opcode == "tuple" else None
    if made is None or made.opcode not in ("add", "subtract"):
        return None
    places = [inside.place(name) == counter for name in made.operands]
    other = made.operands[1] if places[0] else made.operands[0]
    by = inside.number(other)
    if not any(places) or by is None:
        return None
    return -by if made.opcode == "subtract" else by


class _Constants:
    """A computation in which the numbers of constants and the places of arguments are looked up."""

    def __init__(self, computation: Computation) -> None:
        self.by_name = {each.name: each for each in computation.instructions}

    def number(self, name: str) -> int | None:
        """The number that a value is."""
        made = self._behind(name)
        literal = made.literal if made is not None and made.opcode == "constant" else ""
        return int(literal) if re.fullmatch(r"-?\d{1,9}", literal) else None

    def place(self, name: str) -> int | None:
        """Which element of the computation's argument a value is."""
        made = self._behind(name)
        if made is None or made.opcode != "get-tuple-element":
            return None
        return int(made.attributes.get("index", "0"))

    def _behind(self, name: str) -> Instruction | None:
        made = self.by_name.get(name)
        while made is not None and made.opcode in ("copy", "convert", "bitcast", "reshape"):
            made = self.by_name.get(made.operands[0])
        return made


@rule("conditional")
def _conditional(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """The branch with most FLOPs stands for all of them."""
    names = branches_of(each)
    known = [run.module.computations[name] for name in names if name in run.module.computations]
    if not known:
        raise ValueError("it has no branches in this module")
    run.branches += len(known) > 1
    at = max(range(len(known)), key=lambda place: _weight(run, known[place]))
    inputs = [operands[min(at + 1, len(operands) - 1)]] if known[at].parameters else []
    return run.inline(known[at], inputs, each)


def _weight(run: Lowering, branch: Computation) -> tuple[float, int]:
    """What tells the heavier of two branches: FLOPs, where all that it uses is its own, and how many instructions it has."""
    try:
        cost = cost_of(run.module, branch)
    except SpecError:
        return math.inf, len(branch.instructions)
    return cost.matrix + cost.vector, len(branch.instructions)


@rule("manual")
def _manual(run: Lowering, each: Instruction, operands: list[Tree]) -> Tree:
    """The body of a shard_map, in the shapes of one chip: a part of each operand."""
    body = run.module.computations[each.attributes["body"]]
    parts = [_part_of(run.lines, value, one) for value, one in zip(operands, body.parameters, strict=False)]
    return run.inline(body, parts, each)


def _part_of(lines: OpLines, value: Tree, parameter: Instruction) -> Tree:
    shape = leaves(parameter.type)[0]
    return lines.view(value, shape.dims) if isinstance(value, Value) and nbytes(shape) <= value.nbytes else value
