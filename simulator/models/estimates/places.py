"""Where the kernels of a line stand in the structure of a step: what they wait for, keep and make, as slots.

Model: everything that is made has a slot, the same in every configuration of a structure. A kernel waits for the slots that
it reads, of its own round or of others of its block, and for what its line is said to come after; what it reads it keeps,
what it makes stays until the last of its readers is done. What is made beside another is of the same round as that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from simulator.models.estimates.program import Around, Line, Ref, Structure
from simulator.ops.kernel import Kernel, maker_of


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """A kernel in a structure: the slots that it waits for, those of other rounds with how many after its own, the slots of
    what it makes (so many of them `written`, others stay inside), and which of those lie in the memory of which it reads.
    `keeps`: what it reads and does not only wait for; `away`: what it makes in another memory than the chip's; `fetches`:
    whether it reads in such a one."""

    reads: tuple[int, ...]
    asks: tuple[tuple[int, int], ...]
    makes: tuple[int, ...]
    keeps: tuple[Ref, ...]
    written: int
    grown: tuple[tuple[int, int], ...]
    away: tuple[int, ...]
    fetches: bool


def furthest(refs: Iterable[Iterable[Ref]]) -> int:
    """How many rounds before or after its own something is asked for, at the most."""
    return max((abs(offset or 0) for each in refs for _, offset in each), default=0)


def behind_of(around: Around) -> Iterable[str]:
    """The first tensor behind each view that a group reads."""
    return dict.fromkeys(shown[0][0] for _, shown in around.behind)


def places_of(structure: Structure, line: Line, around: Around, kernels: Sequence[Kernel]) -> tuple[Place, ...]:
    """Where the kernels of a line stand."""
    structure.made.update(access.tensor for kernel in kernels for access in kernel.writes)
    lines = line.group or (line,)
    rounds = {name: offset for each in lines for name, offset in each.rounds}
    rounds |= {name: offset for _, shown in around.behind for name, offset in shown}
    after = [ref for each in lines for name, offset in each.after for ref in structure.refs(name, offset)]
    found = []
    for kernel in kernels:
        read = [(access.tensor, round_of(access.tensor, rounds)) for access in kernel.reads]
        refs = [ref for name, offset in read for ref in structure.refs(name, offset)]
        keeps = tuple(dict.fromkeys(refs))
        refs = list(dict.fromkeys((*refs, *after)))
        made = dict.fromkeys((*(access.tensor for access in kernel.writes), *kernel.ops))
        reads = tuple(slot for slot, offset in refs if offset is None)
        asks = tuple((slot, offset) for slot, offset in refs if offset is not None)
        grown = [
            (structure.slot(name), slot)
            for name, into in kernel.grown
            for slot, _ in structure.refs(into, rounds.get(into))
        ]
        written = len({access.tensor for access in kernel.writes})
        makes = tuple(structure.slot(name) for name in made)
        away = tuple(structure.slot(access.tensor) for access in kernel.writes if access.memory != "hbm")
        fetches = any(access.memory != "hbm" for access in kernel.reads)
        found.append(Place(reads, asks, makes, keeps, written, tuple(grown), away, fetches))
    return tuple(found)


def round_of(name: str, rounds: Mapping[str, int | None]) -> int | None:
    """Of which round a tensor is read: what was made beside another is of the same round as that."""
    return rounds[name] if name in rounds else rounds.get(maker_of(name)[0])
