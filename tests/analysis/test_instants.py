"""Every instant of a chip given to one cause: the parts add up to the run, and to what the breakdown says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import op_figures, temporal_breakdown, timeline_frame
from analysis.timelines import DOES, instants
from simulator import Result
from tests.support.reports import block


@given(rounds=st.integers(1, 3), overlap=st.sampled_from(["full", "none", "auto"]), fold=st.booleans())
def test_the_parts_are_those_of_the_breakdown(rounds: int, overlap: str, fold: bool) -> None:
    result = block(rounds, overlap=overlap, fold=fold)
    found = instants(result, op_figures(result), range(4))
    told = temporal_breakdown(timeline_frame(result), result.time_s).set_index("chip")
    assert set(found) == set(range(4))
    for chip, parts in found.items():
        assert sum(parts.values()) == pytest.approx(result.time_s, rel=1e-9)
        for does in (*DOES, "idle"):
            of_it = sum(took for part, took in parts.items() if part.does == does)
            assert of_it == pytest.approx(told.loc[chip, does], rel=1e-9, abs=1e-15)


def test_what_runs_alone_goes_to_what_binds_it() -> None:
    result = block(1, chips=4, fold=False)
    figures = {each.name: each for each in op_figures(result)}
    parts = instants(result, op_figures(result), [0])[0]
    assert {part.cause for part in parts if part.does == "network"} == {figures["r.0"].bound_by}
    assert {part.cause for part in parts if part.does == "arithmetic"} <= {
        figures[f"{name}.0"].bound_by for name in ("h", "g", "p", "o")
    }


def test_a_run_of_nothing_has_no_parts() -> None:
    result: Result = block(1)
    assert instants(result, op_figures(result), []) == {}
