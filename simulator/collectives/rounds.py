"""Rounds of messages: how a collective is carried out step by step, and how rounds are put together.

Model: a message waits for what its sender passes on, for its latency, and for its lane, one message at a time; different
lanes do not wait for each other. A round names the ones that it waits for by their places in the list, so that what is
appended shifts its own. What streams is cut into slices that follow each other through its stages.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from simulator.collectives.transfer import Message

SLICES = 32
"""Pieces, at least, into which what streams is cut."""

MOST_SLICES = 256
PIPELINED = 80_000
"""Messages up to which more pieces are cut, so that filling the pipeline costs little."""

Messages = tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class MessageRound:
    """Messages of one step. `after`: the rounds whose messages to a sender must have come before it sends; with `gate`
    those to everyone. `pace`: how fast its lane is beside others of the collective that it meets on a wire."""

    messages: Messages
    lane: int = 0
    after: tuple[int, ...] = ()
    gate: bool = False
    pace: int = 1


Rounds = list[MessageRound]


def slices(messages: int) -> int:
    """Into how many pieces stages of so many messages are cut."""
    return min(MOST_SLICES, max(SLICES, PIPELINED // max(1, messages)))


def chain(
    rounds: Rounds, messages: Sequence[Messages], lane: int, after: tuple[int, ...] = (), pace: int = 1
) -> tuple[int, ...]:
    """Append rounds of one lane, each passing on what the one before brought; returns the last one's number."""
    for each in messages:
        rounds.append(MessageRound(each, lane, after, pace=pace))
        after = (len(rounds) - 1,)
    return after


def append(rounds: Rounds, more: Rounds, after: tuple[int, ...], lane: int, gate: bool = False) -> tuple[int, ...]:
    """Append the rounds of a stage that begins after others, in lanes of its own; returns all of them: what is for a chip
    in the middle has come before the last. `gate`: it begins when the others are over everywhere."""
    start, gated = len(rounds), gate and bool(after)
    for each in more:
        if each.after:  # a list is twice as fast as what makes one number after the other, and a round may wait for all
            before, waits = tuple([at + start for at in each.after]) if start else each.after, each.gate
        else:
            before, waits = after, gated
        rounds.append(MessageRound(each.messages, lane + each.lane, before, waits, each.pace))
    return tuple(range(start, len(rounds)))


def merged(parts: Sequence[Rounds]) -> Rounds:
    """The rounds of several lines or groups side by side: round by round, or one by one if unlike."""
    if len(parts) == 1:
        return list(parts[0])
    alike: dict[tuple[tuple[int, tuple[int, ...], bool, int], ...], list[Rounds]] = {}
    for part in parts:
        alike.setdefault(tuple((each.lane, each.after, each.gate, each.pace) for each in part), []).append(part)
    result: Rounds = []
    for same in alike.values():
        seen: dict[tuple[int, ...], Messages] = {}
        together: Rounds = []
        for steps in zip(*same, strict=True):
            key = tuple(id(step.messages) for step in steps)
            if key not in seen:
                seen[key] = tuple(message for step in steps for message in step.messages)
            first = steps[0]
            together.append(MessageRound(seen[key], first.lane, first.after, first.gate, first.pace))
        append(result, together, (), 0)
    return result


def ends(rounds: Rounds) -> tuple[int, ...]:
    """The rounds that bring something last: to a chip that passes nothing on, even where others do."""
    sources: dict[int, frozenset[int]] = {}
    targets: dict[int, frozenset[int]] = {}
    for each in rounds:
        if id(each.messages) not in sources:
            sources[id(each.messages)] = frozenset(message.source for message in each.messages)
            targets[id(each.messages)] = frozenset(message.target for message in each.messages)
    passed_on: dict[int, set[frozenset[int]]] = {}
    for each in rounds:
        for before in each.after:
            passed_on.setdefault(before, set()).add(sources[id(each.messages)])
    return tuple(
        at
        for at, each in enumerate(rounds)
        if not targets[id(each.messages)] <= frozenset().union(*passed_on.get(at, ()))
    )
