"""`timeline.overlapse.breakdown()`: analyses as methods of a DataFrame.

Model: an analysis is a plain function whose first argument is a timeline. `@timeline_method("name")` makes it a method of
`timeline.overlapse` as well, ours and a user's alike; what it is called with and what it returns is said by the function.
A frame gets the accessor when the first timeline is made or read (`add_accessor`), so that pandas is not imported before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from inspect import signature
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from analysis.frames.schema import conforming
from analysis.frames.steps import need_times
from hw.input import unknown

if TYPE_CHECKING:
    import pandas as pd

P = ParamSpec("P")
R = TypeVar("R")

TIMELINE_METHODS: dict[str, Callable[..., Any]] = {}
"""The methods of `timeline.overlapse` by name."""


def timeline_method(name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function of a timeline a method of `timeline.overlapse`. Raises ValueError for a name that is taken."""

    def added(function: Callable[P, R]) -> Callable[P, R]:
        if name in TIMELINE_METHODS or name in dir(object):
            raise ValueError(f"timeline.overlapse.{name} is there already")
        TIMELINE_METHODS[name] = function
        return function

    return added


@cache
def add_accessor() -> None:
    """Give every DataFrame `.overlapse`."""
    import pandas as pd

    pd.api.extensions.register_dataframe_accessor("overlapse")(TimelineAccessor)


class TimelineAccessor:
    """The analyses of a timeline. Raises AttributeError for a frame without its columns; ValueError for bad times."""

    def __init__(self, frame: pd.DataFrame) -> None:
        try:
            self._frame = conforming(frame)
        except ValueError as error:
            raise AttributeError(str(error)) from None

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = TIMELINE_METHODS.get(name)
        if function is None:
            raise AttributeError(f"timeline.overlapse: {unknown('analysis', name, TIMELINE_METHODS)}")
        frame = self._frame

        @wraps(function)
        def method(*arguments: Any, **options: Any) -> Any:
            need_times(frame)
            return function(frame, *arguments, **options)

        # help() shows what is still to be given
        signed = signature(function)
        method.__signature__ = signed.replace(parameters=[*signed.parameters.values()][1:])  # type: ignore[attr-defined]
        return method

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TIMELINE_METHODS]

    def __repr__(self) -> str:
        return f"<timeline of {len(self._frame):,} rows: {', '.join(sorted(TIMELINE_METHODS))}>"
