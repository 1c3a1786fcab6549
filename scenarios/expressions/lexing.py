"""What an expression holds that Python's syntax lacks, put aside under plain names.

That is quantities (`5 ms`, `95 %`), and words about kernels whose names hold a + or a / (`ops.a+b.time`).
Model: a number and a unit of the language are a quantity; of `5 ms/time` the unit is what stands before the
stroke, `3 /s` is a rate and `3/s` a quotient. `%` after a number is a unit where no operand follows. A word about an
op ends at the first word of the vocabulary that ends it.
Assumes: no quoted text holds a quote of its own kind.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from analysis import OP_WORDS
from hw import Dimension
from hw.input import UNITS, parse

_NUMBER = r"(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?"
_RATE = r"(?<=\s)/s(?![\w/])"
_UNIT = rf"{_RATE}|[A-Za-z][A-Za-z]*(?:/[A-Za-z]+)*"
_PERCENT = r"%(?=\s*(?:$|[)\],<>=!+\-*/]|and\b|or\b))"
_TOKEN = re.compile(
    rf"""(?P<quoted>"[^"]*"|'[^']*')"""
    rf"""|(?P<op>(?<!\w)ops\.[\w+/.]+?\.(?:{"|".join(map(re.escape, OP_WORDS))})(?![\w.]))"""
    rf"""|(?<![\w.])(?P<number>{_NUMBER})\s*(?P<unit>{_PERCENT}|{_UNIT})(?!\s*\()"""
)
_ASIDE = re.compile(r"__\d+")


@dataclass(frozen=True, slots=True)
class Literal:
    """A number in base units and what it measures."""

    number: float
    dimension: Dimension


@dataclass
class Simplified:
    """Text as Python reads it; `quantities` and `words` are what its plain names stand for."""

    text: str = ""
    quantities: dict[str, Literal] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)

    def original(self, part: str) -> str:
        """A part of the text as it was written."""
        return _ASIDE.sub(lambda match: self.written.get(match[0], match[0]), part)

    def aside(self, written: str) -> str:
        """A plain name for something."""
        name = f"__{len(self.written)}"
        self.written[name] = written
        return name


def simplified(text: str) -> Simplified:
    """The text with what Python lacks put aside. Raises ValueError for names that are kept for that."""
    if _ASIDE.search(text):
        raise ValueError(f"'{text[:60]}' is not an expression: a name may not begin with __")
    made = Simplified()
    made.text = _TOKEN.sub(lambda match: _put_aside(match, made), text)
    return made


def _put_aside(match: re.Match[str], made: Simplified) -> str:
    whole: str = match[0]
    if match["quoted"]:
        return whole
    if match["op"]:
        name = made.aside(whole)
        made.words[name] = whole
        return name
    unit = _unit(match["unit"], UNITS)
    if not unit:
        return whole
    end = match.start("unit") - match.start() + len(unit)
    name = made.aside(whole[:end])
    dimension = UNITS[unit].dimension
    made.quantities[name] = Literal(parse(f"{match['number']} {unit}", dimension), dimension)
    return name + whole[end:]


def _unit(written: str, units: Mapping[str, object]) -> str:
    """The longest beginning of a text, cut at strokes, that is a unit; empty if none is."""
    while written and written not in units:
        written = written.rpartition("/")[0]
    return written
