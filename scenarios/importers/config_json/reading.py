"""A `config.json`, read: which family it is of, its values with their defaults, and all of it in our words.

The document that comes out has, for each value, the place in the config that said it, so that what is wrong later (heads
that do not divide) is told there, and what its file calls it. Notes tell what is left out. A value that cannot be taken over
hides no other: the family's own stands in for it while the rest is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hw.input import Document, Key, Mark, Problem, Problems, SpecError, did_you_mean, few, read_document, shown, unknown
from scenarios.importers.config_json.architectures import FAMILIES, family_of_architecture
from scenarios.importers.config_json.family import ConfigError, ConfigFamily, Said, Values
from scenarios.importers.config_json.keys import HARMLESS, NOTED, ONLY

_MOST_TOLD = 12


def config_document(path: Path, problems: Problems | None = None) -> Document:
    """The model that a config.json describes, in the words of `scenarios.models`. Raises SpecError; what hides nothing else
    is added to `problems` instead, where they are given."""
    # a hub's file is called config.json in all repositories: the folder tells whose it is
    name = path.stem if path.stem != "config" else path.absolute().parent.name
    return config_words(read_document(path), name or "model", problems)


def config_words(config: Document, name: str, problems: Problems | None = None) -> Document:
    """The same of a config that has been read; `name` is what the model is called. Raises SpecError."""
    if not isinstance(config.data, dict):
        raise SpecError([Problem(config.value_mark(()), "a config.json is a mapping ({...})")])
    config = _text_of(config)
    found = Problems()
    family = _family(config, found)
    found.raise_if_any()
    assert family is not None
    _check_shapes(config, family, found)
    head = _head(config, family, found)
    found.raise_if_any()
    values = _values(config, family, found)
    said = {"name": Said(name), **_said(config, family, (values, head), found)}
    if problems is None:
        found.raise_if_any()
    else:
        problems.found += found.found
    return _document(config, said, (*config.notes, *_notes(config, family)))


_OF_THE_WHOLE = ("tie_word_embeddings", "quantization_config")
"""Keys that a model which also sees or hears has beside its parts, and that are about its text."""


def _text_of(config: Document) -> Document:
    """The part of a config that is a model of text, where the whole is one that sees or hears as well."""
    inner, named = config.data.get("text_config"), config.data.get("model_type")
    if not isinstance(inner, dict) or named in FAMILIES:
        return config
    outer = {key: config.data[key] for key in _OF_THE_WHOLE if key in config.data}
    parts = few(
        (f"'{key}'" for key in config.data if key.endswith("_config") and key not in ("text_config", *outer)), 4
    )
    note = f"{config.file}: of {shown(named)} the text model is read" + (f"; left out: {parts}" if parts else "")
    places, keys = (
        {**{(key,): here[(key,)] for key in outer if (key,) in here}, **_below(here, "text_config")}
        for here in (config.values, config.keys)
    )
    return Document(config.file, {**outer, **inner}, places, keys, (*config.notes, note))


def _below(places: Mapping[Key, Mark], key: str) -> dict[Key, Mark]:
    """The places of what stands below a key, as if that were the whole."""
    return {each[1:]: mark for each, mark in places.items() if each[:1] == (key,)}


def _family(config: Document, problems: Problems) -> ConfigFamily | None:
    """The family of a config, by its `model_type`, or by an architecture that is known under another type."""
    model_type = config.data.get("model_type")
    if isinstance(model_type, str) and model_type in FAMILIES:
        return FAMILIES[model_type]
    listed = config.data.get("architectures")
    for name in listed if isinstance(listed, list) else []:
        family = family_of_architecture(str(name))
        if family is not None:
            return family
    if model_type is None and not listed:
        problems.add(config.value_mark(()), "'model_type' is missing: which architecture it is")
        return None
    key: Key = ("model_type",) if model_type is not None else ("architectures",)
    named = shown(model_type).strip("'") if model_type is not None else few(_strings(listed), 3)
    told = unknown("architecture", named, FAMILIES)
    if config.data.get("is_encoder_decoder") is True:
        told = f"{shown(named)} has an encoder and a decoder that attends to it; built here are decoders and encoders alone"
    problems.add(config.value_mark(key), told)
    return None


def _strings(listed: Any) -> Iterable[str]:
    return map(str, listed) if isinstance(listed, list) else [str(listed)]


def _values(config: Document, family: ConfigFamily, problems: Problems) -> Values:
    """The values of a config by the family's names of keys, with its defaults."""
    named: dict[str, Any] = {family.aliases.get(key, key): value for key, value in config.data.items()}
    for key, allowed in {**ONLY, **family.only}.items():
        if key in named and named[key] not in allowed:
            known = " or ".join(map(shown, allowed))
            told = f"{shown(named[key])} is not known for '{key}' of {family.model_type}: it must be {known}"
            problems.add(config.value_mark((_written(config, family, key),)), told)
    for alias, key in family.aliases.items():
        if {alias, key} <= config.data.keys() and config.data[alias] != config.data[key]:
            told = f"'{alias}' is another name of '{key}', which is {shown(config.data[key])}"
            problems.add(config.value_mark((alias,)), told)
    return Values({**family.defaults, **named})


_SHAPES = ("layers", "d_model", "attention.heads")


def _check_shapes(config: Document, family: ConfigFamily, problems: Problems) -> None:
    """A model of another type than the family's says its shapes itself, in the family's keys: the defaults, and so what a
    file leaves out, are those of the family's own."""
    model_type = config.data.get("model_type")
    named = {family.aliases.get(key, key) for key in config.data}
    missing = [key for word in _SHAPES if (key := family.words[word]) not in named]
    if model_type not in (None, family.model_type) and missing:
        keys = few((f"'{key}'" for key in missing), 3)
        told = f"{shown(model_type)} is no {family.model_type}, and does not say {keys}, as a {family.model_type} does"
        problems.add(config.value_mark(("model_type",)), told)


def _written(config: Document, family: ConfigFamily, key: str) -> str:
    """The name by which a file gives a key."""
    others = (alias for alias, name in family.aliases.items() if name == key and alias in config.data)
    return key if key in config.data else next(others, key)


def _head(config: Document, family: ConfigFamily, problems: Problems) -> Mapping[str, Any]:
    """What stands after the last block, by the architecture's name."""
    listed = config.data.get("architectures") or []
    names = [str(each) for each in listed] if isinstance(listed, list) else [str(listed)]
    for name in names:
        if name in family.heads:
            return family.heads[name]
    if names:
        problems.add(config.value_mark(("architectures",)), unknown("architecture", names[0], family.heads))
        return {}
    return next(iter(family.heads.values()))


def _said(
    config: Document, family: ConfigFamily, given: tuple[Values, Mapping[str, Any]], problems: Problems
) -> dict[str, Said]:
    """Everything that is said of the model, by dotted key; `given`: values, and what stands after the last block."""
    values, head = given
    said = {word: Said(value) for word, value in {**family.always, **head}.items()}
    values, derived = _derived(config, family, values, problems)
    for word, key in family.words.items():
        if values[key] is not None or word not in said:
            said[word] = Said(values[key], key)
    said.update(derived)
    return {word: Said(each.value, each.key and _written(config, family, each.key)) for word, each in said.items()}


def _derived(
    config: Document, family: ConfigFamily, values: Values, problems: Problems
) -> tuple[Values, Mapping[str, Said]]:
    """What follows from several values, and the values, with those of the family for such as nothing follows from."""
    tried: set[str] = set()
    while True:
        try:
            return values, family.derive(values)
        except ConfigError as error:
            if error.key in tried:  # nothing follows from the family's own, either
                return values, {}
            tried.add(error.key)
            problems.add(config.value_mark((_written(config, family, error.key),)), str(error))
            values = Values({**values.data, error.key: family.defaults.get(error.key)})


def _document(config: Document, said: Mapping[str, Said], notes: tuple[str, ...]) -> Document:
    """Dotted keys as a document; each value has the place of the key that said it."""
    made = Document(config.file, {}, {(): config.value_mark(())}, {}, notes)
    for word, each in said.items():
        *above, last = word.split(".")
        place = config.value_mark((each.key,)) if each.key else config.value_mark(())
        made.values[(*above, last)] = place
        if each.key is not None:
            made.called[(*above, last)] = each.key
        if each.value is None:
            continue
        target = made.data
        for step in above:
            target = target.setdefault(step, {})
        target[last] = each.value
    return made


def _notes(config: Document, family: ConfigFamily) -> Iterator[str]:
    """What a reader should know of keys that were left out."""
    known = {*family.defaults, *family.aliases, *family.only, *ONLY, *HARMLESS, *NOTED}
    told = {**NOTED, **family.noted}
    named = config.data.get("model_type")
    if named not in (None, family.model_type):
        yield f"{config.file}: '{named}' is read as {family.model_type}, since its architecture is of that family"
    for key, note in told.items():
        if note and config.data.get(key):
            yield f"{config.file}: '{key}': {note}"
    left_out = [key for key in config.data if key not in known and key not in told]
    missing = [key for key in family.defaults if key not in config.data]
    if left_out:
        listed = few((f"'{key}'{did_you_mean(key, missing)}" for key in left_out), _MOST_TOLD)
        yield f"{config.file}: keys that are not known, and are left out: {listed}"
