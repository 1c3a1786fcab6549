"""A scenario's document with other values at dotted paths.

Model: a changed document shares with its original everything that lies beside the changed paths, so a change costs the
length of its path. Outer paths are put in place before inner ones: a whole workload, then one of its dims.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from hw import Mark, Problem, SpecError
from hw.input import Document, Key, shown
from scenarios.language.chip_set import chips_of, kept_figures, leave_behind, names_chips, restated_by
from scenarios.language.op_options import is_op_option, option_place, with_op_option
from scenarios.language.source import split_path


def changed(document: Document, values: Mapping[str, Any]) -> Document:
    """The document with other values at dotted paths; the old one stays as it is. Raises SpecError."""
    places = Document(document.file, None, dict(document.values), dict(document.keys), document.notes)
    try:
        places.data = _put_all(document.data, values)
    except ValueError as error:
        raise SpecError([Problem(Mark("study"), str(error))]) from None
    for dotted, value in values.items():
        mark = Mark(f"study:{dotted}={shown(value, 40)}")
        key = option_place(dotted, places.data) if is_op_option(dotted) else _key(dotted)
        if isinstance(_at(document.data, key), (dict, list)):
            places.forget(key)
        for end in range(1, len(key) + 1):
            if end == len(key) or key[:end] not in document.keys:
                places.keys[key[:end]] = places.values[key[:end]] = mark
    if _moves_chips(values):
        leave_behind(places, chips_of(document.data), restated_by(values))
    return places


def _at(data: Any, key: Key) -> Any:
    for part in key:
        data = data.get(part) if isinstance(data, dict) else None
    return data


def changed_data(data: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data with other values at dotted paths; null deletes, and figures of a chip that is gone go with it. Raises
    ValueError if something on the way is no map."""
    result = _put_all(data, values)
    return kept_figures(result, chips_of(data), restated_by(values)) if _moves_chips(values) else result


def _moves_chips(values: Mapping[str, Any]) -> bool:
    """Whether values may put another chip in place of one whose figures are still there."""
    return names_chips(values) and "system" not in values and "system.set" not in values


def _put_all(data: dict[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(data)
    for dotted in sorted(values, key=_depth) if len(values) > 1 else values:
        if not is_op_option(dotted):
            _put(result, _key(dotted), dotted, values[dotted])
    for dotted, value in values.items():  # last: the lines that they are in may be new
        if is_op_option(dotted):
            result = with_op_option(result, dotted, value)
    return result


_key = lru_cache(maxsize=1024)(split_path)


def _depth(dotted: str) -> int:
    return len(_key(dotted))


def _put(target: dict[str, Any], key: Key, dotted: str, value: Any) -> None:
    for at, part in enumerate(key[:-1]):
        inner = target.get(str(part), {})
        if not isinstance(inner, dict):
            kind = "a list; give it whole" if isinstance(inner, list) else "a plain value"
            raise ValueError(f"cannot set {dotted}: {'.'.join(map(str, key[: at + 1]))} is {kind}")
        target[str(part)] = inner = dict(inner)
        target = inner
    if value is None:
        target.pop(str(key[-1]), None)
    else:
        target[str(key[-1])] = value
