"""The tensors of a run through an allocator.

Model: what is there before the run is allocated first, in the order in which it is read. Then comes what ops make, each at
the begin of its op, and goes at the end of the last that reads it; at the same instant what goes makes room for what comes.
What nobody reads goes when the step is over. Steps follow each other until one of them reserves nothing more.
Assumes: tensors come and go in the order of time, one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from analysis.words.allocator.caching import Block, CachingAllocator

MOST_STEPS = 4
"""Steps that are replayed at most."""

Seen = Callable[[int, bool, float], None]
"""Told of each tensor right before it comes (True) or goes: its number, and when (s)."""


def _unseen(_number: int, _comes: bool, _at: float) -> None:
    """Nobody is told."""


class Replay:
    """Tensors as columns: bytes, begin, end (s), and whether they were there before the run."""

    def __init__(self, nbytes: Any, begin: Any, end: Any, given: Any) -> None:
        self._nbytes: Sequence[float] = nbytes.tolist()
        self._given = np.flatnonzero(given).tolist()
        made = np.flatnonzero(~given)
        number = np.concatenate([made, made])
        comes = np.arange(len(number)) < len(made)
        at = np.where(comes, begin[number], end[number])
        # what nobody ever holds, since it goes as it comes, must come before it goes
        nothing = begin[number] >= end[number]
        order = np.lexsort((number, comes != nothing, at))
        self._events = list(zip(number[order].tolist(), comes[order].tolist(), at[order].tolist(), strict=True))

    def setup(self, allocator: CachingAllocator, seen: Seen = _unseen) -> dict[int, Block]:
        """Allocate what is there before the run; returns the blocks by tensor."""
        held: dict[int, Block] = {}
        for number in self._given:
            seen(number, True, 0.0)
            held[number] = allocator.malloc(self._nbytes[number])
        return held

    def step(self, allocator: CachingAllocator, held: dict[int, Block], seen: Seen = _unseen) -> None:
        """One step; what is still there at its end goes."""
        for number, comes, at in self._events:
            if not self._nbytes[number]:
                continue
            seen(number, comes, at)
            if comes:
                held[number] = allocator.malloc(self._nbytes[number])
            else:
                allocator.free(held.pop(number))

    def run(self, allocator: CachingAllocator) -> None:
        """Steps until one reserves nothing more."""
        held = self.setup(allocator)
        for _ in range(MOST_STEPS):
            before = allocator.most_reserved
            self.step(allocator, held)
            if allocator.most_reserved == before:
                return
