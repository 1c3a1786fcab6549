"""Chips by name, by file, or written inline: one loader for all three, with overrides.

A chip is a file, not a class: `hw/catalog/NAME.yaml`. Overrides use the file's dotted names (`hbm.bandwidth`) and go
through the same validation, so a wrong override is reported where the user wrote it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from hw.chips.chip import Chip, chip_invariants, self_check
from hw.chips.links import link_problems, links_of
from hw.input.document import Document, Key
from hw.input.errors import Mark, Problem, Problems, SpecError
from hw.input.files import is_file
from hw.input.sorts import need_sort
from hw.input.validation import validate
from hw.input.wording import unknown
from hw.input.yaml_text import read_document

_CATALOG = Path(__file__).parent.parent / "catalog"

_MATRIX_UNIT: Key = ("matrix_unit",)

_PLAIN = {"price": "on_demand"}
"""Sections that may be one plain value: the key that it stands for."""


def chip_names() -> list[str]:
    """The names in the catalogue, sorted."""
    return list(_names())


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    """Read once: the catalogue is shipped, and every scenario asks."""
    return tuple(sorted(path.stem for path in _CATALOG.glob("*.yaml")))


def catalogue_name(reference: str) -> str | None:
    """The chip of the catalogue that a name means, whatever its case; None if there is none."""
    return reference.lower() if reference.lower() in _names() else None


def is_path(reference: str) -> bool:
    """Whether a reference to a chip means a file rather than a name."""
    return reference.endswith((".yaml", ".yml")) or "/" in reference


@lru_cache(maxsize=128)
def _catalogue_document(name: str) -> Document:
    return read_document(_CATALOG / f"{name}.yaml", f"hw/catalog/{name}.yaml")


def chip_document(reference: str, mark: Mark, base: Path | None = None) -> Document:
    """The document of a chip given by catalogue name or by path (relative to `base`). Raises SpecError at `mark`."""
    if is_path(reference):
        path = (base or Path()) / reference
        if not is_file(path):
            raise SpecError([Problem(mark, f"there is no chip file '{path}'")])
        return need_sort(read_document(path), "chip")
    name = catalogue_name(reference)
    if name is None:
        raise SpecError([Problem(mark, unknown("chip", reference, chip_names()))])
    shipped = _catalogue_document(name)
    return Document(shipped.file, copy.deepcopy(shipped.data), dict(shipped.values), dict(shipped.keys))


def override(document: Document, values: Mapping[str, object], marks: Mapping[str, tuple[Mark, Mark]]) -> None:
    """Set dotted keys in a chip's document; `marks` has the places of each key and value for later complaints."""
    if not isinstance(document.data, dict):
        return  # no chip at all: validation says so
    for dotted, value in values.items():
        key: Key = tuple(dotted.split("."))
        target = document.data
        for part in key[:-1]:
            if not isinstance(target.get(part), dict):
                target[part] = {_PLAIN[part]: target[part]} if part in _PLAIN and part in target else {}
                document.forget(key[: key.index(part) + 1])
            target = target[part]
        target[key[-1]] = copy.deepcopy(value)
        if key[:-1] == ("price",) and isinstance(target.get("sellers"), dict):
            target["sellers"].pop(key[-1], None)  # another price is not what the seller asks
        document.forget(key)
        for end in range(1, len(key) + 1):
            if end == len(key) or key[:end] not in document.values:
                document.keys[key[:end]], document.values[key[:end]] = marks[dotted]


def overrides_matrix_unit(names: Iterable[str]) -> bool:
    """Whether some overrides are about the matrix unit."""
    return any(name.partition(".")[0] == _MATRIX_UNIT[0] for name in names)


def build_chip(document: Document, problems: Problems, what_if: bool = False) -> Chip | None:
    """The chip that a document describes, or None after adding what is wrong to `problems`.

    `what_if`: figures of its matrix unit were overridden, so the peak need no longer be what the file derives.
    """
    chip = validate(Chip, document, problems)
    if chip is None:
        return None
    broken = list(chip_invariants(chip))
    if not what_if and _as_one_file_says(document):
        broken += self_check(chip)
    for keys, message in broken:
        marks = [
            document.key_mark(key) if key[0] in ("sources", "calibration") else document.value_mark(key) for key in keys
        ]
        # what a user has overridden is likelier to be wrong than what the chip's own file says
        problems.add(next((mark for mark in marks if mark.file != document.file), marks[0]), message)
    return None if broken else chip


def _as_one_file_says(document: Document) -> bool:
    """Whether all of a matrix unit stands in one file: what comes from elsewhere changes an inline chip."""
    places = [mark for key, mark in document.values.items() if key[:1] == _MATRIX_UNIT and len(key) > 1]
    return len({mark.file for mark in places}) <= 1


def load_chip(name: str | Path, set: Mapping[str, object] | None = None) -> Chip:
    """A chip of the catalogue by name (read once), or of a file by path (read as it is now).

    `set`: figures that are other than it says, by their dotted names, as a scenario's `system.set` writes them:
    `{"hbm.bandwidth": "4 TB/s", "links.nvlink.count": 12}`. A link that the chip does not have is given whole:
    `{"links.ethernet": {"bandwidth": "50 GB/s"}}`. Raises SpecError.
    """
    name = str(name)
    if is_path(name) or set:
        return _load(name, set or {})
    return _catalogue_chip(name)


@lru_cache(maxsize=128)
def _catalogue_chip(name: str) -> Chip:
    return _load(name, {})


def _load(name: str, changes: Mapping[str, object]) -> Chip:
    problems = Problems()
    document = chip_document(name, Mark(name))
    places = {dotted: Mark(f"{name}, set {dotted}") for dotted in changes}
    parts = [dotted for dotted in changes if dotted.count(".") > 1]  # a link given whole may be new
    wrong = link_problems(links_of(document), parts, "the chip does not have it")
    for dotted, message in wrong.items():
        problems.add(places[dotted], message)
    values = {dotted: value for dotted, value in changes.items() if dotted not in wrong}
    override(document, values, {dotted: (places[dotted], places[dotted]) for dotted in values})
    chip = build_chip(document, problems, overrides_matrix_unit(values))
    problems.raise_if_any()
    assert chip is not None
    return chip
