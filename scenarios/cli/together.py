"""Everything that is wrong at once: of the files and of the options beside them, whichever is looked at first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hw import Mark, Problem, Problems, RunError, SpecError


def together(*asked: Callable[[], Any]) -> list[Any]:
    """What each of some calls returns. Raises SpecError with the problems of all; if there are none, the first RunError."""
    problems, found, missing = Problems(), [], None
    for ask in asked:
        try:
            found.append(ask())
        except SpecError as error:
            problems.extend(error)
        except RunError as error:
            missing = missing or error
    problems.raise_if_any()
    if missing is not None:
        raise missing
    return found


def check_jobs(jobs: int | None) -> None:
    """Raises SpecError for no processes."""
    if jobs is not None and jobs < 1:
        raise SpecError([Problem(Mark("--jobs"), f"--jobs is {jobs}; it must be 1 or more")])


def nothing() -> None:
    """Nothing to look at."""
