"""The `study` section of a scenario: many runs of it, and what is asked of them.

Values are lists, or text: a range (`1:4096:x2`, `1:10`, `1 TB/s:4 TB/s:+500 GB/s`) or a comma list (`h100_sxm, tpu_v5p`).
They are read by `scenarios.points.points`, which reports every wrong one at its place.
"""

from typing import Annotated, Any

from pydantic import Field, StrictFloat, StrictInt, StrictStr, WithJsonSchema

from analysis import PRICED_WORDS
from hw.input import Spec

MAX_POINTS = 1_000_000

Values = Annotated[
    Any,
    WithJsonSchema(
        {
            "anyOf": [{"type": "array", "items": {}}, {"type": "string"}],
            "description": "a list, a range (1:4096:x2, 1:10:+1), or a comma list",
        }
    ),
]
"""What a path takes: checked by hand, so that one wrong entry does not hide the others."""

Number = StrictInt | StrictFloat | StrictStr
"""A number as it was written: whole, with a point, or with a unit."""


class FindSpec(Spec):
    """The smallest (or largest) of the values from, from + step, ... to for which `where` holds."""

    smallest: str | None = Field(default=None, description="dotted path of the value, e.g. workload.dims.B")
    largest: str | None = Field(default=None, description="instead of smallest: the last value that will do")
    from_: Number = Field(alias="from")
    to: Number
    step: Number | None = Field(default=None, description="by default what keeps a sharded dim divisible")
    where: str = Field(
        description="a comparison of result words: t_math >= t_network, ops.attn.time >= 0.5 * time, bound_by == compute"
    )
    every: bool = Field(
        default=False, strict=True, description="try every value up to the answer; else few, by bisection"
    )

    @property
    def path(self) -> str:
        """The path of the value that is looked for."""
        return self.smallest or self.largest or ""

    @property
    def wanted(self) -> str:
        """Which end is looked for: smallest or largest."""
        return "largest" if self.smallest is None else "smallest"


class CrossoverAxis(Spec):
    """A value and what it takes: from and to with a step or a number of steps, or a list."""

    path: str = Field(description="dotted path of the value")
    from_: Number | None = Field(alias="from", default=None)
    to: Number | None = None
    step: Number | None = Field(default=None, description="by default what keeps a sharded dim divisible")
    steps: int | None = Field(
        default=None, ge=2, le=10_000, strict=True, description="so many values instead of a step"
    )
    log: bool = Field(default=False, strict=True, description="steps even in the logarithm")
    values: Values | None = None


class CrossoverSpec(Spec):
    """For each value of y, the value of x at which a condition flips."""

    x: CrossoverAxis
    y: CrossoverAxis
    where: str = Field(description="a comparison of result words")


class WhatIfSpec(Spec):
    """The run again with each resource faster, and with each of some edits."""

    edits: list[str] = Field(
        default_factory=list,
        description="fuse=a+b, drop=NAME, dtype=int8, chunks=8, overlap=full, system.topology=ring(8)",
    )


class SampleSpec(Spec):
    """Numbers drawn evenly from a range, both ends included; whole ones where both ends are whole."""

    from_: Number = Field(alias="from", description="a number, or a quantity with a unit")
    to: Number
    log: bool = Field(default=False, strict=True, description="even in the logarithm")
    step: Number | None = Field(default=None, description="only from, from + step, ...")


class RandomSpec(Spec):
    """Independent draws for each path. The same seed gives the same samples, and more samples begin with the fewer."""

    samples: int = Field(default=100, ge=1, le=MAX_POINTS, strict=True)
    seed: int = Field(default=0, strict=True)
    values: dict[str, SampleSpec | Values] = Field(
        description="dotted path -> {from, to, log, step}, or a list or text to draw from"
    )


class StudySpec(Spec):
    """Many runs of one scenario: every value of `vary` with every other, with every row of `zip`, with every sample. `find`
    answers for the scenario itself and for each of them; `derive` goes with all."""

    find: FindSpec | None = None
    crossover: CrossoverSpec | None = Field(default=None, description="a map of two values")
    what_if: WhatIfSpec | None = Field(default=None, description="answered by `overlapse what-if`")
    vary: dict[str, Values] | None = Field(default=None, description="dotted path -> values; a grid, one row each")
    zip: dict[str, Values] | None = Field(
        default=None, description="dotted path -> values; first with first, and so on"
    )
    random: RandomSpec | None = Field(default=None, description="dotted paths whose values are drawn")
    sort: str | None = Field(
        default=None, description="an expression over words and varied paths: the least first; -mfu: the largest first"
    )
    show: list[str] | None = Field(
        default=None, description="the words that the printed table has, in this order; by default those that say most"
    )
    words: list[str] | None = Field(
        default=None,
        min_length=1,
        description="the words of a row, all about the run unless said: where none of them needs it, no row is simulated",
    )
    derive: dict[str, Any] | None = Field(
        default=None, description="dotted path -> expression of other values: 4 * D, max(B // 2, 1), ceil(log2(B))"
    )

    @property
    def asked(self) -> tuple[str, ...] | None:
        """The words of a row, each once, with `priced_by` where prices matter; None for every word about the run."""
        if self.words is None:
            return None
        priced = ["priced_by"] if set(self.words) & set(PRICED_WORDS) else []
        return tuple(dict.fromkeys([*self.words, *priced]))
