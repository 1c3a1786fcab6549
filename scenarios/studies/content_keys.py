"""The key of what a scenario's document says: two runs of one key are the same run.

Model: a hash over everything that a run depends on: all sections but those that only describe or ask (name, about,
extends, study, expect), the contents of every file that they refer to, the vocabulary of results and Overlapse's version.
Parts that a study does not touch are hashed once.
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
from hw import VERSION, SpecError
from hw.input import MAX_BYTES, Document, is_file, walk
from hw.network import GRAPH_SUFFIXES
from scenarios.language.paths import SAYS_NOTHING
from scenarios.language.source import find_file, in_library
from scenarios.language.variants import changed_data

_sha256 = hashlib.sha256
_SUFFIXES = (".yaml", ".yml", *GRAPH_SUFFIXES)
_TOKEN = re.compile(r"[^\s\"'\[\]{},]+")
_BETWEEN = re.compile(r"[\n,{}\[\]\"':#]|^- | - | over ")
"""What stands between the values of a file that names others."""

_LONGEST = 1024
_MAX_FILES = 64
_SHORT = 24
"""A value as long as this stands for itself; digests are longer."""

_NO_FILES = (*SAYS_NOTHING, "workload")
"""Sections that refer to no files: what stands for a workload has been read when it comes here, but for its model."""


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
        self._files = {id(part): self._files_of(part) for part in _naming_files(self._base)}

    def key(self, values: Mapping[str, Any]) -> str:
        """The key of the document with other values at dotted paths."""
        try:
            data = changed_data(self._base, values)
        except ValueError:  # it cannot be run, but it must have a key
            data = {**self._base, "impossible": dict(values)}
        said = {name: part for name, part in data.items() if name not in SAYS_NOTHING}
        if self._asked is not None:
            said["asked"] = self._asked
        files = (self._files.get(id(part)) or self._files_of(part) for part in _naming_files(said))
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


def _naming_files(data: Mapping[str, Any]) -> list[Any]:
    """The parts of a document that may name files."""
    parts = [part for name, part in sorted(data.items()) if name not in _NO_FILES]
    workload = data.get("workload")
    if isinstance(workload, Mapping) and "model" in workload:
        parts.append(workload["model"])
    return parts


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
    """Files that a text names: all of it, a part of it, or a word. Of words only those that look like files: a part is
    whatever a file may be called, blanks in it and any ending."""
    for token in _TOKEN.findall(text):
        if in_library(token):
            with suppress(SpecError):  # there is none: told where it is asked for
                yield find_file(token).resolve()
        elif (token.endswith(_SUFFIXES) or token.startswith((".", "/"))) and is_file(folder / token):
            yield (folder / token).resolve()
    values = (line.partition(":")[2].strip().strip("\"'") for line in text.splitlines())
    for part in {text.strip(), *values, *(part.strip() for part in _BETWEEN.split(text))}:
        if part and len(part) <= _LONGEST and is_file(folder / part):
            yield (folder / part).resolve()
