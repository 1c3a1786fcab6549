"""A file with mistakes in it, as far as it can be read: so that one mistake hides no other.

Model: a key that is misspelt is read as the one that it is nearest to, if that is not there itself. What will not do is left
out, the smallest part of it first: a key that nothing has, a value, and, where something is missing, what it is missing
from. What a user is told of all that is the business of `validate`; what is mended serves for looking at the rest, and is
never run.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from hw.input.document import Document, Key
from hw.input.validation import Detail, allowed_below, existing, loc_of
from hw.input.wording import MOST_TOLD, nearest

Model = TypeVar("Model", bound=BaseModel)

_PASSES = 8
"""How often what was left out may show something else that will not do."""


@dataclass(frozen=True, slots=True)
class Rest(Generic[Model]):
    """What is left of a part of a document that is wrong: the model, None where too much is wrong, and the document that it
    stands in. `out`: what was left out, each by the keys that lead to it; `lost`: that of it which the model has."""

    spec: Model | None
    document: Document
    out: frozenset[Key] = frozenset()
    lost: frozenset[Key] = frozenset()

    def __repr__(self) -> str:
        return f"Rest({self.document!r}, {len(self.out)} left out)"


def validate_rest(model: type[Model], document: Document, at: Key = ()) -> Rest[Model]:
    """The part of a document under `at` as far as it can be read as a `model`."""
    data = document.data
    for step in at:
        if not isinstance(data, dict) or step not in data:
            return Rest(None, document)
        data = data[step]
    if not isinstance(data, dict):
        return Rest(None, document)
    mending, spec = _Mending(model, document, at), None
    for _ in range(_PASSES):
        try:
            spec = model.model_validate(mending.part)
            break
        except ValidationError as error:
            mending.take(error.errors(include_url=False))
    return Rest(spec, mending.document, frozenset(mending.out), frozenset(mending.lost))


class _Mending:
    """A copy of a document that is being mended; `out`: what was left out; `lost`: that of it which the model has."""

    def __init__(self, model: type[BaseModel], document: Document, at: Key) -> None:
        self.document = Document(
            document.file,
            copy.deepcopy(document.data),
            dict(document.values),
            dict(document.keys),
            document.notes,
            document.unmet,
            document.called,
        )
        self.model, self.at = model, at
        self.out: set[Key] = set()
        self.lost: set[Key] = set()
        self._renamed = 0
        self.part: Any = self.document.data
        for step in at:
            self.part = self.part[step]

    def take(self, details: Iterable[Detail]) -> None:
        """Mend what pydantic objects to. Parts of parts come first, so that a whole is not left out for one of them."""
        ways = sorted({self._way(each) for each in details}, key=lambda way: (-len(way[0]), str(way)))
        renamed = self._renamed
        left = [way for way in ways if way[0] and not (way[1] and self._is_renamed(way[0]))]
        for path, strange in left:
            if strange or self._renamed == renamed:  # else what was missing may be there now
                self._leave_out(path, strange)

    def _way(self, detail: Detail) -> tuple[Key, bool]:
        """What is to be left out or renamed, and whether it is a key that nothing has."""
        loc = loc_of(detail)
        return existing(self.part, loc), detail["type"] == "extra_forbidden"

    def _is_renamed(self, path: Key) -> bool:
        """Whether a strange key is now another that it is nearest to."""
        above, name = self._at(path[:-1]), str(path[-1])
        if not isinstance(above, dict) or name not in above or self._renamed >= MOST_TOLD:
            return False
        meant = nearest(name, allowed_below(self.model, path[:-1]))
        if meant is None or meant in above:
            return False
        self._renamed += 1
        above[meant] = above.pop(name)
        old, new = (*self.at, *path), (*self.at, *path[:-1], meant)
        for places in (self.document.values, self.document.keys):
            _move(places, old, new)
        return True

    def _leave_out(self, path: Key, strange: bool) -> None:
        above, last = self._at(path[:-1]), path[-1]
        if isinstance(above, dict) and last in above:
            del above[last]
            self.out.add((*self.at, *path))
            if not strange:
                self.lost.add((*self.at, *path))
        elif isinstance(above, list):
            # others keep their numbers, and so their places: the whole list is left out
            self._leave_out(path[:-1], strange=False)

    def _at(self, path: Key) -> Any:
        found = self.part
        for step in path:
            try:
                found = found[step]
            except (KeyError, IndexError, TypeError):
                return None
        return found


def _move(places: dict[Key, Any], old: Key, new: Key) -> None:
    """Have what stands at a key and below it stand at another."""
    below: Mapping[Key, Any] = {key: mark for key, mark in places.items() if key[: len(old)] == old}
    for key, mark in below.items():
        del places[key]
        places[(*new, *key[len(old) :])] = mark
