"""Whose figures `system.set` holds: overrides belong to the chip beside which they were written.

Model: a scenario's chip is what `system.chip` names, else the names in `system.chips`, else the chip of `system.base`. Where
something from outside (a file that extends this one, --set, a study, a what-if edit) names a chip that was not there
before, what `set` said of the old one does not describe the new one: it is left behind, and a note says so. What is given
together with the new chip stays. An inline chip goes by its `name`; counts of unlike chips change nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from hw.input import Document, Key
from hw.systems import chip_reference

_SECTION = "system"
_SET = "set"
_PLACE: Key = (_SECTION, _SET)
_PREFIX = f"{_SECTION}.{_SET}."
_NAMES_CHIPS = ("system.chip", "system.chips", "system.base", _SECTION)
"""Paths that can put another chip in place."""


def names_chips(paths: Iterable[str]) -> bool:
    """Whether values at some dotted paths may put another chip in place."""
    return any(path in _NAMES_CHIPS or path.startswith("system.chip.") for path in paths)


def chips_of(data: Mapping[str, Any]) -> frozenset[str]:
    """What the chips of a scenario, or of a system file's `system`, go by; empty where it names none."""
    section = data.get(_SECTION)
    if not isinstance(section, Mapping):
        return frozenset()
    listed = section.get("chips")
    written = [section["chip"]] if "chip" in section else listed if isinstance(listed, list) else []
    if written:
        return frozenset(_identity(each) for each in written)
    base = section.get("base")
    return frozenset({f"the chip of {base}"}) if base is not None else frozenset()


def _identity(written: Any) -> str:
    """What one chip goes by: its name in the catalogue or its path, or the name that an inline chip has."""
    if isinstance(written, str):
        return chip_reference(written)
    if not isinstance(written, Mapping):
        return repr(written)
    if "chip" in written:
        return _identity(written["chip"])
    return str(written.get("name", "an inline chip"))


def restated(data: Mapping[str, Any]) -> set[str]:
    """The figures that a document gives itself."""
    section = data.get(_SECTION)
    given = section.get(_SET) if isinstance(section, Mapping) else None
    return set(given) if isinstance(given, Mapping) else set()


def restated_by(paths: Iterable[str]) -> set[str]:
    """The figures that values at dotted paths give."""
    return {path.removeprefix(_PREFIX) for path in paths if path.startswith(_PREFIX)}


def kept_figures(data: dict[str, Any], before: frozenset[str], stay: Collection[str]) -> dict[str, Any]:
    """The data without the figures of chips that are gone; itself if none are. `before`: the chips that there were."""
    gone = _left_behind(data, before, stay)
    if not gone:
        return data
    section = dict(data[_SECTION])
    kept = {name: value for name, value in section.pop(_SET).items() if name not in gone}
    if kept:
        section[_SET] = kept
    return {**data, _SECTION: section}


def leave_behind(document: Document, before: frozenset[str], stay: Collection[str]) -> None:
    """Drop from a document the figures of chips that are gone, and note it."""
    gone = _left_behind(document.data, before, stay)
    if not gone:
        return
    document.data = kept_figures(document.data, before, stay)
    for name in gone:
        document.forget((*_PLACE, name))
    now = ", ".join(sorted(chips_of(document.data)))
    note = f"system.set is about {', '.join(sorted(before))}, not {now}; left behind: {', '.join(gone)}"
    document.notes = (*document.notes, note)


def _left_behind(data: Mapping[str, Any], before: frozenset[str], stay: Collection[str]) -> list[str]:
    now = chips_of(data)
    if not before or not now or now <= before:
        return []
    return [name for name in restated(data) if name not in stay]
