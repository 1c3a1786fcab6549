"""The columns of a chunk's copies, stamped from its program of one microbatch.

Model: an op of a copy reads what the same op reads in that program, and where that is follows from where copies begin:
- what a pass of the same microbatch makes, or is given: so far behind where that pass begins;
- what `begin` and `end` make, and what is given to all microbatches: the same value for all of them;
- what is received: what the receiving op makes;
- an accumulator: what the copy before made of it, so far behind where that copy begins.
What an op is to come after is told in the same way; what passes before have left for it is told copy by copy.
So a copy costs a few operations on arrays. Values are numbered as in the program written out; but of what the first copy of
a section is given, that comes first which is for all microbatches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op, Round, Tensor
from simulator.passes.pipeline.chunks import SECTIONS, PipelineChunk, Section, named_in
from simulator.passes.pipeline.program import Name, Program
from simulator.passes.pipeline.renaming import Options, placed

NO_MICROBATCH = -1

Slot = tuple[str, str]
"""From what the numbers of some values are counted: what a section `made` or was `given`, what was `received` under a name,
the copy `before` that made an accumulator; `fixed` values are counted from 0."""

_FIXED: Slot = ("fixed", "")


@dataclass(frozen=True, slots=True)
class Copy:
    """A section for a microbatch: where its ops begin, and the value of the first thing that it is given (others come
    below). `last`: as the last microbatch has it."""

    section: Section
    microbatch: int
    last: bool
    since: int
    given_since: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    """What alike copies have in common: sites and turns of their ops, how many values are read up to the end of each, and
    these values, counted from slots. `given`: tensors and turns of what each of them is given.

    `waiting`: the places of ops that are to come after others, `wait_slot` and `wait_offset` after which values;
    `before`: by accumulator, the sort of the copy from which it comes; `settled`: whether nothing in it is of the first
    copy only.
    """

    sites: Any
    turns: Any
    ends: Any
    slots: tuple[Slot, ...]
    slot: Any
    offset: Any
    given: tuple[tuple[int, int], ...]
    waiting: Any
    wait_slot: Any
    wait_offset: Any
    before: Mapping[str, tuple[Section, bool]]
    settled: bool


class ChunkStamp:
    """Puts the copies of a chunk into `flat`. Raises KeyError for a chunk of which none can be stamped."""

    def __init__(
        self, chunk: PipelineChunk, number: int, place: Options, programs: Mapping[bool, Program], flat: FlatOps
    ) -> None:
        self._chunk, self._place, self._programs, self._flat = chunk, place, programs, flat
        self._ending = f".s{number}"
        self._shared = chunk.shared | named_in(chunk.begin)
        self._patterns: dict[tuple[Section, bool, tuple[bool, ...]], _Pattern] = {}
        self._sites: dict[tuple[bool, int], int] = {}
        self._hops: dict[Op, int] = {}
        self._numbers: dict[str, int] = {}
        self._copies: dict[tuple[int, str], Copy] = {}
        self._newest: dict[Section, Copy] = {}
        self._received: dict[tuple[int, str], int] = {}
        self._fixed: dict[Name, int] = {}
        self._own: dict[tuple[Section, bool], dict[Name, tuple[int, tuple[int, int]]]] = {}
        self._accumulated: dict[str, Copy] = {}
        self._called: dict[tuple[Section, bool, str], list[int]] = {}

    def copy(
        self,
        section: Section,
        microbatch: int = NO_MICROBATCH,
        last: bool = False,
        after: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        """Append a section for a microbatch. `after`: by their names, the values that ops are to come after, the first
        ops, up to the first kernel, under ""."""
        flat, last = self._flat, bool(self._chunk.last) if section == "end" else last and section in self._chunk.last
        pattern = self._pattern(section, microbatch, last)
        copy = Copy(section, microbatch, last, len(flat), -1 - len(flat.given))
        self._copies[microbatch, section] = self._newest[section] = copy
        number = self._number(microbatch)
        for tensor, turn in pattern.given:
            flat.add_given(tensor, turn, number)
        bases = np.asarray([self._base(slot, microbatch) for slot in pattern.slots], dtype=np.int64)
        flat.add_columns(pattern.sites, pattern.turns, number, bases[pattern.slot] + pattern.offset, pattern.ends)
        waiting = pattern.waiting, bases[pattern.wait_slot] + pattern.wait_offset
        waiting, awaited = self._with_more(waiting, copy, after or {})
        flat.add_waits(copy.since + waiting, awaited)
        for start, end in self._chunk.carried.items():
            if self._programs[last].makes(section, end):
                self._accumulated[start] = copy

    def _with_more(self, waits: tuple[Any, Any], copy: Copy, after: Mapping[str, Sequence[int]]) -> tuple[Any, Any]:
        """The waits of a copy with those for what passes before have left, op by op."""
        more = [(at, value) for name, values in after.items() for at in self._places(copy, name) for value in values]
        if not more:
            return waits
        here, values = (np.concatenate(each) for each in zip(waits, np.asarray(more).T, strict=True))
        order = np.argsort(here, kind="stable")
        return here[order], values[order]

    def _places(self, copy: Copy, name: str) -> list[int]:
        """The places of what is called by a name in each of its rounds; under "" the first ops that are issued."""
        key = copy.section, copy.last, name
        if key not in self._called:
            program = self._programs[copy.last]
            names = [name] if name else program.first_issued(copy.section)
            self._called[key] = [at for each in names for at in program.called(copy.section, each)]
        return self._called[key]

    def append(self, op: Op, microbatch: int, values: tuple[int, ...] = (), ending: str = "") -> int:
        """Append an op that stands between copies; returns what it makes. `ending`: what its name gets behind the rest."""
        flat = self._flat
        if op not in self._hops:
            self._hops[op] = flat.add_site(op)
        return flat.add(self._hops[op], flat.number_of_turn(()), self._number(microbatch, ending), values)

    def receive(self, name: str, microbatch: int, value: int) -> None:
        """What a microbatch takes in under a name."""
        self._received[microbatch, name] = value

    def take(self, tensor: Tensor, microbatch: int, ending: str = "") -> int:
        """A tensor that is given to a microbatch from outside; returns its value. `ending`: as in `append`."""
        flat = self._flat
        return flat.add_given(flat.add_tensor(tensor), flat.number_of_turn(()), self._number(microbatch, ending))

    def made(self, section: Section, microbatch: int, name: str, rounds: Sequence[Round] = ()) -> int:
        """What a section has made for a microbatch under a name, in some rounds. Raises KeyError where it has not."""
        copy = self._copies[microbatch, section]
        return copy.since + self._programs[copy.last].behind_round(section, name, rounds)

    def value(self, microbatch: int, name: str) -> int:
        """What a microbatch has under a name, made or received. Raises KeyError where it has nothing."""
        for section, copy in self._earlier(microbatch):
            if self._programs[copy.last].makes(section, name):
                return self.made(section, microbatch, name)
        return self._received[microbatch, name]

    def _number(self, microbatch: int, ending: str = "") -> int:
        """The number of the copy that has the names of a microbatch."""
        whole = f"{self._ending}{f'.m{microbatch}' if microbatch >= 0 else ''}{ending}"
        if whole not in self._numbers:
            self._numbers[whole] = self._flat.add_copy(whole)
        return self._numbers[whole]

    def _base(self, slot: Slot, microbatch: int) -> int:
        """From what the values of a slot are counted for a microbatch."""
        sort, which = slot
        if sort == "made":
            return self._copies[microbatch, which].since
        if sort == "given":
            return self._copies[microbatch, which].given_since
        if sort == "received":
            return self._received[microbatch, which]
        return self._accumulated[which].since if sort == "before" else 0

    def _pattern(self, section: Section, microbatch: int, last: bool) -> _Pattern:
        """The pattern of a copy: that of an earlier one, if it is alike."""
        key = section, last, tuple(copy.last for _, copy in self._earlier(microbatch))
        known = self._patterns.get(key)
        if known is not None and known.settled:
            before = (self._accumulated[start] for start in known.before)
            if [*known.before.values()] == [(copy.section, copy.last) for copy in before]:
                return known
        found = self._patterns[key] = self._worked_out(section, microbatch, last)
        return found

    def _worked_out(self, section: Section, microbatch: int, last: bool) -> _Pattern:
        """The pattern of a copy, read off the program; what is given to all microbatches is given where it is new."""
        program, span = self._programs[last], self._programs[last].spans[section]
        first = program.first[span.start : span.stop + 1]
        distinct, place = np.unique(program.reads[first[0] : first[-1]], return_inverse=True)
        fixed = len(self._fixed)
        # what is given first has the highest of the values below 0
        values = sorted(distinct.tolist(), key=lambda value: (value >= 0, -value))
        found = {value: self._found(value, section, microbatch, last) for value in values}
        waiting, awaited = program.waits(section)
        awaits = [self._found_made(value, section, microbatch, last) for value in awaited.tolist()]
        slots = tuple(dict.fromkeys(slot for slot, _ in (*found.values(), *awaits)))
        lines = [found[value] for value in distinct.tolist()]
        before = {which: self._accumulated[which] for sort, which in slots if sort == "before"}
        starting = any(value < 0 and self._is_accumulator(program.name(value)[0]) for value in values)
        site, turn = (column[span.start : span.stop] for column in (program.site, program.turn))
        return _Pattern(
            sites=_each(lambda number: self._site(last, number), site),
            turns=_each(lambda number: self._turn(program, number), turn),
            ends=first[1:] - first[0],
            slots=slots,
            slot=np.asarray([slots.index(slot) for slot, _ in lines], dtype=np.int64)[place],
            offset=np.asarray([offset for _, offset in lines], dtype=np.int64)[place],
            given=tuple(given for _, given in self._own.get((section, last), {}).values()),
            waiting=waiting,
            wait_slot=np.asarray([slots.index(slot) for slot, _ in awaits], dtype=np.int64),
            wait_offset=np.asarray([offset for _, offset in awaits], dtype=np.int64),
            before={start: (copy.section, copy.last) for start, copy in before.items()},
            settled=len(self._fixed) == fixed and not starting,
        )

    def _is_accumulator(self, name: str) -> bool:
        """Whether a name is that of an accumulator that no copy has made so far."""
        return name in self._chunk.carried and name not in self._accumulated

    def _found(self, value: int, section: Section, microbatch: int, last: bool) -> tuple[Slot, int]:
        """From which slot a value of the program is counted, and its number from there."""
        program = self._programs[last]
        name = program.name(value)
        if value >= 0:
            return self._found_made(value, section, microbatch, last)
        if name[0] in self._accumulated:
            copy = self._accumulated[name[0]]
            made = self._chunk.carried[name[0]], name[1]
            return ("before", name[0]), self._programs[copy.last].behind(copy.section, made)
        if (microbatch, name[0]) in self._received:
            return ("received", name[0]), 0
        given = self._tensor(program, value), self._turn(program, program.flat.given_turn[-1 - value])
        if microbatch < 0 or name[0] in self._shared or name[0] in self._chunk.carried:
            if name not in self._fixed:
                self._fixed[name] = self._flat.add_given(*given, self._number(NO_MICROBATCH))
            return _FIXED, self._fixed[name]
        for which, copy in self._earlier(microbatch):
            known = self._own.get((which, copy.last), {})
            if name in known and which != section:
                return ("given", which), -known[name][0]
        own = self._own.setdefault((section, last), {})
        return ("given", section), -own.setdefault(name, (len(own), given))[0]

    def _found_made(self, value: int, section: Section, microbatch: int, last: bool) -> tuple[Slot, int]:
        """The same of what an op of the program makes. Raises KeyError for what none of them does."""
        program = self._programs[last]
        if value < 0:
            raise KeyError(program.name(value))
        where = program.section[value]
        if where == section:
            return ("made", where), value - program.spans[where].start
        fixed = where == "begin" or microbatch < 0
        copy = self._newest[where] if fixed else self._copies[microbatch, where]
        behind = self._programs[copy.last].behind(where, program.name(value))
        return (_FIXED, copy.since + behind) if fixed else (("made", where), behind)

    def _earlier(self, microbatch: int) -> list[tuple[Section, Copy]]:
        """What of a microbatch is there already."""
        here = ((section, self._copies.get((microbatch, section))) for section in SECTIONS)
        return [(section, copy) for section, copy in here if copy is not None]

    def _site(self, last: bool, site: int) -> int:
        if (last, site) not in self._sites:
            op = self._programs[last].flat.sites[site]
            self._sites[last, site] = self._flat.add_site(replace(op, options=placed(op, self._place)))
        return self._sites[last, site]

    def _tensor(self, program: Program, value: int) -> int:
        return self._flat.add_tensor(program.flat.tensors[program.flat.given[-1 - value]])

    def _turn(self, program: Program, turn: int) -> int:
        return self._flat.number_of_turn(program.flat.turns[turn])


def _each(of: Callable[[int], int], column: Any) -> Any:
    """What a column of numbers stands for, each number looked up once."""
    known: dict[int, int] = {}
    return np.asarray([known[each] if each in known else known.setdefault(each, of(each)) for each in column.tolist()])
