"""What the sharding planner did that nobody wrote, in words and as data: its collectives, and where it was dear.

Every inserted collective is told. Where the textbook's choice for an op costs more than `NOTABLE` times the cheapest, alone
with all that it inserts, that is told too, and how long the whole run would take with `run.sharding: auto`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from analysis import Summary
from hw import Dimension
from hw.input import few, show
from simulator import Cost, Dearer, Inserted, OpGraph, dearer_choices

SHOWN = 3
"""Ops that one line names."""

WORTH = 0.001
"""The part of a run's time that another choice must save to be worth it."""

MAX_TASKS = 20_000
"""Above this many tasks the run is not repeated with the cheapest sharding."""


@dataclass(frozen=True, slots=True)
class ShardingStory:
    """What was inserted, which choices were dear, the run's time and (None: not run) that with the cheapest ones."""

    mode: str
    inserted: Sequence[Inserted]
    dearer: Sequence[Dearer]
    time_s: float
    auto_s: float | None = None

    def lines(self) -> Iterator[str]:
        """In sentences."""
        if self.inserted:
            named = [f"{each.op} ({each.kind} over {each.over}, for {each.serves})" for each in self.inserted]
            yield f"{few(named, SHOWN, '; ')}: inserted by the planner, nobody wrote {'it' if len(named) == 1 else 'them'}"
        if self.dearer:
            yield f"the textbook's choice is dear: {few(map(_dear, self.dearer), SHOWN, '; ')}"
        if self.auto_s is not None:
            yield self._auto_line(self.auto_s)

    def _auto_line(self, auto_s: float) -> str:
        auto, taken = show(auto_s, Dimension.TIME), show(self.time_s, Dimension.TIME)
        if auto_s >= self.time_s * (1 - WORTH):
            return f"other work hides that: with run.sharding: auto the run takes {auto}, not less"
        share = self.time_s / auto_s
        return f"with run.sharding: auto the run takes {auto} instead of {taken}, which is {share:.3g} times that"

    def as_json(self) -> dict[str, object]:
        """As plain data, SI units."""
        return {
            "mode": self.mode,
            "inserted": [asdict(each) for each in self.inserted],
            "dearer": [{**asdict(each), "ratio": each.ratio} for each in self.dearer],
            "auto_time": self.auto_s,
            "notes": list(self.lines()),
        }


def sharding_story(graph: OpGraph, words: Summary) -> ShardingStory:
    """The story of a run of a graph as it was written. Raises what a run raises."""
    plan = words.plan
    mode, time_s = plan.options.sharding, words.result.time_s
    if mode != "canonical" or plan.graph is graph:  # nothing was planned
        return ShardingStory(mode, plan.inserted, (), time_s)
    dearer = dearer_choices(graph, plan.system, Cost(graph, plan.system, plan.options).seconds)
    if not dearer or len(plan.program) > MAX_TASKS:
        return ShardingStory(mode, plan.inserted, dearer, time_s)
    auto = words.again(graph, plan.system, replace(plan.options, sharding="auto"))
    return ShardingStory(mode, plan.inserted, dearer, time_s, auto.time_s)


def _dear(each: Dearer) -> str:
    chosen, cheapest = show(each.chosen_s, Dimension.TIME), show(each.cheapest_s, Dimension.TIME)
    instead = ", ".join(each.instead) or "nothing inserted"
    return f"{each.op} takes {chosen} alone, {each.ratio:.3g} times the cheapest, {cheapest} ({instead})"
