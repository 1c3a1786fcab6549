"""Per op: time, work and bound, in the words of `OP_WORDS`.

An op's times count the kernels that carry it out; a fused kernel counts for each op in it, since it cannot be divided.
Of unlike chips every word is that of the chip with the most of it, as the words of the whole run are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, reduce
from itertools import chain
from operator import add, itemgetter
from typing import Any

import numpy as np

from analysis.words.causes import CAUSES, HOST, NETWORK, OVERHEAD, cause_of
from analysis.words.words import OP_WORDS
from hw.rows import rowwise
from simulator import PS_PER_S, PlannedKernel, Variant


@dataclass(frozen=True, slots=True)
class Amounts:
    """What a chip does of an op: FLOP, bytes, and the t_ times (s)."""

    flops: float = 0.0
    hbm_bytes: float = 0.0
    network_bytes: float = 0.0
    times_s: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class OpFigures:
    """One kernel, or one op over its kernels; all chunks together. Every figure is that of the chip with the most of it.

    `base`: its name without the numbers of rounds. `busy_ps`: by simulated chip, how long its tasks took. `amounts`: by
    chip, what it does (one object for all alike).
    """

    name: str
    kind: str
    tile: str
    begin_s: float
    end_s: float
    busy_ps: Mapping[int, int]
    amounts: Mapping[int, Amounts]
    base: str

    def __repr__(self) -> str:
        time = OP_WORDS["time"].text(self.time_s)
        return f"OpFigures({self.name}: {self.kind}, {time}, bound by {self.bound_by})"

    @cached_property
    def chip(self) -> int:
        """The chip on which it takes longest; the first of equals."""
        return max(self.busy_ps, key=lambda chip: self.busy_ps[chip], default=min(self.amounts, default=0))

    @cached_property
    def time_s(self) -> float:
        """How long it takes, on the chip where that is longest."""
        return max(self.busy_ps.values(), default=0) / PS_PER_S

    @cached_property
    def flops(self) -> float:
        """FLOP on both units."""
        return self._most(lambda each: each.flops)

    @cached_property
    def hbm_bytes(self) -> float:
        """Bytes to and from HBM."""
        return self._most(lambda each: each.hbm_bytes)

    @cached_property
    def network_bytes(self) -> float:
        """Bytes that a chip puts on its links."""
        return self._most(lambda each: each.network_bytes)

    @cached_property
    def times_s(self) -> Mapping[str, float]:
        """The t_ times."""
        words = dict.fromkeys(word for each in self._distinct for word in each.times_s)
        return {word: max(each.times_s.get(word, 0.0) for each in self._distinct) for word in words}

    @cached_property
    def intensity(self) -> float | None:
        """FLOP per byte of HBM, or None without traffic."""
        return max((each.flops / each.hbm_bytes for each in self._distinct if each.hbm_bytes), default=None)

    @cached_property
    def bound_by(self) -> str:
        """The largest of the op's times, in one word."""
        return largest_cause(self.times_s)

    def word(self, name: str) -> float | str | None:
        """A word of OP_WORDS."""
        if name.startswith("t_"):
            return self.times_s.get(name, 0.0)
        value: float | str | None = getattr(self, "time_s" if name == "time" else name)
        return value

    def _most(self, amount: Callable[[Amounts], float]) -> float:
        return max((amount(each) for each in self._distinct), default=0.0)

    @cached_property
    def _distinct(self) -> Collection[Amounts]:
        return {id(each): each for each in self.amounts.values()}.values()


def largest_cause(times_s: Mapping[str, float]) -> str:
    """The cause with the largest time; the first of equals."""
    causes = list(CAUSES)

    def most(*times: float) -> str:
        return max(zip(times, causes, strict=True), key=itemgetter(0))[1]

    named: str = rowwise(most, *(times_s.get(cause.word, 0.0) for cause in CAUSES.values()))
    return named


def kernel_times(planned: PlannedKernel, variant: Variant, fixed_s: float) -> dict[str, float]:
    """The t_ times of a kernel as one chip has it: the slowest resource of each word."""
    times: dict[str, float] = {}
    for resource, seconds in variant.times_s.items():
        word = cause_of(resource).word
        times[word] = max(times.get(word, 0.0), seconds)
    times[HOST.word] = max(times.get(HOST.word, 0.0), planned.host_s)
    times[NETWORK.word] = planned.network_s
    times[OVERHEAD.word] = fixed_s
    return times


def combined(name: str, rows: Sequence[OpFigures]) -> OpFigures:
    """Several kernels as one row: sums on each chip, from the first beginning to the last end."""
    busy: dict[int, int] = {}
    for row in rows:
        for chip, took in row.busy_ps.items():
            busy[chip] = busy.get(chip, 0) + took
    return OpFigures(
        name,
        rows[0].kind,
        rows[0].tile if len({row.tile for row in rows}) == 1 else "",
        min(row.begin_s for row in rows),
        max(row.end_s for row in rows),
        busy,
        _summed(rows),
        name,
    )


def _summed(rows: Sequence[OpFigures]) -> dict[int, Amounts]:
    """What each chip does of several kernels; chips that are alike in all of them share one object."""
    parts: dict[int, list[Amounts]] = {}
    for row in rows:
        for chip, part in row.amounts.items():
            parts.setdefault(chip, []).append(part)
    made: dict[tuple[int, ...], Amounts] = {}
    found: dict[int, Amounts] = {}
    for chip, each in parts.items():
        alike = tuple(id(part) for part in each)
        if alike not in made:
            made[alike] = added(each)
        found[chip] = made[alike]
    return found


def added(parts: Sequence[Amounts]) -> Amounts:
    """Amounts added in order."""
    distinct = {id(part): part for part in parts}
    place = dict(zip(distinct, range(len(distinct)), strict=True))
    return added_as(list(distinct.values()), np.asarray([place[id(part)] for part in parts], dtype=np.int64))


def added_as(parts: Sequence[Amounts], order: Any) -> Amounts:
    """Amounts added one after the other; `order`: which of the parts they are, of parts in the order of their first use."""
    if len(order) == 1:
        return parts[0]
    words = dict.fromkeys(word for part in parts for word in part.times_s)
    amounts = [
        [part.flops for part in parts],
        [part.hbm_bytes for part in parts],
        [part.network_bytes for part in parts],
        *([part.times_s.get(word, 0.0) for part in parts] for word in words),
    ]
    flops, hbm_bytes, network_bytes, *times_s = _running(amounts, order)
    return Amounts(flops, hbm_bytes, network_bytes, dict(zip(words, times_s, strict=True)))


def _running(amounts: Sequence[Sequence[float]], order: Any) -> list[float]:
    """Sums, each one number after the other; `order`: which of its amounts the numbers of each sum are."""
    if {*map(type, chain.from_iterable(amounts))} == {float}:
        # sums of all beginnings: each is the one before and a number more, where a plain sum would go by halves
        total: list[float] = np.cumsum(np.asarray(amounts)[:, order], axis=1)[:, -1].tolist()
        return total
    if len(amounts) > 1:
        return [_running([each], order)[0] for each in amounts]
    return [reduce(add, [amounts[0][at] for at in order.tolist()])]
