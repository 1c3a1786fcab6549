"""The shipped scenarios keep their word: each claim holds, every number that one states is claimed, none repeats the
catalogue; and the analyses of each run add up.

Each scenario is read and run once, for all tests of it. What counts as a stated number: `tests.support.library_numbers`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

import pytest

from analysis import temporal_breakdown, timeline_frame
from analysis.runs import exposed_links, path_frame, slack_frame
from analysis.timelines import PARTS, exposed_intervals, overlap_fraction
from hw import Mark, chip_names
from hw.chips import chip_document
from hw.input import read_document
from hw.systems import system_document
from scenarios import Outcome, library_names, load_scenario, run
from scenarios.language.value_text import as_number
from tests.support.cases import overlapse
from tests.support.library_numbers import figures, stated

NAMES = sorted(library_names())

CONTEXT: Mapping[str, tuple[str, ...]] = {
    "attention_flash_a100": ("85 %",),  # a claim that the file contradicts
    "data_loading_nvme": ("6.25 GB/s",),  # the catalogue's figure that the what-if replaces
    "dot_product_on_the_vector_unit": ("99.5 %",),  # what it is not
    "fixed_flops_h100_derated": ("85 %",),  # the other end of a range of measurements
    "ladder_of_memories": ("500 GB/s",),  # a memory that a chip may not have
    "memory_wall": ("19.5 TFLOP/s", "1555 GB/s"),  # the chip that it is not
    "pod_batch": ("850 tokens",),  # the claimed batch over its 8960 chips
    "two_chip_edits": ("1.1x",),  # what the command does
    "vit_l_train": ("197 tokens",),  # patches, and a token of the class: the description says it
}
"""Numbers that a scenario speaks of without claiming them, and why that is right."""


class Shipped:
    """A scenario of the library: what its file says, and its run."""

    def __init__(self, name: str) -> None:
        self.name, self.path = name, library_names()[name]

    @cached_property
    def own(self) -> dict[str, Any]:
        """What the file itself says."""
        data: dict[str, Any] = read_document(self.path).data
        return data

    @cached_property
    def outcome(self) -> Outcome:
        """The scenario, run when that is asked for."""
        return run(f"library:{self.name}")


@pytest.fixture(scope="module", params=NAMES)
def shipped(request: pytest.FixtureRequest) -> Shipped:
    """All tests of one scenario come one after the other, so that it is read and run once."""
    return Shipped(request.param)


@pytest.fixture(scope="module")
def listed() -> Mapping[str, str]:
    """What the command that lists the library says of each scenario."""
    rows = json.loads(overlapse("library", "--json").stdout)["scenarios"]
    return {row["name"]: row["about"] for row in rows}


def test_the_library_lists_what_it_is_about(shipped: Shipped, listed: Mapping[str, str]) -> None:
    assert listed[f"library:{shipped.name}"] == " ".join(shipped.outcome.scenario.about.split())


def test_it_is_read_on_one_screen(shipped: Shipped) -> None:
    assert len(shipped.path.read_text().splitlines()) <= 40


def test_every_claim_holds(shipped: Shipped) -> None:
    assert shipped.outcome.verdicts
    assert not shipped.outcome.failed, [str(verdict) for verdict in shipped.outcome.failed]


def test_the_analyses_of_a_run_add_up(shipped: Shipped) -> None:
    result, words = shipped.outcome.result, shipped.outcome.words
    timeline = timeline_frame(result)
    breakdown = temporal_breakdown(timeline)
    time, noise = result.time_s, 1e-12 * max(1, len(result.plan.program))
    assert breakdown[list(PARTS)].sum(axis=1).tolist() == pytest.approx([time] * len(breakdown), rel=1e-9)
    assert float(words["exposed_network"] or 0.0) == pytest.approx(breakdown["network"].max(), rel=1e-9, abs=1e-15)
    total = overlap_fraction(timeline)
    assert (breakdown["network"].to_numpy() <= total["network"].to_numpy() * (1 + 1e-9) + 1e-15).all()
    moving = exposed_intervals(timeline, "memory")
    longest = (moving["end"] - moving["begin"]).groupby(moving["chip"]).sum().max() if len(moving) else 0.0
    assert float(words["exposed_memory"] or 0.0) == pytest.approx(longest, rel=1e-9, abs=1e-15)
    assert exposed_links(result)["seconds"].sum() == pytest.approx(breakdown["network"].sum(), rel=1e-9, abs=1e-15)
    path = path_frame(result)
    assert (path["end"] - path["begin"]).sum() == pytest.approx(time, rel=1e-9, abs=1e-15)
    assert path["begin"].iloc[0] == 0.0
    assert float(words["dependency_bound"] or 0.0) <= time * (1 + 1e-9) + noise
    slack = slack_frame(result)
    assert slack["slack"].min() == 0.0


def own_overrides(shipped: Shipped) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """What a file itself says under `set`, and of which chip: of all chips, and in entries of unlike ones."""
    own, whole = shipped.own.get("system") or {}, shipped.outcome.scenario.document.data["system"]
    chip = whole.get("chip")
    if chip is None and "base" in whole and not whole.get("chips"):
        chip = system_document(whole["base"], Mark("base")).data.get("chip")
    yield chip, own.get("set") or {}
    for entry in own.get("chips") or []:
        if isinstance(entry, dict):
            yield entry["chip"], entry.get("set") or {}


def catalogue_figure(chip: str, dotted: str) -> Any:
    """What the catalogue says of a chip under a dotted name; None if nothing."""
    data: Any = chip_document(chip, Mark(chip)).data
    for part in dotted.split("."):
        data = data.get(part) if isinstance(data, dict) else None
    return data


def test_no_file_repeats_a_figure_of_the_catalogue(shipped: Shipped) -> None:
    for chip, overrides in own_overrides(shipped):
        if chip not in chip_names():
            continue
        for dotted, value in overrides.items():
            known = catalogue_figure(chip, dotted)
            if known is not None and value is not None and not isinstance(value, dict):
                assert as_number(value) != as_number(known), f"{dotted} is what the catalogue says of {chip}"
            if isinstance(value, dict) and isinstance(known, dict):
                same = [key for key in value if key in known and as_number(value[key]) == as_number(known[key])]
                assert not same, f"{dotted} repeats {same} of {chip}"


def test_a_file_whose_figures_are_its_own_says_that_it_is_a_what_if(shipped: Shipped) -> None:
    changed = [value for _, overrides in own_overrides(shipped) for value in overrides.values() if value is not None]
    about = str(shipped.own.get("about", ""))
    assert not changed or re.search(r"what.if", about, re.IGNORECASE), about


def test_every_number_that_a_file_states_is_claimed(shipped: Shipped) -> None:
    scenario = shipped.outcome.scenario
    known = list(figures(scenario))
    loose = [
        each.text
        for each in stated(scenario.about)
        if not any(each.agrees(figure) for figure in known) and each.text not in CONTEXT.get(shipped.name, ())
    ]
    assert not loose, f"{loose} in: {scenario.about}"


def test_the_context_is_still_what_files_speak_of() -> None:
    for name, phrases in CONTEXT.items():
        about = load_scenario(f"library:{name}").about
        assert all(phrase in about for phrase in phrases), name


def test_every_file_says_what_it_is_about_and_claims_something(shipped: Shipped) -> None:
    assert shipped.outcome.scenario.about
    assert shipped.outcome.scenario.claims


@pytest.mark.parametrize(
    ("about", "texts"),
    [
        ("It takes 143 ms, 2.59 times as long.", ["143 ms", "2.59 times"]),
        ("6,560 tokens/s and 57,600 USD in 30 days", ["57,600 USD", "30 days"]),
        ("1925 tokens. The book prints 2200 tokens.", ["1925 tokens"]),
        ("Tiles of 512 x 512 in row U08, at 95 % of 1.97e14 FLOP/s", ["95 %", "1.97e14 FLOP/s"]),
    ],
)
def test_what_a_stated_number_is(about: str, texts: list[str]) -> None:
    assert [each.text for each in stated(about)] == texts


def test_a_stated_number_agrees_as_far_as_it_is_written() -> None:
    (number,) = stated("143 ms")
    assert number.agrees(0.142857)
    assert not number.agrees(0.1424)
