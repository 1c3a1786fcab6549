"""A chunk's program of one microbatch as columns: what its copies are stamped from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np

from simulator.graph.flat_ops import Path
from simulator.graph.items import Items, Op, op_count
from simulator.graph.unroll import Unroller
from simulator.passes.pipeline.chunks import SECTIONS, PipelineChunk, Section
from simulator.passes.pipeline.renaming import Options, on_stage

Name = tuple[str, Path]
"""A name as it is written, and the numbers of the rounds in which it means something."""


def awaited(op: Op) -> list[str]:
    """The names of what an op of an unrolled graph is to wait for."""
    return [name.strip() for name in (op.option("after") or "").strip("[]").split(",")]


def _is_after(option: tuple[str, str]) -> bool:
    return option[0] == "after"


class Program:
    """What a chunk does for one microbatch, the last one (`last`) or any other.

    `flat`: its ops; `spans`: those of each section; `section`: by op, its section.
    """

    def __init__(self, chunk: PipelineChunk, place: Options, last: bool, dims: Mapping[str, int]) -> None:
        # behind every microbatch but the last one another one comes
        over = last or not chunk.last
        sections = {
            section: on_stage(chunk.section(section, last), place) for section in SECTIONS if over or section != "end"
        }
        items: Items = tuple(item for each in sections.values() for item in each)
        self.flat = flat = Unroller(items, dims).flat
        ends = np.cumsum([0, *(op_count(each, dims) for each in sections.values())]).tolist()
        self.spans = {section: range(ends[at], ends[at + 1]) for at, section in enumerate(sections)}
        self.section = [section for section, span in self.spans.items() for _ in span]
        self.site, self.turn, self.first, self.reads = (
            np.asarray(each, dtype=np.int64) for each in (flat.site, flat.turn, flat.first, flat.reads)
        )
        self._made = {self.name(at): at for at in range(len(flat))}
        self._newest = {name: at for (name, _), at in self._made.items()}
        self._waiting = np.flatnonzero([any(map(_is_after, site.options)) for site in flat.sites])

    def name(self, value: int) -> Name:
        """What a value is called."""
        turn = self.flat.turn[value] if value >= 0 else self.flat.given_turn[-1 - value]
        return self.flat.written(value).name, self.flat.turns[turn]

    def waits(self, section: Section) -> list[tuple[int, list[int]]]:
        """The ops of a section that say what they wait for, by their place in it, with the ops that these are. Raises
        KeyError for an op that is not of the program."""
        span = self.spans[section]
        waiting = np.flatnonzero(np.isin(self.site[span.start : span.stop], self._waiting)).tolist()
        return [
            (at, [self._called[name] for name in awaited(self.flat.sites[self.site[span.start + at]])])
            for at in waiting
        ]

    @cached_property
    def _called(self) -> dict[str, int]:
        return {name: at for at, name in enumerate(self.flat.names())}

    def makes(self, section: Section, name: str) -> bool:
        """Whether a section makes what is called by a name."""
        return self._newest.get(name, -1) in self.spans[section]

    def behind(self, section: Section, name: Name) -> int:
        """How many ops of a section come before the one that makes a name in its round; of no round, in the last one.
        Raises KeyError where none of that section does."""
        at = self._made[name] if name[1] else self._newest[name[0]]
        if at not in self.spans[section]:
            raise KeyError(name)
        return at - self.spans[section].start
