"""What a user's own function must be, told where it is added and not where it is first called."""

from __future__ import annotations

import inspect
from typing import Any

from hw.input.wording import shown


def need_function(function: Any, arguments: tuple[str, ...], what: str) -> None:
    """Raise ValueError for what cannot be called with so many arguments; `arguments` names them, `what` the function."""
    wanted = f"{what} is called with {' and '.join(arguments)}"
    if not callable(function):
        raise ValueError(f"{wanted}; {shown(function)} is no function")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of what is written in C
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        name = getattr(function, "__name__", shown(function))
        raise ValueError(f"{wanted}; {name}{signature} does not take that") from None


def need_name(name: Any, what: str, taken: tuple[str, ...] = ()) -> None:
    """Raise ValueError for what is no name in a scenario: letters, digits and underscores, no digit first."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{what} {shown(name)}: a name is letters, digits and underscores, and no digit first")
    if name in taken:
        raise ValueError(f"{what} '{name}' means something already: {', '.join(taken)} are no names of your own")
