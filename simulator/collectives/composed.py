"""Forms made of parts: an all-reduce of its two halves, and stages of messages one after the other.

Model: an all-reduce is a reduce-scatter, then an all-gather, which begins when the former is over everywhere; by messages
each half has lanes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from hw import RunError
from hw.input import need_function, shown
from simulator.collectives.flight import in_stages
from simulator.collectives.form import Form, check_messages
from simulator.collectives.group import Group
from simulator.collectives.request import CollectiveRequest
from simulator.collectives.rounds import MessageRound, Rounds, append, ends
from simulator.collectives.transfer import Message, Transfer

HalfTransfer = Callable[[Group, float, bool], Transfer]
"""A gather of so many bytes, or a scatter where it is to go backwards."""

HalfRounds = Callable[[Group, float, bool], Rounds]
"""The same by messages."""


def gathering(transfer: HalfTransfer, rounds: HalfRounds) -> Form:
    """All-gather, reduce-scatter, and all-reduce as the one after the other."""
    return Form(in_halves(transfer), rounds_in_halves(rounds))


def in_halves(half: HalfTransfer) -> Callable[[Group, CollectiveRequest], Transfer]:
    """The closed form alone."""

    def transfer(group: Group, request: CollectiveRequest) -> Transfer:
        if request.kind == "all_reduce":
            return half(group, request.nbytes, True).then(half(group, request.nbytes, False))
        return half(group, request.nbytes, request.scatters)

    return transfer


def rounds_in_halves(half: HalfRounds) -> Callable[[Group, CollectiveRequest], Rounds]:
    """The messages alone."""

    def rounds(group: Group, request: CollectiveRequest) -> Rounds:
        if request.kind != "all_reduce":
            return half(group, request.nbytes, request.scatters)
        found = half(group, request.nbytes, True)
        lane = 1 + max(each.lane for each in found)
        append(found, half(group, request.nbytes, False), ends(found), lane, gate=True)
        return found

    return rounds


def staged(stages: Callable[[Group, CollectiveRequest], Sequence[Sequence[Message]]]) -> Form:
    """Both forms of messages that go stage by stage, each stage when the one before is over everywhere. Raises ValueError
    for a function that cannot be called with a group and a request."""
    need_function(stages, ("a group", "a request"), "the function of stages")

    def checked(group: Group, request: CollectiveRequest) -> Sequence[Sequence[Message]]:
        found = stages(group, request)
        _check_stages(found, group, getattr(stages, "__name__", "stages"))
        return found

    def transfer(group: Group, request: CollectiveRequest) -> Transfer:
        return in_stages(group, checked(group, request))

    def rounds(group: Group, request: CollectiveRequest) -> Rounds:
        result: Rounds = []
        for lane, messages in enumerate(checked(group, request)):
            after = (len(result) - 1,) if result else ()
            result.append(MessageRound(tuple(messages), lane, after, gate=bool(after)))
        return result

    return Form(transfer, rounds)


def _check_stages(stages: Any, group: Group, name: str) -> None:
    """Raise RunError for what are no stages of messages between chips of the group, of 0 bytes or more."""
    if not isinstance(stages, Sequence) or not all(isinstance(stage, Sequence) for stage in stages):
        raise RunError(f"{name} gives {shown(stages)}: a list of stages is wanted, each a list of messages")
    check_messages(name, group, list(chain.from_iterable(stages)))
