"""What the times of a measured run rest on: shares of the time of tasks, from what each takes alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.runs import GROUNDS, grounds, grounds_line
from hw import Mesh, System, load_chip, parse_topology
from simulator import Result, RunOptions, parse_graph, simulate

H100 = load_chip("h100_sxm")
ONE = System(H100)
FOUR = System(H100, parse_topology("switch(4) over nvlink", H100.links), Mesh({"X": 4}))
MEASURED = RunOptions(calibration="measured")

OF_A_KIND = "y:bf16[N] = gelu(x:bf16[N])"
"""Of a kind that was measured."""
LIKE_OTHERS = "z:bf16[N] = tanh(x:bf16[N])"
"""Of a kind that was not."""
FROM_HOST = "h:bf16[N] = copy(g:bf16[N]@host)"
SUM = "s:bf16[N] = all_reduce(p:bf16[N]{U_X}, over=X)"


def ran(lines: Sequence[str], elements: int, system: System = ONE, options: RunOptions = MEASURED) -> Result:
    return simulate(parse_graph(list(lines), {"N": elements}), system, options)


def shares(
    lines: Sequence[str], elements: int, system: System = ONE, options: RunOptions = MEASURED
) -> Mapping[str, float]:
    found = grounds(ran(lines, elements, system, options))
    assert found is not None
    return found


def only(name: str) -> dict[str, float]:
    return {each: float(each == name) for each in GROUNDS}


@given(st.integers(1, 2**28))
@settings(max_examples=20, deadline=None)
def test_each_op_counts_by_the_time_that_it_takes_alone(elements: int) -> None:
    lines = [OF_A_KIND, LIKE_OTHERS]
    one, other = (ran([line], elements).time_s for line in lines)
    found = shares(lines, elements)
    assert found["measured"] == pytest.approx(one / (one + other), rel=1e-6)
    assert found["profile"] == pytest.approx(other / (one + other), rel=1e-6)
    assert sum(found.values()) == pytest.approx(1.0)


def test_by_the_data_sheet_there_is_nothing_to_tell() -> None:
    assert grounds(ran([OF_A_KIND], 4096, options=RunOptions())) is None


@pytest.mark.parametrize("options", [MEASURED, replace(MEASURED, overlap="none")])
def test_a_rate_that_was_measured_is_a_profile_unless_the_run_sets_it(options: RunOptions) -> None:
    """55.0 of 63 GB/s from the host are in the chip's file, and collectives over NVLink; a run's own figure wins."""
    for line, system, link, rests in ((FROM_HOST, ONE, "pcie", "profile"), (SUM, FOUR, "nvlink", "measured")):
        assert shares([line], 2**24, system, options) == only(rests)
        said = replace(options, efficiency={link: 0.9})
        assert shares([line], 2**24, system, said) == only("data_sheet")
        own = replace(options, chip_efficiency={H100.name: {link: 0.9}})
        assert shares([line], 2**24, system, own) == only("data_sheet")


def test_of_a_link_that_nobody_measured_it_is_the_data_sheet() -> None:
    """The chip's file has nothing of InfiniBand."""
    a100 = load_chip("a100_80gb_sxm")
    apart = System(a100, parse_topology("switch(4) over infiniband", a100.links), Mesh({"X": 4}))
    assert shares([SUM], 2**24, apart) == only("data_sheet")


def test_a_chip_without_kernels_has_those_of_another_or_its_data_sheet() -> None:
    """B200: of what was measured there is NVLink alone, and its kernels are like the H100's; of a Gaudi nothing is known."""
    assert shares([OF_A_KIND], 2**24, System(load_chip("b200"))) == only("profile")
    assert shares([OF_A_KIND], 2**24, System(load_chip("gaudi2"))) == only("data_sheet")


def test_what_several_chips_do_counts_for_each() -> None:
    """Four chips do one thing, one of them another as well."""
    here = LIKE_OTHERS.replace("z:bf16[N] = tanh(x:bf16[N])", "z:bf16[N] = tanh(w:bf16[N], on=0)")
    one, other = (ran([line], 2**24).time_s for line in (OF_A_KIND, LIKE_OTHERS))
    found = shares([OF_A_KIND, here], 2**24, FOUR)
    assert found["measured"] == pytest.approx(4 * one / (4 * one + other), rel=1e-6)


def test_a_transfer_counts_at_both_ends() -> None:
    lines = ["b:bf16[N] = send(a:bf16[N], from=0, to=1)", "c:bf16[N] = recv(from=0, to=1)"]
    assert shares(lines, 2**24, FOUR) == only("profile")


def test_the_host_that_issues_kernels_was_measured() -> None:
    eager = replace(MEASURED, dispatch="eager")
    assert shares([OF_A_KIND], 4096, options=eager) == only("measured")


def test_in_words_only_what_there_is() -> None:
    said = grounds_line({"measured": 0.9876, "profile": 0.0124, "data_sheet": 0.0})
    assert said == "of tasks' time: measured 98.8 %, profile 1.2 %"
