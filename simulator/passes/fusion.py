"""Fusion: kernels joined so that what passes between them stays on chip.

Rules.
- `elementwise` joins, greedily in program order, an element-wise op to the kernel that feeds it, as long as that kernel
  is itself element-wise; a reduction (softmax, norm, sum) may close a group, and nothing joins after it: it needs all
  of its input before any of its output.
- Explicit groups `[[a, b, c]]` may also hold matmuls, convolutions and attention; a reduction splits the group there,
  and so does what is written in place, whose readers read the whole of it from memory.
- An op whose reduction comes before its own element-wise rest (batch norm in training: statistics, then normalising) is
  two kernels wherever one of them joins another: what comes before it ends with the one, what follows begins with the
  other. Each goes over the tensor once; nothing is made anew.
- A group may not be fused around a stranger: an op that needs one member and feeds a later one. In a group, an op that
  the planner gave collectives stands for its own kernel (`simulator.passes.planner`): those at an end of the group stay
  outside, one in between is such a stranger.
What one kernel of a group asks for, and what it spills, is worked out in `simulator.passes.fusing`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hw import System
from hw.input import unknown
from simulator.graph.copied import CopiedGroups
from simulator.graph.flat_ops import beginnings, suffix
from simulator.graph.op_graph import FuseRule
from simulator.ops.kernel import Kernel
from simulator.passes.fusing.copied import groups_in_copies
from simulator.passes.fusing.join import Room, join
from simulator.passes.fusing.joined import joined
from simulator.passes.kernels import Kernels, listed
from simulator.passes.placement import placed


class FusionError(ValueError):
    """A group that cannot be fused: which group (its position), and why."""

    def __init__(self, group: int, message: str) -> None:
        super().__init__(message)
        self.group = group


def fuse(wholes: Sequence[Kernel], rule: FuseRule, system: System, level: str = "on_chip") -> list[Kernel]:
    """The kernels `wholes` (program order) with groups joined by `rule`; what passes within one must fit the memory
    `level`. Raises FusionError for an impossible group."""
    if rule == "none":
        return list(wholes)
    kernels = [part for kernel in wholes for part in _parts(kernel)]
    group_of = {at: group for group in _groups(listed(kernels), rule, system) for at in group}
    readers = _readers(kernels)
    result: list[Kernel] = []
    rooms = _rooms(system, level)
    at = 0
    for whole in wholes:
        here = range(at, at + len(_parts(whole)))
        at = here.stop
        if group_of.keys().isdisjoint(here):
            result.append(whole)
            continue
        for place in here:
            group = group_of.get(place, (place,))
            if len(group) == 1:
                result.append(kernels[place])
            elif place == group[-1]:
                result.append(join([kernels[member] for member in group], group, readers, rooms))
    return result


def fused(kernels: Kernels, rule: FuseRule, system: System, level: str = "on_chip") -> Kernels:
    """The same of kernels as columns: of groups that differ in names only, one is joined, and the others are stamped out.
    Tensors and ops have the same values as before."""
    if rule == "none":
        return kernels
    if any(len(_parts(template)) > 1 for template in kernels.templates):
        return listed(fuse(list(kernels), rule, system, level), kernels)  # parts have no columns of their own
    return joined(kernels, _groups(kernels, rule, system), _rooms(system, level))


def _groups(kernels: Kernels, rule: FuseRule, system: System) -> list[tuple[int, ...]]:
    """The kernels that are one, by their places in the program. Raises FusionError for an impossible group."""
    if isinstance(rule, str) and rule != "elementwise":
        raise FusionError(0, "fuse: " + unknown("rule", rule, ("none", "elementwise")) + ", or groups of op names")
    place = placed(kernels, system).of
    return _greedy(kernels, place.tolist()) if isinstance(rule, str) else _explicit(kernels, place, rule)


def _rooms(system: System, level: str) -> tuple[Room, ...]:
    """The room on chips of each kind: they all run one kernel, whichever kind comes first."""
    levels = [(chip.matrix_unit.tile, chip.memories.get(level)) for chip in system.kinds]
    return tuple(Room(tile, memory.capacity_bytes if memory else math.inf) for tile, memory in levels)


def _parts(kernel: Kernel) -> tuple[Kernel, ...]:
    """What may be fused by itself; a kernel in chunks stays whole, since its second part needs all of the first."""
    return kernel.parts if kernel.parts and kernel.schedule.chunks == 1 else (kernel,)


def _readers(kernels: Sequence[Kernel]) -> Mapping[str, set[int]]:
    """Which kernels read each tensor."""
    readers: dict[str, set[int]] = {}
    for at, kernel in enumerate(kernels):
        for access in kernel.reads:
            readers.setdefault(access.tensor, set()).add(at)
    return readers


@dataclass(slots=True)
class _Growing:
    """A group that grows: its kernels in program order, and all that they make."""

    kernels: list[int]
    made: set[int]

    def add(self, kernels: Kernels, at: int) -> None:
        self.kernels.append(at)
        self.made.update(kernels.made_by(at))


def _greedy(kernels: Kernels, place: Sequence[int]) -> list[tuple[int, ...]]:
    maker = {value: at for at in range(len(kernels)) for value in kernels.written_by(at)}
    groups: list[_Growing] = []
    group_of: dict[int, _Growing] = {}
    for at in range(len(kernels)):
        kernel = kernels.like(at)
        if not _joinable(kernel):
            continue
        feeders = sorted({maker[value] for value in kernels.read_by(at) if value in maker}, reverse=True)
        for feeder in feeders:
            group = group_of.get(feeder)
            if group is not None and place[feeder] == place[at] and _may_follow(kernels, group, at):
                group.add(kernels, at)
                group_of[at] = group
                break
        else:
            if kernel.fusable:
                group_of[at] = _Growing([], set())
                group_of[at].add(kernels, at)
                groups.append(group_of[at])
    return [tuple(group.kernels) for group in groups if len(group.kernels) > 1]


def _joinable(kernel: Kernel) -> bool:
    return kernel.communication is None and (kernel.fusable or (kernel.reduces and not kernel.matrix_flops))


def _may_follow(kernels: Kernels, group: _Growing, at: int) -> bool:
    """Whether kernel `at` may close up to `group`: same schedule, no reduction before it, no stranger between."""
    first, last = group.kernels[0], group.kernels[-1]
    if kernels.like(last).reduces:  # nothing has followed one
        return False
    if (kernels.like(first).schedule, kernels.awaited_by(first)) != (kernels.like(at).schedule, kernels.awaited_by(at)):
        return False
    # what stood before the last member has been looked at: it can need nothing that was made later
    between = range(last + 1, at)
    return all(
        group.made.isdisjoint(kernels.read_by(other)) and group.made.isdisjoint(kernels.awaited_by(other))
        for other in between
    )


def _stranger(kernels: Kernels, group: Sequence[int], last: int) -> int | None:
    """The first kernel before `last`, outside the group, that needs the group: it could not run before the whole."""
    inside = set(group)
    between = [at for at in range(group[0] + 1, last) if at not in inside]
    tainted = {value for member in group for value in kernels.made_by(member)} if between else set()
    for at in between:
        if not tainted.isdisjoint(kernels.read_by(at)) or not tainted.isdisjoint(kernels.awaited_by(at)):
            return at
    return None


def _known_as(op: tuple[str, str, tuple[int, ...]]) -> Sequence[tuple[str, tuple[int, ...]]]:
    """The names by which a group may know the op of a kernel, with the round that each leaves open: its own, which names a
    round outright ([a.1, b.1]), that without the numbers of its rounds, and that with which it is written."""
    own, base, turn = op
    if not turn:
        return (own, ()), (base, turn)
    return (own, ()), (own.removesuffix(suffix(turn)), turn), (base, turn)


class _Index:
    """Kernels by the names that groups know them by."""

    def __init__(self, kernels: Kernels, wanted: Collection[str]) -> None:
        self.places: dict[str, dict[int, tuple[int, ...]]] = {}
        # most kernels are in no group: of those whose op no group can mean the name is not made up
        begins = {start for name in wanted for start in beginnings(name)}
        for at in kernels.names.may_be(begins, wanted):
            for name, turn in _known_as(kernels.names.op(at)):
                if name in wanted:
                    self.places.setdefault(name, {}).setdefault(at, turn)

    def rounds(self, names: Sequence[str]) -> dict[tuple[int, ...], dict[int, str]]:
        """The kernels that carry out the named ops, with the name of each, by the round of the block they stand in."""
        named: dict[int, tuple[tuple[int, ...], str]] = {}
        for name in names:
            for at, turn in self.places.get(name, {}).items():
                # an op that is named outright is not named by its block's name, too
                if at not in named or not turn:
                    named[at] = turn, name
        found: dict[tuple[int, ...], dict[int, str]] = {}
        for at in sorted(named):
            turn, name = named[at]
            found.setdefault(turn, {})[at] = name
        return found


def _explicit(kernels: Kernels, place: Any, rule: Sequence[Sequence[str]]) -> list[tuple[int, ...]]:
    if isinstance(rule, CopiedGroups):
        known = _in_copies(kernels, place, rule)
        if known is not None:
            return known
    groups: list[tuple[int, ...]] = []
    taken: set[int] = set()
    index = _Index(kernels, {name for names in rule for name in names})
    for number, names in enumerate(rule):
        rounds = index.rounds(names)
        missing = [name for name in names if name not in index.places]
        if missing:
            raise FusionError(number, f"fuse: there is no op '{missing[0]}' that makes a kernel")
        for named in rounds.values():
            group = list(named)
            if taken.intersection(group):
                raise FusionError(number, "fuse: an op stands in two groups")
            taken.update(group)
            if set(named.values()) != set(names):
                raise FusionError(number, f"fuse: {', '.join(names)} do not stand in one block")
            if len(set(place[group].tolist())) > 1:
                raise FusionError(number, f"fuse: {', '.join(names)} do not all run on the same chips")
            groups += _split(kernels, group, number)
    return groups


def _in_copies(kernels: Kernels, place: Any, rule: CopiedGroups) -> list[tuple[int, ...]] | None:
    """The groups of a rule that holds in many copies; None where something is wrong, or is told by names alone."""
    try:
        return groups_in_copies(kernels, place, rule, lambda group: _cut(kernels, group, 0))
    except FusionError:  # which is told of the group that it is
        return None


def _split(kernels: Kernels, group: list[int], number: int) -> list[tuple[int, ...]]:
    """The group cut after each reduction, checked for what cannot be fused."""
    parts = _cut(kernels, group, number)
    for part in parts:
        stranger = _stranger(kernels, part, part[-1]) if part else None
        if stranger is not None:
            names = ", ".join(kernels[at].name for at in part)
            raise FusionError(
                number, f"fuse: {names} cannot be one kernel, {_described(kernels[stranger])} stands between them"
            )
    return [tuple(part) for part in parts if len(part) > 1]


def _cut(kernels: Kernels, group: list[int], number: int) -> list[list[int]]:
    """The group cut after each reduction; some parts may have no kernel. Raises FusionError for kernels that cannot be in a
    group."""
    parts: list[list[int]] = [[]]
    for at in group:
        kernel = kernels.like(at)
        if kernel.communication is not None:
            raise FusionError(number, f"fuse: {kernels[at].name} is a {kernel.kind}, which is no kernel to fuse")
        if kernel.schedule != kernels.like(group[0]).schedule:
            raise FusionError(
                number, "fuse: all ops of a group need the same chunks=, tiles=, queue=, priority= and on="
            )
        parts[-1].append(at)
        if kernel.reduces or kernel.grown:
            parts.append([])
    return parts


def _described(kernel: Kernel) -> str:
    """Its name; of a collective also what it does, for whoever has not written it."""
    sent = kernel.communication
    if sent is None or not sent.axes:
        return kernel.name
    return f"{kernel.name} ({sent.kind} over {sent.axes}, as written or inserted by the planner)"
