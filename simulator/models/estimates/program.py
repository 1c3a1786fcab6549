"""A chunk's step as lists of kernels in program order, blocks kept as blocks: what estimates walk through.

Model: the sections of a chunk (`simulator.passes.pipeline.chunks`) but for sizes are a `Structure`, which is built once for
all configurations that have it; equal ops have one number in all structures. Names become numbers of slots; views are seen
through, as in a run. What a block asks for of other rounds (`w@round`, `after=y@round-2`) is asked of the history of that
name, where the same walk has made it. What ops wait for that passes before have left last has a slot of its own (`LEFT`).
Assumes: that an op in a block waits for a round by its number is left out, and so is what passes have left before the last:
a bound without them is one as well.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.graph.items import Items, Op, Repeat, Round, Tensor, every_op
from simulator.graph.op_line import read_reference
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import PipelineChunk
from simulator.passes.pipeline.turns import within

Ref = tuple[int, int | None]
"""A slot, and, where a block asks for another round of it than the newest, how many after its own."""

Named = tuple[str, int | None]
"""The same by name."""

Sizes = tuple[tuple[str | int, str], ...]
"""Dims: the size of each as it is written, and the axes that shard it."""

LEFT = "left by the last pass"
"""The name of the slot of what a pass leaves last for later ones to wait for."""

SECTIONS = ("begin", "forward", "backward", "weights", "end")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """An op in its place; with `group`, ops that are one kernel. `number`: the same for equal ops; `sizes`: its dims with
    the axes that shard them; `form`: the same number for the same sizes; `rounds`: of inputs that are asked for by round;
    `after`: what it waits for beside them; `over`: the axes over which it is a collective."""

    op: Op
    number: int
    sizes: Sizes
    form: int
    rounds: tuple[Named, ...] = ()
    after: tuple[Named, ...] = ()
    group: tuple[Line, ...] = ()
    over: str | None = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "over", self.op.option("over"))


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """Lines that repeat as a block, or stand alone (`block` None). `enters`: what the block carries from round to round and
    takes over, at its begin, as a view of something before. `forms` and `over`: the sizes of its lines, by their numbers,
    and the axes of collectives."""

    lines: tuple[Line, ...]
    block: Repeat | None = None
    enters: tuple[tuple[str, str], ...] = ()
    forms: Mapping[int, Sizes] = field(init=False)
    over: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        axes = (line.over for line in self.lines)
        object.__setattr__(self, "forms", {line.form: line.sizes for line in self.lines})
        object.__setattr__(self, "over", tuple(dict.fromkeys(each for each in axes if each)))


@dataclass(frozen=True, slots=True)
class Around:
    """What a group depends on beside its ops: what passes within it and others read, too, and what is behind its inputs."""

    needed: tuple[str, ...] = ()
    behind: tuple[tuple[str, tuple[Named, ...]], ...] = ()


ALONE = Around()
"""Of an op that is a kernel by itself."""


class Structure:
    """The sections of a chunk but for sizes; `last`: as the last microbatch has them. `numbers`: of all ops, and of all
    sizes of lines, so far."""

    def __init__(self, chunk: PipelineChunk, numbers: dict[Hashable, int]) -> None:
        self.chunk, self._numbers = chunk, numbers
        self.slots: dict[str, int] = {}
        self.types: dict[str, Tensor] = {}
        """Every tensor by its name, as it is typed."""
        self.made: set[str] = set()
        """What kernels make, as far as they have been bound: an op may make more than its output."""
        self._behind: dict[str, tuple[Named, ...]] = {}
        self._beside: dict[str, str] = {}
        self.readers: dict[str, dict[Line, None]] = {}
        self._known: dict[Op, Line] = {}
        self._around: dict[Line, Around] = {}
        self._inside: dict[str, frozenset[str]] = {}
        self._group_of = {name: group for group in chunk.fuse for name in group}
        self.sections = {(name, False): self._section(chunk.section(name)) for name in SECTIONS}
        last = {(name, True): self._section(chunk.section(name, True)) for name in SECTIONS if name in chunk.last}
        self.sections |= last

    def section(self, name: str, last: bool = False) -> tuple[Lines, ...]:
        """The lines of a section, as the last microbatch has them or any other."""
        return self.sections.get((name, last), self.sections[name, False])

    def inside(self, name: str) -> frozenset[str]:
        """The names of what begins and ends while a section of any microbatch goes on."""
        if name not in self._inside:
            self._inside[name] = within(self.chunk.section(name))
        return self._inside[name]

    def slot(self, name: str) -> int:
        """The number of a name."""
        return self.slots.setdefault(name, len(self.slots))

    def seen(self, name: str, offset: int | None = None) -> Iterator[Named]:
        """What a name means: what is behind a view, else itself."""
        behind = self._behind.get(name)
        if behind is None:
            # what nobody made beside an output is the output itself
            yield (name if name in self.made else self._beside.get(name, name)), offset
            return
        for each, its in behind:
            yield from self.seen(each, its if offset is None else offset)

    def refs(self, name: str, offset: int | None = None) -> Iterator[Ref]:
        """The same as slots."""
        return ((self.slot(each), its) for each, its in self.seen(name, offset))

    def _section(self, items: Items) -> tuple[Lines, ...]:
        found: list[Lines] = []
        alone: list[Line] = []
        for item in items:
            if isinstance(item, Op):
                self._enter(alone, item)
                continue
            if alone:
                found.append(Lines(tuple(alone)))
                alone = []
            inner: list[Line] = []
            for op in every_op(item.items):
                self._enter(inner, op, inside=True)
            found.append(Lines(tuple(inner), item, tuple(self._entered(item))))
        return (*found, Lines(tuple(alone))) if alone else tuple(found)

    def _entered(self, block: Repeat) -> Iterator[tuple[str, str]]:
        """What a block takes over as a view: from then on that is itself, since each round makes another of it."""
        for start, _ in block.carry:
            behind = self._behind.get(start, ())
            if len(behind) == 1:
                del self._behind[start]
                yield start, behind[0][0]

    def _enter(self, lines: list[Line], op: Op, inside: bool = False) -> None:
        kind = find_kind(op)
        for tensor in (*op.inputs, op.output):
            self.types.setdefault(tensor.name, tensor)
        if kind.view:
            offsets = {tensor.name: offset_of(tensor.rounds) for tensor in op.inputs}
            self._behind[op.name] = tuple((name, offsets.get(name)) for name in kind.shows(op))
            self._beside |= {name: op.inputs[0].name for name in kind.shows(op) if name not in offsets}
            return
        line = self._known.get(op)
        if line is None:
            line = self._known[op] = self._line(op, inside)
        for tensor in op.inputs:
            self.readers.setdefault(tensor.name, {})[line] = None
        group = self._group_of.get(op.name, ())
        if group and op.name == group[-1]:
            # other ops may stand between them: a bias is narrowed behind the matmul whose kernel adds it
            members = [each for each in lines if each.op.name in group]
            lines[:] = [each for each in lines if each.op.name not in group]
            line = self._joined(op, (*members, line))
        lines.append(line)

    def _line(self, op: Op, inside: bool) -> Line:
        dims = [(dim.size, dim.axes) for tensor in (*op.inputs, op.output) for dim in tensor.dims]
        sizes = tuple(dict.fromkeys(dims))
        rounds = tuple((tensor.name, offset_of(tensor.rounds)) for tensor in op.inputs if tensor.rounds)
        awaited = [each.strip() for each in (op.option("after") or "").strip("[]").split(",")]
        read = [read_reference(each) for each in awaited if each]
        after = [(name, offset_of(its)) for name, its in read if not inside or all(each.relative for each in its)]
        after += [(LEFT, None)] if self.chunk.awaits.get(op.name) == 1 else []
        return Line(op, self._number(op), sizes, self._number(sizes), rounds, tuple(after))

    def _joined(self, op: Op, members: tuple[Line, ...]) -> Line:
        """Ops that are one kernel."""
        key = tuple(member.number for member in members)
        sizes = tuple(dict.fromkeys([size for member in members for size in member.sizes]))
        rounds = tuple(each for member in members for each in member.rounds)
        return Line(op, self._number(key), sizes, self._number(sizes), rounds, group=members)

    def _number(self, of: Hashable) -> int:
        return self._numbers.setdefault(of, len(self._numbers))

    def around(self, line: Line) -> Around:
        """What a group depends on beside its ops."""
        found = self._around.get(line)
        if found is None:
            members = set(line.group)
            names = [member.op.name for member in line.group]
            needed = [name for name in names if any(each not in members for each in self.readers.get(name, ()))]
            inputs = dict.fromkeys(tensor.name for member in line.group for tensor in member.op.inputs)
            seen = {name: tuple(self.seen(name)) for name in inputs if name in self._behind}
            found = self._around[line] = Around(tuple(needed), tuple(seen.items()))
        return found


def offset_of(rounds: Sequence[Round]) -> int | None:
    """How many rounds after its own an op asks for a tensor; None where it asks for the newest."""
    return rounds[-1].at if rounds else None
