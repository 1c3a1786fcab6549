"""A dict whose keys may hold numbers of many rows.

Model: a plain key is found by its hash, as ever. A key that holds `Rows` has none: it is compared with all that are there,
and all that have none with it. Each comparison leaves behind the rows in which its outcome would be another, so that what
is found is what a dict of each row's own numbers would have found.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Generic, TypeVar

from hw.rows.rows import ManyRowsError, Rows

Key = TypeVar("Key")
Value = TypeVar("Value")
Number = TypeVar("Number", int, float)


class Memo(Generic[Key, Value]):
    """What was worked out for each key."""

    def __init__(self) -> None:
        self._plain: dict[Key, Value] = {}
        self._others: list[tuple[Key, Value]] = []
        self._same: dict[int, Value] = {}  # by the identity of the keys among the others

    def get(self, key: Key) -> Value | None:
        """What was put under an equal key; None if nothing was."""
        try:
            found = self._plain.get(key)
        except ManyRowsError:
            return self._compared(key)
        if found is not None or not self._others:
            return found
        return next((value for known, value in self._others if known == key), None)

    def put(self, key: Key, value: Value) -> Value:
        """Remember a value, and give it back."""
        try:
            self._plain[key] = value
        except ManyRowsError:
            self._others.append((key, value))
            self._same[id(key)] = value
        return value

    def __len__(self) -> int:
        return len(self._plain) + len(self._others)

    def _compared(self, key: Key) -> Value | None:
        if id(key) in self._same:
            return self._same[id(key)]
        entries = chain(self._plain.items(), self._others)
        return next((value for known, value in entries if known == key), None)


def numbered(keys: Sequence[Hashable]) -> list[int]:
    """Equal keys get equal numbers, in the order in which they first come."""
    try:
        numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
        return [numbers[key] for key in keys]
    except ManyRowsError:
        known: Memo[Hashable, int] = Memo()
    found = []
    for key in keys:
        number = known.get(key)
        found.append(known.put(key, len(known)) if number is None else number)
    return found


def distinct(items: Iterable[Key]) -> list[Key]:
    """Each of some items once, in the order in which they first come."""
    listed = list(items)
    try:
        return list(dict.fromkeys(listed))
    except ManyRowsError:
        known: Memo[Key, Key] = Memo()
    return [known.put(each, each) for each in listed if known.get(each) is None]


def shared(numbers: Iterable[Number]) -> list[Number]:
    """The same numbers, with one object for all equal ones of many rows: what is alike then shows at a glance."""
    found = list(numbers)
    if Rows not in map(type, found):
        return found
    known: Memo[Number, Number] = Memo()
    for at, each in enumerate(found):
        same = known.get(each) if type(each) is Rows else None
        found[at] = known.put(each, each) if same is None else same
    return found


class Tally(Mapping[Any, Any]):
    """Amounts by number, where both may stand for many rows: what comes for equal numbers is added up."""

    def __init__(self, amounts: Iterable[tuple[Any, Any]] = ()) -> None:
        self._place: Memo[Any, int] = Memo()
        self._numbers: list[Any] = []
        self._amounts: list[Any] = []
        for number, amount in amounts:
            self.add(number, amount)

    def add(self, number: Any, amount: Any) -> None:
        """So much more of a number."""
        place = self._place.get(number)
        if place is None:
            self._place.put(number, len(self._numbers))
            self._numbers.append(number)
            self._amounts.append(amount)
        else:
            self._amounts[place] = self._amounts[place] + amount

    def __getitem__(self, number: Any) -> Any:
        place = self._place.get(number)
        if place is None:
            raise KeyError(number)
        return self._amounts[place]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)
