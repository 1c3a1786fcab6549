"""Expressions over values of a study and words for results: arithmetic and comparisons, without eval.

Model: Python's syntax, as far as this module allows it: numbers, quantities (`5 ms`, `95 %`), names, + - * / // % **,
comparisons, and, or, not, and the functions below. A name may be dotted (`ops.up.time`, `workload.dims.B`), may be of
another run (`run("other.yaml").time`) or of a row of a study (`rows[1].time`); what it stands for is asked of the caller.
`simpleeval` carries out what has been read; it sees names, numbers and the operators below, no attributes.
Limits: 500 characters, 40 levels; every number is within 1e30 and a power is measured before it is taken, so nothing runs
long. A whole result is a whole number; round goes half to even.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from simpleeval import SimpleEval

from hw.input import shown
from scenarios.expressions.lexing import Literal, Simplified, simplified
from scenarios.expressions.measure import NUMBER, Measure, joined, measure_of
from scenarios.expressions.operators import ARITHMETIC, FUNCTIONS, JOINTS, LARGEST, LOGIC, OF_MANY, OF_ONE, of_arguments

Number = int | float
Value = float | str | bool | None
MAX_LENGTH = 500
MAX_DEPTH = 40
_EXACT = 2**53
_ALLOWED = f"numbers, names, + - * / // % ** and {', '.join(FUNCTIONS)}"
_ROWS, _RUN = "rows", "run"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name in an expression. `of`: '' for this run's, else 'rows' (`at`: the row's number) or 'run' (`at`: a file, and
    what is set in it)."""

    word: str
    of: str = ""
    at: tuple[Any, ...] = ()

    def __str__(self) -> str:
        if self.of == _ROWS:
            return f"rows[{self.at[0]}].{self.word}"
        if self.of == _RUN:
            return f"run({', '.join(map(repr, self.at))}).{self.word}"
        return self.word


Look = Callable[[Reference], Any]
"""What a name stands for: a value, or a measure. Raises ValueError with a message for the user."""


@dataclass(frozen=True)
class Expression:
    """What has been read: its text, what it names, in order, and its syntax with plain names in their place."""

    text: str
    references: tuple[Reference, ...]
    body: ast.expr = field(repr=False, compare=False)
    named: Mapping[str, Reference | Literal] = field(repr=False, compare=False)

    @property
    def names(self) -> tuple[str, ...]:
        """What it names, as it is written."""
        return tuple(str(each) for each in self.references)

    @property
    def is_name(self) -> bool:
        """Whether it is one name and nothing else."""
        return isinstance(self.body, ast.Name) and bool(self.references)

    def value(self, look: Look | Mapping[str, Any]) -> Any:
        """What it comes to. Raises ValueError with a message for the user (division by zero, too large, ...)."""
        asked = look if callable(look) else lambda reference: look[str(reference)]
        if self.is_name:
            return asked(self.references[0])
        try:
            result = _Values(lambda name: self._stands_for(name, asked)).eval(self.text, self.body)
        except ZeroDivisionError:
            raise ValueError(f"{self.text}: division by zero") from None
        except OverflowError:
            raise ValueError(f"{self.text} is beyond 1e30") from None
        except TypeError:
            raise ValueError(f"{self.text}: what is not a number cannot be counted with") from None
        if isinstance(result, bool) or not isinstance(result, (int, float)):
            return result
        return int(result) if result == int(result) and abs(result) < _EXACT else result

    def measure(self, look: Look) -> Measure:
        """What it measures; `look` gives the measures of names. Raises ValueError with a message for the user."""
        if self.is_name:
            alone: Measure = look(self.references[0])
            return alone
        try:
            found: Measure = _Measures(lambda name: self._measured(name, look)).eval(self.text, self.body)
        except ValueError as error:
            raise ValueError(f"'{self.text[:60]}': {error}") from None
        return found

    def _stands_for(self, name: str, look: Look) -> Any:
        meant = self.named[name]
        return meant.number if isinstance(meant, Literal) else look(meant)

    def _measured(self, name: str, look: Look) -> Measure:
        meant = self.named[name]
        return measure_of(meant.dimension) if isinstance(meant, Literal) else look(meant)


class _Values(SimpleEval):  # type: ignore[misc]  # untyped
    """Works out a value; every number on the way is bounded."""

    def __init__(self, look: Callable[[str], Any]) -> None:
        rules = {**ARITHMETIC, **LOGIC}
        works = {name: rule.work for name, rule in FUNCTIONS.items()}
        works.update({name: of_arguments(rule.work) for name, rule in OF_MANY.items()})
        super().__init__({kind: rule.work for kind, rule in rules.items()}, works, lambda node: look(node.id))

    def _eval(self, node: ast.AST) -> Any:
        result = super()._eval(node)
        if isinstance(result, (int, float)) and not abs(result) <= LARGEST:
            raise OverflowError
        return result


class _Measures(SimpleEval):  # type: ignore[misc]  # untyped
    """Works out what a value measures: every part of an `and`, nothing short."""

    def __init__(self, look: Callable[[str], Measure]) -> None:
        rules = {**ARITHMETIC, **LOGIC}
        super().__init__(
            {kind: rule.of for kind, rule in rules.items()},
            {name: rule.of for name, rule in FUNCTIONS.items()},
            lambda node: look(node.id),
        )
        self.nodes[ast.BoolOp] = lambda node: joined(*(self._eval(each) for each in node.values))
        self.nodes[ast.Constant] = lambda _node: NUMBER


def parse_expression(text: object, logic: bool = False) -> Expression:
    """An expression from its text, or from a plain number; with `logic` it may compare, and name rows and other runs.
    Raises ValueError with a message for the user."""
    if isinstance(text, bool) or not isinstance(text, (str, int, float)):
        raise ValueError(f"{shown(text)} is not an expression; it may hold {_ALLOWED}")
    written = str(text).strip()
    if len(written) > MAX_LENGTH:
        raise ValueError(f"the expression is longer than {MAX_LENGTH} characters")
    made = simplified(written)
    try:
        body = ast.parse(made.text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise ValueError(f"'{written[:60]}' is not an expression; it may hold {_ALLOWED}") from None
    if _depth(body) > MAX_DEPTH:
        raise ValueError(f"the expression is nested deeper than {MAX_DEPTH} levels")
    reader = _Reader(made, logic)
    read = reader.read(body)
    return Expression(written, tuple(dict.fromkeys(reader.references)), read, reader.named)


def _depth(body: ast.expr) -> int:
    """How deep syntax is nested, without recursion."""
    deepest, todo = 0, [(body, 1)]
    while todo:
        node, depth = todo.pop()
        deepest = max(deepest, depth)
        todo += [(inner, depth + 1) for inner in ast.iter_child_nodes(node) if isinstance(inner, ast.expr)]
    return deepest


class _Reader:
    """Checks syntax part by part, and puts plain names in the place of all that are dotted."""

    def __init__(self, made: Simplified, logic: bool) -> None:
        self.made, self.logic = made, logic
        self.references: list[Reference] = []
        self.named: dict[str, Reference | Literal] = dict(made.quantities)

    def read(self, node: ast.expr) -> ast.expr:
        """The part as it may be carried out. Raises ValueError for what is not allowed."""
        rule = _RULES.get(type(node))
        if rule is None:
            raise self.refused(node)
        read: ast.expr = rule(self, node)
        return read

    def refused(self, node: ast.AST) -> ValueError:
        """The error for a part that is not allowed."""
        part = self.made.original(ast.get_source_segment(self.made.text, node) or self.made.text)
        return ValueError(f"'{part[:60]}' is not allowed in an expression; it may hold {_ALLOWED}")

    def number(self, node: ast.Constant) -> ast.expr:
        if isinstance(node.value, bool) or not isinstance(node.value, (int, float)):
            raise self.refused(node)
        return node

    def name(self, node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and node.id in self.made.quantities:
            return node
        reference = self._reference(node)
        if reference is None or (reference.of and not self.logic):
            raise self.refused(node)
        self.references.append(reference)
        plain = f"_{len(self.references)}"
        self.named[plain] = reference
        return ast.Name(plain, ast.Load())

    def _reference(self, node: ast.expr) -> Reference | None:
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, self.made.words.get(node.attr, node.attr))
            node = node.value
        if isinstance(node, ast.Name):
            return Reference(".".join([self.made.words.get(node.id, node.id), *parts]))
        word = ".".join(parts)
        if not parts:
            return None
        if isinstance(node, ast.Subscript) and _is_named(node.value, _ROWS):
            number = _whole(node.slice)
            return Reference(word, _ROWS, (number,)) if number is not None else None
        if isinstance(node, ast.Call) and _is_named(node.func, _RUN) and node.args and not node.keywords:
            texts = tuple(each.value for each in node.args if isinstance(each, ast.Constant))
            whole = len(texts) == len(node.args) and all(isinstance(each, str) for each in texts)
            return Reference(word, _RUN, texts) if whole else None
        return None

    def binary(self, node: ast.BinOp) -> ast.expr:
        if type(node.op) not in ARITHMETIC:
            raise self.refused(node)
        return ast.BinOp(self.read(node.left), node.op, self.read(node.right))

    def unary(self, node: ast.UnaryOp) -> ast.expr:
        if type(node.op) not in (ARITHMETIC if not self.logic else {**ARITHMETIC, **LOGIC}):
            raise self.refused(node)
        return ast.UnaryOp(node.op, self.read(node.operand))

    def comparison(self, node: ast.Compare) -> ast.expr:
        if not self.logic or any(type(each) not in LOGIC for each in node.ops):
            raise self.refused(node)
        return ast.Compare(self.read(node.left), node.ops, [self.read(each) for each in node.comparators])

    def joint(self, node: ast.BoolOp) -> ast.expr:
        if not self.logic or not isinstance(node.op, JOINTS):
            raise self.refused(node)
        return ast.BoolOp(node.op, [self.read(each) for each in node.values])

    def call(self, node: ast.Call) -> ast.expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in FUNCTIONS or node.keywords or not node.args:
            raise self.refused(node)
        if name in OF_ONE and len(node.args) > 1:
            raise ValueError(f"'{self.made.original(self.made.text)[:60]}': {name} takes one number")
        return ast.Call(ast.Name(name, ast.Load()), [self.read(each) for each in node.args], [])


_RULES: Mapping[type[ast.expr], Callable[..., ast.expr]] = {
    ast.Constant: _Reader.number,
    ast.Name: _Reader.name,
    ast.Attribute: _Reader.name,
    ast.BinOp: _Reader.binary,
    ast.UnaryOp: _Reader.unary,
    ast.Compare: _Reader.comparison,
    ast.BoolOp: _Reader.joint,
    ast.Call: _Reader.call,
}


def _is_named(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _whole(node: ast.expr) -> int | None:
    """A whole number as it is written, -1 included."""
    sign = 1
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        sign, node = -1, node.operand
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return sign * node.value
    return None
