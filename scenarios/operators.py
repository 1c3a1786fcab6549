"""What expressions may do: each operator and function, with values and with what they measure."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scenarios import measure

Number = int | float
LARGEST = 1e30
"""No number in an expression is larger."""


def _power(base: Number, exponent: Number) -> Number:
    if base < 0 and exponent != int(exponent):
        raise ValueError("a negative number to a broken power")
    if base and abs(exponent) * abs(math.log10(abs(base))) > math.log10(LARGEST) + 1:
        raise OverflowError
    power: Number = base**exponent
    return power


def _log2(number: Number) -> Number:
    if number <= 0:
        raise ValueError(f"log2 of {number}")
    return math.log2(number)


def _sqrt(number: Number) -> Number:
    if number < 0:
        raise ValueError(f"sqrt of {number}")
    return math.sqrt(number)


@dataclass(frozen=True, slots=True)
class Rule:
    """An operator or a function: what it does with values, and with what they measure."""

    work: Callable[..., Any]
    of: measure.Of


ARITHMETIC: Mapping[type[ast.AST], Rule] = {
    ast.Add: Rule(operator.add, measure.together),
    ast.Sub: Rule(operator.sub, measure.together),
    ast.Mult: Rule(operator.mul, measure.product),
    ast.Div: Rule(operator.truediv, measure.quotient),
    ast.FloorDiv: Rule(operator.floordiv, measure.quotient),
    ast.Mod: Rule(operator.mod, measure.together),
    ast.Pow: Rule(_power, measure.raised),
    ast.UAdd: Rule(operator.pos, measure.scaled),
    ast.USub: Rule(operator.neg, measure.scaled),
}
LOGIC: Mapping[type[ast.AST], Rule] = {
    ast.GtE: Rule(operator.ge, measure.compared),
    ast.LtE: Rule(operator.le, measure.compared),
    ast.Gt: Rule(operator.gt, measure.compared),
    ast.Lt: Rule(operator.lt, measure.compared),
    ast.Eq: Rule(operator.eq, measure.equated),
    ast.NotEq: Rule(operator.ne, measure.equated),
    ast.Not: Rule(operator.not_, measure.denied),
}
JOINTS = (ast.And, ast.Or)
OF_MANY: Mapping[str, Rule] = {"min": Rule(min, measure.of_many), "max": Rule(max, measure.of_many)}
OF_ONE: Mapping[str, Rule] = {
    "ceil": Rule(math.ceil, measure.scaled),
    "floor": Rule(math.floor, measure.scaled),
    "round": Rule(round, measure.scaled),
    "abs": Rule(abs, measure.scaled),
    "log2": Rule(_log2, measure.plain),
    "sqrt": Rule(_sqrt, measure.plain),
}
FUNCTIONS: Mapping[str, Rule] = {**OF_MANY, **OF_ONE}


def of_arguments(work: Callable[..., Any]) -> Callable[..., Any]:
    """`min(x)` of one number is that number: Python's wants several, or a list."""
    return lambda *numbers: work(numbers)
