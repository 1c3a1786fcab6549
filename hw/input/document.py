"""A document: plain data, and where every key and value of it stands.

Model: plain data is dict, list, str, int, float, bool and None; beside it are marks, the file, line and column of every key
and of every value, by path. What is changed in the data keeps or drops its marks (`forget`); a value that was written
nowhere has the place of what it is part of. How YAML is read into one: `hw.input.yaml_text`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hw.input.errors import Mark
from hw.input.wording import cut

Key = tuple[str | int, ...]
"""Where something stands in a document: the keys and list positions that lead to it."""


@dataclass(slots=True)
class Document:
    """Plain data read from a file, and where every key and value of it stands.

    `notes`: what was done to the data that its reader should be told, in words. `unmet`: nulls that found nothing to delete,
    and where they stand. `called`: what its file calls values that have another name here.
    """

    file: str
    data: Any = None
    values: dict[Key, Mark] = field(default_factory=dict)
    keys: dict[Key, Mark] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    unmet: dict[Key, Mark] = field(default_factory=dict)
    called: dict[Key, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        keys = f": {', '.join(map(str, self.data))}" if isinstance(self.data, dict) else ""
        return cut(f"Document({self.file}{keys})", 120)

    def value_mark(self, key: Key) -> Mark:
        """Where the value at `key` stands; the nearest enclosing place if it has none."""
        for end in range(len(key), -1, -1):
            if key[:end] in self.values:
                return self.values[key[:end]]
        return Mark(self.file)

    def name_of(self, key: Key) -> str:
        """What a value is called in the file: its keys with dots between them, unless that has a name of its own for it."""
        return self.called.get(key) or ".".join(map(str, key))

    def forget(self, key: Key) -> None:
        """Drop the places of `key` and everything below it, and what they are called."""
        every: tuple[dict[Key, Any], ...] = (self.values, self.keys, self.called)
        for places in every:
            for known in [known for known in places if known[: len(key)] == key]:
                del places[known]

    def key_mark(self, key: Key) -> Mark:
        """Where the key itself stands; the place of its value if it is a list position."""
        return self.keys.get(key) or self.value_mark(key)


def walk(data: Any, key: Key = ()) -> Iterator[tuple[Key, Any]]:
    """Every leaf of plain data with its key, in order."""
    if isinstance(data, dict):
        for name, value in data.items():
            yield from walk(value, (*key, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*key, index))
    else:
        yield key, data
