"""Which unit of the whitelist a word means that is none: 'Gbps' is Gbit/s, 'TFLOPS' is TFLOP/s, 'µsec' is us.

Model: the word is respelled step by step (words for seconds, hours, bytes, bits, dollars; 'ps' after a bit or byte), then
compared with the units that fit, whatever their case. A small b is a bit, a large B a byte, and neither is ever offered for
the other: a hint that is wrong by a factor of 8 is worse than none. Nor is M offered for m, but for bits and bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_RESPELLED = (
    ("[µμ]", "u"),
    ("(?i)^kilo", "k"),
    ("(?i)^mega", "M"),
    ("(?i)^giga", "G"),
    ("(?i)^tera", "T"),
    ("(?i)^peta", "P"),
    ("(?i)^(k|m|g|t)[ie]bi(?=b)", r"\1i"),
    ("(?i)bytes?", "B"),
    ("(?i)bits?", "bit"),
    ("(?i)(?<=b|t)ps$", "/s"),
    ("(?i)/s(ec(ond)?s?)?$", "/s"),
    ("(?i)s(ec(ond)?s?)$", "s"),
    ("(?i)^minutes?$|^mins$", "min"),
    ("(?i)^(hr|hour)s?$", "h"),
    ("(?i)/(hr|hour)s?$", "/h"),
    ("(?i)^(d|days)$", "day"),
    (r"(?i)^(\$|usd|dollars?)(?=$|/)", "USD"),
    ("^([kKmMgGtTpPeE]?i?)b(?=$|/s$)", r"\1bit"),
)
"""Patterns and what stands in their place, in order; compiled when a unit is not known."""

_ARITHMETIC = r"(?i)([a-z]?(?:flop|op))(?:s|ps|/s)?"


def unit_meant(name: str, fitting: Iterable[str]) -> str | None:
    """The unit among those that fit that `name` means; None if that cannot be said."""
    by_case = {unit.casefold(): unit for unit in fitting}
    for word in _spellings(name):
        unit = by_case.get(word.casefold())
        if unit is not None and not _of_another_size(word, unit):
            return unit
    return None


def _spellings(name: str) -> Iterator[str]:
    """What the word may be respelled to, likeliest first."""
    word = name
    for pattern, plain in _RESPELLED:
        word = re.sub(pattern, plain, word)
    yield word
    arithmetic = re.fullmatch(_ARITHMETIC, name)
    if arithmetic:
        yield from (f"{arithmetic[1]}/s", arithmetic[1])


def _of_another_size(word: str, unit: str) -> bool:
    """Whether the word says milli where the unit says mega; nobody counts in millibits."""
    return word[0] == "m" and unit[0] == "M" and not unit.startswith(("MB", "Mbit", "MiB", "Mibit"))
