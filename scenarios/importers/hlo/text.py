"""HLO text, as XLA prints it: before and after optimisation, with or without % and the types of operands.

Model: a computation begins with `name (parameters) -> type {` or `name {`, an instruction is `name = type opcode(operands),
attribute=value, ...`, a computation ends with `}`. Layouts, tiles and comments are passed by.
Source: openxla.org, "HLO text"; what jax prints (`lowered.as_text("hlo")`, `compiled.as_text()`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.dtypes import dtype_named
from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, Type
from scenarios.importers.hlo.sharding.layouts import meshes_in

_MODULE = re.compile(r"HloModule\s+([\w.\-<>]+)")
_PARTITIONS = re.compile(r"num_partitions=(\d{1,6})")
_HEADER = re.compile(r"(ENTRY\s+)?%?([\w.\-]+)\s*(?:\(.*\)\s*->\s*.*)?\{\s*(?:/\*.*)?$")
_INSTRUCTION = re.compile(r"(ROOT\s+)?%?([\w.\-]+)\s*=\s*")
_ARRAY = re.compile(r"([a-z][a-z0-9]*)\[([\d,<=?\s]*)\]")
_OPCODE = re.compile(r"\s*([a-z][\w\-]*)\(")
_NAME = re.compile(r"%?([A-Za-z_][\w.\-]*)\s*$")
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*"|[(){}\[\],]')
_OPEN, _CLOSE = "({[", ")}]"
_COMMENT = re.compile(r"/\*[^*]*\*/")
_MOST_JOINED = 200
_SIXTEEN = {"c64": "fp64", "c128": "fp64"}
"""Complex numbers are as wide as a wider real one, or counted as that."""


def read_hlo(path: Path, text: str) -> Module:
    """A module of HLO text. Raises SpecError with everything that cannot be read."""
    named = _MODULE.search(text)
    head = text[: text.find("\n")]
    partitions = _PARTITIONS.search(head)
    module = Module(path, named[1] if named else "module", {}, "", int(partitions[1]) if partitions else 1)
    module.scheduled = "is_scheduled=true" in head
    module.meshes = meshes_in(head)
    problems: list[Problem] = []
    current: Computation | None = None
    for number, line in _joined(text.splitlines()):
        if current is None:
            header = _HEADER.match(line) if line.endswith("{") else None
            if header and not line.startswith("HloModule"):
                current = module.computations.setdefault(header[2], Computation(header[2]))
                if header[1]:
                    module.entry = header[2]
            continue
        if line.startswith("}"):
            current = None
            continue
        if not line or line.startswith("//"):
            continue
        try:
            made, is_root = _instruction(line, number)
        except ValueError as error:
            problems.append(Problem(Mark(str(path), number, 1), f"this is no HLO instruction: {error}"))
            continue
        current.instructions.append(made)
        if is_root:
            current.root = made.name
    if current is not None:
        problems.append(Problem(Mark(str(path), text.count("\n") + 1), f"the file ends within {current.name}"))
    _check(module, problems)
    if problems:
        raise SpecError(problems)
    return module


def _joined(raw: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; what was broken within brackets or behind a comma, as people write it, is one line."""
    at = 0
    while at < len(raw):
        line, number = raw[at].strip(), at + 1
        at += 1
        joined, last = line, min(len(raw), at + _MOST_JOINED)
        while _goes_on(joined) and at < last:
            joined += " " + raw[at].strip()
            at += 1
        if _goes_on(joined):  # it is broken: its own line is named, and the others are read
            joined, at = line, number
        yield number, joined


def _goes_on(line: str) -> bool:
    """Whether a line is not all of what it begins; a brace at its end opens a computation."""
    if line.startswith("//") or not line:
        return False
    if line.endswith(","):
        return True
    inside = line.removesuffix("{")
    if all(inside.count(a) == inside.count(b) for a, b in zip(_OPEN, _CLOSE, strict=True)):
        return False
    depth = 0
    for found in _MARKS.finditer(inside):
        depth += (found[0] in _OPEN) - (found[0] in _CLOSE)
    return depth > 0


def _check(module: Module, problems: list[Problem]) -> None:
    """Find the entry, and results of computations that say none."""
    if not module.computations:
        problems.append(Problem(Mark(str(module.path)), "there is no computation in this module"))
        return
    module.entry = module.entry or list(module.computations)[-1]
    for each in module.computations.values():
        if not each.instructions:
            problems.append(Problem(Mark(str(module.path)), f"computation {each.name} has no instruction"))
        elif not each.root:
            each.root = each.instructions[-1].name


def _instruction(line: str, number: int) -> tuple[Instruction, bool]:
    """An instruction, and whether it is the root. Raises ValueError."""
    if "/*" in line:
        line = _COMMENT.sub("", line)
    head = _INSTRUCTION.match(line)
    if head is None:
        raise ValueError("'name = type opcode(operands)' is wanted")
    kind, at = _type(line, head.end())
    opcode = _OPCODE.match(line, at)
    if opcode is None:
        raise ValueError("an opcode and its operands are wanted behind the type")
    end = _closing(line, opcode.end() - 1)
    inside = line[opcode.end() : end]
    attributes = dict(_pairs(line[end + 1 :]))
    operands: tuple[str, ...] = ()
    if opcode[1] not in ("constant", "parameter", "iota"):
        found = [_NAME.search(part) for part in _parts(inside)]
        if not all(found):
            raise ValueError("an operand has no name")
        operands = tuple(each[1] for each in found if each is not None)
    literal = inside if opcode[1] in ("constant", "parameter") else ""
    return Instruction(head[2], opcode[1], kind, operands, attributes, number, literal.strip()), bool(head[1])


def _type(line: str, at: int) -> tuple[Type, int]:
    """The type that begins at a place, and where it ends. Raises ValueError."""
    if line[at : at + 1] == "(":
        end = _closing(line, at)
        return tuple(_type(part.strip(), 0)[0] for part in _parts(line[at + 1 : end])), end + 1
    array = _ARRAY.match(line[at:].lstrip())
    if array is None:
        token = re.match(r"(token|opaque)\[\]", line[at:])
        if token is None:
            raise ValueError("a type such as f32[8,128] is wanted")
        return Shape(None, ()), at + token.end()
    start = line.index(array[0], at)
    end = start + len(array[0])
    if line[end : end + 1] == "{":
        end = _closing(line, end) + 1
    dtype = _SIXTEEN.get(array[1]) or dtype_named(array[1])
    if "?" in array[2]:
        raise ValueError("a size is open (?): give it when the module is made, or a bound, [<=8]")
    dims = tuple(int(size.strip().removeprefix("<=")) for size in array[2].split(",") if size.strip())
    return Shape(dtype if array[1] not in ("token", "opaque") else None, dims), end


def _closing(line: str, at: int) -> int:
    """Where the bracket that opens at a place is closed. Raises ValueError."""
    depth = 0
    for found in _MARKS.finditer(line, at):
        if found[0] in _OPEN:
            depth += 1
        elif found[0] in _CLOSE:
            depth -= 1
            if not depth:
                return found.start()
    raise ValueError("a bracket is not closed")


def _parts(text: str) -> list[str]:
    """A list at its own commas."""
    parts, depth, start = [], 0, 0
    for found in _MARKS.finditer(text):
        if found[0] in _OPEN:
            depth += 1
        elif found[0] in _CLOSE:
            depth -= 1
        elif found[0] == "," and not depth:
            parts.append(text[start : found.start()])
            start = found.end()
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _pairs(text: str) -> list[tuple[str, str]]:
    """Attributes: names and values as written."""
    return [
        (key.strip(), value.strip()) for key, equals, value in (part.partition("=") for part in _parts(text)) if equals
    ]
