"""The two forms of a collective: what it asks of the wires as one task, and the messages that carry it out.

Law: the messages put on every wire the bytes that the closed form charges, and take its time but for the filling of what
streams (tests/laws/test_algorithm_laws.py holds every registered form to it, on every wiring where it fits).
Users add algorithms, so what a form gives is held against its group before anything is worked out from it: wires, chips
and rounds that there are, seconds and bytes from 0 on. The message names the algorithm, what is wrong, and what there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hw import RunError
from hw.input import need_function, shown
from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message, Transfer

GATHERS = ("all_gather", "reduce_scatter", "all_reduce")
"""The kinds that gather shards, backwards, or both in sequence."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a collective is carried out: in closed form, and round by round. Without `rounds` it cannot go by messages. Raises
    ValueError for functions that cannot be called with a group and a request."""

    transfer: Callable[[Group, CollectiveRequest], Transfer]
    rounds: Callable[[Group, CollectiveRequest], Rounds] | None = None

    def __post_init__(self) -> None:
        for what, function in (("transfer", self.transfer), ("rounds", self.rounds)):
            if function is not None:
                need_function(function, ("a group", "a request"), f"`{what}` of a form")


# What a form gives


def check_transfer(name: str, group: Group, given: Any) -> None:
    """Raise RunError for what is no transfer over wires of the group's topology, of seconds and bytes from 0 on."""
    if not isinstance(given, Transfer):
        raise RunError(f"the form of '{name}' gives {shown(given)}: a Transfer is wanted")
    for loads in given.phases:
        if not isinstance(loads, Mapping):
            raise RunError(f"the form of '{name}' gives {shown(loads)} as a phase: bytes by wire number are wanted")
        _check_wires(f"the form of '{name}' asks for", group, loads)
    by_wire = ({id(nbytes): nbytes for nbytes in loads.values()} for loads in given.phases)  # alike wires have one
    try:
        amounts = (given.latency_s, given.sent_bytes, *(sum(once.values()) for once in by_wire))
        sound = all(0 <= amount < math.inf for amount in amounts)
    except TypeError:
        sound = False
    if not sound:
        raise RunError(f"the form of '{name}' gives {given}: seconds and bytes from 0 on are wanted")


def check_rounds(name: str, group: Group, given: Any) -> None:
    """Raise RunError for what are no rounds of messages between chips of the group."""
    if not isinstance(given, Sequence) or not all(isinstance(each, MessageRound) for each in given):
        raise RunError(f"the rounds of '{name}' are {shown(given)}: a list of MessageRound is wanted")
    earlier: set[int] = set()
    for number, each in enumerate(given):
        if not earlier.issuperset(each.after):
            missing = next(before for before in each.after if before not in earlier)
            raise RunError(
                f"round {number} of '{name}' comes after round {missing}: it can wait for earlier ones alone"
            )
        earlier.add(number)
        if not isinstance(each.lane, int):
            raise RunError(f"round {number} of '{name}' has {shown(each.lane)} as a lane: a whole number is wanted")
    for messages in {id(each.messages): each.messages for each in given}.values():
        check_messages(name, group, messages)


def check_messages(name: str, group: Group, messages: Sequence[Any]) -> None:
    """Raise RunError for messages from or to strangers, over wires that there are not, or of less than 0 bytes."""
    chips = group.place_of
    for message in messages:
        if not isinstance(message, Message):
            raise RunError(f"{name} gives {shown(message)} in a stage: Message(source, target, nbytes) is wanted")
        if message.source not in chips or message.target not in chips:
            raise RunError(f"{name} sends from {message.source} to {message.target}: not both are chips of the group")
        if not 0 <= message.nbytes < math.inf:
            raise RunError(f"{name} sends {message.nbytes!r} bytes from {message.source} to {message.target}")
        if message.way is not None:
            _check_wires(f"{name} sends from {message.source} to {message.target} over", group, message.way.wires)


def _check_wires(begin: str, group: Group, wires: Mapping[Any, Any] | Sequence[Any]) -> None:
    """Raise RunError for numbers that no wire has."""
    count = len(group.topology.wires)
    strange = [wire for wire in wires if not (isinstance(wire, int) and 0 <= wire < count)]
    if strange:
        raise RunError(f"{begin} wire {shown(strange[0])}: wires are 0 to {count - 1}, as in group.topology.wires")
