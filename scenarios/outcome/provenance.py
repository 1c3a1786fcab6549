"""Where every value of a scenario came from: the line of a file, or the source of a catalogue's figure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hw import Mark
from hw.input import Document, Key, walk
from hw.systems import counted_chip
from scenarios.building.build import Scenario
from scenarios.console.terminal import UNBROKEN_SPACE


def provenance(document: Document) -> Iterator[tuple[str, str, str]]:
    """(name, value as written, place) of every value of the scenario file and its bases."""
    for key, value in walk(document.data):
        if key[0] not in ("about", "extends"):
            yield ".".join(map(str, key)), str(value), _place(document.value_mark(key))


def _place(mark: Mark) -> str:
    """A place as text in which no line may end: folders may have spaces in their names."""
    return str(mark).replace(" ", UNBROKEN_SPACE)


def chip_sources(scenario: Scenario) -> Iterator[tuple[int, str, str]]:
    """(kind of chip, section, source) of every figure of every kind; a figure that the scenario sets names the scenario."""
    document = scenario.document
    for kind, chip in enumerate(scenario.system.kinds):
        places = list(_changes(scenario, kind))
        for section in chip.figures():
            source = chip.sources.get(section, "no source given")
            for place, changed in places:
                for name in changed:
                    if name == section or name.startswith(f"{section}."):
                        set_at = _place(document.value_mark((*place, name)))
                        source += f"; {name} set to {changed[name]} at {set_at}"
            yield kind, section, source


def _changes(scenario: Scenario, kind: int) -> Iterator[tuple[Key, Mapping[str, Any]]]:
    """What the scenario sets for a kind of chip, and where: for all chips, then in the entries that make this kind."""
    system, section = scenario.system, scenario.document.data["system"]
    yield ("system", "set"), section.get("set", {})
    if len(system.kinds) == 1:
        return
    chip = 0
    for number, entry in enumerate(section.get("chips", ())):
        if isinstance(entry, str):
            chip += counted_chip(entry)[0]
            continue
        if system.kind_of[chip] == kind:
            yield ("system", "chips", number, "set"), entry.get("set", {})
        chip += entry.get("count", 1)
