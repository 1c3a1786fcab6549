"""Sorts of kernels: those that differ in names only and run on the same chips, of which all else is worked out once."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from hw import System
from hw.rows import equal_lines
from simulator.collectives.traffic import Traffic
from simulator.lowering.planning.plan import Plan
from simulator.lowering.planning.planned import FROM_DATA_SHEET, Variant
from simulator.lowering.planning.priced import Variants, queue_name
from simulator.lowering.resources import SystemResources
from simulator.ops.kernel import Communication, Kernel
from simulator.passes.kernels import Kernels
from simulator.passes.placement import Placement, placed


@dataclass(frozen=True, slots=True)
class Sort:
    """Kernels that differ in names only, as each sort of chip has them, on the same chips; `count`: how many there are."""

    variants: tuple[Variant, ...]
    place: Placement
    count: int

    @property
    def kernel(self) -> Kernel:
        """One of them."""
        return self.variants[0].kernel


def sorts_of(plan: Plan, variants: Sequence[Kernels], resources: SystemResources) -> tuple[list[Sort], array[int]]:
    """The sorts of kernels in the order in which they first come, and of which sort each kernel is. `variants`: the kernels
    as each sort of chip has them."""
    places = placed(variants[0], plan.system)
    codes = [np.asarray(each.code, dtype=np.int64) for each in variants]
    number, first = equal_lines(*codes, places.of)
    counts = np.bincount(number, minlength=len(first)).tolist()
    if plan.options.spread:
        distinct = [(variants[0].like(at), places.distinct[places.of[at]]) for at in first.tolist()]
        plan.slowest_of = most_waiting(distinct, plan.system)
    planned = Variants(plan, resources)
    sorts = []
    for at, count in zip(first.tolist(), counts, strict=True):
        kernels = [each.like(at) for each in variants]
        sorts.append(Sort(planned.of(kernels), places.distinct[places.of[at]], count))
    return sorts, array("i", number.astype("i").tobytes())


def most_waiting(kernels: Iterable[tuple[Kernel, Placement]], system: System) -> int:
    """How many chips wait for each other, directly or through others: of sets of chips that never meet the largest."""
    asked = [(each.communication, place) for each, place in kernels if each.communication is not None]
    met = {meeting: None for communication, place in asked for meeting in _meetings(communication, place, system)}
    leader = list(range(system.size))

    def led_by(chip: int) -> int:
        while leader[chip] != chip:
            leader[chip] = chip = leader[leader[chip]]
        return chip

    for first, *others in met:
        for other in others:
            leader[led_by(other)] = led_by(first)
    return max(Counter(map(led_by, range(system.size))).values())


def _meetings(communication: Communication, place: Placement, system: System) -> Iterator[tuple[int, ...]]:
    """The chips that wait for each other in a communication: groups, or the two ends of its transfers."""
    ends = communication.source, communication.target
    if not communication.axes:
        yield ends
        return
    for group in system.groups(communication.axes):
        members = tuple(group[end] for end in ends if end < len(group)) if communication.pair else group
        if not place.members.isdisjoint(members):
            yield members


def shares_cores(sorts: Sequence[Sort], traffic: Mapping[int, Traffic]) -> bool:
    """Whether on some chip kernels of several queues hold cores: those whose times were measured do, and collectives that
    a library carries out on cores; `traffic`: of sorts, by number."""
    of_queue: dict[str, dict[int, Placement]] = {}
    for number, sort in enumerate(sorts):
        holds = any(each.by != FROM_DATA_SHEET for each in sort.variants)
        if sort.kernel.communication is not None:
            asked = traffic.get(number)
            holds = asked is not None and not asked.steps and any(each.transfer.cores for each in asked.groups)
        if holds:
            of_queue.setdefault(queue_name(sort.kernel), {})[id(sort.place)] = sort.place
    pairs = combinations([list(places.values()) for places in of_queue.values()], 2)
    return any(not one.members.isdisjoint(other.members) for ours, theirs in pairs for one in ours for other in theirs)
