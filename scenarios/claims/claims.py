"""Claims: what a scenario expects of its own run, and whether it came true.

A claim is about a word, or an expression over words, over rows of the study and over other runs (`scenarios.claims.scope`):
`rows[1].time / rows[0].time: 1.975`. What is expected is a scalar, an expression (`time: t_math + t_network`), or
`{value: 46.6 us, tolerance: 1%}`. It holds if |got - want| <= tolerance x |want| (0.1 % unless said); where want is 0, times
hold within 1 ps per task and ratios within 1e-6; names and `find` exactly.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from analysis import CAUSES, RUN_WORDS, Value, word_named
from hw import Dimension, Problems
from hw.input import Document, parse, show, shown, unknown
from scenarios.claims.condition import is_share
from scenarios.claims.find_values import same_value
from scenarios.claims.scope import FIND, NoValueError, Scope, WordValues
from scenarios.expressions.expression import Expression, Reference, parse_expression
from scenarios.expressions.measure import COUNT, NAME, NUMBER, TRUTH, Measure, compared
from scenarios.language.value_text import in_base_units

DEFAULT_TOLERANCE = 1e-3
_KEYS = ("value", "tolerance")


@dataclass(frozen=True, slots=True)
class Claim:
    """An expected value of a word, or of an `expression` over words; `want` may be an expression, too."""

    word: str
    want: Value | Expression
    tolerance: float
    dimension: Dimension | None
    expression: Expression | None = None

    @property
    def asked(self) -> Expression:
        """What the claim is about."""
        return self.expression or parse_expression(self.word, logic=True)

    @property
    def expressions(self) -> tuple[Expression, ...]:
        """What it is about, and what it wants where that is worked out."""
        return (self.asked, self.want) if isinstance(self.want, Expression) else (self.asked,)


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what came out; `reason`: why nothing did."""

    claim: Claim
    got: Value
    holds: bool
    reason: str = ""

    def __str__(self) -> str:
        # a ratio that is worked out is a factor, not a share; so is a word that is printed with decimals (eta)
        word = RUN_WORDS.get(self.claim.word)
        worked_out = not self.claim.asked.is_name or (word is not None and word.decimals is not None)
        factor = self.claim.dimension is Dimension.RATIO and worked_out
        dimension = None if factor else self.claim.dimension
        want, got = (_shown(value, dimension) for value in (self.claim.want, self.got))
        error = f" ({self.reason})" if self.reason else ""
        if isinstance(self.got, float) and isinstance(self.claim.want, float) and self.claim.want:
            error = f" ({100 * (self.got / self.claim.want - 1):+.4f} %)"
        return f"{self.claim.word}: want {want}, got {got}{error}"


def _shown(value: Value | Expression, dimension: Dimension | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Expression):
        return value.text
    if isinstance(value, float) and dimension is not None:
        return show(value, dimension, 6)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


ScopeAt = Callable[[str], Scope]
"""What the claim of a key may name: that depends on the file that it stands in."""


def read_claims(document: Document, problems: Problems, scope_at: ScopeAt | None = None) -> tuple[Claim, ...]:
    """The claims under `expect`; wrong ones go to `problems` with their place."""
    data = document.data.get("expect")
    if data is None:
        return ()
    if not isinstance(data, dict):
        problems.add(document.value_mark(("expect",)), "expect wants a mapping of result words to values")
        return ()
    claims = []
    for word, expected in data.items():
        scope = scope_at(word) if scope_at is not None else Scope(find=True)
        try:
            asked, of = _asked(word, scope)
        except ValueError as error:
            problems.add(document.key_mark(("expect", word)), str(error))
            continue
        try:
            claims.append(_claim(word, expected, asked, of, scope))
        except KeyError as error:
            problems.add(document.key_mark(("expect", word, str(error.args[0]))), str(error.args[1]))
        except ValueError as error:
            problems.add(document.value_mark(("expect", word)), str(error).replace("{key}", word))
    return tuple(claims)


def _asked(word: str, scope: Scope) -> tuple[Expression, Measure]:
    """What a key is about, and what that measures. Raises ValueError."""
    try:
        expression = parse_expression(word, logic=True)
    except ValueError:
        if not word.startswith("ops."):
            raise
        expression = _name_of_a_kernel(word)
    return expression, expression.measure(scope.measure)


def _name_of_a_kernel(word: str) -> Expression:
    """A word about a kernel whose name is no name in an expression. Raises ValueError."""
    aside = parse_expression("kernel", logic=True)
    (plain,) = aside.named
    return replace(aside, text=word, references=(Reference(word),), named={plain: Reference(word)})


def _claim(word: str, expected: Any, asked: Expression, of: Measure, scope: Scope) -> Claim:
    tolerance = DEFAULT_TOLERANCE
    if isinstance(expected, dict):
        for key in expected:
            if key not in _KEYS:
                raise KeyError(key, unknown("key", key, _KEYS))
        if "value" not in expected:
            raise ValueError("{key} wants a value, or a mapping with value and tolerance")
        tolerance = parse(expected.get("tolerance", DEFAULT_TOLERANCE), Dimension.RATIO)
        if tolerance < 0:
            raise ValueError("the tolerance of {key} is negative")
        expected = expected["value"]
    return Claim(word, _want(expected, asked, of, scope), tolerance, of.dimension, asked)


def _want(expected: Any, asked: Expression, of: Measure, scope: Scope) -> Value | Expression:
    """What is expected of something that measures `of`."""
    if of is TRUTH:
        if not isinstance(expected, bool):
            raise ValueError(f"{shown(expected)} will not do: {{key}} wants true or false")
        return expected
    if of is NAME:
        return _name(expected, asked)
    if asked.text == FIND:
        return _number(expected, of, scope, lambda value: value)
    wanted = _number(expected, of, scope, lambda value: _quantity(value, of))
    if isinstance(wanted, float | int) and not 0 <= wanted <= 1 and asked.is_name and is_share(asked.references[0]):
        meant = f", did you mean {wanted:g} %?" if 1 < wanted <= 100 else ""
        raise ValueError(f"{shown(expected)} will not do: {{key}} is a share, from 0 to 1 (100 %){meant}")
    return wanted


def _name(expected: Any, asked: Expression) -> str:
    causes = asked.text.rpartition(".")[2] == "bound_by"
    if not isinstance(expected, str):
        wanted = f"one of {', '.join(CAUSES)}" if causes else "a name"
        raise ValueError(f"{shown(expected)} will not do: {{key}} wants {wanted}")
    if causes and expected not in CAUSES:
        raise ValueError(unknown("cause", expected, CAUSES))
    return expected


def _number(expected: Any, of: Measure, scope: Scope, read: Callable[[Any], Value]) -> Value | Expression:
    """A number or a quantity; or an expression that measures the same."""
    try:
        if of in (COUNT, NUMBER):
            in_base_units(str(expected))
        return read(expected)
    except ValueError:
        expression = _expression(expected)
        if expression is None:
            raise
    compared(of, expression.measure(scope.measure))
    return expression


def _quantity(expected: Any, of: Measure) -> Value:
    if of.dimension is not None:
        return parse(expected, of.dimension)
    if of.powers is not None and isinstance(expected, str):
        raise ValueError(f"'{expected[:40]}' will not do: {{key}} is in {of.noun}, write a plain number")
    return in_base_units(str(expected))


def _expression(expected: Any) -> Expression | None:
    """An expected text as an expression: arithmetic, or the word of a result; None if it is neither."""
    if not isinstance(expected, str):
        return None
    try:
        found = parse_expression(expected, logic=True)
    except ValueError:
        return None
    if not isinstance(found.body, (ast.Name, ast.Constant)):
        return found
    return found if any(_is_a_word(each) for each in found.references) else None


def _is_a_word(reference: Reference) -> bool:
    """Whether a lone name is one of a result: what else stands alone is a quantity gone wrong."""
    if reference.of:
        return True
    try:
        word_named(reference.word)
    except KeyError:
        return False
    return True


def judge(claim: Claim, got: Value, tasks: int) -> Verdict:
    """Whether `got` is what the claim wants; `tasks` is the number of tasks of the run."""
    want = claim.want
    assert not isinstance(want, Expression)
    if claim.word == FIND:
        return Verdict(claim, got, want is not None and got is not None and same_value(got, want))
    if isinstance(want, bool) or isinstance(got, bool) or not isinstance(want, (int, float)):
        return Verdict(claim, got, type(got) is type(want) and got == want)
    if not isinstance(got, (int, float)):
        return Verdict(claim, got, False)
    allowed = claim.tolerance * abs(want)
    if want == 0:
        allowed = 1e-12 * max(1, tasks) if claim.dimension is Dimension.TIME else 1e-6
    return Verdict(claim, float(got), abs(got - want) <= allowed)


def verdict(claim: Claim, known: WordValues) -> Verdict:
    """A claim against a run. Raises ValueError with a message for the user, for an op or a row that there is not."""
    try:
        want = claim.want.value(known) if isinstance(claim.want, Expression) else claim.want
        got = claim.asked.value(known)
    except NoValueError as error:
        return Verdict(claim, None, False, str(error))
    tasks = len(known.summary.plan.program)
    return judge(replace(claim, want=_plain(want, claim)), _plain(got, claim), tasks)


def _plain(value: Any, claim: Claim) -> Value:
    """A number as it is shown: with a dimension, and with a point."""
    if isinstance(value, int) and not isinstance(value, bool) and claim.word != FIND:
        return float(value)
    found: Value = value
    return found
