"""Which words an `economics` section gives a run: what each wants of the section, their values, and why one is null.

A baseline that is a scenario is run when a word first needs it, and priced by its own economics section where it has one,
else by ours; a study that varies this scenario leaves it as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import MONEY_WORDS, RUN_WORDS, Summary, Value
from hw import Problem, Problems, SpecError
from hw.input import Document, is_file, show
from hw.systems import folder_of
from scenarios.claims.claims import Claim
from scenarios.claims.scope import own_words
from scenarios.economics.cost_model import CostModel, UnknownError
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.source import find_file


@dataclass(frozen=True, slots=True)
class Wants:
    """What a word needs of the section: whether it is there, and its name."""

    there: Callable[[EconomicsSpec], bool]
    key: str

    def __and__(self, other: Wants) -> Wants:
        return Wants(lambda spec: self.there(spec) and other.there(spec), f"{self.key}, {other.key}")


_ALWAYS = Wants(lambda _spec: True, "")
_REQUESTS = Wants(
    lambda spec: spec.requests_per_day is not None or "requests_per_run" in spec.model_fields_set,
    "requests_per_day or requests_per_run",
)
_TOKENS = Wants(lambda spec: spec.tokens_per_run is not None, "tokens_per_run")
_POWER = Wants(lambda spec: spec.electricity is not None, "electricity")
_INTERRUPTIONS = Wants(lambda spec: spec.interruptions is not None, "interruptions")
_TRAINING = Wants(lambda spec: spec.training is not None, "training")
_VOLUME = Wants(lambda spec: bool(spec.volume), "runs_per_day, requests_per_day or trainings_per_year")
_BASELINE = Wants(lambda spec: spec.baseline is not None, "baseline")
_ENGINEERING = Wants(lambda spec: spec.engineering is not None, "engineering")

WANTS: Mapping[str, Wants] = {
    "cost": _ALWAYS,
    "priced_by": _ALWAYS,
    "tokens_per_s": _TOKENS,
    "cost_per_million_tokens": _TOKENS,
    "cost_per_step": _ALWAYS,
    "cost_per_request": _REQUESTS,
    "cost_per_year": _VOLUME,
    "chip_time_per_year": _VOLUME,
    "energy_cost": _POWER,
    "flops_per_usd": _ALWAYS,
    "checkpoint_interval": _INTERRUPTIONS,
    "lost_share": _INTERRUPTIONS,
    "training_time": _TRAINING,
    "training_cost": _TRAINING,
    "saved": _BASELINE,
    "savings_per_year": _BASELINE & _VOLUME,
    "engineering_cost": _ENGINEERING,
    "roi": _ENGINEERING & _BASELINE & _VOLUME,
    "payback_time": _ENGINEERING & _BASELINE & _VOLUME,
}
"""Every word that an economics section gives a value, and what it must say for it."""


def baseline_file(spec: EconomicsSpec, document: Document, path: Path) -> Path | None:
    """The scenario file of a baseline, relative to the file that names it; None if it is none. Raises SpecError."""
    if not isinstance(spec.baseline, str):
        return None
    mark = document.value_mark(("economics", "baseline"))
    file = find_file(spec.baseline, folder_of(mark, path.parent), mark)
    if not is_file(file):
        raise SpecError([Problem(mark, f"there is no scenario file '{file}' to compare with")])
    return file


def check_baseline(spec: EconomicsSpec | None, document: Document, path: Path, problems: Problems) -> None:
    """Say if the baseline's file is not there."""
    try:
        if spec is not None:
            baseline_file(spec, document, path)
    except SpecError as error:
        problems.extend(error)


def check_money_claims(
    claims: Iterable[Claim], spec: EconomicsSpec | None, document: Document, problems: Problems
) -> None:
    """Refuse claims about words that the economics section does not say enough for."""
    for claim in claims:
        mark = document.key_mark(("expect", claim.word))
        for word in own_words(*claim.expressions):
            wants = WANTS.get(word, _ALWAYS)
            if word in MONEY_WORDS and spec is None and "economics" not in document.data:
                problems.add(mark, f"{word} wants an economics section")
            elif word in MONEY_WORDS and spec is not None and not wants.there(spec):
                problems.add(mark, f"{word} wants in economics: {wants.key}")


@dataclass(frozen=True)
class MoneyWords:
    """An economics section, ready to work out words of runs; `before` gives the cost model of its baseline."""

    spec: EconomicsSpec
    before: Callable[[], CostModel] | None = None

    @property
    def words(self) -> list[str]:
        """The words that the section says enough for."""
        return [word for word, wants in WANTS.items() if wants.there(self.spec)]

    @property
    def own(self) -> Mapping[str, Callable[[Summary], Value]]:
        """How to work out each word of a run; null for what is not known."""
        asked = {*self.words, "cost_per_million_tokens"}  # a workload with tokens has it without being told

        def value_of(word: str) -> Callable[[Summary], Value]:
            return lambda summary: self._worked_out(word, summary)[0]

        return {word: value_of(word) for word in asked}

    def reasons(self, summary: Summary) -> dict[str, str]:
        """Why the words that are null are not known."""
        return {word: self._worked_out(word, summary)[1] for word in self.words if summary[word] is None}

    def _worked_out(self, word: str, summary: Summary) -> tuple[Value, str]:
        try:
            value: Value = getattr(CostModel(self.spec, summary, self.before), word)
        except SpecError:  # the baseline's file is wrong
            raise
        except (UnknownError, ValueError) as error:
            return None, str(error)
        return value, ""

    def _priced_otherwise(self, summary: Summary) -> str:
        """What the baseline is priced by, where that is something else."""
        if self.before is None or not isinstance(self.spec.baseline, str):
            return ""
        try:
            other = self.before().priced_by
        except UnknownError:
            return ""
        return "" if other == summary["priced_by"] else f"; its baseline {other}: prices of unlike sources"

    def record(self, summary: Summary) -> dict[str, Any]:
        """What JSON says beside the words: the tier, and why words are null."""
        return {"tier": self.spec.tier, "unknown": self.reasons(summary)}

    def lines(self, summary: Summary) -> Iterator[str]:
        """The words for people: those of a run in one line, then one for each reason."""
        shown = ((word, summary[word], RUN_WORDS[word].dimension) for word in self.words)
        yield ", ".join(
            f"{word.replace('_', ' ')} {show(float(value), dimension) if dimension else f'{value:.4g}'}"
            for word, value, dimension in shown
            if isinstance(value, (int, float))
        )
        if summary["priced_by"] is not None:
            yield f"priced {summary['priced_by']}{self._priced_otherwise(summary)}"
        words: dict[str, list[str]] = {}
        for word, reason in self.reasons(summary).items():
            words.setdefault(reason, []).append(word.replace("_", " "))
        for reason, unknown in words.items():
            yield f"{', '.join(unknown)} not known: {reason}"
