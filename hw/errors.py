"""Errors as a product: what the user wrote, where, what is allowed, and the nearest name.

Two kinds reach a user, and no others should:
- `SpecError`: the input is wrong. It carries *every* problem found, each with file, line and column (exit 2).
- `RunError`: the input is right but the run cannot be done: it does not fit, or it deadlocks (exit 3).
Anything else that escapes is a defect of Overlapse.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in an input: file name, line and column, both counted from 1."""

    file: str
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def moved(self, columns: int) -> Mark:
        """The place `columns` further right on the same line."""
        return Mark(self.file, self.line, self.column + columns)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake: where it stands and what is wrong with it."""

    mark: Mark
    message: str

    def __str__(self) -> str:
        return f"{self.mark}: {self.message}"


class SpecError(ValueError):
    """The user's input is wrong; `problems` lists every mistake found, in reading order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        unique = dict.fromkeys(problems)
        self.problems: tuple[Problem, ...] = tuple(sorted(unique))
        super().__init__("\n".join(str(problem) for problem in self.problems))


class RunError(RuntimeError):
    """The input is right but cannot be run (deadlock, no fit); the message says why and what waits."""


@dataclass(slots=True)
class Problems:
    """Collects problems so that one pass over an input reports all of them at once."""

    found: list[Problem] = field(default_factory=list)

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


def shown(value: object, longest: int = 60) -> str:
    """A value as a message can hold it: one short line, whatever it is."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**longest:
        return "a huge number"  # Python itself refuses to print very long integers
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name that looks most like `name`, or None if none is close."""
    matches = difflib.get_close_matches(str(name), [str(a) for a in allowed], n=1, cutoff=0.6)
    return matches[0] if matches else None


MOST_NAMED = 100
"""Allowed names that a message lists."""


def unknown(what: str, name: str, allowed: Iterable[str]) -> str:
    """The message for an unknown name: the nearest one, and what is allowed."""
    names = sorted(str(a) for a in allowed)
    close = nearest(name, names)
    hint = f", did you mean '{close}'?" if close else "."
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"unknown {what} '{name}'{hint} Allowed: {', '.join(names[:MOST_NAMED]) if names else 'none'}{more}"
