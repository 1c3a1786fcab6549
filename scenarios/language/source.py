"""Scenario files as documents: found, read, extended and overridden, with the place of every value kept.

`extends: other.yaml` (relative to the file): maps merge, lists and scalars replace, null deletes. A key with dots under
`system.set`, `expect`, or a map of a study (`vary`, `zip`, `derive`, `random.values`) is one key. The place of a value is
that of the file that gave it, so that errors and `explain` point at the line that matters.
"""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from hw import Mark, Problem, Problems, SpecError
from hw.input import MAX_BYTES, Document, Key, is_file, need_sort, parse_document, read_document, unknown
from scenarios.language.chip_set import chips_of, leave_behind, restated, restated_by
from scenarios.language.op_options import is_op_option, option_place, option_problem, option_said, with_op_option

STDIN = "-"
"""The reference of a scenario that comes by standard input."""
_IN_LIBRARY = "library:"
LIBRARY = Path(__file__).parent.parent / "library"
"""The folder of the bundled scenarios."""
_MAX_BASES = 16
_FLAT_UNDER: tuple[Key, ...] = (
    ("system", "set"),
    ("study", "vary"),
    ("study", "zip"),
    ("study", "derive"),
    ("study", "random", "values"),
    ("expect",),
)
"""Maps whose keys are dotted names."""


def library_names() -> dict[str, Path]:
    """The bundled scenarios by name."""
    files = [(folder, file) for folder, _, files in os.walk(LIBRARY) for file in files if file.endswith(".yaml")]
    return {file.removesuffix(".yaml"): Path(folder, file) for folder, file in sorted(files)}


def in_library(reference: str) -> bool:
    """Whether a reference to a scenario means a bundled one rather than a path."""
    return reference.startswith(_IN_LIBRARY)


def find_file(reference: str, folder: Path | None = None, mark: Mark | None = None) -> Path:
    """The file of a scenario given by path (relative to `folder`) or as `library:NAME`. Raises SpecError, at `mark`, where
    the library has no such scenario."""
    if not in_library(reference):
        return folder / reference if folder is not None else Path(reference)
    name, names = reference.removeprefix(_IN_LIBRARY), library_names()
    if name not in names:
        raise SpecError([Problem(mark or Mark(reference), unknown("scenario of the library", name, names))])
    return names[name]


def listed(overrides: Iterable[str]) -> tuple[str, ...]:
    """Overrides as they are meant: texts `a.b=v`, one each. Raises TypeError for anything else, one text alone, too, which
    would be taken letter by letter."""
    if isinstance(overrides, str | Mapping) or not isinstance(overrides, Iterable):
        raise TypeError(f"overrides are a list of texts, ['run.overlap=full'], not {_kind_of(overrides)}")
    texts = tuple(overrides)
    for text in texts:
        if not isinstance(text, str):
            raise TypeError(f"an override is a text, 'run.overlap=full', not {_kind_of(text)}")
    return texts


def _kind_of(value: object) -> str:
    name = type(value).__name__
    return "None" if value is None else f"{'an' if name[0] in 'aeio' else 'a'} {name}"


def read_source(path: Path, overrides: Iterable[str] = ()) -> Document:
    """The document of a scenario with its bases merged in and `a.b=v` overrides applied. Raises SpecError."""
    return overridden(_read(path, ()), overrides)


def overridden(document: Document, overrides: Iterable[str]) -> Document:
    """The same document after `a.b=v` overrides. Raises SpecError."""
    before = chips_of(document.data)
    problems = Problems()
    given: list[str] = []
    for number, text in enumerate(listed(overrides), 1):
        try:
            given.append(_override(document, text, number))
        except SpecError as error:
            problems.extend(error)
    problems.raise_if_any()
    if not {"system", "system.set"} & set(given):
        leave_behind(document, before, restated_by(given))
    return document


def stdin_text() -> str:
    """What comes by standard input. Raises SpecError where that is closed, no text, or too long."""
    if sys.stdin is None:
        raise SpecError([Problem(Mark(STDIN), "standard input is closed")])
    return _text_of(sys.stdin.buffer)


@cache
def _text_of(stream: BinaryIO) -> str:
    """All of a stream, which can be read once only: a message may need a line of it later."""
    raw = stream.read(MAX_BYTES + 1)
    if len(raw) > MAX_BYTES:
        raise SpecError([Problem(Mark(STDIN), f"more than {MAX_BYTES // 2**20} MiB, the most that is read")])
    try:
        return raw.removeprefix(b"\xef\xbb\xbf").decode("utf-8")
    except UnicodeDecodeError:
        raise SpecError([Problem(Mark(STDIN), "not a text in UTF-8")]) from None


def _read(path: Path, seen: tuple[Path, ...]) -> Document:
    document = parse_document(stdin_text(), STDIN) if str(path) == STDIN else read_document(path)
    if not isinstance(document.data, dict):
        message = "a scenario is a mapping with name, system and workload"
        raise SpecError([Problem(document.value_mark(()), message)])
    need_sort(document, "scenario")
    base = document.data.get("extends")
    if base is None:
        return _pruned(document)
    mark = document.value_mark(("extends",))
    if not isinstance(base, str):
        raise SpecError([Problem(mark, "extends wants the path of a scenario file")])
    here = path.resolve()
    if here in seen or len(seen) >= _MAX_BASES:
        chain = " -> ".join(each.name for each in (*seen, here))
        raise SpecError([Problem(mark, f"extends goes round in a circle or too deep: {chain}")])
    target = find_file(base, path.parent, mark)
    if not is_file(target):
        raise SpecError([Problem(mark, f"there is no file '{target}' to extend")])
    below = _read(target, (*seen, here))
    merged = merge(below, document)
    leave_behind(merged, chips_of(below.data), restated(document.data))
    return merged


def merge(base: Document, top: Document) -> Document:
    """`top` over `base`; places follow the values."""
    notes = tuple(dict.fromkeys((*base.notes, *top.notes)))
    merged = Document(top.file, copy.deepcopy(base.data), dict(base.values), dict(base.keys), notes, dict(base.unmet))
    merged.values[()] = top.value_mark(())
    _merge_into(merged, merged.data, top, top.data, ())
    return merged


def _merge_into(merged: Document, target: dict[str, Any], top: Document, data: dict[str, Any], key: Key) -> None:
    for name, value in data.items():
        here = (*key, name)
        if value is None:
            if name not in target:
                merged.unmet[here] = top.key_mark(here)
            target.pop(name, None)
            merged.forget(here)
        elif isinstance(value, dict) and isinstance(target.get(name), dict):
            _merge_into(merged, target[name], top, value, here)
        else:
            merged.forget(here)
            target[name] = _without_nulls(value)
            merged.unmet |= {each: top.key_mark(each) for each in _nulls(value, here)}
            _adopt(merged, top, here)


def _pruned(document: Document) -> Document:
    """A document without its nulls: with nothing to delete, they say nothing."""
    document.unmet = {key: document.key_mark(key) for key in _nulls(document.data, ())}
    document.data = _without_nulls(document.data)
    return document


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(part) for name, part in value.items() if part is not None}
    return value


def _nulls(value: Any, above: Key) -> Iterator[Key]:
    """The keys of all nulls in a value, lists apart."""
    for name, part in value.items() if isinstance(value, dict) else ():
        if part is None:
            yield (*above, name)
        else:
            yield from _nulls(part, (*above, name))


def _adopt(document: Document, other: Document, key: Key) -> None:
    for places, others in ((document.values, other.values), (document.keys, other.keys)):
        places.update({known: mark for known, mark in others.items() if known[: len(key)] == key})


def _override(document: Document, text: str, number: int) -> str:
    """Put one override in place; the path that it gives."""
    dotted, equals, raw = text.partition("=")
    mark = Mark("--set", number)
    if not equals or not dotted.strip():
        raise SpecError([Problem(mark, f"'{text}' is not of the form a.b=value")])
    if dotted.strip() == "extends":
        raise SpecError([Problem(mark, "extends cannot be set from outside: run that file, with --set for the rest")])
    value = parse_document(raw, "--set").data
    if value is None and (wrong := nothing_to_delete(document.data, dotted.strip())):
        raise SpecError([Problem(mark, wrong)])
    set_value(document, dotted.strip(), value, mark, Mark("--set", number, len(dotted) + 2))
    return dotted.strip()


def nothing_to_delete(data: Any, dotted: str) -> str | None:
    """That there is nothing at a dotted path, with the nearest name; None if there is, or if no path can lead there."""
    missing = _missing(data, dotted)
    return f"there is nothing to delete at {dotted}: {missing}" if missing else None


def _missing(data: Any, dotted: str) -> str | None:
    if is_op_option(dotted):
        return None if option_problem(dotted, data) or option_said(dotted, data) else "its line leaves the option out"
    above: Key = ()
    for part in split_path(dotted):
        if not isinstance(data, dict):
            return None
        if part not in data:
            return unknown("key", str(part), data, "".join(f"{name}." for name in above))
        above, data = (*above, part), data[part]
    return None


def split_path(dotted: str) -> Key:
    """A dotted path as a key; below maps of dotted names the rest is one name."""
    parts: Key = tuple(dotted.split("."))
    for above in _FLAT_UNDER:
        if parts[: len(above)] == above and len(parts) > len(above):
            return (*above, ".".join(str(part) for part in parts[len(above) :]))
    return parts


def set_value(document: Document, dotted: str, value: Any, key_mark: Mark, value_mark: Mark) -> None:
    """Put a value at a dotted path, making maps on the way; null deletes. Raises SpecError if something is no map."""
    if is_op_option(dotted):
        _set_option(document, dotted, value, key_mark, value_mark)
        return
    key = split_path(dotted)
    target = document.data
    for at, part in enumerate(key[:-1]):
        if isinstance(target, list):
            message = f"cannot set {dotted}: {'.'.join(map(str, key[:at]))} is a list; give it whole"
            raise SpecError([Problem(key_mark, message)])
        if part not in target:  # what is wrong with a map that is made here is the override's
            document.keys[key[: at + 1]] = document.values[key[: at + 1]] = key_mark
        target = target.setdefault(part, {})
        if not isinstance(target, (dict, list)):
            message = f"cannot set {dotted}: {'.'.join(map(str, key[: at + 1]))} is a plain value"
            raise SpecError([Problem(key_mark, message)])
    if isinstance(target, list):
        raise SpecError([Problem(key_mark, f"cannot set {dotted}: its parent is a list; give the list whole")])
    document.forget(key)
    if value is None:
        target.pop(key[-1], None)
        return
    target[key[-1]] = value
    document.keys[key], document.values[key] = key_mark, value_mark


def _set_option(document: Document, dotted: str, value: Any, key_mark: Mark, value_mark: Mark) -> None:
    """Put an option into an op's line; the line is then the override's: it was right before."""
    data = document.data
    if wrong := option_problem(dotted, data):
        raise SpecError([Problem(key_mark, wrong)])
    try:
        document.data = with_op_option(data, dotted, value)
    except ValueError as error:
        raise SpecError([Problem(value_mark, str(error))]) from None
    document.values[option_place(dotted, data)] = value_mark


def copied(document: Document) -> Document:
    """A document that can be overridden without touching this one."""
    places = dict(document.values), dict(document.keys)
    return Document(document.file, copy.deepcopy(document.data), *places, document.notes)
