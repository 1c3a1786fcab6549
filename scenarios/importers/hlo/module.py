"""A module of XLA's as instructions, whichever text it was written in.

Model: a module has computations, each a list of instructions in order, whose last (or `root`) is its result. An instruction
has an opcode in HLO's words, the names of its operands, and attributes as they were written. Values may be tuples.
Source: openxla.org, HLO text and operation semantics; the StableHLO specification.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from hw import Mark, Problem, SpecError


@dataclass(frozen=True, slots=True)
class Shape:
    """The type of an array; `dtype` in our words, None for what holds no numbers (tokens)."""

    dtype: str | None
    dims: tuple[int, ...]


Type = Shape | tuple["Type", ...]
"""An array, or a tuple of types."""


@dataclass(slots=True)
class Instruction:
    """One instruction. `calls`: computations that it names, by attribute; `literal`: what a constant holds, as written."""

    name: str
    opcode: str
    type: Type
    operands: tuple[str, ...]
    attributes: Mapping[str, str]
    line: int
    literal: str = ""


@dataclass(slots=True)
class Computation:
    """Instructions in order. `root` names the result; `captures`: whether it may use what stands around it; `tupled`:
    whether its result is a tuple even of one; `results`: what is said of how each result is sharded."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)
    root: str = ""
    captures: bool = False
    tupled: bool = False
    results: tuple[str, ...] = ()

    @property
    def parameters(self) -> list[Instruction]:
        """Its parameters, in their order."""
        found = [each for each in self.instructions if each.opcode == "parameter"]
        return sorted(found, key=lambda each: int(each.literal) if each.literal.isdigit() else 0)


@dataclass(slots=True)
class Module:
    """A module. `scheduled`: whether the order of its instructions is that in which a chip runs them; `meshes`: axes and
    their sizes, by the name of a mesh."""

    path: Path
    name: str
    computations: dict[str, Computation]
    entry: str
    partitions: int = 1
    scheduled: bool = False
    meshes: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def refusal(self, line: int, message: str) -> SpecError:
        """The error for an instruction."""
        return SpecError([Problem(Mark(str(self.path), line), message)])


def leaves(kind: Type) -> list[Shape]:
    """The arrays of a type."""
    if isinstance(kind, Shape):
        return [kind]
    return [shape for part in kind for shape in leaves(part)]


def why(error: Exception) -> str:
    """What an instruction lacks, in words: places and keys that are not there are dims, operands or attributes of it."""
    return "a dim, an operand or an attribute of it is missing" if isinstance(error, LookupError) else str(error)
