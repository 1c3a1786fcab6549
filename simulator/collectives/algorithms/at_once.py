"""What goes straight from chip to chip, all at once: a permute; a scatter from one chip, a gather to one.

Model: each message goes over its own route; of a scatter or a gather those are the root's routes to and from everyone.
Source: DESIGN section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simulator.collectives.flight import by_routes
from simulator.collectives.form import Form
from simulator.collectives.group import Group
from simulator.collectives.registry import CANONICAL
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds
from simulator.collectives.transfer import Message, Transfer

Messages = Callable[[Group, CollectiveRequest], Sequence[Message]]


def all_at_once(messages: Messages) -> Form:
    """Both forms of messages that go side by side, each over its own route."""

    def transfer(group: Group, request: CollectiveRequest) -> Transfer:
        return by_routes(group, messages(group, request))

    def rounds(group: Group, request: CollectiveRequest) -> Rounds:
        return [MessageRound(tuple(messages(group, request)))]

    return Form(transfer, rounds)


def _permuted(group: Group, request: CollectiveRequest) -> list[Message]:
    """Each chip sends what it has to the one `shift` places on."""
    chips, size = group.chips, group.size
    moves = ((chip, chips[(at + request.shift) % size]) for at, chip in enumerate(chips))
    return [Message(source, target, request.nbytes) for source, target in moves if source != target]


def _scattered(group: Group, request: CollectiveRequest) -> list[Message]:
    """The root sends each chip its shard."""
    root = group.chips[request.root]
    parts = request.shares or request.held or (1.0 / group.size,) * group.size
    shards = [(chip, request.nbytes * part) for chip, part in zip(group.chips, parts, strict=True)]
    return [Message(root, chip, shard) for chip, shard in shards if chip != root and shard]


def _gathered(group: Group, request: CollectiveRequest) -> list[Message]:
    """Each chip sends the root its shard."""
    return [Message(chip, root, nbytes) for root, chip, nbytes, _ in _scattered(group, request)]


CANONICAL["permute"] = all_at_once(_permuted)
CANONICAL["scatter"] = all_at_once(_scattered)
CANONICAL["gather_to"] = all_at_once(_gathered)
