"""The `system` section of a scenario: its base merged in, then built, with the places of everything kept.

`base: dgx_h100` (or a file): the base's keys are the defaults, the scenario's own win; maps merge, null deletes. A topology
or a list of chips of one's own takes the place of everything that says the same in the base (a slice, a single chip).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hw import Chip, Mark, Problem, Problems, SpecError, System, chip_names, load_chip
from hw.input import Document, Key, unknown, validate
from hw.systems import Built, SystemBuilder, SystemFile, SystemSpec, folder_of, system_document
from scenarios.building.sections import read_section
from scenarios.language.chip_set import chips_of, leave_behind, names_chips, restated
from scenarios.language.source import merge
from scenarios.language.variants import changed
from simulator import KINDS

_AT = ("system",)
_REPLACES = {"topology": ("slice", "slices"), "chips": ("chip",), "chip": ("chips",), "mesh": ("mesh",)}
"""What of the base a key of the scenario's own puts aside."""

_OWN = ("name", "about", "sources")
"""Keys of a system file that a scenario does not take over."""


_STANDS_ALONE = {"set", "host"}
"""Keys without which a section says as much of the wiring and the names of its parts."""


def build_system(document: Document, path: Path, problems: Problems) -> tuple[Built, Document]:
    """The system of a scenario, and the document with what is wrong in it mended; that is added to the problems, and a
    stand-in serves for checking the rest."""
    try:
        whole = with_base(document, path)
    except SpecError as error:
        problems.extend(error)
        # its own keys are what they are, whatever the base
        validate(SystemSpec, document, problems, _AT)
        return _nothing(), document
    # a variant leaves behind what the scenario that it is made from has left behind already
    document.notes = tuple(dict.fromkeys(whole.notes))
    read, mended = read_section(SystemSpec, "system", whole, problems)
    if not read.sound:
        document = mended
    if read.spec is None or read.lost - _STANDS_ALONE:
        return _nothing(), document
    built = SystemBuilder(read.spec, mended, _AT, lambda mark: folder_of(mark, path.parent), problems).build()
    for chip in built.system.kinds if built.listed else ():
        _check_kernels(chip, mended, problems)
    return built, document


def _check_kernels(chip: Chip, document: Document, problems: Problems) -> None:
    """Kernel times of kinds of ops that there are not would be passed over. A chip file alone cannot be held against them:
    kinds may be a user's own."""
    measured = chip.calibration.measured
    said = measured.kernels_said if measured is not None else None
    if said is None or isinstance(said, str):
        return
    for name in said.kinds:
        if name not in KINDS:
            where = f"{chip.name}: calibration.measured.kernels.kinds"
            problems.add(document.value_mark((*_AT, "chip")), f"{where}: {unknown('op kind', name, KINDS)}")


def notes_of(document: Document, path: Path, values: Mapping[str, Any]) -> tuple[str, ...]:
    """What should be known of a document with other values at dotted paths, beside its results."""
    if not names_chips(values):
        return document.notes
    try:
        return with_base(changed(document, values), path).notes
    except SpecError:  # it cannot be run, and its error says why
        return ()


def _nothing() -> Built:
    return Built(None, System(load_chip(chip_names()[0])), False)


def with_base(document: Document, path: Path) -> Document:
    """The document with the base of its system merged in, if it has one. Raises SpecError."""
    section = document.data.get("system")
    reference = section.get("base") if isinstance(section, dict) else None
    if reference is None:
        return document
    mark = document.value_mark((*_AT, "base"))
    if not isinstance(reference, str):
        raise SpecError([Problem(mark, "base wants the name of a system, or the path of a system file")])
    base = system_document(reference, mark, folder_of(mark, path.parent))
    problems = Problems()
    if validate(SystemFile, base, problems) is None:
        raise SpecError(problems.found)
    if "base" in base.data:
        message = f"'{reference}' has a base itself; a base stands alone"
        raise SpecError([Problem(base.key_mark(("base",)), message)])
    aside = {*_OWN, *(name for key, names in _REPLACES.items() if key in section for name in names)}
    kept = {key: value for key, value in base.data.items() if key not in aside}
    below = Document(base.file, {"system": kept}, _moved(base.values), _moved(base.keys))
    whole = merge(below, document)
    leave_behind(whole, chips_of({"system": base.data}), restated(document.data))
    return whole


def _moved(places: dict[Key, Mark]) -> dict[Key, Mark]:
    """Places of a file's values, as those of a scenario's `system`."""
    return {(*_AT, *key): mark for key, mark in places.items()}
