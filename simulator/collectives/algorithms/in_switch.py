"""In the switch: the switches add up and return the sum (NVLS, SHARP); all-reduce only.

Model: V up and V down, in one hop; at an outer level, what one chip of a node stands for. A simplification: a switch reduces
at line rate and holds any number of groups. It fits only where the link or the wiring says that its switches can
(`in_switch_reduction`).
Source: NVIDIA on NVLink SHARP.
"""

from __future__ import annotations

from hw.rows import largest
from simulator.collectives.axes.fabric import FABRIC
from simulator.collectives.axes.fabric_lines import fabric_latency
from simulator.collectives.flight import at_once
from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.registry import Algorithm, add_algorithm
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import Rounds, chain, slices
from simulator.collectives.transfer import Message, Transfer, Way


def _switches_add(group: Group) -> bool:
    levels = group.topology.levels
    return all(piece.kind in FABRIC.kinds and levels[piece.level].in_switch_reduction for piece in group.pieces)


def _transfer(group: Group, request: CollectiveRequest) -> Transfer:
    stages = _stages(group, request.nbytes)
    whole = Transfer()
    for messages in stages:
        loads, _ = at_once(group, messages)
        whole = whole.beside(
            Transfer((loads,), largest(each.way.latency_s for each in messages if each.way is not None))
        )
    sent = sum(messages[0].nbytes for messages in stages[: len(group.pieces)])
    return Transfer(whole.phases, whole.latency_s, sent)


def _rounds(group: Group, request: CollectiveRequest) -> Rounds:
    """Slices up through the switches and down again, level by level."""
    stages = _stages(group, request.nbytes)
    count = slices(sum(len(stage) for stage in stages))
    sized = [tuple(each._replace(nbytes=each.nbytes / count) for each in stage) for stage in stages]
    rounds: Rounds = []
    for _ in range(count):
        after: tuple[int, ...] = ()
        for lane, messages in enumerate(sized):
            after = chain(rounds, [messages], lane, after)
    return rounds


def _stages(group: Group, nbytes: float) -> list[list[Message]]:
    """The way up through the switches of every level, then the way down: what a chip sends up is for all of its along. The
    passage through a switch is one hop, paid on the way down."""
    up: list[list[Message]] = []
    down: list[list[Message]] = []
    for piece in group.pieces:
        rising: list[Message] = []
        falling: list[Message] = []
        for along in group.along(piece):
            level, reached = piece.level, tuple(along.chips)
            here = set(reached)
            trunks = [trunk for trunk in along.topology.trunks(level) if 0 < len(here & set(trunk.chips)) < along.size]
            hop = fabric_latency(along)
            for chip in reached:
                rising.append(Message(chip, chip, nbytes, Way((along.topology.port_out(chip, level),), 0.0, reached)))
                falling.append(Message(chip, chip, nbytes, Way((along.topology.port_in(chip, level),), hop, ())))
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


IN_SWITCH = add_algorithm(
    Algorithm(
        name="in_switch",
        kinds=("all_reduce",),
        form=Form(_transfer, _rounds),
        fits=_switches_add,
        wants="switches that are said to add up, in_switch_reduction",
    )
)
