"""What the claim of a technique is a comparison of: the cases that the gallery draws beside each other.

Model: a value that was found is compared with half and twice of it, since what it is about is which resource takes longer
on either side; a study with its rows; anything else with the other scenarios of the technique. Of many cases some are shown,
evenly spread, the first and the last among them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import CAUSES
from hw import SpecError
from scenarios import Outcome, run

MOST = 8
_LONG = 30
"""Characters of a value that can be told whole."""
_RESOURCES = {"find", "time", *(cause.word for cause in CAUSES.values())}


@dataclass(frozen=True, slots=True)
class Case:
    """A run beside others: what sets it apart, and its words."""

    name: str
    words: Mapping[str, Any]

    def needs(self) -> dict[str, float]:
        """Seconds by cause, of all that takes a part of the time that can be seen."""
        found = {
            name: float(self.words[cause.word] or 0.0) for name, cause in CAUSES.items() if cause.word in self.words
        }
        return {name: seconds for name, seconds in found.items() if seconds > 1e-3 * float(self.words["time"])}


def cases_of(names: Sequence[str], outcome: Outcome, claim: str) -> list[Case]:
    """The cases of a technique, of whose scenarios the first was run and makes a claim."""
    if claim.startswith("find:"):
        return _around(names[0], outcome)
    word = word_of(claim, outcome) or "time"
    cases = _rows(outcome, word) or [Case(name, run(f"library:{name}").summary) for name in names[:MOST]]
    return [case for case in cases if case.words.get(word) is not None]


def word_of(claim: str, outcome: Outcome) -> str | None:
    """The word that a claim is about, where that is not how long something takes: then its resources tell more."""
    for word in re.findall(r"[a-z]\w*", claim.rpartition(":")[0]):
        if word not in _RESOURCES and type(outcome.summary.get(word)) in (int, float):
            return str(word)
    return None


def _around(name: str, outcome: Outcome) -> list[Case]:
    """Below, at, and above what is found."""
    study = outcome.scenario.study
    assert study is not None
    assert study.find is not None
    path, found = study.find.path, outcome.summary["find"]
    assert isinstance(found, int | float)
    cases = []
    for value in (found // 2, found, 2 * found):
        try:
            words = run(f"library:{name}", [f"{path}={value}", "study=null", "expect=null"]).summary
        except SpecError:  # a dim that half does not divide: two sides of three tell it, too
            continue
        cases.append(Case(f"{path.rpartition('.')[2]} = {value}", words))
    return cases


def _rows(outcome: Outcome, word: str) -> list[Case]:
    """The rows of the study that have a word, by what differs between them."""
    study, frame = outcome.scenario.study, outcome.study
    if study is None or "time" not in frame:  # a study of words of its own
        return []
    frame = frame[frame[word].notna()]
    inputs = list(frame.columns[: list(frame.columns).index("time")])
    telling = [column for column in inputs if frame[column].astype(str).nunique() > 1] or inputs
    named = len(telling) < 3  # more of them leave no room for what they are called
    told = zip(
        *(_apart(column if named else "", frame[column].astype(str).tolist()) for column in telling), strict=True
    )
    cases = [Case(", ".join(said), words) for said, words in zip(told, frame.to_dict("records"), strict=True)]
    most = min(MOST, len(cases))
    return [cases[round(at * (len(cases) - 1) / max(1, most - 1))] for at in range(most)]


def _apart(column: str, values: list[str]) -> list[str]:
    """What tells the values of an input from each other: of long ones the words that are not the same in all."""
    if max(map(len, values)) <= _LONG:
        return [f"{column.rpartition('.')[2]} {value}".strip() for value in values]
    words = [re.findall(r"[^\s,()]+", value) for value in values]
    same = set.intersection(*map(set, words))
    return [" ".join(word for word in each if word not in same) or "as it is" for each in words]
