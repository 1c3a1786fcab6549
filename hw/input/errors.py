"""Errors as a product: what the user wrote, where, what is allowed, and the nearest name.

Two kinds reach a user, and no others should:
- `SpecError`: the input is wrong. It carries *every* problem found, each with file, line and column (exit 2).
- `RunError`: the input is right but the run cannot be done: it does not fit, or it deadlocks (exit 3).
Anything else that escapes is a defect of Overlapse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field

from hw.input.wording import (
    MOST_TOLD,
    cut,
    path_shown,
    printable,
    unknown,
)


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in an input: file name, line and column, both counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __repr__(self) -> str:
        return f"Mark({self})"

    def __str__(self) -> str:
        return f"{path_shown(self.file)}:{self.line}:{self.column}"

    def moved(self, columns: int) -> Mark:
        """The place `columns` further right on the same line."""
        return Mark(self.file, self.line, self.column + columns)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it stands and what is wrong with it."""

    mark: Mark
    message: str

    def __repr__(self) -> str:
        return f"Problem({printable(cut(str(self), 120))})"

    def __str__(self) -> str:
        return printable(f"{self.mark}: {cut(self.message)}")


def first_problems(problems: Iterable[object], more: str = "problems") -> Iterator[str]:
    """Problems as lines, the first of them in full; of the others how many there are."""
    every = list(problems)
    yield from map(str, every[:MOST_TOLD])
    if len(every) > MOST_TOLD:
        yield f"... and {len(every) - MOST_TOLD:,} more {more} ({len(every):,} in all)"


class SpecError(ValueError):
    """The user's input is wrong; `problems` lists every mistake found, in reading order. Its text tells the first ones."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(unique))
        super().__init__("\n".join(first_problems(self.problems)))


class RunError(RuntimeError):
    """The input is right but cannot be run (deadlock, no fit); the message says why and what waits."""

    def __str__(self) -> str:
        return "\n".join(printable(line) for line in super().__str__().split("\n"))


@dataclass(slots=True)
class UnknownNames:
    """Messages for many names that are not in one list: where there are too many to be read, what each of them may stand
    for is no longer sought."""

    what: str
    allowed: Collection[str]
    told: int = 0

    def __repr__(self) -> str:
        return f"UnknownNames({self.what}: {len(self.allowed)} allowed)"

    def message(self, name: str) -> str:
        """What is said of the next one."""
        self.told += 1
        return (
            unknown(self.what, name, self.allowed)
            if self.told <= MOST_TOLD
            else f"unknown {self.what} '{cut(name, 60)}'"
        )


@dataclass(slots=True)
class Problems:
    """Collects problems so that one pass over an input reports all of them at once."""

    found: list[Problem] = field(default_factory=list)

    def __repr__(self) -> str:
        first = f", the first {self.found[0]!r}" if self.found else ""
        return f"Problems({len(self.found)} found{first})"

    def add(self, mark: Mark, message: str) -> None:
        """Remember a mistake and go on."""
        self.found.append(Problem(mark, message))

    def extend(self, error: SpecError) -> None:
        """Take over the problems of an error raised further down."""
        self.found.extend(error.problems)

    def raise_if_any(self) -> None:
        """Raise one `SpecError` with everything collected so far; do nothing if that is nothing."""
        if self.found:
            raise SpecError(self.found)

    def __bool__(self) -> bool:
        return bool(self.found)
