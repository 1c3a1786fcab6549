"""A scenario for a command: read, with what else may be wrong told at once, and run with a sign of what is being done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scenarios.console.waiting import Sign
    from scenarios.outcome.outcome import Outcome


def loaded_for(file: str, sets: list[str] | None, places: Callable[[], None]) -> Outcome:
    """A scenario that is not run yet. Raises SpecError with what is wrong with it and with `places` to write to."""
    from functools import partial

    from scenarios.cli.together import together
    from scenarios.outcome.outcome import loaded

    outcome: Outcome = together(partial(loaded, file, sets or ()), places)[0]
    return outcome


def simulated(outcome: Outcome, sign: Sign) -> Outcome:
    """A scenario, run, with a sign of what is being done."""
    sign.says("lowering")
    words = outcome.words
    sign.says("simulating")
    _ = words.result
    sign.says("summing up")
    return outcome
