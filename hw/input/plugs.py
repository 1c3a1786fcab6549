"""What a user's own function must be, told where it is added and not where it is first called."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from hw.input.wording import shown


def need_function(function: Any, arguments: tuple[str, ...], what: str) -> None:
    """Raise ValueError for what cannot be called with so many arguments; `arguments` names them, `what` the function."""
    wanted = f"{what} is called with {' and '.join(arguments)}"
    if isinstance(function, FunctionType) and _plainly_takes(function, len(arguments)):
        return
    if not callable(function):
        raise ValueError(f"{wanted}; {shown(function)} is no function")
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of what is written in C
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        name = getattr(function, "__name__", shown(function))
        raise ValueError(f"{wanted}; {name}{signature} does not take that") from None


def _plainly_takes(function: FunctionType, count: int) -> bool:
    """Whether its code says so at a glance: a signature takes a tenth of a millisecond to read, and there are many kinds."""
    code = function.__code__
    least = code.co_argcount - len(function.__defaults__ or ())
    return least <= count <= code.co_argcount and not code.co_kwonlyargcount


def need_name(name: Any, what: str, taken: tuple[str, ...] = ()) -> None:
    """Raise ValueError for what is no name in a scenario: letters, digits and underscores, no digit first."""
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"{what} {shown(name)}: a name is letters, digits and underscores, and no digit first")
    if name in taken:
        raise ValueError(f"{what} '{name}' means something already: {', '.join(taken)} are no names of your own")
