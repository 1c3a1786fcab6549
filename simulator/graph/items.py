"""What op graphs are made of: typed tensors, ops and repeated blocks.

Model: an op makes one tensor from others. A tensor has a dtype, dims (names bound in `OpGraph.dims`, or integers), the
mesh axes that shard each dim, the axes over which it is an unreduced partial sum, and the memory that holds it. An op's
options are kept as written, so that a graph prints back in the words it was read from.
A block repeats its ops: round r's names get `.r`, and a carried tensor is, from the second round on, what the last
round made of it. A block may go backwards, from its last round to round 0. Outside of its block a name means what the
block's last turn made; `name@3` is that of round 3, `name@round` that of the round in which it is asked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from hw import Mark

MEMORIES = ("hbm", "on_chip", "host", "disk")
"""Where a tensor can live, beside the levels that a chip names; hbm unless said otherwise (`x:bf16[B,D]@on_chip`)."""


MAX_ROUNDS = 100_000
"""Rounds that a block may have."""

MAX_OPS = 1_000_000
"""Ops that a graph may have with its blocks unrolled."""


class Dim(NamedTuple):
    """One dimension: a name or a size, and the mesh axes that shard it ('D_XY')."""

    size: str | int
    axes: str = ""

    def __str__(self) -> str:
        return f"{self.size}_{self.axes}" if self.axes else str(self.size)

    def __repr__(self) -> str:
        return f"Dim({self})"


@dataclass(frozen=True, slots=True)
class Round:
    """Which round of a block: number `at`, or, `relative`, so many after the round in which it is asked for."""

    at: int
    relative: bool = False

    def __str__(self) -> str:
        if not self.relative:
            return str(self.at)
        return f"round{self.at:+d}" if self.at else "round"


@dataclass(frozen=True, slots=True)
class Tensor:
    """A typed tensor: `name:dtype[dims]{U_axes}@memory`.

    `rounds`: of which rounds of the innermost blocks that make it, where an op asks for others than the last ones.
    `written`: what it was called before its block was unrolled, or its graph made into a pipeline, "" if it still is.
    """

    name: str
    dtype: str
    dims: tuple[Dim, ...]
    partial: str = ""
    memory: str = "hbm"
    rounds: tuple[Round, ...] = ()
    written: str = field(default="", compare=False, repr=False)

    def __repr__(self) -> str:
        return f"Tensor({self.reference}:{self.type_text})"

    @property
    def base(self) -> str:
        """Its name without the numbers of rounds."""
        return self.written or self.name

    @property
    def reference(self) -> str:
        """How an op asks for it: its name, and of which rounds ('h@round', 'h@3')."""
        return reference(self.name, self.rounds)

    @property
    def type_text(self) -> str:
        """The type as the language writes it, without the name."""
        partial = f"{{U_{self.partial}}}" if self.partial else ""
        memory = f"@{self.memory}" if self.memory != "hbm" else ""
        return f"{self.dtype}[{','.join(map(str, self.dims))}]{partial}{memory}"

    @property
    def type(self) -> Hashable:
        """All of it but what it is called."""
        return self.dtype, self.dims, self.partial, self.memory

    @property
    def axes(self) -> str:
        """All mesh axes that shard it."""
        return "".join([dim.axes for dim in self.dims])

    def laid_out(self, dims: tuple[Dim, ...], partial: str) -> Tensor:
        """The same tensor with other dims and partial sums."""
        return Tensor(self.name, self.dtype, dims, partial, self.memory, self.rounds, self.written)


def reference(name: str, rounds: Sequence[Round]) -> str:
    """A name with the rounds of which it is meant, as the language writes it."""
    return f"{name}@{'.'.join(map(str, rounds))}" if rounds else name


@dataclass(frozen=True, slots=True)
class Source:
    """Where an op was written: its line, and the columns of its parts ('kind', 'out', 'in0', option names)."""

    mark: Mark
    columns: Mapping[str, int] = field(default_factory=dict)

    def at(self, part: str) -> Mark:
        """The place of a part of the op; its start if that part has no place."""
        return self.mark.moved(self.columns.get(part, 0))


NOWHERE = Source(Mark("graph"))


@dataclass(frozen=True, slots=True)
class Op:
    """One op: `output = kind(inputs, options)`. Its name is its output's. `turn`: in an unrolled graph, the numbers of the
    rounds in which it stands, the outermost block's first."""

    output: Tensor
    kind: str
    inputs: tuple[Tensor, ...] = ()
    options: tuple[tuple[str, str], ...] = ()
    source: Source = field(default=NOWHERE, compare=False, repr=False)
    turn: tuple[int, ...] = field(default=(), compare=False, repr=False)

    def __repr__(self) -> str:
        asked = [*(tensor.reference for tensor in self.inputs), *(f"{name}={value}" for name, value in self.options)]
        return f"Op({self.name}:{self.output.type_text} = {self.kind}({', '.join(asked)}))"

    @property
    def name(self) -> str:
        """The name of the op and of the tensor that it makes."""
        return self.output.name

    @property
    def form(self) -> Hashable:
        """All of it but what it and its tensors are called and what it waits for: ops of one form are sound alike."""
        return self._form(("after",))

    @property
    def work(self) -> Hashable:
        """Its form but for where it runs: what chips do for ops of one work is the same, wherever these are."""
        return self._form(("after", "on"))

    def _form(self, left_out: tuple[str, ...]) -> Hashable:
        called = [tensor.name for tensor in (*self.inputs, self.output)]
        options = self.options
        return (
            self.kind,
            tuple([option for option in options if option[0] not in left_out]) if options else options,
            tuple([tensor.type for tensor in self.inputs]),
            self.output.type,
            # which of its tensors are one
            tuple(map(called.index, called)) if len(set(called)) < len(called) else None,
        )

    def option(self, name: str) -> str | None:
        """An option as it was written, or None."""
        return next((raw for key, raw in self.options if key == name), None)

    def waiting_for(self, names: Iterable[str]) -> Op:
        """The op that waits for some others, as they are referred to, besides what it waits for already."""
        told = [each.strip() for each in (self.option("after") or "").strip("[]").split(",") if each.strip()]
        told += names
        kept = tuple(option for option in self.options if option[0] != "after")
        return replace(self, options=(*kept, ("after", f"[{', '.join(told)}]"))) if told else self


@dataclass(frozen=True, slots=True)
class Repeat:
    """A block of items run `count` times, a number or the name of a dim; `carry` pairs (name at the start of a round, name
    at the end of the one before). `reverse`: from round count - 1 down to round 0."""

    count: int | str
    items: Items
    carry: tuple[tuple[str, str], ...] = ()
    reverse: bool = False
    source: Source = field(default=NOWHERE, compare=False, repr=False)


Items = Sequence[Op | Repeat]
"""What a graph is a list of: ops, and blocks that repeat."""


def every_op(items: Items) -> Iterator[Op]:
    """Each op in some items as written, blocks entered once."""
    for item in items:
        if isinstance(item, Op):
            yield item
        else:
            yield from every_op(item.items)


def every_block(items: Items) -> Iterator[Repeat]:
    """Each block in some items, those within blocks too."""
    for item in items:
        if isinstance(item, Repeat):
            yield item
            yield from every_block(item.items)


def rounds_of(block: Repeat, dims: Mapping[str, int]) -> int:
    """How many rounds a block has, given the sizes of dims; 1 for a dim that is not known."""
    return dims.get(block.count, 1) if isinstance(block.count, str) else block.count


def op_count(items: Items, dims: Mapping[str, int]) -> int:
    """How many ops there are with all blocks unrolled; blocks of a dim that is not known count once."""
    return sum(1 if isinstance(item, Op) else rounds_of(item, dims) * op_count(item.items, dims) for item in items)
