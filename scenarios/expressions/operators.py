"""What expressions may do: each operator and function, with values and with what they measure."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from scenarios.expressions.measure import (
    Of,
    compared,
    denied,
    equated,
    of_many,
    plain,
    product,
    quotient,
    raised,
    scaled,
    together,
)

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
    of: Of


ARITHMETIC: Mapping[type[ast.AST], Rule] = {
    ast.Add: Rule(operator.add, together),
    ast.Sub: Rule(operator.sub, together),
    ast.Mult: Rule(operator.mul, product),
    ast.Div: Rule(operator.truediv, quotient),
    ast.FloorDiv: Rule(operator.floordiv, quotient),
    ast.Mod: Rule(operator.mod, together),
    ast.Pow: Rule(_power, raised),
    ast.UAdd: Rule(operator.pos, scaled),
    ast.USub: Rule(operator.neg, scaled),
}
LOGIC: Mapping[type[ast.AST], Rule] = {
    ast.GtE: Rule(operator.ge, compared),
    ast.LtE: Rule(operator.le, compared),
    ast.Gt: Rule(operator.gt, compared),
    ast.Lt: Rule(operator.lt, compared),
    ast.Eq: Rule(operator.eq, equated),
    ast.NotEq: Rule(operator.ne, equated),
    ast.Not: Rule(operator.not_, denied),
}
JOINTS = (ast.And, ast.Or)
OF_MANY: Mapping[str, Rule] = {"min": Rule(min, of_many), "max": Rule(max, of_many)}
OF_ONE: Mapping[str, Rule] = {
    "ceil": Rule(math.ceil, scaled),
    "floor": Rule(math.floor, scaled),
    "round": Rule(round, scaled),
    "abs": Rule(abs, scaled),
    "log2": Rule(_log2, plain),
    "sqrt": Rule(_sqrt, plain),
}
FUNCTIONS: Mapping[str, Rule] = {**OF_MANY, **OF_ONE}


def of_arguments(work: Callable[..., Any]) -> Callable[..., Any]:
    """`min(x)` of one number is that number: Python's wants several, or a list."""
    return lambda *numbers: work(numbers)
