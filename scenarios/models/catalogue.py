"""Models by name, by file, or written inline: one loader for all of them.

A model is a file, not a class: `scenarios/models/NAME.yaml`. `base: NAME` starts from another model and changes what is
said beside it (`layers: 12`); a file that ends with `.json` is a config.json of the Hugging Face hub. Whatever is wrong is
told at the place where the user wrote it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from hw.input import (
    MAX_BYTES,
    Document,
    Key,
    Mark,
    Problem,
    Problems,
    SpecError,
    is_file,
    is_folder,
    need_sort,
    read_document,
    unknown,
    validate,
    validate_rest,
)
from scenarios.models.published import Published
from scenarios.models.spec import SPECS, AnySpec
from simulator.models import Model, description_problems, parameters

_CATALOGUE = Path(__file__).parent
_FIRST_KEYS = re.compile(r"^(\w+):", re.MULTILINE)
_NESTED = 8
"""How many models may start from each other."""

_OF_A_HEAD = (("position", "rotary"), ("attention", "head_dim"))
"""Where something is wrong with the size of a head."""

_OF_ITS_BASE = ("about", "hub", "published", "sources")
"""What is said of a model as it is, and no longer of one that is changed."""


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model as read: its description, what is said of it, and what a reader should be told (`notes`)."""

    description: Model
    about: str = ""
    hub: str = ""
    published: Published | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The model's name."""
        return self.description.name


def is_description(path: Path) -> bool:
    """Whether a file describes a model, by its first keys: one of a family, or that starts from another model. What is no
    readable text, or a device that may never end, is none."""
    try:
        if not is_file(path) or path.stat().st_size > MAX_BYTES:
            return False
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return False
    keys = set(_FIRST_KEYS.findall(text))
    return bool(keys & {"family", "base"}) and not keys & {"system", "workload", "extends"}


def published_counts(model: LoadedModel) -> list[tuple[bool, str]]:
    """Of each count of parameters that is published, whether that of the description agrees, and what both are."""
    if model.published is None:
        return []
    counted, compared = parameters(model.description), [("parameters", model.published.parameters)]
    if model.published.active is not None:
        compared.append(("parameters in use", model.published.active))
    told = []
    for what, figure in compared:
        used = counted.active_with_tables if figure.tables else counted.active
        count = counted.total if what == "parameters" else used
        told.append((figure.agrees(count), f"{what}: {count:,} by the description, {figure.value} published"))
    return told


def model_names() -> list[str]:
    """The names in the catalogue, sorted."""
    return list(_names())


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(sorted(path.name.removesuffix(".yaml") for path in _CATALOGUE.glob("*.yaml")))


def load_model(reference: str | Path | Mapping[str, Any]) -> LoadedModel:
    """A model by name, from a file (YAML, or a hub's config.json), or from a mapping in the same words.

    Raises SpecError with everything that is wrong.
    """
    given: Any = dict(reference) if isinstance(reference, Mapping) else str(reference)
    problems = Problems()
    where = given if isinstance(given, str) else "model"
    model = read_model(Document(where, given), (), problems)
    problems.raise_if_any()
    assert model is not None
    return model


def read_model(document: Document, at: Key, problems: Problems, base: Path | None = None) -> LoadedModel | None:
    """The model that stands at a place of a document: a name, a path (relative to `base`), or a mapping.

    None after adding what is wrong to `problems`.
    """
    before = len(problems.found)
    try:
        own = _resolved(_part(document, at), base, 0, problems)
    except SpecError as error:
        problems.extend(error)
        return None
    spec, own = _checked(own, problems)
    if spec is None:
        return None
    description = spec.built()
    wrong = list(description_problems(description, own.name_of))
    uneven = spec.uneven(own.name_of(("d_model",)))
    if uneven is not None:
        # nothing is said of a size that is no whole number
        wrong = [(("attention", "heads"), uneven), *(each for each in wrong if each[0] not in _OF_A_HEAD)]
    for key, message in wrong:
        problems.add(own.value_mark(key), message)
    if len(problems.found) > before:
        return None
    return LoadedModel(description, spec.about, spec.hub, spec.published, spec.sources, own.notes)


def _part(document: Document, at: Key) -> Document:
    """What stands at a place, as a document of its own that keeps the places of its values."""
    data = document.data
    for step in at:
        data = data[step]
    depth = len(at)
    values = {key[depth:]: mark for key, mark in document.values.items() if key[:depth] == at}
    keys = {key[depth:]: mark for key, mark in document.keys.items() if key[:depth] == at}
    values.setdefault((), document.value_mark(at))
    return Document(document.file, data, values, keys)


def _checked(document: Document, problems: Problems) -> tuple[AnySpec | None, Document]:
    """The spec that a document holds, by its family, and the document with keys that are only misspelt mended: what does
    not go together is told beside them."""
    family = document.data.get("family", "decoder") if isinstance(document.data, dict) else "decoder"
    if not isinstance(family, str) or family not in SPECS:
        problems.add(document.value_mark(("family",)), unknown("family", str(family), SPECS))
        return None, document
    spec = validate(SPECS[family], document, problems)
    if spec is not None:
        return spec, document
    rest = validate_rest(SPECS[family], document)
    return (None, document) if rest.lost else (rest.spec, rest.document)


def _resolved(document: Document, base: Path | None, depth: int, problems: Problems) -> Document:
    """The document of a model, after names, files and `base` have been followed. What is wrong in a file that can be read
    on is added to `problems`. Raises SpecError."""
    mark = document.value_mark(())
    if depth > _NESTED:
        raise SpecError([Problem(mark, f"more than {_NESTED} models start from each other")])
    if isinstance(document.data, dict) and "base" in document.data:
        return _changed(document, base, depth, problems)
    if not isinstance(document.data, str):
        return document
    found, folder = _found(document.data, mark, base, problems)
    return _resolved(found, folder, depth + 1, problems)


def _changed(document: Document, base: Path | None, depth: int, problems: Problems) -> Document:
    """The model that `base` names, with what is said beside it."""
    start = _resolved(_part(document, ("base",)), base, depth + 1, problems)
    if not isinstance(start.data, dict):
        return start
    changes = {key: value for key, value in document.data.items() if key != "base"}
    changed = Document(document.file, copy.deepcopy(start.data), dict(start.values), dict(start.keys), start.notes)
    changed.called.update(start.called)
    for key in _OF_ITS_BASE:
        changed.data.pop(key, None)
    changed.values[()] = document.value_mark(())
    _merge(changed, document, changes, ())
    return changed


def _merge(into: Document, source: Document, changes: Mapping[str, Any], at: Key) -> None:
    """Put changes into a document, with their places: mappings merge, null takes away, all else replaces."""
    target = into.data
    for step in at:
        target = target[step]
    for name, value in changes.items():
        key = (*at, name)
        if isinstance(value, dict) and isinstance(target.get(name), dict):
            # what its parts lack together is the business of who changes one of them
            into.values[key] = source.value_mark(key)
            _merge(into, source, value, key)
            continue
        into.forget(key)
        target.pop(name, None)
        if value is not None:
            target[name] = copy.deepcopy(value)
        for places, said in ((into.values, source.values), (into.keys, source.keys)):
            places.update({known: mark for known, mark in said.items() if known[: len(key)] == key})


def _read(reference: str, path: Path, problems: Problems) -> Document:
    """A file, by who reads those of such a name."""
    if not reference.endswith(".json"):
        return need_sort(read_document(path), "model")
    # what reads the files of other tools is many modules: only who has such a file waits for them
    from scenarios.importers.config_json import config_document

    return config_document(path, problems)


def _found(reference: str, mark: Mark, base: Path | None, problems: Problems) -> tuple[Document, Path | None]:
    """The document that a name or path means, and the folder that paths in it start from."""
    path = (base or Path()) / reference
    if reference.endswith((".json", ".yaml", ".yml")) or "/" in reference:
        if not is_file(path):
            raise SpecError([Problem(mark, _missing(reference, path))])
        return _read(reference, path, problems), path.parent
    if reference.lower() not in _names():
        raise SpecError([Problem(mark, unknown("model", reference, model_names()))])
    shipped = _catalogue_document(reference.lower())
    own = Document(shipped.file, copy.deepcopy(shipped.data), dict(shipped.values), dict(shipped.keys))
    return own, _CATALOGUE


@lru_cache(maxsize=128)
def _catalogue_document(name: str) -> Document:
    return read_document(_CATALOGUE / f"{name}.yaml", f"scenarios/models/{name}.yaml")


def _missing(reference: str, path: Path) -> str:
    """What is said of a file that does not exist; a repository of the hub may be in the catalogue by another name."""
    if is_folder(path):
        inside = f"'{path / 'config.json'}'"
        hint = f", did you mean {inside}?" if is_file(path / "config.json") else " without a config.json"
        return f"'{path}' is a folder{hint}"
    told = f"there is no model file '{path}'"
    for name in _names():
        hub = _catalogue_document(name).data.get("hub", "")
        if hub and hub.lower() == reference.lower():
            return f"{told}; in the catalogue it is called '{name}'"
    return told
