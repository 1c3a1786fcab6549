"""Instructions of XLA as op lines.

Model: what a chip runs is one kernel an instruction: a fusion is one `custom` with the FLOPs of its members and the bytes
of its operands and results; a dot a `matmul`, a convolution a `conv2d`, arithmetic its kind, collectives theirs. Reshapes
and bitcasts are views. A broadcast is not made: who reads it reads what was broadcast. A transpose is a copy in a scheduled
module, and else taken for a choice of layout. A `while` with a known number of turns is a block that carries what its body
makes. Collectives have a queue of their own; one that was not split into start and done is waited for by what follows in a
scheduled module. Scalars are worked out beside the chip.
Assumes: shapes are those of one chip, so a module is read behind the partitioner (or is a shard_map's body).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from hw import SpecError
from scenarios.importers.groups import Groups
from scenarios.importers.hlo.costs import FLOPS, NAMED, nbytes
from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, Type, leaves
from scenarios.importers.op_lines import OpLines, Value

Tree = Any
"""A value, or a tuple of trees."""

Rule = Callable[["Lowering", Instruction, list[Tree]], Tree]
"""Writes the lines of an instruction whose operands are known; what it makes. Raises ValueError."""

RULES: dict[str, Rule] = {}
"""Rules by opcode: those of the files beside this one."""

_MOST_DEEP = 60
_SAME = frozenset(
    [
        "copy-start",
        "async-update",
        "add-dependency",
        "domain",
        "set-dimension-size",
        "optimization-barrier",
        "sharding-constraint",
        "opt-barrier",
    ]
)
_MOVES = frozenset(
    [
        "copy",
        "transpose",
        "concatenate",
        "pad",
        "reverse",
        "dynamic-reshape",
        "broadcast",
        "sort",
        "topk",
        "top-k",
        "rng",
        "rng-uniform",
        "rng-bit-generator",
        "select-and-scatter",
    ]
)
_READ = """
dot convolution all-reduce all-gather reduce-scatter all-to-all collective-permute slice dynamic-slice gather
dynamic-update-slice scatter transpose reshape call
"""
_IN_MEMORY = frozenset(_READ.split())
"""What reads all of its operands, where others read what was broadcast."""

_ARRAYS = {
    "dot": 2, "convolution": 2, "broadcast": 1, "transpose": 1, "reshape": 1, "bitcast": 1, "bitcast-convert": 1, "slice": 1,
    "fft": 1, "dynamic-slice": 1, "dynamic-update-slice": 2, "gather": 2, "scatter": 3, "collective-permute": 1,
    "collective-permute-start": 1, "ragged-dot": 2, "get-tuple-element": 0, "while": 0,
}  # fmt: skip
"""How many operands must be arrays."""


def rule(*opcodes: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of opcodes."""

    def add(made: Rule) -> Rule:
        RULES.update(dict.fromkeys(opcodes, made))
        return made

    return add


class Lowering:
    """A module on its way to lines. `groups`: what collectives go over, by the letters that stand in for it;
    `channels`: what was sent."""

    def __init__(self, module: Module, lines: OpLines) -> None:
        self.module, self.lines = module, lines
        self.groups: dict[Groups, str] = {}
        self.scalars = 0
        self.channels: dict[str, Tree] = {}
        self.beside_depth = 0
        self.deep = 0
        self.scopes: list[dict[str, Tree]] = []
        self.kinds: list[dict[str, Type]] = []

    def run(self) -> None:
        """Write the lines of the entry."""
        entry = self.module.computations[self.module.entry]
        inputs: list[Tree] = [self.source(each.name, each.type) for each in entry.parameters]
        self.inline(entry, inputs)

    def inline(self, computation: Computation, inputs: Sequence[Tree]) -> Tree:
        """Write the lines of a computation; its result."""
        self.deep += 1
        if self.deep > _MOST_DEEP:
            raise self.module.refusal(1, f"computations call each other deeper than {_MOST_DEEP}")
        values: dict[str, Tree] = dict(self.scopes[-1]) if computation.captures and self.scopes else {}
        kinds: dict[str, Type] = dict(self.kinds[-1]) if computation.captures and self.kinds else {}
        self.scopes.append(values)
        self.kinds.append(kinds)
        for each in computation.instructions:
            kinds[each.name] = each.type
            if each.opcode == "parameter":
                at = int(each.literal) if each.literal.isdigit() else 0
                if at >= len(inputs):
                    raise self.module.refusal(each.line, f"there is no parameter {at}")
                values[each.name] = inputs[at]
                continue
            missing = [name for name in each.operands if name not in values]
            if missing:
                raise self.module.refusal(each.line, f"{each.name}: nothing before it is called {missing[0]}")
            try:
                given = [values[name] for name in each.operands]
                if each.opcode in _IN_MEMORY:
                    given = [self.whole(value, kinds[name]) for name, value in zip(each.operands, given, strict=True)]
                values[each.name] = self._value(each, given)
            except SpecError:
                raise
            except (ValueError, IndexError, KeyError) as error:
                raise self.module.refusal(each.line, f"{each.name} = {each.opcode}(...): {error}") from None
        self.deep -= 1
        self.scopes.pop()
        self.kinds.pop()
        if computation.root not in values:
            raise self.module.refusal(1, f"{computation.name} has no result")
        return values[computation.root]

    def source(self, label: str, kind: Type) -> Tree:
        """Arrays that no instruction makes."""
        if isinstance(kind, Shape):
            return self.lines.source(label, kind.dtype or "int8", kind.dims)
        return tuple(self.source(f"{label}_{at}", part) for at, part in enumerate(kind))

    def whole(self, value: Tree, kind: Type) -> Tree:
        """A value with all its elements in memory: what was broadcast is written."""
        if isinstance(value, tuple) and isinstance(kind, tuple):
            return tuple(self.whole(part, each) for part, each in zip(value, kind, strict=False))
        if not isinstance(value, Value) or not isinstance(kind, Shape) or kind.dtype is None:
            return value
        if value.elements >= math.prod(kind.dims):
            return value
        like = (value.dtype, kind.dims)
        written = value.nbytes + Value("", *like).nbytes
        return self.lines.moved([value], f"{value.name}_broadcast", like, written)

    def _value(self, each: Instruction, operands: list[Tree]) -> Tree:
        opcode = each.opcode
        wanted = _ARRAYS.get(opcode, 0)
        if len(operands) < wanted or not all(isinstance(value, Value) for value in operands[:wanted]):
            raise ValueError(f"it wants arrays for operands, {wanted} at least")
        if opcode in RULES:
            return RULES[opcode](self, each, operands)
        begun = opcode.removesuffix("-start")
        if begun != opcode and begun in RULES:
            return self._begun(each, begun, operands)
        if opcode in _SAME or opcode.endswith("-done"):
            return operands[0] if operands else self.source(each.name, each.type)
        inputs = [value for tree in operands for value in flat(tree)]
        if self.is_scalar(each, inputs):
            self.scalars += 1
            return self.source(each.name, each.type)
        if opcode in FLOPS:
            return self._arithmetic(each, inputs)
        if opcode in _MOVES:
            moved = sum(value.nbytes for value in inputs) + out_bytes(each)
            return self.made(each, lambda label, like: self.lines.moved(inputs, label, like, moved))
        return self.made(each, lambda label, like: self.lines.unknown(opcode, inputs, label, like))

    def _begun(self, each: Instruction, opcode: str, operands: list[Tree]) -> Tree:
        """What an op that was split into start and done makes: its type says operands, results, and what it keeps."""
        kind = each.type if isinstance(each.type, Shape) or len(each.type) < 2 else each.type[1]
        with self.beside_others():
            return self._value(replace(each, opcode=opcode, type=kind), operands)

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        """What is written meanwhile holds up nothing that follows."""
        self.beside_depth += 1
        yield
        self.beside_depth -= 1

    def holds_up(self, each: Instruction) -> bool:
        """Whether what follows a collective waits for it: where a module is scheduled and did not split it."""
        return self.module.scheduled and not self.beside_depth and not each.opcode.endswith("-start")

    def is_scalar(self, each: Instruction, inputs: Sequence[Value]) -> bool:
        """Whether an instruction is arithmetic on single numbers, which the host or a scalar unit does."""
        single = all(math.prod(shape.dims) <= 1 for shape in leaves(each.type))
        return single and all(value.elements <= 1 for value in inputs)

    def made(
        self, each: Instruction, make: Callable[[str, tuple[str, Sequence[int]]], Value], kind: Type | None = None
    ) -> Tree:
        """What an instruction makes: one op, with sources for what it makes beside its first result."""
        kind = each.type if kind is None else kind
        if isinstance(kind, Shape):
            return make(label_of(each), (kind.dtype or "int8", kind.dims))
        parts = [self.made(each, make, part) if not at else None for at, part in enumerate(kind)]
        first = next(flat(parts[0]), None) if parts else None
        return tuple(parts[0] if not at else self.beside(first, part) for at, part in enumerate(kind))

    def beside(self, first: Value | None, kind: Type) -> Tree:
        """What was made together with something else: who reads it waits for that."""
        if not isinstance(kind, Shape):
            return tuple(self.beside(first, part) for part in kind)
        if first is None or nbytes(kind) > first.nbytes or kind.dtype != first.dtype:
            return self.lines.source("beside", kind.dtype or "int8", kind.dims)
        return self.lines.view(first, kind.dims)

    def op(self, kind: str, each: Instruction, inputs: Sequence[Value], *options: str) -> Tree:
        """One op of ours."""
        return self.made(each, lambda label, like: self.lines.op(kind, inputs, label, like, *options))

    def _arithmetic(self, each: Instruction, inputs: list[Value]) -> Tree:
        """Arithmetic element by element; what was broadcast lines up, since sizes of 1 stand for any."""
        kind = NAMED.get(each.opcode)
        if kind == "where" and len(inputs) != 3:
            kind = None
        if kind is None:
            return self.op("elementwise", each, inputs, f"flops={FLOPS[each.opcode]} FLOP")
        return self.op(kind, each, inputs)


def flat(tree: Tree) -> Any:
    """The values of a tree."""
    if isinstance(tree, Value):
        yield tree
    elif isinstance(tree, tuple):
        for part in tree:
            yield from flat(part)


def out_bytes(each: Instruction) -> float:
    """The size of all that an instruction makes."""
    return sum(nbytes(shape) for shape in leaves(each.type))


def label_of(each: Instruction) -> str:
    """What an op is called: what the module calls it, unless that is a number."""
    return f"{each.opcode}_{each.name}" if each.name[0].isdigit() else each.name
