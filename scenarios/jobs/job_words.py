"""Which words a `job` section gives a run: means over the lives of the job, with how sure they are; lines and JSON of them.

A word that no figure is known for is null, with the reason. The lives are lived when the first word needs them, and once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from analysis import JOB_WORDS, Summary, Value
from analysis.economics import SECONDS_PER_HOUR
from analysis.words import Mean, mean_of
from hw import Dimension, RunError
from hw.input import show
from scenarios.jobs.section import JobSection, StepTime
from simulator.faults import Job, Life, live

_OF_LIFE: Mapping[str, Callable[[Life], float]] = {
    "job_time": lambda life: life.time_s,
    "slow_time": lambda life: life.slow_s,
    "checkpoint_time": lambda life: life.checkpoint_s,
    "lost_time": lambda life: life.lost_s,
    "restart_time": lambda life: life.restart_s,
    "away_time": lambda life: life.away_s,
    "failures": lambda life: life.failures,
    "rollbacks": lambda life: life.rollbacks,
}
"""Words that are means over lives."""

_PARTS = {
    "slow_time": "slow",
    "checkpoint_time": "checkpoints",
    "lost_time": "lost",
    "restart_time": "restarts",
    "away_time": "away",
}


@dataclass(frozen=True)
class JobWords:
    """A job section, ready to work out words of one run. `tier`: which of the chips' prices is paid; `step_time`: of a run
    with other values."""

    section: JobSection
    summary: Callable[[], Summary]
    tier: str
    step_time: StepTime

    @property
    def own(self) -> Mapping[str, Callable[[Summary], Value]]:
        """How to work out each word of a run."""

        def value_of(word: str) -> Callable[[Summary], Value]:
            return lambda _summary: self.value(word)

        return {word: value_of(word) for word in JOB_WORDS}

    def value(self, word: str) -> Value:
        """A word; None where it is not known."""
        mean = self.mean(word)
        return mean.value if mean is not None else None

    def mean(self, word: str) -> Mean | None:
        """A word with how sure it is; None where it is not known."""
        if word in _OF_LIFE:
            return mean_of([float(_OF_LIFE[word](life)) for life in self.lives])
        return getattr(self, f"_{word}")()  # type: ignore[no-any-return]

    @cached_property
    def chips(self) -> int:
        """How many chips the job runs on, but for spares."""
        return self.summary().plan.system.size

    @cached_property
    def job(self) -> Job:
        """The job as it is lived."""
        return self.section.job(self.chips, self._step_time)

    @cached_property
    def lives(self) -> tuple[Life, ...]:
        """The job's lives, one for each seed."""
        spec = self.section.spec
        return _lives(self.job, spec.seed, spec.seeds)

    def _step_time(self, values: Mapping[str, Any]) -> float:
        # machines whose paces are drawn for a life are not the slowest of many in its steps as well
        if self.section.spec.spread and self.summary().result.plan.options.spread:
            values = {**values, "run.spread": 0}
        return self.step_time(values) if values else self.summary().result.time_s

    def _goodput(self) -> Mean:
        time, work_s = mean_of([life.time_s for life in self.lives]), self.job.work_s
        error = None if time.error is None else work_s * time.error / time.value**2
        return Mean(work_s / time.value, error)

    def _job_mtbf(self) -> Mean | None:
        mtbf_s = self.section.mtbf_s(self.chips)
        return None if mtbf_s is None else Mean(mtbf_s)

    def _checkpoint_every(self) -> Mean | None:
        return Mean(self.job.steps_between * self.job.step_s) if self.section.spec.checkpoint is not None else None

    def _young_interval(self) -> Mean | None:
        intervals = self.section.intervals_s(self.chips)
        return None if intervals is None else Mean(intervals[0])

    def _daly_interval(self) -> Mean | None:
        intervals = self.section.intervals_s(self.chips)
        return None if intervals is None else Mean(intervals[1])

    def _job_cost(self) -> Mean | None:
        costs = [self._usd(life) for life in self.lives]
        return None if None in costs else mean_of([cost or 0.0 for cost in costs])

    def _effective_price(self) -> Mean | None:
        cost = self._job_cost()
        if cost is None:
            return None
        hours = self.job.work_s * self.chips / SECONDS_PER_HOUR
        return Mean(cost.value / hours, None if cost.error is None else cost.error / hours)

    def _usd(self, life: Life) -> float | None:
        """What all chips of a life cost, those of spares as well; None where one of them has no price."""
        all_of_them = (self.job.machines + self.job.spares) / self.job.machines
        prices = self.section.prices
        if prices is not None:
            return prices.paid_usd(life.time_s) * self.chips * all_of_them
        system = self.summary().plan.system
        per_h = [chip.prices.of(self.tier) for chip in system.kinds]
        if None in per_h:
            return None
        return sum(per_h[kind] or 0.0 for kind in system.kind_of) * all_of_them * life.time_s / SECONDS_PER_HOUR

    @property
    def reasons(self) -> dict[str, str]:
        """Why the words that are null are not known."""
        why = {
            "job_mtbf": "nothing fails",
            "checkpoint_every": "nothing is saved",
            "young_interval": "nothing fails, or saving takes no time",
            "daly_interval": "nothing fails, or saving takes no time",
            "job_cost": f"a chip has no {self.tier.replace('_', ' ')} price",
            "effective_price": f"a chip has no {self.tier.replace('_', ' ')} price",
        }
        return {word: reason for word, reason in why.items() if self.value(word) is None}

    def record(self) -> dict[str, Any]:
        """What JSON says beside the words: how many lives, the ends of the intervals, why words are null."""
        means = {word: self.mean(word) for word in JOB_WORDS}
        sure = {
            word: {"low": mean.value - mean.error, "high": mean.value + mean.error}
            for word, mean in means.items()
            if mean is not None and mean.error is not None
        }
        return {"lives": len(self.lives), "step": self.job.step_s, "interval_95": sure, "unknown": self.reasons}

    def lines(self) -> Iterator[str]:
        """The words for people: where the time goes, what fails, what it costs."""
        goodput = self._goodput()
        sure = "" if goodput.error is None else f" +- {100 * goodput.error:.2g}"
        lives = f", mean of {len(self.lives)} lives" if len(self.lives) > 1 else ""
        yield f"job of {self.job.steps:,} steps: {self._text('job_time')}, goodput {100 * goodput.value:.1f}{sure} %{lives}"
        spent = [
            f"{name} {100 * share:.1f} %"
            for word, name in _PARTS.items()
            if (share := self._number(word) / self._number("job_time")) >= 0.0005
        ]
        if spent:
            yield f"of its time {', '.join(spent)}"
        if self.section.failures is not None:
            every = show(self._number("job_mtbf"), Dimension.TIME, 3)
            yield f"{self._text('failures')} failures, one every {every} on average; {self._saved()}"
        if self.value("job_cost") is not None:
            price = show(self._number("effective_price"), Dimension.PRICE, 3)
            yield f"job cost {self._text('job_cost')}, effective price {price}"

    def _saved(self) -> str:
        if self.section.spec.checkpoint is None:
            return "nothing is saved"
        best = self.section.intervals_s(self.chips)
        told = "" if best is None else f" (best: {show(best[1], Dimension.TIME, 3)})"
        return f"saved every {show(self._number('checkpoint_every'), Dimension.TIME, 3)}{told}"

    def _text(self, word: str) -> str:
        return JOB_WORDS[word].text(self.value(word))

    def _number(self, word: str) -> float:
        value = self.value(word)
        assert isinstance(value, float)
        return value


@lru_cache(maxsize=16)
def _lives(job: Job, seed: int, seeds: int) -> tuple[Life, ...]:
    """The lives of a job: the screen, JSON and claims of one run ask for the same."""
    try:
        return tuple(live(job, each) for each in range(seed, seed + seeds))
    except ValueError as error:  # a trace of fewer machines than all chips are
        raise RunError(f"job: {error}") from None
