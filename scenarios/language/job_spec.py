"""The `job` section of a scenario: a long job whose steps are runs of the workload, and what happens to it on the way.

Model: what is said of machines is of one of them, what is said of steps of all machines together; the words about a job are
means over `seeds` lives of it. How a job lives is said in `simulator.faults`.
"""

from __future__ import annotations

import itertools
from typing import Annotated, Any

from pydantic import Field, model_validator

from hw import Dimension
from hw.input import QuantityOf, Seconds, Sign, Spec

PositiveSeconds = Annotated[float, QuantityOf(Dimension.TIME)]
Price = Annotated[float, QuantityOf(Dimension.PRICE, Sign.NOT_NEGATIVE)]
Share = Annotated[float, QuantityOf(Dimension.RATIO, Sign.NOT_NEGATIVE)]
Whole = Annotated[int, Field(strict=True, ge=1, le=10**12)]

MOST_SEEDS = 10_000


class CheckpointSpec(Spec):
    """How often a job is saved, and how long that takes."""

    every: PositiveSeconds | None = Field(
        default=None, description="time of steps between checkpoints, in whole steps; Daly's optimum unless said"
    )
    write: Seconds = Field(default=0.0, description="time that writing one takes")
    overlap: bool = Field(default=False, strict=True, description="the job works on while one is written")


class FailureSpec(Spec):
    """Machines that fail by chance, or as they were recorded to."""

    mtbf: PositiveSeconds | None = Field(default=None, description="mean time between failures of one machine")
    repair: Seconds = Field(default=0.0, description="how long one is away on average; 0: another stands in at once")
    trace: str | None = Field(default=None, description="a file with recorded failures, in place of mtbf and repair")
    of: Whole | None = Field(default=None, description="how many machines the trace is of")
    unit: PositiveSeconds = Field(default=86400.0, description="the unit of the trace's times: a day unless said")
    fit: bool = Field(default=False, strict=True, description="by chance, as often and as long as the trace says")

    @model_validator(mode="after")
    def _is_said_once(self) -> FailureSpec:
        if (self.mtbf is None) == (self.trace is None):
            raise ValueError("{key} wants mtbf, or a trace")
        if self.trace is not None and self.of is None:
            raise ValueError("{key}: a trace wants `of`, how many machines it is of: not all of them need have failed")
        if self.trace is None and (self.fit or self.of is not None):
            raise ValueError("{key}: fit and of go with a trace")
        return self


class SlowdownSpec(Spec):
    """Something that slows the steps for a while: a straggler, a link that has lost a lane."""

    every: PositiveSeconds = Field(description="mean time between them, of one machine")
    lasts: PositiveSeconds = Field(description="how long each lasts")
    factor: float | None = Field(default=None, ge=1, le=1e6, description="how many times as long a step takes")
    set: dict[str, Any] | None = Field(
        default=None, description="instead: dotted path -> value, and a step takes as long as a run with these"
    )

    @model_validator(mode="after")
    def _is_said_once(self) -> SlowdownSpec:
        if (self.factor is None) == (not self.set):
            raise ValueError("{key} wants factor, or set")
        return self


class PriceSpec(Spec):
    """A price, from a time on."""

    at: Seconds = Field(default=0.0, description="since the begin of the job, or of the period")
    price: Price = Field(description="an hour of one chip")


class SpotSpec(Spec):
    """Prices that change; the machines are taken away while the price is above the bid."""

    prices: list[PriceSpec] = Field(min_length=1, description="in the order of time, the first from 0 on")
    bid: Price | None = Field(default=None, description="the most that is paid; unless said, whatever the price is")
    period: PositiveSeconds | None = Field(default=None, description="after which they begin again")

    @model_validator(mode="after")
    def _is_in_order(self) -> SpotSpec:
        times = [each.at for each in self.prices]
        if times[0] != 0 or any(after <= before for before, after in itertools.pairwise(times)):
            raise ValueError("{key}: prices begin at 0 and go on in the order of time")
        if self.period is not None and self.period <= times[-1]:
            raise ValueError("{key}: the period ends before its last price begins")
        if self.bid is not None and all(each.price > self.bid for each in self.prices):
            raise ValueError("{key}: every price is above the bid, so the job never has a machine")
        return self


class JobSpec(Spec):
    """So many steps of the workload on machines that fail, slow down or are taken away."""

    steps: Whole = Field(description="that the job is")
    step: PositiveSeconds | None = Field(default=None, description="time of one; that of the run unless said")
    machines: Annotated[int, Field(strict=True, ge=1, le=10**6)] | None = Field(
        default=None, description="that fail and slow down by themselves; all chips unless said"
    )
    spares: Annotated[int, Field(strict=True, ge=0, le=10**6)] = Field(
        default=0, description="machines that are paid for and stand in for others"
    )
    shrink: Annotated[int, Field(strict=True, ge=1)] | None = Field(
        default=None,
        description="with so few machines the job still goes on, more slowly; unless said it waits for all",
    )
    checkpoint: CheckpointSpec | None = Field(default=None, description="without, a failure throws all away")
    restart: Seconds = Field(default=0.0, description="time from a failure until the steps go on")
    failures: FailureSpec | None = None
    slowdowns: dict[str, SlowdownSpec] = Field(default_factory=dict, description="by name; of several the worst counts")
    jitter: Share = Field(
        default=0.0, description="mean share by which a machine's part of a step takes longer, by chance"
    )
    spread: Share = Field(
        default=0.0,
        description="standard deviation, as a share, of how long machines take for the same; each keeps its pace",
    )
    spot: SpotSpec | None = None
    seeds: Annotated[int, Field(strict=True, ge=1, le=MOST_SEEDS)] = Field(
        default=1, description="lives of the job; its words are means over them"
    )
    seed: Annotated[int, Field(strict=True, ge=0)] = Field(default=0, description="of the first life")

    @model_validator(mode="after")
    def _can_be(self) -> JobSpec:
        if self.shrink is not None and self.machines is not None and self.shrink > self.machines:
            raise ValueError("{key}: it shrinks to more machines than it has")
        saves = self.checkpoint is not None and self.checkpoint.every is None
        if saves and (self.failures is None or not self.checkpoint.write):  # type: ignore[union-attr]
            raise ValueError("{key}: checkpoint wants every, or failures and write, from which it follows")
        return self
