"""A chunk's program of one microbatch as columns: what its copies are stamped from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.graph.flat_ops import Path
from simulator.graph.items import Items, Round, op_count
from simulator.graph.unroll import Unroller
from simulator.ops.registry import find_kind
from simulator.passes.pipeline.chunks import SECTIONS, PipelineChunk, Section
from simulator.passes.pipeline.renaming import is_kernel, on_stage

Name = tuple[str, Path]
"""A name as it is written, and the numbers of the rounds in which it means something."""


def programs_of(chunk: PipelineChunk, dims: Mapping[str, int]) -> dict[bool, Program]:
    """The programs of a chunk: of the last microbatch, where that has something else, and of any other."""
    return {last: Program(chunk, last, dims) for last in (False, *(True for _ in chunk.last))}


class Program:
    """What a chunk does for one microbatch, the last one (`last`) or any other, on any stage.

    `flat`: its ops; `spans`: those of each section; `section`: by op, its section.
    """

    def __init__(self, chunk: PipelineChunk, last: bool, dims: Mapping[str, int]) -> None:
        # behind every microbatch but the last one another one comes
        over = last or not chunk.last
        sections = {
            section: on_stage(chunk.section(section, last), ()) for section in SECTIONS if over or section != "end"
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
        self._paths: dict[tuple[str, Path], Path] = {}

    def name(self, value: int) -> Name:
        """What a value is called."""
        turn = self.flat.turn[value] if value >= 0 else self.flat.given_turn[-1 - value]
        return self.flat.written(value).name, self.flat.turns[turn]

    def waits(self, section: Section) -> tuple[Any, Any]:
        """The ops of a section that are to come after others, by their place in it, and after which values."""
        span = self.spans[section]
        waiting, awaited = (np.asarray(each, dtype=np.int64) for each in (self.flat.waiting, self.flat.awaited))
        first, last = np.searchsorted(waiting, (span.start, span.stop))
        return waiting[first:last] - span.start, awaited[first:last]

    def called(self, section: Section, name: str) -> list[int]:
        """The ops of a section, by their place in it, that are written with a name: one of each round."""
        span = self.spans[section]
        sites = [number for number, site in enumerate(self.flat.sites) if site.name == name]
        places: list[int] = np.flatnonzero(np.isin(self.site[span.start : span.stop], sites)).tolist()
        return places

    def first_issued(self, section: Section) -> list[str]:
        """The names of the first ops of a section that are issued, which views are not, up to the first kernel."""
        span = self.spans[section]
        found: dict[str, None] = {}
        for number in self.site[span.start : span.stop].tolist():
            site = self.flat.sites[number]
            if not find_kind(site).view:
                found[site.name] = None
            if is_kernel(site):
                break
        return [*found]

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

    def behind_round(self, section: Section, name: str, rounds: Sequence[Round]) -> int:
        """The same of some rounds of the innermost blocks around that op, in the last turn of those further out."""
        if not rounds:
            return self.behind(section, (name, ()))
        turn = tuple(each.at for each in rounds)
        if (name, turn) not in self._paths:
            paths = [path for each, path in self._made if each == name and path[-len(turn) :] == turn]
            if not paths:
                raise KeyError(name)
            self._paths[name, turn] = paths[-1]
        return self.behind(section, (name, self._paths[name, turn]))
