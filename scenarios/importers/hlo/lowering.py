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
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol

from hw import SpecError
from scenarios.importers.groups import Groups
from scenarios.importers.hlo.costs import FLOPS, NAMED, nbytes
from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, Type, leaves, why
from scenarios.importers.hlo.opcodes import ARRAYS, IN_MEMORY, MOVES, SAME
from scenarios.importers.op_lines import OpLines, Value

Tree = Any
"""A value, or a tuple of trees."""

Rule = Callable[["Lowering", Instruction, list[Tree]], Tree]
"""Writes the lines of an instruction whose operands are known; what it makes. Raises ValueError."""

RULES: dict[str, Rule] = {}
"""Rules by opcode: those of the files beside this one."""

_MOST_DEEP = 60


def rule(*opcodes: str) -> Callable[[Rule], Rule]:
    """Make a function the rule of opcodes."""

    def add(made: Rule) -> Rule:
        RULES.update(dict.fromkeys(opcodes, made))
        return made

    return add


class Shardings(Protocol):
    """What a lowering asks of the shardings of a module that is not partitioned yet. `scopes`: where it is."""

    scopes: list[Any]

    def enter(self, each: Instruction, computation: str) -> None:
        """Go into what an instruction calls."""

    def type_of(self, name: str, kind: Type) -> Type:
        """The type of what one chip has of an array."""

    def before(self, run: Lowering, each: Instruction, given: list[Tree]) -> tuple[Instruction, list[Tree]]:
        """An instruction in the shapes of one chip, and its operands as it takes them."""

    def after(self, run: Lowering, each: Instruction, made: Tree) -> Tree:
        """What it made, as its array lies."""

    def result(self, run: Lowering, name: str, made: Tree) -> Tree:
        """The result of a computation, as whoever called it wants it."""


class Lowering:
    """A module on its way to lines. `groups`: what collectives go over, by the letters that stand in
    for it; `channels`: what was sent; `branches`: how many conditionals there are; `dims`: turns of
    loops that the module does not tell, of which `open_loops` are the names."""

    def __init__(self, module: Module, lines: OpLines, dims: Mapping[str, int] | None = None) -> None:
        self.module, self.lines = module, lines
        self.groups: dict[Groups, str] = {}
        self.scalars = self.branches = 0
        self.channels: dict[str, Tree] = {}
        self.dims: Mapping[str, int] = dims or {}
        self.open_loops: list[str] = []
        self.shardings: Shardings | None = None
        self.given_types: list[Type] = []
        self.beside_depth = 0
        self.deep = 0
        self.scopes: list[dict[str, Tree]] = []
        self.kinds: list[dict[str, Type]] = []

    def run(self, shardings: Shardings | None = None) -> None:
        """Write the lines of the entry; those of one chip's part of it, where it is sharded."""
        self.shardings = shardings
        entry = self.module.computations[self.module.entry]
        inputs: list[Tree] = [self.source(each.name, self._type_here(each)) for each in entry.parameters]
        self.inline(entry, inputs)

    def inline(self, computation: Computation, inputs: Sequence[Tree], caller: Instruction | None = None) -> Tree:
        """Write the lines of a computation that an instruction calls; its result."""
        if self.shardings is not None and caller is not None:
            self.shardings.enter(caller, computation.name)
            try:
                return self._inlined(computation, inputs)
            finally:
                self.shardings.scopes.pop()
        return self._inlined(computation, inputs)

    def _type_here(self, each: Instruction) -> Type:
        """The type of what one chip has of what an instruction makes."""
        return each.type if self.shardings is None else self.shardings.type_of(each.name, each.type)

    def _inlined(self, computation: Computation, inputs: Sequence[Tree]) -> Tree:
        self.deep += 1
        if self.deep > _MOST_DEEP:
            raise self.module.refusal(1, f"computations call each other deeper than {_MOST_DEEP}")
        values: dict[str, Tree] = dict(self.scopes[-1]) if computation.captures and self.scopes else {}
        kinds: dict[str, Type] = dict(self.kinds[-1]) if computation.captures and self.kinds else {}
        self.scopes.append(values)
        self.kinds.append(kinds)
        for each in computation.instructions:
            kinds[each.name] = self._type_here(each)
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
                values[each.name] = self._step(each, [values[name] for name in each.operands], kinds)
            except SpecError:
                raise
            except (ValueError, IndexError, KeyError) as error:
                raise self.module.refusal(each.line, f"{each.name} = {each.opcode}(...): {why(error)}") from None
        self.deep -= 1
        self.scopes.pop()
        self.kinds.pop()
        if computation.root not in values:
            raise self.module.refusal(1, f"{computation.name} has no result")
        result = values[computation.root]
        return result if self.shardings is None else self.shardings.result(self, computation.root, result)

    def _step(self, each: Instruction, given: list[Tree], kinds: dict[str, Type]) -> Tree:
        """What one instruction makes; a sharded one on one chip, with what is sent before and after it."""
        self.given_types = [kinds[name] for name in each.operands]
        if self.shardings is None:
            return self._value(each, self._written(each, given))
        here, given = self.shardings.before(self, each, given)
        return self.shardings.after(self, each, self._value(here, self._written(here, given)))

    def _written(self, each: Instruction, given: list[Tree]) -> list[Tree]:
        """Operands, with what was broadcast in memory where the instruction reads all of it."""
        if each.opcode not in IN_MEMORY:
            return given
        return [self.whole(value, kind) for value, kind in zip(given, self.given_types, strict=True)]

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
        wanted = ARRAYS.get(opcode, 0)
        if len(operands) < wanted or not all(isinstance(value, Value) for value in operands[:wanted]):
            raise ValueError(f"it wants arrays for operands, {wanted} at least")
        if opcode in RULES:
            return RULES[opcode](self, each, operands)
        begun = opcode.removesuffix("-start")
        if begun != opcode and begun in RULES:
            return self._begun(each, begun, operands)
        if opcode in SAME or opcode.endswith(("-done", "-update")):
            return operands[0] if operands else self.source(each.name, each.type)
        inputs = [value for tree in operands for value in flat(tree)]
        if self.is_scalar(each, inputs):
            self.scalars += 1
            return self.source(each.name, each.type)
        if opcode in FLOPS:
            return self._arithmetic(each, inputs)
        if opcode in MOVES:
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
        """Whether what follows a collective waits for it: in a scheduled module that did not split it, or says so."""
        is_split = each.opcode.endswith("-start") and '"is_sync":true' not in each.attributes.get("backend_config", "")
        return self.module.scheduled and not self.beside_depth and not is_split

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
