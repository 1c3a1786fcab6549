"""`timeline.overlapse`: the analyses as methods of a frame, and a user's own among them."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import signature

import pandas as pd
import pytest

from analysis import as_timeline, temporal_breakdown
from analysis.timelines import TIMELINE_METHODS, rollup, timeline_method

COLUMNS = ("op", "chip", "queue", "begin", "end", "does")
TIMELINE = pd.DataFrame(
    [("y", 0, "compute", 0.0, 2.0, "arithmetic"), ("z", 0, "X", 1.0, 4.0, "network")], columns=COLUMNS
)


@pytest.fixture
def methods() -> Iterator[None]:
    before = dict(TIMELINE_METHODS)
    yield
    TIMELINE_METHODS.clear()
    TIMELINE_METHODS.update(before)


def test_a_method_is_the_function_of_the_frame() -> None:
    timeline = as_timeline(TIMELINE)
    assert timeline.overlapse.breakdown().equals(temporal_breakdown(timeline))
    assert timeline.overlapse.rollup("op").equals(rollup(timeline, "op"))


def test_help_tells_what_is_still_to_be_given() -> None:
    method = as_timeline(TIMELINE).overlapse.breakdown
    assert list(signature(method).parameters) == list(signature(temporal_breakdown).parameters)[1:]
    assert method.__doc__ == temporal_breakdown.__doc__


@pytest.mark.usefixtures("methods")
def test_a_function_of_the_users_is_a_method_by_its_mark() -> None:
    @timeline_method("longest")
    def longest(timeline: pd.DataFrame, least: float = 0.0) -> pd.DataFrame:
        took = timeline["end"] - timeline["begin"]
        return timeline[took >= least]

    found = as_timeline(TIMELINE).overlapse
    assert found.longest(least=2.5)["op"].tolist() == ["z"]
    assert "longest" in dir(found)
    assert longest(TIMELINE)["op"].tolist() == ["y", "z"]  # and a plain function still


@pytest.mark.parametrize("name", ["breakdown", "shares", "__init__"])
def test_a_name_that_is_taken_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"timeline.overlapse.{name} is there already"):
        timeline_method(name)(len)


def test_what_is_not_there_is_told_with_what_is() -> None:
    with pytest.raises(
        AttributeError, match=r"timeline.overlapse: unknown analysis 'brekdown', did you mean 'breakdown'"
    ):
        _ = as_timeline(TIMELINE).overlapse.brekdown


def test_a_frame_that_is_no_timeline() -> None:
    with pytest.raises(AttributeError, match="a timeline wants the columns op, chip, queue"):
        _ = as_timeline(TIMELINE)[["op"]].overlapse
    odd = as_timeline(TIMELINE.assign(end=[2.0, 0.5]))
    with pytest.raises(ValueError, match=r"'end' of row 1 is 500 ms, before its 'begin', 1 s"):
        odd.overlapse.breakdown()
