"""Conditions on results: `t_math >= t_network`, `bound_by == compute`, `time < 5 ms`. No eval: one comparison."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from analysis import CAUSES, RUN_WORDS, Summary, word_named
from hw.units import parse

_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(r"\s*([A-Za-z][\w.+/]*)\s*(>=|<=|==|!=|>|<)\s*(.+?)\s*")


@dataclass(frozen=True, slots=True)
class Condition:
    """A word compared with another word, or with a fixed value."""

    left: str
    compare: str
    right: str | None
    value: float | str | bool | None = None

    def holds(self, summary: Summary) -> bool:
        """Whether it is true of a run."""
        left = summary[self.left]
        right = summary[self.right] if self.right is not None else self.value
        if left is None or right is None:
            raise ValueError(f"{self.left if left is None else self.right} has no value for this scenario")
        return _COMPARE[self.compare](left, right)


def parse_condition(text: str) -> Condition:
    """A condition from its text. Raises ValueError with a message for the user."""
    try:
        return _parse(text)
    except KeyError as error:  # a word that does not exist
        raise ValueError(str(error.args[0])) from None


def _parse(text: str) -> Condition:
    match = _FORM.fullmatch(text)
    if match is None:
        message = "is not a comparison of result words, such as t_math >= t_network or bound_by == compute"
        raise ValueError(f"'{text[:60]}' {message}")
    left, compare, right = match.groups()
    word = word_named(left)
    if right in RUN_WORDS or right.startswith("ops."):
        other = word_named(right)
        if word.dimension != other.dimension:
            what = [each.dimension.noun if each.dimension else "name" for each in (word, other)]
            raise ValueError(f"'{text[:60]}' compares different things: {what[0]} with {what[1]}")
        return Condition(left, compare, right)
    if word.dimension is not None:
        try:
            return Condition(left, compare, None, parse(right, word.dimension))
        except ValueError as error:
            raise ValueError(str(error).replace("{key}", left)) from None
    if compare not in ("==", "!="):
        raise ValueError(f"'{text[:60]}': {left} is a word or truth value, compare it with == or !=")
    if right in ("true", "false"):
        return Condition(left, compare, None, right == "true")
    if right not in CAUSES:
        raise ValueError(f"'{right}' is not something that {left} can be: {', '.join(CAUSES)}")
    return Condition(left, compare, None, right)
