"""Conditions on results: `t_math >= t_network`, `ops.attn.time >= 0.5 * time`, `time < 5 ms and fits`. No eval.

A condition is an expression whose value is true or false; what it may name is in `scope`.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis import Summary
from scenarios.claims.scope import Answers, Scope, WordValues
from scenarios.expressions.expression import Expression, parse_expression
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
    return Condition(expression)


_EXAMPLES = "t_math >= t_network or bound_by == compute"
