"""A scenario's document with other values at dotted paths, and the key of what it says.

Model: a changed document shares with its original everything that lies beside the changed paths, so a change costs the
length of its path. Outer paths are put in place before inner ones: a whole workload, then one of its dims.
The key of a document is a hash over everything that a run depends on: all sections but those that only describe or ask
(name, about, extends, study, expect), the contents of every file that they refer to, the vocabulary of results and
Overlapse's version. Parts that a study does not touch are hashed once.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis import RUN_WORDS
from hw import VERSION, Mark, Problem, SpecError
from hw.input import MAX_BYTES, Document, Key, is_file, shown, walk
from hw.network import GRAPH_SUFFIXES
from scenarios.chip_set import chips_of, kept_figures, leave_behind, names_chips, restated_by
from scenarios.op_options import is_op_option, option_place, with_op_option
from scenarios.paths import SAYS_NOTHING
from scenarios.source import find_file, in_library, split_path

_sha256 = hashlib.sha256
_SUFFIXES = (".yaml", ".yml", *GRAPH_SUFFIXES)
_TOKEN = re.compile(r"[^\s\"'\[\]{},]+")
_MAX_FILES = 64
_SHORT = 24
"""A value as long as this stands for itself; digests are longer."""

_NO_FILES = (*SAYS_NOTHING, "workload")
"""Sections that refer to no files: what stands for a workload has been read when it comes here."""


def changed(document: Document, values: Mapping[str, Any]) -> Document:
    """The document with other values at dotted paths; the old one stays as it is. Raises SpecError."""
    places = Document(document.file, None, dict(document.values), dict(document.keys), document.notes)
    try:
        places.data = _put_all(document.data, values)
    except ValueError as error:
        raise SpecError([Problem(Mark("study"), str(error))]) from None
    for dotted, value in values.items():
        mark = Mark(f"study:{dotted}={shown(value, 40)}")
        key = option_place(dotted, places.data) if is_op_option(dotted) else _key(dotted)
        if isinstance(_at(document.data, key), (dict, list)):
            places.forget(key)
        places.keys[key] = places.values[key] = mark
    if _moves_chips(values):
        leave_behind(places, chips_of(document.data), restated_by(values))
    return places


def _at(data: Any, key: Key) -> Any:
    for part in key:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def changed_data(data: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with other values at dotted paths; null deletes, and figures of a chip that is gone go with it. Raises
    ValueError if something on the way is no map."""
    result = _put_all(data, values)
    return kept_figures(result, chips_of(data), restated_by(values)) if _moves_chips(values) else result


def _moves_chips(values: Mapping[str, Any]) -> bool:
    """Whether values may put another chip in place of one whose figures are still there."""
    return names_chips(values) and "system" not in values and "system.set" not in values


def _put_all(data: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(data)
    for dotted in sorted(values, key=_depth) if len(values) > 1 else values:
        if not is_op_option(dotted):
            _put(result, _key(dotted), dotted, values[dotted])
    for dotted, value in values.items():  # last: the lines that they are in may be new
        if is_op_option(dotted):
            result = with_op_option(result, dotted, value)
    return result


_key = lru_cache(maxsize=1024)(split_path)


def _depth(dotted: str) -> int:
    return len(_key(dotted))


def _put(target: dict[str, Any], key: Key, dotted: str, value: Any) -> None:
    for at, part in enumerate(key[:-1]):
        inner = target.get(str(part), {})
        if not isinstance(inner, dict):
            kind = "a list; give it whole" if isinstance(inner, list) else "a plain value"
            raise ValueError(f"cannot set {dotted}: {'.'.join(map(str, key[: at + 1]))} is {kind}")
        target[str(part)] = inner = dict(inner)
        target = inner
    if value is None:
        target.pop(str(key[-1]), None)
    else:
        target[str(key[-1])] = value


class ContentKeys:
    """Keys of the variants of one document; `asked`: what each is asked beside, as plain data."""

    def __init__(self, document: Document, path: Path, asked: Any = None) -> None:
        self._asked = asked
        self._base: dict[str, Any] = document.data
        self._known: dict[int, bytes] = {}
        self._files_in: dict[str, tuple[Path, ...]] = {}
        self._contents: dict[Path, bytes] = {}
        self._remember(document.data)
        marked = {Path(mark.file).parent for mark in document.values.values() if is_file(Path(mark.file))}
        self._folders = tuple(sorted({path.parent, *marked}))
        self._files = {id(part): self._files_of(part) for name, part in self._base.items() if name not in _NO_FILES}

    def key(self, values: Mapping[str, Any]) -> str:
        """The key of the document with other values at dotted paths."""
        try:
            data = changed_data(self._base, values)
        except ValueError:  # it cannot be run, but it must have a key
            data = {**self._base, "impossible": dict(values)}
        said = {name: part for name, part in data.items() if name not in SAYS_NOTHING}
        if self._asked is not None:
            said["asked"] = self._asked
        parts = [part for name, part in sorted(said.items()) if name not in _NO_FILES]
        files = (self._files.get(id(part)) or self._files_of(part) for part in parts)
        whole = b"\0".join((VERSION.encode(), _VOCABULARY, self._digest(said), *files))
        return _sha256(whole).hexdigest()[:40]

    def _remember(self, value: Any) -> None:
        """The digests of all maps and lists of the base: they are alive as long as this, so their ids are theirs."""
        parts: Iterable[Any] = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        for part in parts:
            self._remember(part)
        if isinstance(value, (dict, list)):
            self._known[id(value)] = self._digest(value)

    def _digest(self, value: Any) -> bytes:
        known = self._known.get(id(value))
        if known is not None:
            return known
        if isinstance(value, dict):
            parts = [part for name in sorted(value) for part in (_name(name), self._digest(value[name]))]
            return _sha256(b"{" + b",".join(parts)).hexdigest().encode()
        if isinstance(value, list):
            return _sha256(b"[" + b",".join([self._digest(each) for each in value])).hexdigest().encode()
        text = _canonical(value)
        return text if len(text) <= _SHORT else _sha256(text).hexdigest().encode()

    def _files_of(self, section: Any) -> bytes:
        """A digest of the contents of all files that a section refers to, as far as they are there."""
        texts = {leaf for _, leaf in walk(section) if isinstance(leaf, str)}
        found = sorted({file for text in texts for file in self._named(text)})
        return b"".join([self._content(file) for file in found]) or b"none"

    def _named(self, text: str) -> tuple[Path, ...]:
        """Files that a text may refer to, and those that they refer to."""
        if text not in self._files_in:
            found: dict[Path, None] = {}
            todo = [file for folder in self._folders for file in _direct(text, folder)]
            while todo and len(found) < _MAX_FILES:
                file = todo.pop()
                if file not in found:
                    found[file] = None
                    if file.suffix in (".yaml", ".yml"):
                        todo.extend(_direct(_begin(file), file.parent))
            self._files_in[text] = tuple(found)
        return self._files_in[text]

    def _content(self, file: Path) -> bytes:
        """Once for each study: the files may have changed since the last."""
        if file not in self._contents:
            with file.open("rb") as content:
                self._contents[file] = hashlib.file_digest(content, "sha256").digest()
        return self._contents[file]


_VOCABULARY = hashlib.sha256(" ".join(sorted(RUN_WORDS)).encode()).digest()


_ENCODER = json.JSONEncoder(default=str)


def _canonical(value: Any) -> bytes:
    return _ENCODER.encode(value).encode()


_name = lru_cache(maxsize=4096)(_canonical)


def _begin(file: Path) -> str:
    """The text of a file that may name others, as far as such a file is read."""
    with file.open("rb") as content:
        return content.read(MAX_BYTES).decode("utf-8", "replace")


def _direct(text: str, folder: Path) -> Iterator[Path]:
    for token in _TOKEN.findall(text):
        if in_library(token):
            with suppress(SpecError):  # there is none: told where it is asked for
                yield find_file(token).resolve()
        elif (token.endswith(_SUFFIXES) or token.startswith((".", "/"))) and is_file(folder / token):
            yield (folder / token).resolve()
