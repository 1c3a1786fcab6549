"""StableHLO text (MLIR), as jax prints it, in the words of HLO.

Model: functions become computations, and so do the regions of an op, which may use what stands around them. An op is
`%name = dialect.op operands, key = value, ... : type`; its results are `%name`, or `%name#0`, `%name#1` where there are
several. A `while` becomes one over a tuple of what it carries. The body of `sdy.manual_computation` (a shard_map) is read in
the shapes of one chip; shardings stand as they are written, for `sharding` to read.
Source: the StableHLO specification; what jax prints (`lowered.as_text()`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.hlo.attributes import attributes_of, types_in
from scenarios.importers.hlo.module import Computation, Instruction, Module, Shape, Type, why
from scenarios.importers.hlo.sharding.layouts import meshes_in

_MODULE = re.compile(r"module\s+@([\w.\-]+)")
_PARTITIONS = re.compile(r"mhlo\.num_partitions = (\d{1,6})")
_FUNCTION = re.compile(r"func\.func\s+(?:public\s+|private\s+)?@\"?([\w.\-$]+)\"?\s*\(")
_RESULT = re.compile(r"%([\w.\-$]+)(?::(\d+))?((?:\s*,\s*%[\w.\-$]+)*)\s*=\s*")
_OP = re.compile(r'"?([a-z_]+\.)?([a-z_][\w.]*)"?')
_NAME = re.compile(r"%([\w.\-$]+(?:#\d+)?)")
_TYPED_ARGUMENT = re.compile(r"%([\w.\-$]+):\s*((?:tensor|vector)<[^<>]*(?:<[^<>]*>[^<>]*)*>|!\w+(?:\.\w+)*)")
_RESULT_TYPE = re.compile(r"tensor<[^<>]*(?:<[^<>]*>[^<>]*)*>")
_BRACES = re.compile(r"[{}]")
_NAMED = re.compile(r'(?:[A-Za-z_][\w.$]*|"[\w.$]+")\s*=\s')
_ITERATED = re.compile(r"%([\w.\-$]+)\s*=\s*%([\w.\-$]+(?:#\d+)?)")

_OPCODES = {
    "dot_general": "dot", "dot": "dot", "broadcast_in_dim": "broadcast", "case": "conditional", "if": "conditional",
    "dynamic_broadcast_in_dim": "broadcast", "cosine": "cosine", "remainder": "remainder", "return": "return",
}  # fmt: skip
_RETURNS = ("return", "func.return", "stablehlo.return", "sdy.return", "mhlo.return")


class _Lines:
    """The lines of a file that are left to read. What was broken within an op's attributes or types is one line."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.at = 0

    def next(self) -> tuple[int, str] | None:
        """The next line that says something, and its number."""
        while self.at < len(self.lines):
            self.at += 1
            line, number = self.lines[self.at - 1].strip(), self.at
            if line and not line.startswith(("//", "#")):
                return number, self._whole(line)
        return None

    def _whole(self, line: str) -> str:
        """A line with those in which it goes on: its attributes up to the brace that closes them, and its types."""
        depth = 0
        while self.at < len(self.lines):
            following = self.lines[self.at].strip()
            if not depth and line.endswith("{") and _NAMED.match(following):
                depth = 1
            if not depth and not _goes_on(line, following):
                return line
            line += " " + following
            self.at += 1
            for brace in _BRACES.findall(following) if depth else ():
                depth += 1 if brace == "{" else -1
                if not depth:
                    break
        return line


def _goes_on(line: str, following: str) -> bool:
    """Whether a line ends, or the following begins, where nothing ends."""
    if following.startswith("//"):
        return False
    return line.endswith((",", " :", "->", "=")) or following.startswith((": ", "-> "))


def read_stablehlo(path: Path, text: str) -> Module:
    """A module of StableHLO text. Raises SpecError."""
    named, partitions = _MODULE.search(text), _PARTITIONS.search(text)
    module = Module(path, named[1] if named else "module", {}, "main", int(partitions[1]) if partitions else 1)
    module.meshes = meshes_in("\n".join(line for line in text.splitlines() if "sdy.mesh" in line))
    reader = _Reader(module, _Lines(text))
    reader.read()
    if not module.computations:
        raise SpecError([Problem(Mark(str(path)), "there is no function in this module")])
    if "main" not in module.computations:
        module.entry = next(iter(module.computations))
    return module


class _Reader:
    def __init__(self, module: Module, lines: _Lines) -> None:
        self.module, self.lines = module, lines
        self.regions = 0

    def read(self) -> None:
        """All functions."""
        while (found := self.lines.next()) is not None:
            number, line = found
            function = _FUNCTION.match(line)
            if function is None:
                continue
            made = Computation(function[1])
            head = line
            while not head.rstrip().endswith("{"):
                more = self.lines.next()
                if more is None:
                    raise self.module.refusal(number, f"the file ends within the head of {function[1]}")
                head += " " + more[1]
            try:
                _take_parameters(made, _arguments(head[function.end() - 1 :]), number)
                _take_shardings(made, head[function.end() - 1 :])
            except ValueError as error:
                raise self.module.refusal(number, f"{function[1]} cannot be read: {error}") from None
            self._block(made)
            self.module.computations[made.name] = made

    def _block(self, made: Computation) -> str:
        """The lines of a block up to what closes it, which is returned."""
        while (found := self.lines.next()) is not None:
            number, line = found
            if line.startswith("}"):
                return line
            if line.startswith("^"):
                _take_parameters(made, _TYPED_ARGUMENT.findall(line), number)
                continue
            try:
                self._op(made, number, line)
            except (ValueError, IndexError) as error:
                raise self.module.refusal(number, f"this op cannot be read: {why(error)}") from None
        raise self.module.refusal(self.lines.at, f"the file ends within {made.name}")

    def _op(self, made: Computation, number: int, line: str) -> None:
        if line.split("(")[0].split()[0] in _RETURNS:
            _take_return(made, number, line)
            return
        result = _RESULT.match(line)
        name, rest = (result[1], line[result.end() :]) if result else (f"line{number}", line)
        op = _OP.match(rest)
        if op is None:
            raise ValueError("'%name = dialect.op ... : type' is wanted")
        body = rest[op.end() :]
        word = op[2].rpartition(".")[2]
        if word == "while":
            self._while(made, number, name, body)
            return
        regions, tail = self._regions(made, body)
        text = body.removesuffix("{").removesuffix("(") + (tail if regions else "")
        head, kind = _split_type(text)
        attributes = attributes_of(word, head)
        if "harding" in head or word == "sharding_constraint":
            attributes["sharding"] = head
        for key, region in zip(_keys(word, len(regions)), regions, strict=True):
            attributes[key] = region
        opcode = "manual" if word == "manual_computation" else _OPCODES.get(word, word.replace("_", "-"))
        if op[1] == "sdy." and word not in ("manual_computation", "constant"):
            opcode = "sharding-constraint"  # a collective of Shardy's says how its operand is to lie
            attributes["sharding"] = head.partition("out_sharding=")[2] or head
        literal = _literal(head) if opcode == "constant" else ""
        operands = () if opcode in ("constant", "iota") else _operands(made, head, number)
        if (
            opcode == "reduce" and "init:" in head
        ):  # `(%a init: %x), (%b init: %y)`; HLO has operands before initial values
            operands = (*operands[::2], *operands[1::2])
        several = [name, *_NAME.findall(result[3])] if result and result[3] else []
        whole = f"{name}/all" if several else name
        made.instructions.append(Instruction(whole, opcode, kind, operands, attributes, number, literal))
        for at, each in enumerate(several):
            part = kind[at] if isinstance(kind, tuple) and at < len(kind) else Shape(None, ())
            made.instructions.append(Instruction(each, "get-tuple-element", part, (whole,), {"index": str(at)}, number))

    def _regions(self, made: Computation, body: str) -> tuple[list[str], str]:
        """The regions of an op whose line ends where one begins, and what stands behind the last of them."""
        names: list[str] = []
        tail = ""
        opens = body.rstrip().endswith("{")
        while opens:
            region = self._region(made)
            names.append(region.name)
            if len(names) == 1:
                _take_parameters(region, _own_arguments(body), 0)
            tail = self._block(region)
            opens = tail.rstrip().endswith("{")
        return names, tail.lstrip("})").lstrip()

    def _region(self, made: Computation) -> Computation:
        self.regions += 1
        region = Computation(f"{made.name}/{self.regions}", captures=True)
        self.module.computations[region.name] = region
        return region

    def _while(self, made: Computation, number: int, name: str, body: str) -> None:
        """A loop over a tuple of what it carries."""
        pairs = _ITERATED.findall(body)
        kinds = tuple(types_in(body[body.rfind(" : ") :]))
        if not pairs or len(kinds) != len(pairs):
            raise ValueError("a while wants what it carries, each with its type")
        given = tuple(_operand(made, each, number) for _, each in pairs)
        made.instructions.append(Instruction(f"{name}/given", "tuple", kinds, given, {}, number))
        regions: list[str] = []
        for _ in range(2):
            if not self.lines.lines[self.lines.at - 1].rstrip().endswith("{") and self.lines.next() is None:
                raise ValueError("the file ends before its condition and its body")
            region = self._region(made)
            region.instructions.append(Instruction(f"{name}/all", "parameter", kinds, (), {}, number, "0"))
            for at, (inner, _) in enumerate(pairs):
                about = {"index": str(at)}
                region.instructions.append(
                    Instruction(inner, "get-tuple-element", kinds[at], (f"{name}/all",), about, number)
                )
            region.tupled = True
            self._block(region)
            regions.append(region.name)
        attributes = {"condition": regions[0], "body": regions[1]}
        made.instructions.append(Instruction(name, "while", kinds, (f"{name}/given",), attributes, number))
        if len(pairs) == 1:  # its one result goes by its own name
            made.instructions[-1].name = f"{name}/all"
            about = {"index": "0"}
            made.instructions.append(Instruction(name, "get-tuple-element", kinds[0], (f"{name}/all",), about, number))


def _take_parameters(made: Computation, found: list[tuple[str, str]], number: int) -> None:
    for name, kind in found:
        at = len(made.parameters)
        types = types_in(kind) or [Shape(None, ())]
        made.instructions.append(Instruction(name, "parameter", types[0], (), {}, number, str(at)))


def _take_shardings(made: Computation, head: str) -> None:
    """What the head of a function says of how its arguments and its results are sharded."""
    arguments, arrow, results = head.partition(") ->")
    found = list(_TYPED_ARGUMENT.finditer(arguments))
    ends = [each.start() for each in found[1:]] + [len(arguments)]
    for each, argument, end in zip(made.parameters, found, ends, strict=False):
        if "sharding" in (text := arguments[argument.end() : end]):
            each.attributes = {"sharding": text}
    parts = _RESULT_TYPE.split(results)[1:] if arrow else []
    made.results = tuple(part if "sharding" in part else "" for part in parts)


def _arguments(head: str) -> list[tuple[str, str]]:
    """The arguments of a function: names and types."""
    end = head.find(") ->")
    return _TYPED_ARGUMENT.findall(head if end < 0 else head[:end])


def _own_arguments(body: str) -> list[tuple[str, str]]:
    """The arguments that an op's line gives to its region, behind its own operands."""
    return _TYPED_ARGUMENT.findall(body)


def _take_return(made: Computation, number: int, line: str) -> None:
    """The result of a block: one value, or a tuple."""
    head, kind = _split_type(line)
    operands = _operands(made, head, number)
    if len(operands) == 1 and not made.tupled:
        made.root = operands[0]
        return
    made.root = f"{made.name}/result"
    kinds = kind if isinstance(kind, tuple) else (kind,)
    made.instructions.append(Instruction(made.root, "tuple", kinds, operands, {}, number))


def _operands(made: Computation, head: str, number: int) -> tuple[str, ...]:
    """The operands in the part of an op that stands before its type, in order."""
    return tuple(_operand(made, name, number) for name in _NAME.findall(_TYPED_ARGUMENT.sub("", head)))


def _operand(made: Computation, name: str, number: int) -> str:
    """The name of an operand; one of several results is taken out of its tuple first."""
    whole, hash_, at = name.partition("#")
    if hash_ and not any(each.name == name for each in reversed(made.instructions)):
        made.instructions.append(
            Instruction(name, "get-tuple-element", Shape(None, ()), (whole,), {"index": at}, number)
        )
    return name


def _split_type(text: str) -> tuple[str, Type]:
    """An op apart from its type: what stands behind its last colon at the outside."""
    arrow = text.rfind(" -> ")
    colon = text.rfind(" : ", 0, arrow if arrow >= 0 else len(text))
    if arrow >= 0 and text.find("dim_numbers") >= 0 and colon < 0:
        arrow = -1
    if colon < 0:
        return text, Shape(None, ())
    kinds = types_in(text[arrow:] if arrow > colon else text[colon:])
    if arrow < colon and len(kinds) > 1 and not text.lstrip().startswith(_RETURNS):
        kinds = kinds[-1:]  # `select %p, %a, %b : tensor<i1>, tensor<f32>`: the last is the result's
    return text[:colon], kinds[0] if len(kinds) == 1 else tuple(kinds)


def _literal(head: str) -> str:
    found = re.search(r"dense<(-?\d+)>", head)
    return found[1] if found else ""


def _keys(word: str, count: int) -> Iterator[str]:
    """The attributes under which an op's regions stand."""
    if word in ("case", "if"):
        yield from (f"branch{at}" for at in range(count))
    else:
        yield from (
            "body" if word == "manual_computation" else "to_apply" if not at else f"to_apply{at}" for at in range(count)
        )
