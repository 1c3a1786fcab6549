"""A chunk of a pipelined model: what it does for one microbatch, written once.

Model: a chunk is written as the program of one microbatch: `begin` (once a step: weights declared, or gathered), `forward`,
`backward`, `weights` (the second part of a backward pass cut in two), `end` (once a step: gradients reduced, weights
stepped). What it makes and takes in belongs to the microbatch, but for names that are `shared` by all of them (weights),
names that stand in `begin`, and accumulators, which each microbatch takes over from the one before (`carried`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from simulator.graph.items import Items, Repeat, Round, Tensor, every_block, every_op
from simulator.passes.pipeline.schedules import Pass

Section = Pass | str
"""A part of a chunk: one of its passes, 'begin' or 'end'."""

SECTIONS: tuple[Section, ...] = ("begin", "forward", "backward", "weights", "end")
"""All parts of a chunk, in the order of one microbatch's program."""

Path = tuple[int, ...]
"""A block by its place in a section: that of its item, then in the block around it; () is no block."""

Left = tuple[tuple[str, tuple[Round, ...]], ...]
"""What a pass leaves for later ones of its stage to wait for: names of ops, and of which rounds they are meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineChunk:
    """What a chunk does for one microbatch, in the names of one microbatch.

    `takes`: what comes from the chunk before, `makes`: what goes to the next one; `takes_back` and `makes_back`: the
    gradients of `makes` and of `takes`, on the way back. `shared`: names that are the same for all microbatches.
    `carried`: by the name under which a microbatch takes an accumulator in, the name that it has with that microbatch in.
    `last`: what the last microbatch has instead of a pass (gradients reduced layer by layer). `fuse`: groups of ops.
    `held`: what a pipeline that is buffered holds until the step is over, beside what the chunk makes and gives back.
    `leaves`: what the last pass of a microbatch leaves for later passes of the stage to wait for, in order; `awaits`: by the
    names of its ops, which of all that was left they wait for: 1 what was left last.
    `paced`: ops that fetch what a pass reads, and wait for the pass before of their stage; `paces`: for what of a pass.
    """

    forward: Items
    backward: Items = ()
    weights: Items = ()
    begin: Items = ()
    end: Items = ()
    takes: tuple[str, ...] = ()
    makes: tuple[str, ...] = ()
    takes_back: tuple[str, ...] = ()
    makes_back: tuple[str, ...] = ()
    shared: frozenset[str] = frozenset()
    carried: Mapping[str, str] = field(default_factory=dict)
    last: Mapping[Pass, Items] = field(default_factory=dict)
    fuse: tuple[tuple[str, ...], ...] = ()
    held: tuple[str, ...] = ()
    leaves: tuple[Left, ...] = ()
    awaits: Mapping[str, int] = field(default_factory=dict)
    paced: frozenset[str] = frozenset()
    paces: Mapping[Pass, Left] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kept = {*self.shared, *self.carried}
        passes = (*self.forward, *self.backward, *self.weights, *self.begin, *self.end)
        for block in every_block((*passes, *(item for items in self.last.values() for item in items))):
            wrong = next((name for pair in block.carry for name in pair if name in kept), None)
            if wrong is not None:
                raise ValueError(f"'{wrong}' is carried from round to round of a block, so no microbatch can share it")

    @property
    def final(self) -> Pass:
        """The last pass of a microbatch."""
        return "weights" if self.weights else "backward"

    def section(self, name: Section, last: bool = False) -> Items:
        """The items of a part; `last`: as the last microbatch has it."""
        sections: Mapping[str, Items] = {
            "begin": self.begin,
            "forward": self.forward,
            "backward": self.backward,
            "weights": self.weights,
            "end": self.end,
        }
        found = sections[name]
        return next((items for which, items in self.last.items() if last and which == name), found)

    def tensor(self, name: str) -> Tensor:
        """A tensor by its name, as it is typed. Raises ValueError where no op has it."""
        for section in SECTIONS:
            for op in every_op(self.section(section)):
                for tensor in (*op.inputs, op.output):
                    if tensor.name == name:
                        return Tensor(name, tensor.dtype, tensor.dims, tensor.partial, tensor.memory)
        raise ValueError(f"no op of the chunk takes or makes '{name}'")


def homes(chunk: PipelineChunk, last: bool) -> dict[str, tuple[Section, Path]]:
    """Where each name first stands in the program of one microbatch, the last one's or any other's."""
    found: dict[str, tuple[Section, Path]] = {}
    for section in SECTIONS:
        for name, path in _standing(chunk.section(section, last), ()):
            found.setdefault(name, (section, path))
    return found


def _standing(items: Items, path: Path) -> Iterator[tuple[str, Path]]:
    """Every name in some items, in program order, with the block in which it stands."""
    for at, item in enumerate(items):
        if isinstance(item, Repeat):
            yield from _standing(item.items, (*path, at))
        else:
            yield from ((tensor.name, path) for tensor in (*item.inputs, item.output))


def made_in(items: Items) -> frozenset[str]:
    """The names of what ops make."""
    return frozenset(op.name for op in every_op(items))


def named_in(items: Items) -> frozenset[str]:
    """All names of tensors."""
    return frozenset(tensor.name for op in every_op(items) for tensor in (*op.inputs, op.output))
