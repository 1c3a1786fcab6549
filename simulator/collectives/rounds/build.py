"""Collectives message by message: how each algorithm is carried out, round by round.

Model: a message waits for what its sender passes on, for its latency, and for its lane, one message at a time; different
lanes do not wait for each other. Stages that stream are cut into slices that follow each other through them. An all-reduce
is a reduce-scatter, then an all-gather, which begins when the former is over everywhere.
Law: the messages of an algorithm put on every wire what its closed form (`simulator.collectives.canonical`,
`simulator.collectives.algorithms`) charges, and take its time but for the time of a slice per stage.
Source: the same as there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from simulator.collectives.algorithms import (
    ALGORITHMS,
    GATHERS,
    doublings,
    everyone,
    one_fabric,
    one_sided_round,
    ring_line,
    switch_stages,
    up_and_down,
)
from simulator.collectives.canonical import Ask, dealt, exchanged, fetched, shifted
from simulator.collectives.leaves import leaves_of
from simulator.collectives.rounds.joined import append, ends, merged
from simulator.collectives.rounds.one_axis import BY_KIND, Round, Rounds, chain, over_routes, rounds_along
from simulator.collectives.several_axes import Leg, Stage, gather_stages, gathered, one_by_one
from simulator.collectives.streams import Stage as Streams
from simulator.collectives.streams import cast_stages, reduce_stages
from simulator.collectives.transfer import Group, Message
from simulator.collectives.uneven import one_way_round, to_every, to_neighbours

SLICES = 32
"""Pieces, at least, into which what streams is cut."""

MOST_SLICES = 256
PIPELINED = 80_000
"""Messages up to which more pieces are cut, so that filling the pipeline costs little."""

Build = Callable[[Group, Ask], Rounds]


def _slices(messages: int) -> int:
    """Into how many pieces stages of so many messages are cut."""
    return min(MOST_SLICES, max(SLICES, PIPELINED // max(1, messages)))


# Gathers


def _gathers(half: Callable[[Group, float, bool], Rounds]) -> Build:
    """All-gather, reduce-scatter, and all-reduce as the one after the other, in lanes of their own."""

    def build(group: Group, ask: Ask) -> Rounds:
        if ask.kind != "all_reduce":
            return half(group, ask.nbytes, ask.kind == "reduce_scatter")
        rounds = half(group, ask.nbytes, True)
        lane = 1 + max(each.lane for each in rounds)
        append(rounds, half(group, ask.nbytes, False), ends(rounds), lane, gate=True)
        return rounds

    return build


def _pipeline(group: Group, stages: Sequence[Stage], scatter: bool) -> Rounds:
    """Slices through stages; the branches of a stage side by side, each leg after leg. A scatter goes backwards."""
    order = [stage.backwards() for stage in stages[::-1]] if scatter else stages
    legs = [leg for stage in order for branch in stage.branches for leg in branch]
    slices = 1
    if len(legs) > 1 or _streams(group, legs[0]):
        slices = _slices(sum(len(each.messages) for leg in legs for each in _leg(group, leg, scatter, 1)))
    # slices have the same messages, so that what is alike is found once
    found = {id(leg): _leg(group, leg, scatter, slices) for leg in legs}
    ahead = _ahead(group, stages, scatter, slices)
    rounds: Rounds = []
    ended: list[tuple[int, ...]] = []
    for at in range(slices):
        after = ended[at - ahead] if at >= ahead else ()
        lane = 0
        for stage in order:
            brought: tuple[int, ...] = ()
            for branch in stage.branches:
                before = after
                for leg in branch:
                    before = append(rounds, found[id(leg)], before, lane)
                    lane += 2
                brought += before
            after = brought
        ended.append(after)
    return rounds


def _ahead(group: Group, stages: Sequence[Stage], scatter: bool, slices: int) -> int:
    """How many slices may be on their way at once: as many as keep the wires busy, so that no branch runs ahead and takes
    from wires what the others need for the whole to end together."""
    if all(len(stage.branches) == 1 for stage in stages):
        return slices
    whole = gathered(group, stages, scatter)
    slice_s = max(moved / group.bytes_per_s(wire) for wire, moved in whole.phases[0].items()) / slices
    deep = sum(max(len(branch) for branch in stage.branches) for stage in stages)
    return 2 * deep + math.ceil(whole.latency_s / slice_s)


def _one_by_one(group: Group, nbytes: float, scatter: bool) -> Rounds:
    """Axis after axis, each when the one before is over everywhere."""
    stages = one_by_one(group, nbytes)
    rounds: Rounds = []
    after: tuple[int, ...] = ()
    lane = 0
    for stage in stages[::-1] if scatter else stages:
        leg = _pipeline(group, [stage], scatter)
        append(rounds, leg, after, lane, gate=True)
        after, lane = ends(rounds), 1 + max(each.lane for each in rounds)
    return rounds


def _leg(group: Group, leg: Leg, scatter: bool, slices: int) -> Rounds:
    lines = group.along(leg.piece)
    return merged([rounds_along(line, leg.nbytes / slices, scatter, leg.balanced) for line in lines])


def _streams(group: Group, leg: Leg) -> bool:
    """Whether a leg has two stages: across the leaves of a tree and inside them."""
    return leg.piece.kind == "fat_tree" and any(leaves_of(line) for line in group.along(leg.piece))


def _ring(group: Group, nbytes: float, scatter: bool) -> Rounds:
    line = ring_line(group)
    build = BY_KIND[line.axis.kind] if line.axis.kind in ("ring", "line", "one_way_ring") else over_routes
    return build(line, nbytes, scatter)


def _over_routes(group: Group, nbytes: float, scatter: bool) -> Rounds:
    return over_routes(group.line, nbytes, scatter)


def _one_way(group: Group, nbytes: float, _scatter: bool) -> Rounds:
    rounds: Rounds = []
    chain(rounds, [tuple(one_sided_round(group, nbytes / group.size))] * (group.size - 1), 0)
    return rounds


def _direct(group: Group, nbytes: float, scatter: bool) -> Rounds:
    if one_fabric(group):
        return _pipeline(group, gather_stages(group, nbytes), scatter)
    return [Round(tuple(everyone(group, nbytes / group.size)))]


def _doubling(group: Group, nbytes: float, scatter: bool) -> Rounds:
    """Partners 1, 2, 4, ... places away exchange all they have; a scatter backwards."""
    steps = [tuple(each) for each in doublings(group, nbytes)]
    rounds: Rounds = []
    chain(rounds, steps[::-1] if scatter else steps, 0)
    return rounds


# What streams along trees and through switches


def _flowing(stages_of: Callable[[Group, Ask], Sequence[Streams]]) -> Build:
    """Slices along the trees of stages, level by level."""

    def build(group: Group, ask: Ask) -> Rounds:
        stages = stages_of(group, ask)
        slices = _slices(sum(len(level) for stage in stages for stream in stage for level in stream.levels))
        sized = [
            [
                [tuple(e._replace(nbytes=ask.nbytes * stream.share / slices) for e in level) for level in stream.levels]
                for stream in stage
            ]
            for stage in stages
        ]
        rounds: Rounds = []
        for _ in range(slices):
            after: tuple[int, ...] = ()
            lane = 0
            for stage in sized:
                start = len(rounds)
                for levels in stage:
                    chain(rounds, levels, lane, after)
                    lane += 1
                after = tuple(range(start, len(rounds)))
        return rounds

    return build


def _in_switch(group: Group, ask: Ask) -> Rounds:
    """Slices up through the switches and down again, level by level."""
    stages = switch_stages(group, ask.nbytes)
    slices = _slices(sum(len(stage) for stage in stages))
    sized = [tuple(each._replace(nbytes=each.nbytes / slices) for each in stage) for stage in stages]
    rounds: Rounds = []
    for _ in range(slices):
        after: tuple[int, ...] = ()
        for lane, messages in enumerate(sized):
            after = chain(rounds, [messages], lane, after)
    return rounds


def _single(messages: Callable[[Group, Ask], Sequence[Message]]) -> Build:
    return lambda group, ask: [Round(tuple(messages(group, ask)))]


_PIPELINE = _gathers(lambda group, nbytes, scatter: _pipeline(group, gather_stages(group, nbytes), scatter))
_BY_NAME: Mapping[str, Build] = {
    "ring": _gathers(_ring),
    "ring over routes": _gathers(_over_routes),
    "line": _gathers(_ring),
    "ring_one_way": _gathers(_one_way),
    "direct": _gathers(_direct),
    "halving_doubling": _gathers(_doubling),
    "tree": _flowing(lambda group, _ask: up_and_down(group)),
    "per_axis": _gathers(_one_by_one),
    "hierarchical": _PIPELINE,
    "all axes at once": _PIPELINE,
    "split over the axes": _PIPELINE,
    "in_switch": _in_switch,
}
_BY_KIND: Mapping[str, Build] = {
    "all_to_all": _single(exchanged),
    "permute": _single(shifted),
    "gather_to": _single(fetched),
    "scatter": _single(dealt),
    "broadcast": _flowing(lambda group, ask: cast_stages(group, ask.root)),
    "reduce_to": _flowing(lambda group, ask: reduce_stages(group, ask.root)),
}


def rounds(group: Group, ask: Ask, algorithm: str) -> Rounds:
    """The rounds of a collective."""
    if ask.kind in GATHERS and (ask.held or ask.shares):
        return _unequal(group, ask, algorithm)
    build = _BY_KIND.get(ask.kind) or _BY_NAME.get(algorithm)
    return build(group, ask) if build is not None else _in_stages(group, ask, algorithm)


def _in_stages(group: Group, ask: Ask, algorithm: str) -> Rounds:
    """The messages that an algorithm brings itself. Raises ValueError if it brings none."""
    stages = ALGORITHMS[algorithm].stages
    if stages is None:
        raise ValueError(
            f"algorithm '{algorithm}' does not say its messages: register it with stages=, or run it as a task"
        )
    result: Rounds = []
    for lane, messages in enumerate(stages(group, ask)):
        after = (len(result) - 1,) if result else ()
        result.append(Round(tuple(messages), lane, after, gate=bool(after)))
    return result


def _unequal(group: Group, ask: Ask, algorithm: str) -> Rounds:
    """Unequal shards: all at once, or in slices from neighbour to neighbour: a large one is not held up at every hop."""
    parts, back = ask.held or ask.shares, ask.kind == "reduce_scatter"
    if algorithm == "direct":
        return [Round(tuple(to_every(group, parts, ask.nbytes, back)))]
    if algorithm == "ring_one_way" or group.line.axis.kind == "one_way_ring":
        lanes = one_way_round(group, parts, ask.nbytes, back)
    else:
        lanes = to_neighbours(group.line, parts, ask.nbytes, back)
    slices = _slices(sum(len(messages) for hops in lanes for messages in hops))
    result: Rounds = []
    for lane, hops in enumerate(lanes):
        before: list[tuple[int, ...]] = [()] * slices
        for messages in hops:
            cut = tuple(each._replace(nbytes=each.nbytes / slices) for each in messages)
            # hop by hop, so that nobody waits for a slice while there is another one to send
            before = [chain(result, [cut] if cut else [], lane, after) for after in before]
    return result
