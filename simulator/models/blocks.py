"""The blocks of a transformer, one by one and as runs that repeat.

Model: a block is told by how far its attention sees and by whether its FFN has experts. A run is a few blocks in a row,
repeated: Gemma 2's 26 blocks are one run of (sliding, full), 13 times; DeepSeek-V3's 61 are a run of 3 and one of 58. A
graph needs one repeated block of ops for each run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.models.description import AttentionKind, Transformer

_OF_BLOCKS = "abcdefghijklmnopqrstuvwxyz"

_OF_RUNS = "ABCDEFGHJKMNPQRSTUVWXY"
"""I, L, O and Z are in names of other things: of what is stored of the embedding (In), of layers (L) and of the head (Out),
and of what is made again."""

_LONGEST_PERIOD = 32
"""Blocks of a run that repeats: no model alternates in longer periods."""


@dataclass(frozen=True, slots=True)
class Block:
    """What tells the blocks of one transformer apart."""

    attention: AttentionKind
    has_experts: bool


@dataclass(frozen=True, slots=True)
class Run:
    """Blocks that stand in a row, `repeat` times; `first` is the number of the first one, from 0."""

    first: int
    blocks: tuple[Block, ...]
    repeat: int

    @property
    def layers(self) -> int:
        """Blocks of the model that are in this run."""
        return len(self.blocks) * self.repeat


def mark_of_block(number: int) -> str:
    """What tells the names of a block of a run from those of the others: a to z, and behind these z1, z2 and so on."""
    return _numbered(_OF_BLOCKS, number)


def mark_of_run(number: int) -> str:
    """What tells the names of a run from those of the others, whose first one needs nothing."""
    return _numbered(_OF_RUNS, number - 1) if number else ""


def _numbered(letters: str, number: int) -> str:
    last = len(letters) - 1
    return letters[number] if number <= last else f"{letters[last]}{number - last}"


def block(model: Transformer, layer: int) -> Block:
    """Block number `layer`, from 0."""
    kinds = model.attention.kinds
    moe = model.moe
    has_experts = moe is not None and layer >= moe.first_dense and (layer + 1) % moe.every == 0
    return Block(kinds[layer % len(kinds)], has_experts)


def blocks(model: Transformer) -> tuple[Block, ...]:
    """Every block, from the first."""
    return tuple(block(model, layer) for layer in range(model.layers))


def alike(model: Transformer) -> dict[Block, tuple[int, ...]]:
    """The numbers of the blocks of each kind, kinds in the order in which they come first."""
    numbers: dict[Block, list[int]] = {}
    for number, each in enumerate(blocks(model)):
        numbers.setdefault(each, []).append(number)
    return {each: tuple(found) for each, found in numbers.items()}


def runs(model: Transformer, first: int = 0, end: int | None = None) -> tuple[Run, ...]:
    """The blocks from number `first` to before `end` as runs, in order; together they are all of those."""
    every = blocks(model)[:end]
    found: list[Run] = []
    begin = first
    while begin < len(every):
        run = _longest_run(every, begin)
        found.append(run)
        begin += run.layers
    return tuple(found)


def _longest_run(every: Sequence[Block], begin: int) -> Run:
    """The run that begins at `begin` and is the longest; of equals, the one with the shortest period."""
    best = Run(begin, tuple(every[begin : begin + 1]), 1)
    left = len(every) - begin
    for period in range(1, min(_LONGEST_PERIOD, left) + 1):
        repeat = _repeats(every, begin, period)
        # a period that comes only once says no more than its blocks one by one
        if repeat > 1 or period == 1:
            run = Run(begin, tuple(every[begin : begin + period]), repeat)
            best = max(best, run, key=lambda each: each.layers)
    return best


def _repeats(every: Sequence[Block], begin: int, period: int) -> int:
    """How often the `period` blocks from `begin` stand there in a row."""
    end = begin + period
    while end < len(every) and every[end] == every[end - period]:
        end += 1
    return (end - begin) // period


def shortest_kinds(kinds: Sequence[AttentionKind]) -> tuple[AttentionKind, ...]:
    """The fewest kinds that, taken in turn, are these: (sliding, full) for sliding, full, sliding, full, ..."""
    for period in range(1, len(kinds)):
        if all(kinds[at] == kinds[at % period] for at in range(len(kinds))):
            return tuple(kinds[:period])
    return tuple(kinds)
