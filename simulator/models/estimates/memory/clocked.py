"""What the sections of a microbatch take, in seconds, and what they hold where that is told by a clock.

Model: each kernel takes what it takes alone; sections stand one behind the other, any microbatch's by themselves, the last
one's with the begin and the end of the step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from simulator.models.estimates.chunks import ChunkSort
from simulator.models.estimates.memory.beside import Late, Parts, Timed, clock_of, late_of, seconds_of, timed
from simulator.models.estimates.memory.held import Sizes, Swing, sizes_of_rows, swings_of
from simulator.models.estimates.memory.in_time import Microbatch
from simulator.models.estimates.memory.lives import Lives
from simulator.models.estimates.prices import Price
from simulator.models.estimates.rows import COMPUTE, Rows

Key = tuple[str, bool]
"""A pass, and whether it is that of the last microbatch."""

Fetched = tuple[int, Price]
"""A slot of what is fetched for the next pass, and the price of that."""

Sections = Sequence[tuple[str, bool, Sequence[Fetched]]]
"""Sections by their names, whether each is that of the last microbatch, and what it fetches for the next one."""


Program = tuple[Lives, Sections]
"""The sections of a microbatch, one behind the other, and the lives of what they make."""


def clocked(
    rows: Mapping[Key, Rows], programs: Sequence[Program], whens: Sequence[Timed], sizes: Sizes, more: int
) -> tuple[Sequence[Swing], Sequence[Swing]]:
    """How passes of any microbatch and of the last one move what is held, by a clock."""
    found = []
    for (mine, sections), when, since in zip(programs, whens, (1, 0), strict=True):
        span = replace(mine.whole, begin=when.begin, end=when.end)
        walked = swings_of(mine, sizes, span, more, since, when)
        long = [_left_out(rows[name, is_last], more) for name, is_last, _ in sections]
        found.append([each.lasting(seconds) for each, seconds in zip(walked, long, strict=True)])
    return found[0], found[1]


def taken_s(rows: Mapping[Key, Rows], programs: Sequence[Program], several: bool, beside: bool = False) -> list[Any]:
    """What steps of any microbatch and of the last one take, `several`: which is not the first as well. `beside`: those
    beside the compute queue in seconds of what that does meanwhile."""
    found = [_seconds(rows, *each, beside) for each in programs]
    # what stands before all passes is done before the first one
    found[0][: programs[0][0].bounds[1]] = 0.0
    if several:
        found[1][: programs[1][0].bounds[1]] = 0.0
    return found


def microbatches_of(
    sort: ChunkSort, programs: Sequence[Program], taken: Sequence[Any], sizes: Sizes
) -> tuple[Microbatch, Microbatch]:
    """Any microbatch and the last one, to be gone through."""
    found = []
    for (lives, sections), seconds, since in zip(programs, taken, (1, 0), strict=True):
        names = tuple(name for name, *_ in sections)
        found.append(
            Microbatch(
                parts=names,
                beside=lives.beside,
                seconds=seconds,
                nbytes=sizes_of_rows(lives, sizes, since),
                owner=sizes.owner[lives.slot],
                begin=lives.whole.begin,
                end=lives.whole.end,
                since=lives.since,
                bounds=lives.bounds,
                taken=tuple(len(sort.takes(name)) for name in names),
            )
        )
    return found[0], found[1]


def timed_of(programs: Sequence[Program], taken: Sequence[Any], is_sent: bool) -> tuple[Timed, Timed]:
    """The lives of any microbatch and of the last by a clock, given what their steps take."""
    (plain, _), (last, _) = programs
    # between passes of a pipeline there may be time for what is fetched
    late: Late | None = None if is_sent else {}
    clock = clock_of(plain.beside, taken[0], late)
    if late is not None and (late := late_of(plain.beside, clock)):
        clock = clock_of(plain.beside, taken[0], late)
    clocks = clock, clock_of(last.beside, taken[1], late)
    count = len(plain.bounds) - 1
    # behind the passes of the last microbatch stands the end of the step, which is in the same program
    final = max(at for at in range(count) if last.bounds[at + 1] > last.bounds[at] or not at)
    of_plain, of_last = (
        timed(each.beside, clock, each.whole.begin, each.whole.end, Parts(each.bounds, each.since, apart))
        for each, clock, apart in zip((plain, last), clocks, (count, final), strict=True)
    )
    return of_plain, of_last


def _seconds(rows: Mapping[Key, Rows], lives: Lives, sections: Sections, beside: bool) -> Any:
    """What the steps of some sections take, and what they fetch."""
    stretches: list[list[float]] = []
    fetched: list[float] = []
    for name, is_last, more in sections:
        mine = rows[name, is_last]
        busy = _busy(mine) if beside else 0.0
        stretches += [[_lasts_beside(price, busy) for price in stretch.prices] for stretch in mine]
        fetched += [_lasts_beside(price, busy) for _, price in more]
    return seconds_of(lives.beside, stretches, fetched)


def _busy(rows: Rows) -> float:
    """The share of HBM's time that kernels of the compute queue ask for while they run."""
    computes = [(stretch.count, each) for stretch in rows for each in stretch.prices if each.queue == COMPUTE]
    taken = sum(count * price.least for count, price in computes)
    return sum(count * price.needs.get("hbm", 0.0) for count, price in computes) / taken if taken else 0.0


def _lasts_beside(price: Price, busy: float) -> float:
    """Seconds of a kernel; of one beside the compute queue those of what that does meanwhile. What a wire or a host holds to
    a rate keeps it, and slows down what asks for so much of HBM that both do not fit; what HBM bounds is slowed alike."""
    if price.queue == COMPUTE or not price.least:
        return price.least
    share = price.needs.get("hbm", 0.0) / price.least
    return price.least * max(share, 1.0 - min(share, max(0.0, busy + share - 1.0)))


def _left_out(rows: Rows, more: int) -> float:
    """Seconds of the compute queue in so many rounds that are not walked through."""
    long = (stretch for stretch in rows if stretch.block and more and stretch.count > more)
    return more * sum(price.least for stretch in long for price in stretch.prices if price.queue == COMPUTE)
