"""Options of ops by name: `ops.up.tiles` is the option `tiles=` of the op that makes `up`.

Model: such a path stands for a place inside the text of an op line, in a block as well, where it is the option of every
round. A value is put into the line as a file would hold it (`[a, b]`, `true`, `2 GFLOP`); null takes the option away.
Everything else about the line, and the checks of what it means, are those of `simulator`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hw.input import Key, shown, unknown
from simulator import KINDS, LineError, line_name, option_of, option_readers, read_line, with_option

_WORKLOAD = "workload"
_SECTION = "ops"


def is_op_option(path: str) -> bool:
    """Whether a dotted path means an option of an op."""
    return path == _SECTION or path.startswith(f"{_SECTION}.")


def option_problem(path: str, data: Mapping[str, Any]) -> str | None:
    """What is wrong with a path to an option, or None."""
    try:
        _option(path, _line(path, data)[1])
    except ValueError as error:
        return str(error)
    return None


def option_said(path: str, data: Mapping[str, Any]) -> str | None:
    """The option as its line has it; None if the line leaves it out, or there is no such line."""
    try:
        _, line = _line(path, data)
        return option_of(line, _option(path, line))
    except ValueError:
        return None


def option_place(path: str, data: Mapping[str, Any]) -> Key:
    """Where the line of a path to an option stands. Raises ValueError with a message for the user."""
    return _line(path, data)[0]


def with_op_option(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Plain data with another value of an option; what lies beside its line is shared. Raises ValueError."""
    place, line = _line(path, data)
    name = _option(path, line)
    raw = None if value is None else _written(value, path)
    if raw is not None:
        _check(raw, path, line, name)
    try:
        changed = with_option(line, name, raw)
    except LineError as error:
        raise ValueError(f"{path}: {error.message}") from None
    result: dict[str, Any] = _replaced(data, place, changed)
    return result


def _line(path: str, data: Mapping[str, Any]) -> tuple[Key, str]:
    """The place and the text of the line that a path is about."""
    name = path.removeprefix(f"{_SECTION}.").rpartition(".")[0]
    if not name or path == _SECTION:
        raise ValueError(f"'{path}' is not an option of an op, as in ops.NAME.tiles")
    known: list[str] = []
    for place, text in _lines(data):
        found = line_name(text)
        if found == name:
            return place, text
        known.append(found)
    workload = data.get(_WORKLOAD)
    if isinstance(workload, Mapping) and "model" in workload:
        raise ValueError(f"{path}: the ops of a model are made of its description; `overlapse graph` writes them out")
    raise ValueError(unknown("op", name, known))


def _lines(data: Mapping[str, Any]) -> Iterator[tuple[Key, str]]:
    """Every op line with its place, those of blocks where they stand."""
    workload = data.get(_WORKLOAD)
    ops = workload.get(_SECTION) if isinstance(workload, Mapping) else None
    todo: list[tuple[Key, Any]] = [((_WORKLOAD, _SECTION), ops)]
    while todo:
        place, items = todo.pop()
        for at, item in enumerate(items if isinstance(items, list) else ()):
            if isinstance(item, str):
                yield (*place, at), item
            elif isinstance(item, Mapping):
                todo.append(((*place, at, _SECTION), item.get(_SECTION)))


def _option(path: str, text: str) -> str:
    """The option that a path names, if the op's kind has it."""
    option = path.rpartition(".")[2]
    try:
        kind = read_line(text).kind
    except LineError:  # the line has a problem of its own, which is told where it stands
        return option
    if kind in KINDS and option not in option_readers(KINDS[kind]):
        raise ValueError(unknown(f"option of {kind}", option, option_readers(KINDS[kind])))
    return option


def _check(raw: str, path: str, line: str, name: str) -> None:
    """Refuse what the op's kind cannot read. Raises ValueError with a message for the user."""
    try:
        kind = read_line(line).kind
    except LineError:
        return
    if kind in KINDS:
        try:
            option_readers(KINDS[kind])[name](raw)
        except ValueError as error:
            raise ValueError(str(error).replace("{key}", path)) from None


def _written(value: Any, path: str) -> str:
    """A value as an op line would have it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(_written(each, path) for each in value)}]"
    if isinstance(value, (int, float, str)):
        return str(value).strip()
    raise ValueError(f"{shown(value, 40)} will not do: {path} wants what an op line can hold")


def _replaced(data: Any, place: Key, line: str) -> Any:
    """Data with a line in place of another, everything on the way copied."""
    if not place:
        return line
    copied: Any = list(data) if isinstance(data, list) else dict(data)
    copied[place[0]] = _replaced(data[place[0]], place[1:], line)
    return copied
