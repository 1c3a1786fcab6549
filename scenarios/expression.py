"""Derived values: arithmetic on other values of a study, without eval.

Model: `ast` parses, this module turns what it allows into small functions. Allowed are numbers, names (the last part of a
dotted path, or all of it), + - * / // % **, and min max ceil floor round log2; everything else is refused by name. Every
result is bounded by 1e30, and a power is measured before it is taken, so that no expression runs long. A whole result is a
whole number; round goes half to even.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from hw.errors import shown

Number = int | float
Values = Mapping[str, Number]
MAX_LENGTH = 200
_LARGEST = 1e30
_EXACT = 2**53

_Part = Callable[[Values], Number]


def _power(base: Number, exponent: Number) -> Number:
    if base < 0 and exponent != int(exponent):
        raise ValueError("a negative number to a broken power")
    if base and abs(exponent) * abs(math.log10(abs(base))) > math.log10(_LARGEST) + 1:
        raise OverflowError
    power: Number = base**exponent
    return power


def _log2(number: Number) -> Number:
    if number <= 0:
        raise ValueError(f"log2 of {number}")
    return math.log2(number)


_BINARY: Mapping[type[ast.operator], Callable[[Number, Number], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_UNARY: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
_OF_MANY: Mapping[str, Callable[..., Number]] = {"min": min, "max": max}
_OF_ONE: Mapping[str, Callable[[Number], Number]] = {
    "ceil": math.ceil,
    "floor": math.floor,
    "round": round,
    "log2": _log2,
}
_ALLOWED = f"numbers, names, + - * / // % ** and {', '.join([*_OF_MANY, *_OF_ONE])}"


@dataclass(frozen=True)
class Expression:
    """Arithmetic that has been read: its text, the names in it, in order, and what computes it."""

    text: str
    names: tuple[str, ...]
    compute: _Part

    def value(self, named: Values) -> Number:
        """What it comes to. Raises ValueError with a message for the user (division by zero, too large, ...)."""
        try:
            result = self.compute(named)
        except ZeroDivisionError:
            raise ValueError(f"{self.text}: division by zero") from None
        except OverflowError:
            raise ValueError(f"{self.text} is beyond 1e30") from None
        except ValueError as error:
            raise ValueError(f"{self.text}: {error}") from None
        return int(result) if result == int(result) and abs(result) < _EXACT else result


def parse_expression(text: object) -> Expression:
    """An expression from its text, or from a plain number. Raises ValueError with a message for the user."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{shown(text)} is not an expression; it may hold {_ALLOWED}")
    written = str(text).strip()
    if len(written) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH} characters")
    try:
        body = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"'{written[:60]}' is not an expression; it may hold {_ALLOWED}") from None
    reader = _Reader(written)
    compute = reader.read(body)
    return Expression(written, tuple(dict.fromkeys(reader.names)), compute)


@dataclass
class _Reader:
    """Turns syntax into functions, and collects names."""

    text: str
    names: list[str] = field(default_factory=list)

    def read(self, node: ast.expr) -> _Part:
        """What computes this part."""
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.refused(node)
        part = rule(self, node)

        def bounded(named: Values) -> Number:
            result = part(named)
            if not math.isfinite(result) or abs(result) > _LARGEST:
                raise OverflowError
            return result

        return bounded

    def refused(self, node: ast.expr) -> ValueError:
        """The error for a part that is not allowed."""
        part = ast.get_source_segment(self.text, node) or self.text
        return ValueError(f"'{part[:60]}' is not allowed in an expression; it may hold {_ALLOWED}")

    def number(self, node: ast.Constant) -> _Part:
        number = node.value
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            raise self.refused(node)
        return lambda _named: number

    def name(self, node: ast.expr) -> _Part:
        dotted = _dotted(node)
        if not dotted:
            raise self.refused(node)
        self.names.append(dotted)
        return lambda named: named[dotted]

    def binary(self, node: ast.BinOp) -> _Part:
        if type(node.op) not in _BINARY:
            raise self.refused(node)
        work, left, right = _BINARY[type(node.op)], self.read(node.left), self.read(node.right)
        return lambda named: work(left(named), right(named))

    def unary(self, node: ast.UnaryOp) -> _Part:
        if type(node.op) not in _UNARY:
            raise self.refused(node)
        work, operand = _UNARY[type(node.op)], self.read(node.operand)
        return lambda named: work(operand(named))

    def call(self, node: ast.Call) -> _Part:
        name = _dotted(node.func)
        if name not in {**_OF_ONE, **_OF_MANY} or node.keywords or not node.args:
            raise self.refused(node)
        parts = [self.read(argument) for argument in node.args]
        if name in _OF_MANY:
            return lambda named: _OF_MANY[name](part(named) for part in parts)
        if len(parts) > 1:
            raise ValueError(f"'{self.text[:60]}': {name} takes one number")
        return lambda named: _OF_ONE[name](parts[0](named))


_RULES: Mapping[type[ast.expr], Callable[..., _Part]] = {
    ast.Constant: _Reader.number,
    ast.Name: _Reader.name,
    ast.Attribute: _Reader.name,
    ast.BinOp: _Reader.binary,
    ast.UnaryOp: _Reader.unary,
    ast.Call: _Reader.call,
}


def _dotted(node: ast.expr) -> str:
    """A chain of names as a dotted path; empty if it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        above = _dotted(node.value)
        return f"{above}.{node.attr}" if above else ""
    return ""
