"""The lives of tensors in the program of one microbatch, as columns.

Model: the program is walked through in its order (`walk`), and what was seen there is put side by side: of each tensor its
life in program order, the part of it that it has in every run, and its life where copies to other memories are late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.models.estimates.memory.beside import Beside, Seen
from simulator.models.estimates.memory.walk import NEVER, UNREAD, Part, Span, Walk, column


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Lives:
    """Columns, a row for each tensor that is made: its slot, its life in program order, the part of it that it has in every
    run (`sure`), its life where copies to other memories are as `late` as they may be, None where there are none; rows of
    what lies in the memory of something else (`within`): the `within_slot` of each, by its place among those (`within_at`).
    `since`: the first row of each part; `bounds`: its first step, and the end. `given`: by slot how often something is given
    there, whether also for each round that is left out, and in which part it is asked for first. `beside`: what goes on
    beside the compute queue, which is worked out in seconds (`beside`)."""

    slot: Any
    whole: Span
    sure: Span
    late: Span | None
    since: tuple[int, ...]
    within: Any
    within_at: Any
    within_slot: Any
    bounds: tuple[int, ...]
    given: Mapping[int, tuple[int, bool, str]]
    beside: Beside


def rounds_of(parts: Iterable[Part]) -> tuple[int, int]:
    """How many rounds the long blocks of some parts have, and how many of those tell all of them apart; 0 and 0 where there
    are no long ones, or they are not all as long."""
    stretches = [stretch for part in parts for stretch in part.rows if stretch.block]
    few = 2 * max((stretch.ahead for stretch in stretches), default=0) + 5
    long = {stretch.count for stretch in stretches if stretch.count > few}
    return (long.pop(), few) if len(long) == 1 else (0, 0)


def lives_of(parts: Sequence[Part], rounds: tuple[int, int] = (0, 0), clocked: bool = True) -> Lives:
    """The lives of all that is made in some parts, one after the other; `rounds`: of blocks that have so many, so many are
    walked through; `clocked`: whether what goes on beside the compute queue is to be known in seconds."""
    walk = Walk(*rounds, Seen(clocked))
    bounds, since, staying = [0], [], set[int]()
    for part in parts:
        since.append(len(walk.slot))
        walk.enter(part)
        walk.seen.enters(part.left, part.leaves)
        for slot in part.takes:
            walk.seen.takes(walk.make(slot, computes=False, begin=walk.step))
        for stretch in part.rows:
            walk.stretch(stretch, part.name)
        for slot in part.gives:
            if slot in walk.now:
                walk.last[walk.now[slot]] = max(walk.step - 1, walk.last[walk.now[slot]])
                walk.seen.read(walk.now[slot], walk.step - 1)
        staying |= {walk.now[slot] for slot in part.stays if slot in walk.now}
        walk.fetch(part.fetched, part.ahead)
        bounds.append(walk.step)
    walk.stay(staying)
    walk.keep()
    last, sure = column(walk.last), column(walk.sure_last)
    first = column(walk.sure_first)
    has = first != NEVER
    # what nobody reads is there to the end in every run, from the kernel that makes it
    sure_end = np.where(last == UNREAD, walk.step + 1, sure + 1)
    late_last = column(walk.late_last())
    return Lives(
        slot=column(walk.slot),
        late=walk.span(
            column([walk.fetched.get(number, begin) for number, begin in enumerate(walk.begin)]),
            np.where(late_last == UNREAD, walk.step + 1, late_last + 1),
        )
        if walk.sent
        else None,
        whole=walk.span(column(walk.begin), np.where(last == UNREAD, walk.step + 1, last + 1)),
        sure=walk.span(np.where(has, first, 0), np.where(has, sure_end, 0)),
        since=tuple(since),
        within=column([*walk.within]),
        within_at=column([at for at, slots in enumerate(walk.within.values()) for _ in slots]),
        within_slot=column([slot for slots in walk.within.values() for slot in slots]),
        bounds=tuple(bounds),
        given={slot: (len(turns), slot in walk.given_more, name) for slot, (turns, name) in walk.given.items()},
        beside=walk.seen.beside(walk.holders, len(walk.slot)),
    )
