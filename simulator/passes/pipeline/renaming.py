"""Copies of a chunk for its microbatches: every op once under other names, none of them read again from text.

Model: chunk c, microbatch m: `h` becomes `h.s<c>.m<m>`; what microbatches share `w.s<c>`. An accumulator that a microbatch
takes in is what the one before made of it. Blocks stay blocks: a name that a block shares with one of another microbatch
is that of the same round there (`w@round`), unless it says its rounds already.
Ops keep their names without these endings as what they are called (`Tensor.written`), as rounds of a block do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simulator.graph.flat_ops import names_listed
from simulator.graph.items import Items, Op, Repeat, Round, Tensor, reference
from simulator.graph.op_line import read_reference
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import Path, PipelineChunk, Section, homes, made_in, named_in

Options = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Template:
    """An op of a chunk, its options but for `after` with the place where it runs, and what it waits for."""

    op: Op
    options: Options
    after: tuple[tuple[str, tuple[Round, ...]], ...]
    listed: bool


@dataclass(frozen=True, slots=True)
class TemplateBlock:
    """A block of a chunk."""

    block: Repeat
    items: Templates


Templates = tuple[Template | TemplateBlock, ...]


def _templates(items: Items, place: Options) -> Templates:
    """Items as they are copied: options that all copies have in common are put together once."""
    found: list[Template | TemplateBlock] = []
    for item in items:
        if isinstance(item, Repeat):
            found.append(TemplateBlock(item, _templates(item.items, place)))
            continue
        raw = item.option("after") or ""
        names = [each.strip() for each in raw.strip("[]").split(",") if each.strip()]
        kept = tuple(option for option in placed(item, place) if option[0] != "after")
        found.append(Template(item, kept, tuple(map(read_reference, names)), raw.startswith("[")))
    return tuple(found)


def placed(op: Op, place: Options) -> Options:
    """The options of an op with those that put it in a place, before what it waits for. Raises ValueError for one that has
    a place."""
    if place and op.option("on") is not None:
        raise ValueError(f"{op.name}: on= is the pipeline's to say, which puts every op of a chunk on its stage")
    # nothing issues a view, and a transfer says its own places
    if not place or find_kind(op).view or op.option("from") is not None:
        return op.options
    after = tuple(option for option in op.options if option[0] == "after")
    return (*(option for option in op.options if option[0] != "after"), *place, *after)


def on_stage(items: Items, place: Options) -> Items:
    """Items as a chunk's copies have them, under the names of the chunk."""
    found: list[Op | Repeat] = []
    for each in _templates(items, place):
        if isinstance(each, TemplateBlock):
            found.append(replace(each.block, items=on_stage(each.block.items, place)))
        else:
            names = [reference(name, rounds) for name, rounds in each.after]
            options = (*each.options, ("after", names_listed(names, each.listed))) if names else each.options
            found.append(replace(each.op, options=options))
    return tuple(found)


def is_kernel(op: Op) -> bool:
    """Whether an op runs in the queue of a chip's kernels: it is no view, nothing that chips do together, no copy to or from
    another memory, and says no queue of its own."""
    if find_kind(op).view or op.option("over") is not None or op.option("queue") is not None:
        return False
    return op.kind != "copy" or all(tensor.memory == "hbm" for tensor in (op.output, *op.inputs))


@dataclass
class Copies:
    """The copies of one chunk. `number`: of the chunk; `place`: the options that put an op on its stage."""

    chunk: PipelineChunk
    number: int
    place: Options
    accumulated: dict[str, str] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._templates: dict[tuple[Section, bool], Templates] = {}
        self._homes = {last: homes(self.chunk, last) for last in (False, True)}
        self._shared = self.chunk.shared | named_in(self.chunk.begin)
        self._starts = {end: start for start, end in self.chunk.carried.items()}
        self._home_copy: dict[str, tuple[Section, int]] = {}
        self._ending: frozenset[str] = frozenset()

    def copy(
        self, section: Section, microbatch: int = -1, last: bool = False, after: Mapping[str, list[str]] | None = None
    ) -> Items:
        """A part of the chunk for a microbatch; 'begin' and 'end' are of none. `after`: by their names, what ops wait for,
        the first ops, up to the first kernel of the chip itself, under ""."""
        key = (section, last)
        if key not in self._templates:
            self._templates[key] = _templates(self.chunk.section(section, last), self.place)
        if section == "end":
            self._ending = made_in(self.chunk.end)
        copy = _Copy(self, section, microbatch, self._homes[last], dict(after or {}))
        made = tuple(copy.items(self._templates[key], ()))
        for end in self._starts.keys() & copy.made:
            self.accumulated[self._starts[end]] = self.name(end, microbatch)
        self.newest.update(dict.fromkeys(copy.made, microbatch))
        return made

    def name(self, name: str, microbatch: int) -> str:
        """What a name of the chunk is called for a microbatch; for none (-1), what the newest one made of it."""
        if name in self.chunk.carried:
            return self.accumulated.get(name, f"{name}.s{self.number}")
        if name in self._shared:
            return f"{name}.s{self.number}"
        if microbatch < 0 and name not in self._ending:
            microbatch = self.newest.get(name, -1)
        return f"{name}.s{self.number}" if microbatch < 0 else f"{name}.s{self.number}.m{microbatch}"

    def reference(self, name: str, rounds: Sequence[Round], microbatch: int) -> str:
        """How ops of other copies ask for a name of a microbatch."""
        return reference(self.name(name, microbatch), rounds)

    def is_elsewhere(self, name: str, copy: tuple[Section, int]) -> bool:
        """Whether a name that a block shares with those of other copies lives in one of those: all but the first."""
        if name in self.accumulated:
            return True
        if name not in self._shared and name not in self.chunk.carried:
            return False
        return self._home_copy.setdefault(name, copy) != copy


@dataclass
class _Copy:
    """One copy of a part of a chunk."""

    copies: Copies
    section: Section
    microbatch: int
    homes: Mapping[str, tuple[Section, Path]]
    after: dict[str, list[str]]
    made: set[str] = field(default_factory=set)
    known: dict[tuple[str, tuple[Round, ...], Path], Tensor] = field(default_factory=dict)

    def items(self, templates: Templates, path: Path) -> Iterator[Op | Repeat]:
        """The items under the names of this copy."""
        for at, each in enumerate(templates):
            if isinstance(each, TemplateBlock):
                block = each.block
                inner = tuple(self.items(each.items, (*path, at)))
                carry = tuple((self._name(start), self._name(end)) for start, end in block.carry)
                yield Repeat(block.count, inner, carry, block.reverse, block.source)
                continue
            inputs = tuple([self._tensor(tensor, path) for tensor in each.op.inputs])
            options = each.options
            # nothing issues a view: the next op waits
            if each.after or (self.after and not find_kind(each.op).view):
                awaited = self._awaited(each, path)
                options = (*options, ("after", awaited)) if awaited else options
            output = self._tensor(each.op.output, path)
            self.made.add(each.op.name)
            yield Op(output, each.op.kind, inputs, options, each.op.source)

    def _name(self, name: str) -> str:
        return self.copies.name(name, self.microbatch)

    def _tensor(self, tensor: Tensor, path: Path) -> Tensor:
        key = (tensor.name, tensor.rounds, path)
        found = self.known.get(key)
        if found is None:
            rounds = tensor.rounds or self._rounds(tensor.name, path)
            name = self._name(tensor.name)
            found = Tensor(name, tensor.dtype, tensor.dims, tensor.partial, tensor.memory, rounds, tensor.base)
            self.known[key] = found
        return found

    def _rounds(self, name: str, path: Path) -> tuple[Round, ...]:
        """The rounds to add to a name that lives in this block, but in that of another copy."""
        if not path or self.homes.get(name) != (self.section, path):
            return ()
        if not self.copies.is_elsewhere(name, (self.section, self.microbatch)):
            return ()
        return (Round(0, relative=True),) * len(path)

    def _awaited(self, template: Template, path: Path) -> str:
        """`after=` of an op under the names of this copy, "" if it waits for nothing; the first ops also wait for what the
        copy is to wait for."""
        names = [reference(self._name(name), rounds or self._rounds(name, path)) for name, rounds in template.after]
        # what is sent between chips holds up no kernel behind it: the first kernel waits as well
        names += self.after.pop("", ()) if is_kernel(template.op) else self.after.get("", ())
        names += self.after.pop(template.op.name, ())
        return names_listed(names, template.listed) if names else ""
