"""The `economics` section of a scenario: how its chips are paid for, how often it runs, what it replaces, what that took.

Model: one run of the workload is the unit. Its price is that of all chips in the tier asked for, times the time of the run;
`utilisation` spreads the paid hours in which nothing runs over the work, interruptions stretch its time. Trainings, years
and savings are multiples of it: the formulas are those of `analysis.economics`.
Assumes: no word is guessed. A word whose figure is not known is null, with the reason; one that the section does not ask
for is refused in `expect`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from hw import Dimension
from hw.input import Efficiency, QuantityOf, Seconds, Sign, Spec

PositiveSeconds = Annotated[float, QuantityOf(Dimension.TIME)]
PositiveFlops = Annotated[float, QuantityOf(Dimension.WORK)]
Usd = Annotated[float, QuantityOf(Dimension.MONEY)]
Wage = Annotated[float, QuantityOf(Dimension.PRICE)]
UsdPerJoule = Annotated[float, QuantityOf(Dimension.ENERGY_PRICE, Sign.NOT_NEGATIVE)]
Count = Annotated[float, Field(gt=0, le=1e30, allow_inf_nan=False, strict=True)]


class TrainingSpec(Spec):
    """How much a whole training is: so many steps or tokens of this workload, or so many FLOPs at its pace."""

    steps: Count | None = Field(default=None, description="of the workload, steps_per_run of them in a run")
    tokens: Count | None = Field(default=None, description="of the workload, tokens_per_run in a run; or D of 6PD")
    flops: PositiveFlops | None = Field(default=None, description="of all chips, at the FLOP/s of the run")
    parameters: Count | None = Field(default=None, description="P of 6PD: FLOPs are 6 x parameters x tokens")
    recompute: bool = Field(default=False, strict=True, description="8PD: activations are made again on the way back")

    @model_validator(mode="after")
    def _is_said_once(self) -> TrainingSpec:
        said = [name for name in ("steps", "flops", "tokens") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError("{key} wants one of: steps; tokens; parameters and tokens; flops")
        if (self.parameters is not None or self.recompute) and (self.tokens is None or self.parameters is None):
            raise ValueError("{key}: parameters, tokens and recompute go together (6PD)")
        return self


class InterruptionsSpec(Spec):
    """Chips that can be taken away: the run is saved every Young interval and comes back after each interruption."""

    every: PositiveSeconds = Field(description="mean time between interruptions")
    checkpoint: PositiveSeconds = Field(description="time that saving takes")
    restart: Seconds = Field(default=0.0, description="time to come back")


class EngineeringSpec(Spec):
    """What a change costs once: a sum, or hours of work at a wage."""

    cost: Usd | None = None
    time: PositiveSeconds | None = Field(default=None, description="hours worked, e.g. 160 h for a month")
    wage: Wage | None = Field(default=None, description="what an hour of work costs in all")

    @model_validator(mode="after")
    def _is_said_once(self) -> EngineeringSpec:
        hourly = self.time is not None and self.wage is not None
        if (self.cost is not None) == hourly or (self.cost is not None and (self.time or self.wage)):
            raise ValueError("{key} wants cost, or time and wage")
        return self


class BaselineSpec(Spec):
    """What the run is compared with, as a figure."""

    time: PositiveSeconds | None = Field(default=None, description="what the same run took, on the same chips")
    cost_per_day: Usd | None = Field(default=None, description="what the same work cost a day")

    @model_validator(mode="after")
    def _is_said_once(self) -> BaselineSpec:
        if (self.time is None) == (self.cost_per_day is None):
            raise ValueError("{key} wants time or cost_per_day")
        return self


class EconomicsSpec(Spec):
    """How the chips are paid for, and what that comes to."""

    tier: Literal["on_demand", "reserved", "spot"] = Field(
        default="on_demand", description="which of the chips' prices"
    )
    interruptions: InterruptionsSpec | None = None
    utilisation: Efficiency = Field(default=1.0, description="share of the paid hours in which the work runs")
    electricity: UsdPerJoule | None = Field(default=None, description="price of energy, e.g. 0.12 USD/kWh")
    pue: float = Field(
        default=1.0, ge=1, le=100, strict=True, description="energy of the building over that of the chips"
    )
    steps_per_run: Count = Field(default=1.0, description="steps that one run of the workload is")
    tokens_per_run: Count | None = Field(default=None, description="tokens that one run handles, on all chips")
    requests_per_run: Count = Field(default=1.0, description="requests that one run answers")
    training: TrainingSpec | None = None
    runs_per_day: Count | None = Field(default=None, description="how often the workload runs, every day of the year")
    requests_per_day: Count | None = None
    trainings_per_year: Count | None = None
    baseline: str | BaselineSpec | None = Field(
        default=None, description="what this replaces: a scenario file (or library:NAME), or its time or daily cost"
    )
    engineering: EngineeringSpec | None = None

    @model_validator(mode="after")
    def _has_one_pace(self) -> EconomicsSpec:
        if len(self.volume) > 1:
            raise ValueError("{key}: write one of " + ", ".join(VOLUMES))
        if self.trainings_per_year is not None and self.training is None:
            raise ValueError("{key}: trainings_per_year wants a training")
        figure = self.baseline if isinstance(self.baseline, BaselineSpec) else None
        if figure and figure.cost_per_day is not None and not self.volume:
            raise ValueError("{key}: a baseline's cost_per_day wants one of " + ", ".join(VOLUMES))
        training = self.training
        if training and training.tokens and training.parameters is None and self.tokens_per_run is None:
            raise ValueError("{key}: a training of so many tokens wants tokens_per_run, or its parameters (6PD)")
        return self

    @property
    def volume(self) -> dict[str, float]:
        """How often the work is done, by the key that says so; empty if none does."""
        said: dict[str, Any] = {name: getattr(self, name) for name in VOLUMES}
        return {name: value for name, value in said.items() if value is not None}


VOLUMES = ("runs_per_day", "requests_per_day", "trainings_per_year")
"""Keys that say how much work there is in a year."""
