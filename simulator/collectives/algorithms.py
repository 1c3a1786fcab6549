"""Other ways to carry out a collective than the textbook's, by name; which is taken is in `simulator.collectives.choice`.

With n chips, V the bytes, alpha a hop, W a chip's egress:
- ring: whole shards both ways round the group, over routes where it is no ring: floor(n/2) hops a phase;
- ring_one_way: n-1 hops a phase, 2(n-1)(alpha + V/(n W)) for an all-reduce;
- direct: every chip sends to every other at once: one hop a phase;
- halving_doubling: log2 n rounds a phase with partners 1, 2, 4, ... places away (n a power of two);
- tree: double binary tree, pipelined: 2 (ceil(log2(n+1)) - 1) hops, half of V up and down each of two trees;
- per_axis: axis after axis, not pipelined;
- in_switch: the switch adds up and returns the sum (NVLS, SHARP): V up and V down, all-reduce only, and only where the
  link or the wiring says that its switches can (`in_switch_reduction`). A simplification: the switch reduces at line rate
  and holds any number of groups.
Source: Thakur, Rabenseifner, Gropp 2005 (halving-doubling); NCCL 2.4 (double binary trees); NVIDIA on NVLink SHARP.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from hw import Axis
from simulator.collectives.canonical import Ask
from simulator.collectives.fabric_lines import fabric_latency
from simulator.collectives.flight import at_once, by_routes, passed_round
from simulator.collectives.lattice_ring import ring_order
from simulator.collectives.one_axis import ROUTED, forms, to_next
from simulator.collectives.several_axes import along, one_by_one
from simulator.collectives.streams import Stage, backwards, double_tree, streamed
from simulator.collectives.transfer import Group, Line, Message, Transfer, Way

GATHERS = ("all_gather", "reduce_scatter", "all_reduce")
_FABRICS = ("switch", "fat_tree")

Carry = Callable[[Group, Ask], Transfer]
Stages = Callable[[Group, Ask], Sequence[Sequence[Message]]]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A way to carry out some kinds of collectives; `fits` says for which groups, `routes` how many routes it looks up,
    `wants` what a group must have, in words; `stages` the messages that carry it out, each stage when the one before is
    over."""

    name: str
    kinds: tuple[str, ...]
    fits: Callable[[Group], bool]
    transfer: Carry
    routes: Callable[[Group], float]
    wants: str = ""
    stages: Stages | None = None


ALGORITHMS: dict[str, Algorithm] = {}
"""All of them by name, `canonical` apart."""


def _always(_group: Group) -> bool:
    return True


def _few(_group: Group) -> float:
    return 0.0


def algorithm(
    name: str,
    kinds: tuple[str, ...],
    fits: Callable[[Group], bool] = _always,
    routes: Callable[[Group], float] = _few,
    wants: str = "",
    stages: Stages | None = None,
) -> Callable[[Carry], Carry]:
    """Register a way to carry out collectives of `kinds`; a second one of that name is refused."""

    def register(transfer: Carry) -> Carry:
        if name in ALGORITHMS:
            raise ValueError(f"algorithm '{name}' is already registered; known: {', '.join(sorted(ALGORITHMS))}")
        ALGORITHMS[name] = Algorithm(name, kinds, fits, transfer, routes, wants, stages)
        return transfer

    return register


Gather = Callable[[bool], Transfer]
"""A gather, or a scatter where it is asked to go backwards."""


def _phases(kind: str, once: Gather) -> Transfer:
    """An all-gather, a reduce-scatter, or the two in sequence."""
    if kind == "all_reduce":
        return once(True).then(once(False))
    return once(kind == "reduce_scatter")


def _goes_round(group: Group) -> bool:
    return not _one_lattice(group) or _around(group) is not None


@algorithm("ring", GATHERS, _goes_round)
def ring(group: Group, ask: Ask) -> Transfer:
    """Whole shards both ways round."""
    line = ring_line(group)
    own = forms(line) if line.axis.kind in ("ring", "line", "one_way_ring") else ROUTED
    return _phases(ask.kind, lambda scatter: own.gather(line, ask.nbytes, scatter))


def ring_line(group: Group) -> Line:
    """All chips as one line: along their own axis, around a lattice over links between neighbours, or in their order."""
    order = _around(group) if _one_lattice(group) else None
    if order is None:
        return group.line
    strides = [piece.stride for piece in group.pieces]
    places = [sum(at * stride for at, stride in zip(place, strides, strict=True)) for place in order]
    return Line(group, [group.chips[place] for place in places], Axis("graph", group.size, 1, 0))


def _one_lattice(group: Group) -> bool:
    """Whether a group lies along several axes of one torus or grid."""
    lattice = all(piece.kind in ("ring", "line") for piece in group.pieces)
    return lattice and len(group.pieces) > 1 and len({piece.level for piece in group.pieces}) == 1


def _around(group: Group) -> list[tuple[int, ...]] | None:
    return ring_order([piece.size for piece in group.pieces], [piece.kind == "ring" for piece in group.pieces])


@algorithm("ring_one_way", GATHERS, _goes_round)
def ring_one_way(group: Group, ask: Ask) -> Transfer:
    """Whole shards one way round, n-1 hops."""
    size = group.size
    once = passed_round(group, (one_sided_round(group, ask.nbytes / size),), size - 1)
    once = replace(once, sent_bytes=ask.nbytes * (size - 1) / size)
    return _phases(ask.kind, lambda _scatter: once)


def one_sided_round(group: Group, nbytes: float) -> list[Message]:
    """One round of a ring one way, over one way each even where two lead there: on a ring of two, over the first link."""
    return group.unsplit(to_next(ring_line(group), nbytes))


def one_fabric(group: Group) -> bool:
    """Whether a group lies along one axis of which everyone reaches everyone in one hop."""
    return len(group.pieces) == 1 and group.pieces[0].kind in (*_FABRICS, "full")


@algorithm("direct", GATHERS, lambda group: group.size <= 1024, lambda group: 0 if one_fabric(group) else group.size**2)
def direct(group: Group, ask: Ask) -> Transfer:
    """Every chip sends its shard to every other at once."""
    if one_fabric(group):
        return _phases(ask.kind, lambda scatter: forms(group.line).gather(group.line, ask.nbytes, scatter))
    once = by_routes(group, everyone(group, ask.nbytes / group.size))
    return _phases(ask.kind, lambda _scatter: once)


def everyone(group: Group, nbytes: float) -> list[Message]:
    """A message from every chip to every other."""
    return [Message(here, there, nbytes) for here in group.chips for there in group.chips if here != there]


def _power_of_two(group: Group) -> bool:
    return group.size & (group.size - 1) == 0


@algorithm("halving_doubling", GATHERS, _power_of_two, lambda group: group.size * math.log2(group.size))
def halving_doubling(group: Group, ask: Ask) -> Transfer:
    """Gather: partners 1, 2, 4, ... places away exchange all they have so far. Reduce-scatter: backwards."""
    phases, latency = [], 0.0
    for messages in doublings(group, ask.nbytes):
        loads, hop = at_once(group, messages)
        phases.append(loads)
        latency += hop
    sent = ask.nbytes * (group.size - 1) / group.size
    once = Transfer(tuple(phases), latency, sent)
    if ask.kind != "all_reduce":
        return once
    return Transfer((*phases[::-1], *phases), 2 * latency, 2 * sent)


def doublings(group: Group, nbytes: float) -> Iterator[list[Message]]:
    """The rounds of a recursive doubling: everyone's message to its partner."""
    for power in range(group.size.bit_length() - 1):
        held = nbytes / group.size * 2**power
        yield [Message(chip, group.chips[at ^ (1 << power)], held) for at, chip in enumerate(group.chips)]


def _at_most_one_lattice_axis(group: Group) -> bool:
    """Trees between far chips of a lattice crowd its links in ways that no closed form tells."""
    return sum(piece.kind in ("ring", "line") for piece in group.pieces) <= 1


@algorithm("tree", ("all_reduce",), _at_most_one_lattice_axis, lambda group: 4 * group.size)
def tree(group: Group, ask: Ask) -> Transfer:
    """Sums go up two binary trees, half of V each, and come down again, streaming."""
    return streamed(group, up_and_down(group), ask.nbytes)


def up_and_down(group: Group) -> list[Stage]:
    """The two trees upwards, then downwards."""
    down = double_tree(group)
    return [backwards(group, down), down]


@algorithm("per_axis", GATHERS, lambda group: len(group.pieces) > 1)
def per_axis(group: Group, ask: Ask) -> Transfer:
    """One axis after the other, outside in; a reduce-scatter goes back the same way."""
    stages = one_by_one(group, ask.nbytes)

    def once(scatter: bool) -> Transfer:
        whole = Transfer()
        for stage in reversed(stages) if scatter else stages:
            for branch in stage.branches:
                for leg in branch:
                    whole = whole.then(along(group, leg, scatter))
        return whole

    return _phases(ask.kind, once)


def _switches_add(group: Group) -> bool:
    levels = group.topology.levels
    return all(piece.kind in _FABRICS and levels[piece.level].in_switch_reduction for piece in group.pieces)


@algorithm("in_switch", ("all_reduce",), _switches_add, wants="switches that are said to add up, in_switch_reduction")
def in_switch(group: Group, ask: Ask) -> Transfer:
    """V up and V down; at an outer level, what one chip of a node stands for."""
    stages = switch_stages(group, ask.nbytes)
    whole = Transfer()
    for messages in stages:
        loads, _ = at_once(group, messages)
        whole = whole.beside(Transfer((loads,), max(each.way.latency_s for each in messages if each.way is not None)))
    sent = sum(messages[0].nbytes for messages in stages[: len(group.pieces)])
    return Transfer(whole.phases, whole.latency_s, sent)


def switch_stages(group: Group, nbytes: float) -> list[list[Message]]:
    """The way up through the switches of every level, then the way down: what a chip sends up is for all of its line. The
    passage through a switch is one hop, paid on the way down."""
    up: list[list[Message]] = []
    down: list[list[Message]] = []
    for piece in group.pieces:
        rising: list[Message] = []
        falling: list[Message] = []
        for line in group.along(piece):
            level, reached = piece.level, tuple(line.chips)
            here = set(reached)
            trunks = [trunk for trunk in line.topology.trunks(level) if 0 < len(here & set(trunk.chips)) < line.size]
            hop = fabric_latency(line)
            for chip in reached:
                rising.append(Message(chip, chip, nbytes, Way((line.topology.port_out(chip, level),), 0.0, reached)))
                falling.append(Message(chip, chip, nbytes, Way((line.topology.port_in(chip, level),), hop, ())))
            # a trunk carries one sum for all chips behind it
            for trunk in trunks:
                chip = min(here & set(trunk.chips))
                for way, wires in ((rising, trunk.up), (falling, trunk.down)):
                    part = nbytes / len(wires)
                    way += [Message(chip, chip, part, Way((wire,), 0.0, reached)) for wire in wires]
        up.append(rising)
        down.append(falling)
        nbytes /= piece.size
    return [*up, *reversed(down)]
