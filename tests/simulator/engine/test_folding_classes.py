"""The classes of folding are equitable by the definition, which is checked without the code that refines."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator.lowering.folding as folding_module
from simulator import (
    Folding,
    RunOptions,
    Traffic,
    Transfer,
    fold,
    unfolded,
)
from simulator.collectives.traffic import Joined
from tests.support.folding import DIMS, LAWS, SYSTEMS, assert_same, contending
from tests.support.strategies import run

pytestmark = pytest.mark.usefixtures("few_slices")


@dataclass(frozen=True)
class Incidence:
    """What `fold` is given."""

    chips: list[int]
    wires: list[int]
    traffics: list[Traffic]


@st.composite
def incidences(draw: st.DrawFn) -> Incidence:
    chips, wires = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    looks = st.integers(0, draw(st.integers(0, 1)))
    traffics = []
    for _ in range(draw(st.integers(0, 3))):
        pair = chips > 1 and draw(st.booleans())
        groups = []
        step = draw(st.integers(1, max(1, chips - 1)))
        for at in range(draw(st.integers(1, chips))):
            if draw(st.integers(0, 5)):  # mostly regular, so that something folds
                members = (at, (at + step) % chips) if pair else tuple(range(at % step, chips, step))
                loads = {at % wires: 8.0}
            else:
                members = tuple(draw(st.permutations(range(chips)))[: 2 if pair else draw(st.integers(1, chips))])
                loads = draw(st.dictionaries(st.integers(0, wires - 1), st.sampled_from([4.0, 8.0]), max_size=3))
            groups.append(Joined(members, Transfer((loads,) if loads else (), draw(st.sampled_from([0.0, 0.0, 1e-6])))))
        traffics.append(Traffic(tuple(groups), pair=pair))
    return Incidence([draw(looks) for _ in range(chips)], [draw(looks) for _ in range(wires)], traffics)


def met_by_chip(case: Incidence, folding: Folding, chip: int) -> Counter[Any]:
    """The classes of groups that a chip is in, with its role."""
    return Counter(
        (at, folding.groups[at][number], place if traffic.pair else 0)
        for at, traffic in enumerate(case.traffics)
        for number, group in enumerate(traffic.groups)
        for place, member in enumerate(group.members)
        if member == chip
    )


def met_by_wire(case: Incidence, folding: Folding, wire: int) -> Counter[Any]:
    """The classes of groups that use a wire, with their bytes."""
    return Counter(
        (at, folding.groups[at][number], group.transfer.wires[wire])
        for at, traffic in enumerate(case.traffics)
        for number, group in enumerate(traffic.groups)
        if wire in group.transfer.wires
    )


def met_by_group(case: Incidence, folding: Folding, at: int, number: int) -> Any:
    """The classes of a group's chips in their roles and of its wires with their bytes, and its latency."""
    traffic = case.traffics[at]
    group = traffic.groups[number]
    return (
        Counter((place if traffic.pair else 0, folding.chip[chip]) for place, chip in enumerate(group.members)),
        Counter((nbytes, folding.wire[wire]) for wire, nbytes in group.transfer.wires.items()),
        group.transfer.latency_s,
    )


def assert_equitable(case: Incidence, folding: Folding) -> None:
    """The definition: equals in a class are equal on their own, and meet equally many of every class."""
    for chip, first in enumerate(folding.chip):
        assert case.chips[chip] == case.chips[first]
        assert met_by_chip(case, folding, chip) == met_by_chip(case, folding, first)
    for wire, first in enumerate(folding.wire):
        assert case.wires[wire] == case.wires[first]
        assert met_by_wire(case, folding, wire) == met_by_wire(case, folding, first)
    for at, classes in enumerate(folding.groups):
        for number, first in enumerate(classes):
            assert met_by_group(case, folding, at, number) == met_by_group(case, folding, at, first)


@settings(LAWS, max_examples=100)
@given(incidences())
def test_the_classes_are_equitable(case: Incidence) -> None:
    folding = fold(case.chips, case.wires, case.traffics)
    assert_equitable(case, folding)
    for classes in (folding.chip, folding.wire, *folding.groups):
        assert all(first <= at and classes[first] == first for at, first in enumerate(classes))


@settings(LAWS, max_examples=60)
@given(incidences(), st.randoms(use_true_random=False))
def test_the_order_of_groups_does_not_matter(case: Incidence, rng: random.Random) -> None:
    shuffled = [replace(each, groups=tuple(rng.sample(each.groups, len(each.groups)))) for each in case.traffics]
    before, after = fold(case.chips, case.wires, case.traffics), fold(case.chips, case.wires, shuffled)
    assert list(before.chip) == list(after.chip)
    assert_equitable(replace(case, traffics=shuffled), after)


def test_unfolded_is_equitable_and_every_chip_for_itself() -> None:
    case = Incidence([0] * 3, [0] * 2, [Traffic((Joined((0, 1, 2), Transfer(({0: 1.0, 1: 1.0},))),))])
    assert_equitable(case, unfolded(3, 2, case.traffics))
    assert unfolded(3, 2, case.traffics).members == {0: [0], 1: [1], 2: [2]}


@pytest.mark.parametrize("rounds", [0, 1, 2])
@pytest.mark.parametrize("name", ["ring 8", "straggler ring", "grid 3 4"])
def test_giving_up_is_right_too(name: str, rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    here = SYSTEMS[name]
    wanted = run(contending(here), DIMS, here, RunOptions(fold=False))
    monkeypatch.setattr(folding_module, "MAX_ROUNDS", rounds)
    got = run(contending(here), DIMS, here)
    if not rounds:
        assert got.plan.classes == here.size
    assert_same(got, wanted)
