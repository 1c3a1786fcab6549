"""Orders of pipeline schedules: complete, possible, and as long as their closed forms say.

Source: Huang et al. 2019; Narayanan et al. 2021, section 2.2; Qi et al. 2023, section 2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator import CHUNKED, SCHEDULES, schedule
from simulator.passes.pipeline.schedules import Order, StagePass, in_one_order


def needed(step: StagePass, chunks: int) -> list[StagePass]:
    """What a step waits for, said apart from the code under test."""
    if step.does == "forward":
        return [StagePass("forward", step.microbatch, step.chunk - 1)][: step.chunk]
    if step.does == "weights":
        return [StagePass("backward", step.microbatch, step.chunk)]
    behind = [StagePass("backward", step.microbatch, step.chunk + 1)] if step.chunk + 1 < chunks else []
    return [StagePass("forward", step.microbatch, step.chunk), *behind]


def ends_at(orders: Sequence[Order], lasts: Mapping[str, int]) -> int:
    """When the last step ends, each as soon as its stage and what it waits for let it."""
    chunks = 1 + max(step.chunk for order in orders for step in order)
    ends: dict[StagePass, int] = {}
    free = [0] * len(orders)
    for step in in_one_order(orders):
        stage = step.chunk % len(orders)
        begins = max([free[stage], *(ends[each] for each in needed(step, chunks))])
        free[stage] = ends[step] = begins + lasts[step.does]
    return max(free)


SIZES = st.tuples(
    st.sampled_from(sorted(SCHEDULES)), st.integers(1, 8), st.integers(1, 4), st.integers(1, 24), st.integers(1, 3)
)


@given(SIZES)
def test_every_stage_does_every_pass_once_in_an_order_that_can_be(sizes: tuple[str, int, int, int, int]) -> None:
    name, stages, interleave, microbatches, rounds = sizes
    interleave = interleave if name in CHUNKED else 1
    microbatches = stages * rounds if interleave > 1 else microbatches
    orders = schedule(name, stages, microbatches, interleave)
    passes = ("forward", "backward", "weights") if name == "zero_bubble" else ("forward", "backward")
    assert len(orders) == stages
    for stage, order in enumerate(orders):
        mine = range(stage, stages * interleave, stages)
        every = {(does, number, chunk) for does in passes for number in range(microbatches) for chunk in mine}
        assert sorted((step.does, step.microbatch, step.chunk) for step in order) == sorted(every)
    whole = in_one_order(orders)
    for stage, order in enumerate(orders):
        assert tuple(step for step in whole if step.chunk % stages == stage) == order
    at = {step: place for place, step in enumerate(whole)}
    for step in whole:
        assert all(at[before] < at[step] for before in needed(step, stages * interleave))


@given(st.integers(1, 16), st.integers(1, 4), st.integers(1, 5), st.integers(1, 5))
def test_the_bubble_is_that_of_the_closed_forms(stages: int, rounds: int, forward: int, backward: int) -> None:
    microbatches = stages * rounds
    lasts = {"forward": forward, "backward": backward}
    both = forward + backward
    for name in ("gpipe", "1f1b", "paired"):
        assert ends_at(schedule(name, stages, microbatches), lasts) == (microbatches + stages - 1) * both
    for interleave in (2, 3, 4):
        for name in CHUNKED:
            orders = schedule(name, stages, microbatches, interleave)
            # each chunk is a v-th of a stage, and so the same bubble in passes is a v-th of it in time
            assert ends_at(orders, lasts) == (microbatches * interleave + stages - 1) * both


@given(st.integers(1, 16), st.integers(0, 20), *[st.integers(1, 6)] * 3)
def test_late_weights_fill_the_bubble_of_zero_bubble(
    stages: int, more: int, forward: int, backward: int, weights: int
) -> None:
    """(S - 1) (F + B - W), Qi et al. 2023, table 1, where the weights' part is the shortest; else less than 1F1B has."""
    microbatches = stages + more
    every = forward + backward + weights
    ends = ends_at(
        schedule("zero_bubble", stages, microbatches), {"forward": forward, "backward": backward, "weights": weights}
    )
    whole = ends_at(schedule("1f1b", stages, microbatches), {"forward": forward, "backward": backward + weights})
    assert whole == (microbatches + stages - 1) * every
    assert ends < whole or stages == 1
    if weights <= min(forward, backward):
        assert ends == microbatches * every + (stages - 1) * (every - 2 * weights)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1f1", 2, 2), "did you mean '1f1b'"),
        (("interleaved", 4, 6, 2), "6 microbatches are no multiple of 4 stages"),
        (("paired", 4, 6, 2), "6 microbatches are no multiple of 4 stages"),
        (("1f1b", 4, 8, 2), "schedule 1f1b has one chunk a stage"),
        (("gpipe", 0, 8), "stages is 0"),
        (("gpipe", 2, 0), "microbatches is 0"),
        (("interleaved", 2, 2, 0), "interleave is 0"),
    ],
)
def test_what_no_schedule_can_do_is_told(arguments: tuple[str, int, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        schedule(*arguments)


def test_stages_that_wait_for_each_other_are_told() -> None:
    one, other = schedule("1f1b", 2, 2)
    with pytest.raises(ValueError, match="stages wait for each other"):
        in_one_order((one[::-1], other))
