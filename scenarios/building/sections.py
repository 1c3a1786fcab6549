"""The sections of a scenario, each checked on its own, so that one mistake hides no other.

Model: a section that is wrong is read as far as that goes: a misspelt key as what it is nearest to, what will not do left
out (`hw.input.validate_rest`). What comes of it serves for looking at the rest alone: a scenario with a mistake in it
never runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import create_model

from hw import Problems
from hw.input import Document, Key, Spec, UnknownNames, nearest, validate, validate_rest
from scenarios.language.scenario_spec import ScenarioSpec

_NAMES = tuple(field.alias or name for name, field in ScenarioSpec.model_fields.items())

_FIELDS: dict[str, Any] = dict.fromkeys(_NAMES, (Any, None))

_Names: type[Spec] = create_model("_Names", __base__=Spec, **_FIELDS)


@dataclass(frozen=True, slots=True)
class Section:
    """A section as far as it can be read: `spec` is None where there is none, or nothing can be. `sound`: nothing is wrong
    with it; `out`: what was left out of it, each by its keys, and `missed` that of it which such a section has."""

    spec: Any = None
    sound: bool = True
    out: frozenset[Key] = frozenset()
    missed: frozenset[Key] = frozenset()

    @property
    def lost(self) -> frozenset[str]:
        """The keys of the section itself that are left out, though there are such."""
        return frozenset(str(key[1]) for key in self.missed if len(key) == 2)


def read_section(model: type[Spec], name: str, document: Document, problems: Problems) -> tuple[Section, Document]:
    """A section, after adding what is wrong to the problems, and the document with that mended."""
    if name not in document.data:
        return Section(), document
    spec = validate(model, document, problems, (name,))
    if spec is not None:
        return Section(spec), document
    rest = validate_rest(model, document, (name,))
    return Section(rest.spec, False, rest.out, rest.lost), rest.document


def named_sections(document: Document, problems: Problems) -> Document:
    """The document with its sections under the names that were meant, after telling which are misspelt or missing."""
    others = UnknownNames("key", _NAMES)
    strange = [key for key in document.data if key not in _NAMES]
    for key in strange:
        problems.add(document.key_mark((key,)), others.message(key))
    missing = [key for key in ("name", "system", "workload") if key not in document.data]
    # a key that is only misspelt is not missing, too
    misspelt = {nearest(key, _NAMES) for key in strange} if missing else set()
    for key in missing:
        if key not in misspelt:
            problems.add(document.value_mark(()), f"'{key}' is missing")
    return validate_rest(_Names, document).document if strange else document
