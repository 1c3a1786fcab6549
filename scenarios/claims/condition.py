"""Conditions on results: `t_math >= t_network`, `ops.attn.time >= 0.5 * time`, `time < 5 ms and fits`. No eval.

A condition is an expression whose value is true or false; what it may name is in `scope`.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass

from analysis import Summary, word_named
from scenarios.claims.scope import Answers, Scope, WordValues
from scenarios.expressions.expression import Expression, Reference, parse_expression
from scenarios.expressions.measure import TRUTH


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison of words, and of what is made of them."""

    expression: Expression

    def holds(self, summary: Summary, answers: Answers | None = None) -> bool:
        """Whether it is true of a run; `answers` knows of other runs. Raises ValueError where a word has no value."""
        return bool(self.expression.value(WordValues(summary, answers)))


def parse_condition(text: object, scope: Scope | None = None) -> Condition:
    """A condition from its text. Raises ValueError with a message for the user."""
    try:
        expression = parse_expression(text, logic=True)
    except ValueError as error:
        raise ValueError(f"{error}; a condition compares, as in {_EXAMPLES}") from None
    if expression.measure((scope or Scope()).measure) is not TRUTH:
        raise ValueError(f"'{expression.text[:60]}' is not a comparison of result words, such as {_EXAMPLES}")
    if wrong := _beyond_all(expression):
        raise ValueError(f"'{expression.text[:60]}': {wrong}")
    return Condition(expression)


def _beyond_all(expression: Expression) -> str:
    """That a word which is a share is compared with more than all, whatever a run comes to; empty where none is."""
    for node in ast.walk(expression.body):
        sides = [node.left, *node.comparators] if isinstance(node, ast.Compare) else []
        for number in (each.value for each in sides if isinstance(each, ast.Constant)):
            words = [expression.named.get(each.id) for each in sides if isinstance(each, ast.Name)]
            share = next((each.word for each in words if isinstance(each, Reference) and is_share(each)), "")
            if share and isinstance(number, (int, float)) and number > 1:
                meant = f", did you mean {number:g} %?" if number <= 100 else ""
                return f"{share} is a share, from 0 to 1 (100 %){meant}"
    return ""


def is_share(reference: Reference) -> bool:
    """Whether a word of a run is a part of a whole."""
    try:
        return word_named(reference.word).share
    except KeyError:
        return False


_EXAMPLES = "t_math >= t_network or bound_by == compute"
