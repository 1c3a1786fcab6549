"""Folding: chips that cannot be told apart are simulated once.

Model: chips, wires and the groups of communications are coloured, first by what they are (hardware; which ops run there;
rate and latency), then again and again by what they meet: a group by the colours of its chips in their roles and of its
wires with their bytes, a chip by the colours of the groups it is in, a wire by those of the groups that use it, until no
colour splits any more. That is the coarsest equitable partition of their incidence. Max-min rates are unique and see only
counts, program order is the same on chips of one colour, and so the members of a class do the same at the same times:
one of each is simulated, with what all members of a class of groups ask of one wire added up. Exact for any partition
that is equitable, so giving up (every chip its own class) is always right too.
Source: colour refinement, e.g. Berkholz, Bonsma, Grohe 2017; the incidence of groups and wires follows DESIGN section 3.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from simulator.lowering.network import Traffic

MAX_ROUNDS = 200
"""Refinements before folding is given up: long chains of unlike chips have hardly two alike."""

Colours = list[int]


@dataclass(frozen=True)
class Folding:
    """For every chip and wire, and every group of each traffic, the one that stands for its class: the first of it."""

    chip: Sequence[int]
    wire: Sequence[int]
    groups: Sequence[Sequence[int]]

    @cached_property
    def chips(self) -> list[int]:
        """The chips that are simulated."""
        return sorted(set(self.chip))

    @cached_property
    def members(self) -> Mapping[int, list[int]]:
        """The chips that each simulated chip stands for."""
        found: dict[int, list[int]] = {}
        for chip, first in enumerate(self.chip):
            found.setdefault(first, []).append(chip)
        return found


def unfolded(chips: int, wires: int, traffics: Sequence[Traffic]) -> Folding:
    """Everything stands for itself."""
    return Folding(range(chips), range(wires), [range(len(traffic.groups)) for traffic in traffics])


def fold(chips: Sequence[Hashable], wires: Sequence[Hashable], traffics: Sequence[Traffic]) -> Folding:
    """The classes of chips, wires and groups, given what chips and wires are on their own."""
    colouring = _Colouring(chips, wires, traffics)
    for _ in range(MAX_ROUNDS):
        before = colouring.count
        colouring.refine()
        if colouring.count == before:
            return Folding(
                _firsts(colouring.chips), _firsts(colouring.wires), [_firsts(each) for each in colouring.groups]
            )
        if len(set(colouring.chips)) == len(chips):
            break  # all different: nothing to fold
    return unfolded(len(chips), len(wires), traffics)


class _Colouring:
    """Colours as small numbers; `count` is how many there are in all."""

    def __init__(self, chips: Sequence[Hashable], wires: Sequence[Hashable], traffics: Sequence[Traffic]) -> None:
        self.traffics = traffics
        self.chips, self.wires = _numbered(chips), _numbered(wires)
        self.groups: list[Colours] = [[0] * len(traffic.groups) for traffic in traffics]
        self.loads = [[group.transfer.wires for group in traffic.groups] for traffic in traffics]
        self.count = self._count()

    def _count(self) -> int:
        return len(set(self.chips)) + len(set(self.wires)) + sum(len(set(each)) for each in self.groups)

    def refine(self) -> None:
        """One round: groups by what they join, then chips and wires by the groups they are in."""
        self.groups = [
            _numbered([self._met(traffic, at, number) for number in range(len(traffic.groups))])
            for at, traffic in enumerate(self.traffics)
        ]
        in_groups: list[list[tuple[int, int, int]]] = [[] for _ in self.chips]
        on_wire: list[list[tuple[int, int, float]]] = [[] for _ in self.wires]
        for at, traffic in enumerate(self.traffics):
            for number, (group, loads) in enumerate(zip(traffic.groups, self.loads[at], strict=True)):
                colour = self.groups[at][number]
                for place, chip in enumerate(group.members):
                    in_groups[chip].append((at, colour, min(place, 1) if traffic.pair else 0))
                for wire, nbytes in loads.items():
                    on_wire[wire].append((at, colour, nbytes))
        self.chips = _numbered(
            [(colour, tuple(sorted(met))) for colour, met in zip(self.chips, in_groups, strict=True)]
        )
        self.wires = _numbered([(colour, tuple(sorted(met))) for colour, met in zip(self.wires, on_wire, strict=True)])
        self.count = self._count()

    def _met(self, traffic: Traffic, at: int, number: int) -> Hashable:
        group = traffic.groups[number]
        # of a transfer the first sends, all others get
        places = ((min(at, 1) if traffic.pair else 0, chip) for at, chip in enumerate(group.members))
        return (
            self.groups[at][number],
            group.transfer.latency_s,
            _counted((place, self.chips[chip]) for place, chip in places),
            _counted((nbytes, self.wires[wire]) for wire, nbytes in self.loads[at][number].items()),
        )


def _counted(items: Iterable[tuple[float, int]]) -> frozenset[tuple[tuple[float, int], int]]:
    return frozenset(Counter(items).items())


def _numbered(keys: Sequence[Hashable]) -> Colours:
    """Equal keys get equal numbers, in the order in which they first come."""
    numbers: dict[Hashable, int] = {}
    return [numbers.setdefault(key, len(numbers)) for key in keys]


def _firsts(colours: Colours) -> list[int]:
    """For each place the first one of the same colour."""
    first: dict[int, int] = {}
    return [first.setdefault(colour, at) for at, colour in enumerate(colours)]
