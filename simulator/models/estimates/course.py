"""Stretches of rows as segments: kernels of one queue, one behind the other, which wait for nothing else.

Model: what a queue itself has made before is there whenever the queue is free. So kernels of one queue that wait for nothing
else, and for which no other queue waits, are one segment, as long as all of them. Which those are, and which segments come
behind which, is a matter of the structure (`Course`); how long they are, of the configuration (`Timed`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from simulator.models.estimates.rows import Stretch

NEVER = -math.inf


@dataclass(slots=True)
class Segment:
    """Kernels, up to before number `end` of their stretch, that run one after the other in a queue: the slots that the first
    of them waits for, also of other rounds, and those that the last one makes for others."""

    queue: str
    end: int
    reads: tuple[int, ...] = ()
    asks: tuple[tuple[int, int], ...] = ()
    makes: tuple[int, ...] = ()
    pieces: int = 1
    awaited: bool = False


@dataclass(frozen=True, slots=True)
class Leg:
    """A stretch as segments; `kept`: slots of which it keeps the history; `asked`: those of which it asks for rounds that a
    block went through the other way round, none beyond `reach` rounds before or after its own; `asks`: those of which
    anything is asked for by round; `explicit`: every round has to be gone through, since what it waits for moves as it
    likes. `last`: the segment that makes each slot last in a round, by number, and `ends`: the last one of each queue;
    `told`: both, one behind the other. `behind`: by segment, those of its round, or of the one before, that it comes
    behind; None where that is not all that moves it."""

    segments: Sequence[Segment]
    last: Mapping[int, int]
    ends: Mapping[str, int]
    behind: Sequence[tuple[int, ...]] | None
    kept: Sequence[int]
    asked: Sequence[int]
    asks: frozenset[int]
    reach: int
    explicit: bool
    told: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "told", (*self.last.values(), *self.ends.values()))


class Course:
    """Stretches one after the other, as segments: the same for all configurations of a structure. `wanted`: slots that
    somebody asks for behind them."""

    def __init__(self, stretches: Sequence[Stretch], wanted: Iterable[int]) -> None:
        asked = {slot for stretch in stretches for place in stretch.places for slot, _ in place.asks}
        needed = {*wanted, *asked}
        waits = []
        for stretch in stretches:
            waits.append(_waits(stretch))
            needed.update(slot for reads, _ in waits[-1] for slot in reads)
            needed.update(slot for pair in (*stretch.carry, *stretch.enters) for slot in pair)
        # by slot that keeps its history, whether the rounds of its block are gone through from the last to the first
        histories: dict[int, bool] = {}
        self.legs: list[Leg] = []
        for stretch, awaited in zip(stretches, waits, strict=True):
            made = {slot for place in stretch.places for slot in place.makes}
            kept = sorted(asked & made) if stretch.block else []
            asks = [(slot, offset) for place in stretch.places for slot, offset in place.asks]
            histories.update(dict.fromkeys(kept, stretch.reverse))
            told = [slot for slot, _ in asks if slot in histories]
            alike = [slot for slot in told if slot in kept or histories[slot] == stretch.reverse]
            segments = _segments(stretch, awaited, needed)
            leg = Leg(
                segments=segments,
                last={slot: number for number, each in enumerate(segments) for slot in each.makes},
                ends={each.queue: number for number, each in enumerate(segments)},
                behind=_behind(segments, dict(stretch.carry)),
                kept=kept,
                asked=tuple(dict.fromkeys(told)),
                asks=frozenset(slot for each in segments for slot, _ in each.asks),
                reach=max((abs(offset) for _, offset in asks), default=0),
                explicit=bool(alike),
            )
            self.legs.append(leg)

    def timed(self, stretches: Sequence[Stretch]) -> Timed:
        """Seconds of the segments of stretches, for walks that begin differently."""
        return [_timed(leg, stretch) for leg, stretch in zip(self.legs, stretches, strict=True)]


_Waits = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""Slots that a kernel waits for, and those of other rounds."""


def _waits(stretch: Stretch) -> list[_Waits]:
    """By kernel, what it waits for that its own queue has not made, nor waited for, before in the same round."""
    maker: dict[int, str] = {}
    awaited: dict[str, set[tuple[int, int]]] = {price.queue: set() for price in stretch.prices}
    found = []
    for place, price in zip(stretch.places, stretch.prices, strict=True):
        before = awaited[price.queue]
        reads = tuple(slot for slot in place.reads if maker.get(slot) != price.queue)
        found.append((reads, tuple(ask for ask in place.asks if ask not in before)))
        before.update(place.asks)
        maker.update(dict.fromkeys(place.makes, price.queue))
    return found


def _segments(stretch: Stretch, waits: Sequence[_Waits], needed: set[int]) -> list[Segment]:
    found: list[Segment] = []
    rows = zip(stretch.places, stretch.prices, waits, strict=True)
    for number, (place, price, (reads, asks)) in enumerate(rows, start=1):
        makes = tuple(slot for slot in place.makes if slot in needed)
        last = found[-1] if found else None
        goes_on = last is not None and last.queue == price.queue and last.pieces == price.pieces == 1
        if last is not None and goes_on and not (last.makes or last.awaited or reads or asks):
            last.end, last.makes, last.awaited = number, makes, price.awaited
        else:
            found.append(Segment(price.queue, number, reads, asks, makes, price.pieces, price.awaited))
    return found


def _behind(segments: Sequence[Segment], carry: Mapping[int, int]) -> list[tuple[int, ...]] | None:
    """By segment, those that it comes behind, in its own round or the one before; None where something comes in pieces, or
    is handed on over more than one round."""
    last = {slot: number for number, each in enumerate(segments) for slot in each.makes}
    free = {each.queue: number for number, each in enumerate(segments)}
    if any(each.pieces > 1 for each in segments) or any(end in carry and end not in last for end in carry.values()):
        return None
    # what a round has not made yet, the one before has
    made = last | {start: last[end] for start, end in carry.items() if end in last}
    found = []
    for number, each in enumerate(segments):
        waits = (made[slot] for slot in each.reads if slot in made)
        found.append(tuple(dict.fromkeys((free[each.queue], *waits))))
        free[each.queue] = number
        made |= dict.fromkeys(each.makes, number)
    return found


Row = tuple[str, float, float, float, tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...], int, bool]
"""A segment in seconds: its queue, how long it is, what the host takes to issue its kernels, and from when the host begins
with that to its end, if nothing else is waited for; slots that it waits for, those of other rounds, slots that it makes, in
how many pieces it comes, and whether the host waits for its end."""


Timed = Sequence[list[Row]]
"""Stretches as segments in seconds."""


def _timed(leg: Leg, stretch: Stretch) -> list[Row]:
    """The segments of a stretch with their seconds."""
    least = [price.least for price in stretch.prices]
    issue = [price.issue for price in stretch.prices]
    waits = any(issue)
    rows: list[Row] = []
    begin, host, issued = 0, 0.0, 0.0
    for each in leg.segments:
        end = each.end
        mine = least[begin:end]
        if waits:
            host, issued = sum(issue[begin:end]), _issued(mine, issue[begin:end])
        rows.append((each.queue, sum(mine), host, issued, each.reads, each.asks, each.makes, each.pieces, each.awaited))
        begin = end
    return rows


def _issued(least: Sequence[float], issue: Sequence[float]) -> float:
    """Seconds from when a host begins to issue kernels of one queue to the end of the last of them."""
    host, end = 0.0, NEVER
    for seconds, issued in zip(least, issue, strict=True):
        host += issued
        end = (max(end, host) if issued else end) + seconds
    return end
