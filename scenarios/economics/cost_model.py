"""The cost model of a run: what it costs in every way that its `economics` section asks for, or why that is not known.

Formulas are in `analysis.economics`, keys in `language.economics_spec`; this module joins them to a run's words. A
property is named as the word that it is the value of, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

from analysis import Summary, priced_by
from analysis.economics import (
    DAYS_PER_YEAR,
    SECONDS_PER_HOUR,
    checkpoint_interval_s,
    chip_seconds_per_year,
    electricity_usd,
    engineering_usd,
    interrupted_share,
    payback_s,
    rent_usd,
    roi,
    saved_share,
    training_flops,
    usd_per_million,
    yearly_usd,
)
from hw import Chip
from scenarios.language.economics_spec import EconomicsSpec, InterruptionsSpec, TrainingSpec

_RECOMPUTED = 8.0
_PLAIN = 6.0


class UnknownError(Exception):
    """A figure that is not known; the message says why."""


class CostModel:
    """What a run costs, under an economics section. Properties raise UnknownError (or ValueError: a formula refuses)."""

    def __init__(self, spec: EconomicsSpec, summary: Summary, before: Callable[[], CostModel] | None = None) -> None:
        self.spec, self.summary = spec, summary
        self._before = before

    # What chips there are

    def _over_chips(self, figure: Callable[[Chip], float | None], missing: str) -> float:
        """The sum of a figure over all chips. Raises UnknownError, naming the chips that lack it."""
        system = self.summary.plan.system
        figures = [figure(chip) for chip in system.kinds]
        lacking = [chip.name for chip, each in zip(system.kinds, figures, strict=True) if each is None]
        if lacking:
            raise UnknownError(f"{', '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no {missing}")
        return sum(figures[kind] or 0.0 for kind in system.kind_of)

    @property
    def usd_per_h(self) -> float:
        """An hour of all chips."""
        return self._over_chips(
            lambda chip: chip.prices.of(self.spec.tier), f"{self.spec.tier.replace('_', ' ')} price"
        )

    @property
    def priced_by(self) -> str:
        """How the chips are rented, and who asks their prices."""
        told = priced_by(self.summary.plan.system, self.spec.tier)
        if told is None:
            raise UnknownError(f"a chip has no {self.spec.tier.replace('_', ' ')} price")
        return told

    @cached_property
    def flops(self) -> float:
        """The arithmetic of one run on all chips."""
        plan = self.summary.plan
        of_sort = [
            [plan.variant(sort, chip).kernel.flops * len(plan.members(chip)) for chip in sort.chips]
            for sort in plan.kernels.sorts
        ]
        return sum(flops for sort in plan.kernels.code for flops in of_sort[sort])

    # One run

    @property
    def time_s(self) -> float:
        """Time that one run takes, interruptions included."""
        time_s = self.summary.result.time_s
        return time_s / (1 - _lost(self.spec.interruptions)) if self.spec.interruptions else time_s

    @property
    def cost(self) -> float:
        """All chips for the time of one run."""
        return rent_usd(self.usd_per_h, self.time_s)

    @property
    def paid(self) -> float:
        """One run with its share of the paid hours in which nothing runs."""
        return rent_usd(self.usd_per_h, self.time_s, utilisation=self.spec.utilisation)

    @property
    def tokens(self) -> float:
        """Tokens of one run."""
        if self.spec.tokens_per_run is not None:
            return self.spec.tokens_per_run
        per_s = self.summary.built_in("tokens_per_s")
        if not isinstance(per_s, (int, float)):
            raise UnknownError("the workload has no tokens, and economics.tokens_per_run is not given")
        return per_s * self.summary.result.time_s

    @property
    def tokens_per_s(self) -> float:
        """Tokens of the whole system in a second."""
        return self.tokens / self.summary.result.time_s

    @property
    def cost_per_million_tokens(self) -> float:
        """A million tokens."""
        return usd_per_million(self.paid, self.tokens)

    @property
    def cost_per_step(self) -> float:
        """One step."""
        return self.paid / self.spec.steps_per_run

    @property
    def cost_per_request(self) -> float:
        """One request."""
        return self.paid / self.spec.requests_per_run

    @property
    def energy_cost(self) -> float:
        """Electricity of one run."""
        watts = self._over_chips(lambda chip: chip.power_watts, "power figure")
        assert self.spec.electricity is not None
        return electricity_usd(watts * self.time_s, self.spec.electricity, self.spec.pue)

    @property
    def flops_per_usd(self) -> float:
        """Arithmetic for a dollar."""
        if not self.paid:
            raise UnknownError("it costs nothing")
        return self.flops / self.paid

    # Interruptions

    @property
    def checkpoint_interval(self) -> float:
        """How often to save for the least loss."""
        interruptions = self.spec.interruptions
        assert interruptions is not None
        return checkpoint_interval_s(interruptions.checkpoint, interruptions.every)

    @property
    def lost_share(self) -> float:
        """The share of the time that interruptions cost."""
        assert self.spec.interruptions is not None
        return _lost(self.spec.interruptions)

    # A training

    @property
    def training_runs(self) -> float:
        """How many runs a whole training takes."""
        training = self.spec.training
        assert training is not None
        if training.steps is not None:
            return training.steps / self.spec.steps_per_run
        flops = _flops_of(training)
        if flops is None:
            return (training.tokens or 0.0) / self.tokens
        if not self.flops:
            raise UnknownError("the workload does no arithmetic")
        return flops / self.flops

    @property
    def training_time(self) -> float:
        """A whole training."""
        return self.training_runs * self.time_s

    @property
    def training_cost(self) -> float:
        """A whole training."""
        return self.training_runs * self.paid

    # A year

    @property
    def runs_per_day(self) -> float:
        """Runs a day, every day of the year."""
        spec = self.spec
        if spec.runs_per_day is not None:
            return spec.runs_per_day
        if spec.requests_per_day is not None:
            return spec.requests_per_day / spec.requests_per_run
        return (spec.trainings_per_year or 0.0) * self.training_runs / DAYS_PER_YEAR

    @property
    def cost_per_year(self) -> float:
        """The work of a year."""
        return yearly_usd(self.runs_per_day * self.paid)

    @property
    def chip_time_per_year(self) -> float:
        """What the work of a year keeps chips busy."""
        return chip_seconds_per_year(self.runs_per_day, self.time_s, self.summary.plan.system.size)

    # Against the baseline

    @cached_property
    def before(self) -> CostModel:
        """The cost model of the baseline."""
        assert self._before is not None
        before = self._before()
        if before.spec.volume != self.spec.volume:
            raise UnknownError(
                f"the baseline does other work in a year: {_said(before.spec)} against {_said(self.spec)}"
            )
        return before

    @property
    def unit(self) -> float:
        """The cost of what is compared: a training, else a request."""
        return self.training_cost if self.spec.training is not None else self.cost_per_request

    @property
    def saved(self) -> float:
        """Share of the baseline's cost that is gone."""
        figures = _figures(self.spec)
        if figures.get("time"):
            return saved_share(figures["time"], self.summary.result.time_s)
        if figures.get("cost_per_day"):
            return saved_share(yearly_usd(figures["cost_per_day"]), self.cost_per_year)
        return saved_share(self.before.unit, self.unit)

    @property
    def savings_per_year(self) -> float:
        """What a year costs less; negative if it costs more."""
        figures, now = _figures(self.spec), self.cost_per_year
        if figures.get("time"):
            return now * (figures["time"] / self.summary.result.time_s - 1)
        if figures.get("cost_per_day"):
            return yearly_usd(figures["cost_per_day"]) - now
        return self.before.cost_per_year - now

    @property
    def engineering_cost(self) -> float:
        """What the change costs once."""
        given = self.spec.engineering
        assert given is not None
        if given.cost is not None:
            return given.cost
        return engineering_usd((given.time or 0.0) / SECONDS_PER_HOUR, given.wage or 0.0)

    @property
    def roi(self) -> float:
        """Return of the first year on the engineering."""
        return roi(self.savings_per_year, self.engineering_cost)

    @property
    def payback_time(self) -> float:
        """When the engineering has paid."""
        savings = self.savings_per_year
        if savings <= 0:
            raise UnknownError("it saves nothing, so it never pays")
        return payback_s(self.engineering_cost, savings)


def _lost(interruptions: InterruptionsSpec) -> float:
    return interrupted_share(interruptions.checkpoint, interruptions.every, interruptions.restart)


def _flops_of(training: TrainingSpec) -> float | None:
    if training.parameters is None or training.tokens is None:
        return training.flops
    return training_flops(training.parameters, training.tokens, _RECOMPUTED if training.recompute else _PLAIN)


def _figures(spec: EconomicsSpec) -> dict[str, float]:
    """The figures of a baseline that is no scenario."""
    return {} if spec.baseline is None or isinstance(spec.baseline, str) else dict(spec.baseline.model_dump())


def _said(spec: EconomicsSpec) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in spec.volume.items()) or "none is said"
