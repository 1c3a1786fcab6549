"""The shipped scenarios keep their word: every number that one states is claimed, and none repeats the catalogue.

That each claim holds is tested in `tests.scenarios.test_cli`; what counts as a stated number in
`tests.support.library_numbers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from hw import Mark, chip_names
from hw.chips import chip_document
from hw.input import read_document
from hw.systems import system_document
from scenarios import LIBRARY, library_names, load_scenario, read_source
from scenarios.language.value_text import as_number
from tests.support.library_numbers import figures, stated

NAMES = sorted(library_names())

CONTEXT: Mapping[str, tuple[str, ...]] = {
    "attention_flash_a100": ("85 %",),  # a claim that the file contradicts
    "data_loading_nvme": ("6.25 GB/s",),  # the catalogue's figure that the what-if replaces
    "dot_product_on_the_vector_unit": ("99.5 %",),  # what it is not
    "fixed_flops_h100_derated": ("85 %",),  # the other end of a range of measurements
    "memory_wall": ("19.5 TFLOP/s", "1555 GB/s"),  # the chip that it is not
    "pod_batch": ("850 tokens",),  # the claimed batch over its 8960 chips
    "two_chip_edits": ("1.1x",),  # what the command does
    "vit_l_train": ("197 tokens",),  # patches, and a token of the class: the description says it
}
"""Numbers that a scenario speaks of without claiming them, and why that is right."""


def own_overrides(path: Path) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """What a file itself says under `set`, and of which chip: of all chips, and in entries of unlike ones."""
    own, whole = read_document(path).data.get("system") or {}, read_source(path).data["system"]
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


@pytest.mark.parametrize("name", NAMES)
def test_no_file_repeats_a_figure_of_the_catalogue(name: str) -> None:
    for chip, overrides in own_overrides(library_names()[name]):
        if chip not in chip_names():
            continue
        for dotted, value in overrides.items():
            known = catalogue_figure(chip, dotted)
            if known is not None and value is not None and not isinstance(value, dict):
                assert as_number(value) != as_number(known), f"{dotted} is what the catalogue says of {chip}"
            if isinstance(value, dict) and isinstance(known, dict):
                same = [key for key in value if key in known and as_number(value[key]) == as_number(known[key])]
                assert not same, f"{dotted} repeats {same} of {chip}"


@pytest.mark.parametrize("name", NAMES)
def test_a_file_whose_figures_are_its_own_says_that_it_is_a_what_if(name: str) -> None:
    path = library_names()[name]
    changed = [value for _, overrides in own_overrides(path) for value in overrides.values() if value is not None]
    about = str(read_document(path).data.get("about", ""))
    assert not changed or re.search(r"what.if", about, re.IGNORECASE), about


@pytest.mark.parametrize("name", NAMES)
def test_every_number_that_a_file_states_is_claimed(name: str) -> None:
    scenario = load_scenario(f"library:{name}")
    known = list(figures(scenario))
    loose = [
        each.text
        for each in stated(scenario.about)
        if not any(each.agrees(figure) for figure in known) and each.text not in CONTEXT.get(name, ())
    ]
    assert not loose, f"{loose} in: {scenario.about}"


def test_the_context_is_still_what_files_speak_of() -> None:
    for name, phrases in CONTEXT.items():
        about = load_scenario(f"library:{name}").about
        assert all(phrase in about for phrase in phrases), name


def test_every_file_says_what_it_is_about_and_claims_something() -> None:
    for path in LIBRARY.rglob("*.yaml"):
        data = read_source(path).data
        assert data.get("about"), path
        assert data.get("expect"), path


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
