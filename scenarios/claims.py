"""Claims: what a scenario expects of its own run, and whether it came true.

An expected value is a scalar or `{value: 46.6 us, tolerance: 1%}`. It holds if |got - want| <= tolerance x |want|
(0.1 % unless said); where want is 0, times hold within 1 ps per task and ratios within 1e-6; words and `find` exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis import CAUSES, OP_WORDS, WORDS, Summary, Value, Word, word_named
from hw import Dimension, Problems
from hw.document import Document
from hw.errors import shown, unknown
from hw.units import parse, show
from scenarios.find_values import same_value
from scenarios.value_text import read_number

DEFAULT_TOLERANCE = 1e-3
FIND = "find"


@dataclass(frozen=True, slots=True)
class Claim:
    """An expected value of a word."""

    word: str
    want: Value
    tolerance: float
    dimension: Dimension | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A claim and what came out."""

    claim: Claim
    got: Value
    holds: bool

    def __str__(self) -> str:
        want, got = (_shown(value, self.claim.dimension) for value in (self.claim.want, self.got))
        error = ""
        if isinstance(self.got, float) and isinstance(self.claim.want, float) and self.claim.want:
            error = f" ({100 * (self.got / self.claim.want - 1):+.4f} %)"
        return f"{self.claim.word}: want {want}, got {got}{error}"


def _shown(value: Value, dimension: Dimension | None) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, float) and dimension is not None:
        return show(value, dimension, 6)
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_claims(document: Document, problems: Problems) -> tuple[Claim, ...]:
    """The claims under `expect`; wrong ones go to `problems` with their place."""
    data = document.data.get("expect")
    if data is None:
        return ()
    if not isinstance(data, dict):
        problems.add(document.value_mark(("expect",)), "expect wants a mapping of result words to values")
        return ()
    claims = []
    for word, expected in data.items():
        try:
            claims.append(_claim(word, expected, document, problems))
        except KeyError as error:
            problems.add(document.key_mark(("expect", word)), str(error.args[0]))
        except ValueError as error:
            message = str(error).replace("{key}", word)
            problems.add(document.value_mark(("expect", word)), message)
    return tuple(claim for claim in claims if claim is not None)


def _claim(word: str, expected: Any, document: Document, problems: Problems) -> Claim | None:
    tolerance = DEFAULT_TOLERANCE
    if isinstance(expected, dict):
        for key in expected:
            if key not in ("value", "tolerance"):
                where = document.key_mark(("expect", word, key))
                problems.add(where, unknown("key", key, ("value", "tolerance")))
                return None
        if "value" not in expected:
            raise ValueError("{key} wants a value, or a mapping with value and tolerance")
        tolerance = parse(expected.get("tolerance", DEFAULT_TOLERANCE), Dimension.RATIO)
        if tolerance < 0:
            raise ValueError("the tolerance of {key} is negative")
        expected = expected["value"]
    if word == FIND:
        read_number(expected)
        return Claim(word, expected, 0.0, None)
    known = word_named(word)
    return Claim(word, _value(expected, known), tolerance, known.dimension)


def _value(expected: Any, word: Word) -> Value:
    if word.dimension is not None:
        return parse(expected, word.dimension)
    if word is WORDS["bound_by"] or word is OP_WORDS["bound_by"]:
        if not isinstance(expected, str):
            raise ValueError(f"{shown(expected)} will not do: {{key}} wants one of {', '.join(CAUSES)}")
        if expected not in CAUSES:
            raise ValueError(unknown("cause", expected, CAUSES))
        return expected
    if isinstance(expected, (bool, str)):
        return expected
    raise ValueError(f"{shown(expected)} will not do: {{key}} wants a word or true/false")


def judge(claim: Claim, got: Value, tasks: int) -> Verdict:
    """Whether `got` is what the claim wants; `tasks` is the number of tasks of the run."""
    want = claim.want
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


def verdicts(claims: tuple[Claim, ...], summary: Summary, found: Value) -> list[Verdict]:
    """Every claim against a run; `found` is what the study found. Raises KeyError for an op that does not exist."""
    tasks = len(summary.plan.program)
    return [judge(claim, found if claim.word == FIND else summary[claim.word], tasks) for claim in claims]
