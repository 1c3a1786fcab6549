"""Groups of ranks, as collectives name them, as axes of a mesh or as named groups, and a system on which they lie.

Model: a set of groups side by side is regular if each has the same size and stride, as groups along axes of a mesh have.
Strides and spans of all regular sets together cut the ranks into axes, the first rank of an axis next to the second of it;
what fits no such cut becomes named groups, of which there are as many as there are capitals.
Assumes: ranks are chips in the order of the wiring, eight to a node where a chip has a link between nodes; how chips are
really wired no such file says, so the system is a first guess that a user may change.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_uppercase
from typing import Any

from hw import Chip, Mark, Problem, SpecError, chip_names, load_chip
from hw.input import unknown

Groups = tuple[tuple[int, ...], ...]
"""Groups side by side, each in the order of its ranks."""

_NODE = 8
_WIRED_IN_AXES = ("ici",)
"""Links of chips that are wired as a torus."""


@dataclass(frozen=True)
class Layout:
    """`system`: the words of a scenario's system; `over`: what a collective over some groups goes over."""

    system: Mapping[str, Any]
    over: Mapping[Groups, str]


def known_chip(name: str, option: str = "--chip") -> Chip:
    """A chip of the catalogue, which an option has named. Raises SpecError."""
    if name not in chip_names():
        raise SpecError([Problem(Mark(option), unknown("chip", name, chip_names()))])
    return load_chip(name)


def layout_of(found: Iterable[Groups], world: int, chip_name: str, alike: bool = True) -> Layout:
    """A system of `world` chips with an axis or named groups for all that collectives go over. Where ranks are not `alike`,
    a group that is not everyone has a name: others along its axis do something else. Raises SpecError where there are more
    irregular groups than letters."""
    chip = known_chip(chip_name)
    if world <= 1 or not chip.links:
        return Layout({"chip": chip_name}, {})
    several = list(dict.fromkeys(found))
    cuts, regular = _cuts([_stride(groups, world, alike) for groups in several], world)
    sizes = [outer // inner for inner, outer in itertools.pairwise(cuts)]
    wiring, order = _wiring(chip, sizes)
    letters = dict(zip(order, "XYZWVUTSRQPON", strict=False))
    over: dict[Groups, str] = {}
    named: dict[tuple[int, ...], str] = {}
    free = (each for each in ascii_uppercase if each not in letters.values())
    for groups, place in zip(several, regular, strict=True):
        if place is not None:
            first, last = (cuts.index(each) for each in place)
            over[groups] = "".join(sorted((letters[at] for at in range(first, last)), key="XYZWVUTSRQPON".index))
            continue
        for group in groups:
            if group not in named:
                named[group] = _next(free)
        over[groups] = f"[{', '.join(named[group] for group in groups)}]" if len(groups) > 1 else named[groups[0]]
    system: dict[str, Any] = {"chip": chip_name, "topology": wiring}
    if letters:
        system["mesh"] = {letters[at]: sizes[at] for at in order}
    if named:
        system["groups"] = {letter: list(group) for group, letter in named.items()}
    return Layout(system, over)


def _next(free: Iterable[str]) -> str:
    for letter in free:
        return letter
    raise SpecError([Problem(Mark("import"), "there are more irregular groups of ranks than a mesh has letters for")])


def _stride(groups: Groups, world: int, alike: bool) -> tuple[int, int] | None:
    """The stride and the span (stride x size) of groups that lie along one axis; None of others."""
    size = len(groups[0])
    if size < 2 or not (alike or sum(map(len, groups)) == world):
        return None
    stride = groups[0][1] - groups[0][0]
    if stride < 1 or world % (stride * size):
        return None
    for group in groups:
        regular = tuple(range(group[0], group[0] + stride * size, stride))
        if group != regular or (group[0] // stride) % size:
            return None
    return stride, stride * size


def _cuts(asked: list[tuple[int, int] | None], world: int) -> tuple[list[int], list[tuple[int, int] | None]]:
    """Where ranks are cut into axes, from 1 to their number, each a multiple of the one before; and which of the groups lie
    between two cuts. What does not divide is left out, the last first."""
    cuts = {1, world}
    kept: list[tuple[int, int] | None] = []
    for place in asked:
        more = sorted(cuts | set(place or ()))
        fits = place is not None and all(not b % a for a, b in itertools.pairwise(more))
        if fits:
            cuts = set(more)
        kept.append(place if fits else None)
    return sorted(cuts), kept


def _wiring(chip: Chip, sizes: list[int]) -> tuple[Any, list[int]]:
    """A topology, and the axes in the order in which a mesh names them: level by level, the slowest first."""
    links = list(chip.links)
    link, world = links[0], math.prod(sizes)
    backwards = list(range(len(sizes)))[::-1]
    if link in _WIRED_IN_AXES:
        text = f"torus({','.join(str(sizes[at]) for at in backwards)})" if len(sizes) > 1 else f"ring({world})"
        return f"{text} over {link}", backwards
    inside = next((at for at in range(len(sizes) + 1) if math.prod(sizes[:at]) == _NODE), None)
    if "infiniband" not in links or world <= _NODE or inside is None:
        return f"switch({world}) over {link}", backwards
    levels = [f"switch({_NODE}) over {link}", f"switch({world // _NODE}) over infiniband"]
    return levels, [*range(inside)][::-1] + [*range(inside, len(sizes))][::-1]
