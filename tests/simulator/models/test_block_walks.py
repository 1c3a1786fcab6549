"""Blocks of which a few rounds are gone through, in the longest paths of estimates.

Law: times are the same as where every round of every block is gone through, within rounding: where queues keep step, where
one falls back behind another, and where a block waits for rounds of another, gone through either way round.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simulator.models.estimates.course import Course
from simulator.models.estimates.paths import Walk
from simulator.models.estimates.places import Place
from simulator.models.estimates.prices import Price
from simulator.models.estimates.rows import Stretch
from simulator.models.estimates.work import Work

KERNELS = 5
QUEUES = ("compute", "net", "copy")
GIVEN, FIRST, SECOND = 0, 1, 1 + 2 * KERNELS
"""A slot that is there before, and where those of two blocks begin: what a round takes over, and what it makes."""

KERNEL = st.fixed_dictionaries(
    {
        "queue": st.sampled_from(QUEUES),
        "least": st.sampled_from((0.0, 1.0, 1.5, 2.0, 7.0)),
        "reads": st.sets(st.integers(0, KERNELS - 1), max_size=2),
        "takes": st.sets(st.integers(0, KERNELS - 1), max_size=1),
        "given": st.booleans(),
        "asks": st.sets(st.tuples(st.integers(0, 1), st.integers(-2, 2)), max_size=1),
    }
)
BLOCK = st.fixed_dictionaries(
    {
        "kernels": st.lists(KERNEL, min_size=2, max_size=KERNELS),
        "count": st.sampled_from((3, 24, 40)),
        "reverse": st.booleans(),
        "asks": st.booleans(),
    }
)


def stretch(told: Mapping[str, Any], begin: int, asked: int) -> Stretch:
    """A block whose slots begin with some number, and which asks for what a block makes whose slots begin with another."""
    kernels = told["kernels"]
    carried = sorted({at for each in kernels for at in each["takes"] if at < len(kernels)})
    places = []
    for number, each in enumerate(kernels):
        read = [begin + KERNELS + at for at in each["reads"] if at < number]
        read += [begin + at for at in each["takes"] if at in carried] + [GIVEN] * each["given"]
        asks = [(asked + KERNELS + at, offset) for at, offset in each["asks"]] if told["asks"] else []
        makes = (begin + KERNELS + number,)
        place = Place(tuple(read), tuple(asks), makes, keeps=(), written=1, grown=(), away=(), fetches=False)
        places.append(place)
    return Stretch(
        places=tuple(places),
        prices=tuple(Price(each["queue"], each["least"], each["least"], {}) for each in kernels),
        kernels=(),
        alone=Work(),
        sends=(),
        ahead=2,
        count=told["count"],
        carry=tuple((begin + at, begin + KERNELS + at) for at in carried),
        reverse=told["reverse"],
        block=True,
    )


def walked(stretches: list[Stretch], start: float) -> tuple[list[float], dict[str, float]]:
    """When all is there that blocks make, and all queues are free."""
    slots = SECOND + 2 * KERNELS
    course = Course(stretches, range(slots))
    walk = Walk.of(slots, ready=(GIVEN,), queues=("compute",), start=start).through(course, stretches)
    made = [slot for each in stretches for place in each.places for slot in place.makes]
    return [walk.slot[slot] for slot in made], walk.queue


def kernel(queue: str, least: float, *asks: tuple[int, int], takes: Collection[int] = ()) -> dict[str, Any]:
    """A kernel that waits for its queue, for rounds of another block, and for what kernels of the round before made."""
    return {"queue": queue, "least": least, "reads": set(), "takes": set(takes), "given": False, "asks": set(asks)}


def block(*kernels: dict[str, Any], count: int = 24, reverse: bool = False) -> dict[str, Any]:
    """A block of some kernels."""
    return {"kernels": list(kernels), "count": count, "reverse": reverse, "asks": True}


SLOW = block(kernel("net", 7.0))
"""Its queue is busy until 168."""

HANDED_ON = block(kernel("compute", 1.0, takes={1}), kernel("copy", 1.0, takes={2}), kernel("net", 2.0))
"""What is late by the queue of the last kernel gets to the first one in the third round, which moves by 170 once, and then
by 2 as all do."""


# compute is ahead of what it asks for, which catches up with it after some rounds
@example(block(kernel("compute", 1.5), kernel("net", 7.0)), block(kernel("compute", 2.0, (1, 0))), False, 0.0)
# a kernel that moves far once comes behind none that moves faster
@example(SLOW, HANDED_ON, False, 0.0)
# the other block had fewer rounds: after 16 of 40 the last of those is suddenly asked for
@example(SLOW, block(kernel("compute", 1.0, (0, 0)), count=40, reverse=True), False, 0.0)
# of two rounds further on there are none until the third round
@example(SLOW, block(kernel("compute", 1.0, (0, 2)), reverse=True), False, 0.0)
@given(BLOCK, BLOCK, st.booleans(), st.sampled_from((0.0, float("-inf"))))
@settings(max_examples=300, deadline=None)
def test_rounds_that_are_not_gone_through_move_as_those_before(
    first: Mapping[str, Any], second: Mapping[str, Any], asks_itself: bool, start: float
) -> None:
    stretches = [stretch(first, FIRST, FIRST), stretch(second, SECOND, SECOND if asks_itself else FIRST)]
    slots, queues = walked(stretches, start)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("simulator.models.estimates.paths._is_looked_at", lambda rounds: False)
        all_slots, all_queues = walked(stretches, start)
    assert slots == pytest.approx(all_slots, rel=1e-12)
    assert queues == pytest.approx(all_queues, rel=1e-12)
