"""Pipeline schedules: in which order each stage goes about the passes of its microbatches.

Model: a model is cut into chunks, counted from its first layer; chunk c stands on stage c mod S. A microbatch goes forward
through all chunks and backward through them the other way round; zero_bubble cuts the backward pass of a chunk into the
gradient of what it took in, which the chunk before waits for, and the gradients of its weights, which nothing waits for.
- gpipe: all forward passes, then all backward passes.
- 1f1b: as many forward passes ahead as stages follow, then one forward and one backward pass in turn: a stage holds
  activations of at most S - s microbatches.
- interleaved: v chunks a stage, S microbatches at a time through each; the bubble is v times shorter.
- zero_bubble (ZB-H1): 1f1b whose weight passes run where a stage would wait, s of them late at stage s: no stage holds
  more than S microbatches.
- paired: as interleaved, also with one chunk a stage, with one forward pass more ahead: a forward pass and the backward pass
  behind it are then of microbatches that do not wait for each other, and are a turn. They go on beside each other, so that
  what one sends lies behind what the other computes, and a stage begins a turn when its last one is over. A stage holds at
  most 2 (S - s) microbatches, or 2 (S - s) + (v - 1) S chunks of them.
Law (equal chunks, free transfers): the bubble of gpipe and 1f1b is S - 1 times a forward and a backward pass of a stage, of
interleaved and paired 1/v of that, of zero_bubble S - 1 times (forward + backward of inputs - that of weights) where the
last is the shortest.
Source: Huang et al. 2019 (GPipe); Narayanan et al. 2021 (1F1B, interleaved); Qi et al. 2023 (ZB-H1); for
paired NVIDIA Megatron-LM, core/pipeline_parallel/schedules.py and combined_1f1b.py (`overlap_moe_expert_parallel_comm`).
DeepSeek-AI 2024 (DualPipe, section 3.2.1) pairs passes alike, of microbatches that come from both ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

from hw.input import unknown

Pass = Literal["forward", "backward", "weights"]
"""What a stage does of a microbatch; `weights`: the second part of a backward pass that is cut in two."""


class StagePass(NamedTuple):
    """One pass of one microbatch through one chunk of the model; chunks are counted from its first layer."""

    does: Pass
    microbatch: int
    chunk: int


Order = tuple[StagePass, ...]
"""What one stage does, in order."""


def gpipe(stages: int, microbatches: int) -> tuple[Order, ...]:
    """All forward passes, then all backward passes."""
    return tuple(
        (
            *(StagePass("forward", number, stage) for number in range(microbatches)),
            *(StagePass("backward", number, stage) for number in range(microbatches)),
        )
        for stage in range(stages)
    )


def one_forward_one_backward(stages: int, microbatches: int) -> tuple[Order, ...]:
    """1F1B: at most as many microbatches on their way as stages follow."""
    found = []
    for stage in range(stages):
        forward = [StagePass("forward", number, stage) for number in range(microbatches)]
        backward = [StagePass("backward", number, stage) for number in range(microbatches)]
        found.append(_in_turn(forward, backward, ahead=stages - 1 - stage))
    return tuple(found)


def interleaved(stages: int, microbatches: int, interleave: int) -> tuple[Order, ...]:
    """1F1B over `interleave` chunks a stage, S microbatches at a time through each: those are a multiple of stages."""
    if interleave == 1:
        return one_forward_one_backward(stages, microbatches)
    return _over_chunks(stages, microbatches, interleave, more=0)


def paired(stages: int, microbatches: int, interleave: int) -> tuple[Order, ...]:
    """Passes of two microbatches in turns, over chunks as `interleaved`: as many forward passes ahead as turns go by until
    the first microbatch is back."""
    return _over_chunks(stages, microbatches, interleave, more=1)


def _over_chunks(stages: int, microbatches: int, interleave: int, more: int) -> tuple[Order, ...]:
    """1F1B, S microbatches at a time through each chunk; `more`: forward passes ahead beside those that it takes."""
    turns = range(microbatches * interleave)
    found = []
    for stage in range(stages):
        forward, backward = [], []
        for turn in turns:
            # so many microbatches through one chunk, then the same ones through the next
            rounds, within = divmod(turn, stages * interleave)
            chunk, place = divmod(within, stages)
            number = rounds * stages + place
            forward.append(StagePass("forward", number, chunk * stages + stage))
            backward.append(StagePass("backward", number, (interleave - 1 - chunk) * stages + stage))
        ahead = 2 * (stages - 1 - stage) + (interleave - 1) * stages + more
        found.append(_in_turn(forward, backward, ahead))
    return tuple(found)


def zero_bubble(stages: int, microbatches: int) -> tuple[Order, ...]:
    """ZB-H1: 1F1B with a backward pass in two parts; stage s is s microbatches late with the weights' part."""
    found = []
    for stage, order in enumerate(one_forward_one_backward(stages, microbatches)):
        steps: list[StagePass] = []
        done = 0
        for step in order:
            steps.append(step)
            if step.does == "backward" and step.microbatch >= stage:
                steps.append(StagePass("weights", done, stage))
                done += 1
        steps += (StagePass("weights", number, stage) for number in range(done, microbatches))
        found.append(tuple(steps))
    return tuple(found)


def _in_turn(forward: Sequence[StagePass], backward: Sequence[StagePass], ahead: int) -> Order:
    """So many forward passes ahead, then one backward pass after each forward pass, then the backward passes left."""
    ahead = min(ahead, len(forward))
    steps = list(forward[:ahead])
    for one, other in zip(forward[ahead:], backward, strict=False):
        steps += (one, other)
    return (*steps, *backward[len(forward) - ahead :])


SCHEDULES: Mapping[str, Callable[[int, int, int], tuple[Order, ...]]] = {
    "gpipe": lambda stages, microbatches, _: gpipe(stages, microbatches),
    "1f1b": lambda stages, microbatches, _: one_forward_one_backward(stages, microbatches),
    "interleaved": interleaved,
    "zero_bubble": lambda stages, microbatches, _: zero_bubble(stages, microbatches),
    "paired": paired,
}
"""Every schedule by its name, given stages, microbatches and chunks a stage."""


CHUNKED = ("interleaved", "paired")
"""Schedules that may have several chunks a stage."""

PAIRED = ("paired",)
"""Schedules in which a backward pass goes on beside the forward pass right before it on its stage."""


def schedule(name: str, stages: int, microbatches: int, interleave: int = 1) -> tuple[Order, ...]:
    """What each stage does, in order. Raises ValueError for what no schedule of that name can do."""
    check_schedule(name, stages, microbatches, interleave)
    return SCHEDULES[name](stages, microbatches, interleave)


def check_schedule(name: str, stages: int, microbatches: int, interleave: int = 1) -> None:
    """Raises ValueError for what no schedule of that name can do."""
    if name not in SCHEDULES:
        raise ValueError(unknown("schedule", name, SCHEDULES))
    for what, count in (("stages", stages), ("microbatches", microbatches), ("interleave", interleave)):
        if count < 1:
            raise ValueError(f"{what} is {count}; a pipeline wants at least 1")
    if interleave > 1 and name not in CHUNKED:
        raise ValueError(f"schedule {name} has one chunk a stage; {interleave} are interleaved")
    if interleave > 1 and microbatches % stages:
        raise ValueError(
            f"{microbatches} microbatches are no multiple of {stages} stages, as an interleaved schedule wants them"
        )


def partners(name: str, steps: Iterable[tuple[int, str]]) -> list[bool]:
    """By step, told by its stage and what it does, whether it goes on beside the one before of its stage."""
    found, opens = [], dict[int, bool]()
    for stage, does in steps:
        found.append(name in PAIRED and does == "backward" and opens.get(stage, False))
        opens[stage] = does == "forward"
    return found


def in_one_order(orders: Sequence[Order]) -> Order:
    """All steps in one order that keeps every stage's own, and has each step behind what it waits for, sweep by sweep as
    stages would run if every step took as long. Raises ValueError where stages wait for each other in a circle."""
    last = max(step.chunk for order in orders for step in order)
    done: set[StagePass] = set()
    at = [0] * len(orders)
    found: list[StagePass] = []
    while len(found) < sum(map(len, orders)):
        sweep = []
        for stage, order in enumerate(orders):
            if at[stage] < len(order) and done.issuperset(_before(order[at[stage]], last)):
                sweep.append(order[at[stage]])
                at[stage] += 1
        if not sweep:
            stuck = next(order[place] for order, place in zip(orders, at, strict=True) if place < len(order))
            raise ValueError(f"stages wait for each other: {stuck} waits for what comes later")
        found += sweep
        done.update(sweep)
    return tuple(found)


def _before(step: StagePass, last: int) -> list[StagePass]:
    """The steps whose results a step needs."""
    if step.does == "forward":
        return [StagePass("forward", step.microbatch, step.chunk - 1)] if step.chunk else []
    if step.does == "weights":
        return [StagePass("backward", step.microbatch, step.chunk)]
    needed = [StagePass("forward", step.microbatch, step.chunk)]
    if step.chunk < last:
        needed.append(StagePass("backward", step.microbatch, step.chunk + 1))
    return needed
