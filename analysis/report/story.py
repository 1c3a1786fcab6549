"""What a report is made of: the run, what whoever asks for it wants told beside it, and what several sections need."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from analysis.frames.memory import memory_frame, memory_owners
from analysis.report.packed_timeline import Packed, packed
from analysis.runs.advice import MAX_TASKS, Advice, advice
from analysis.runs.assumed import assumptions
from analysis.runs.critical_path import Segment, schedule_path
from analysis.words.columns.rounds import op_figures
from analysis.words.ops import OpFigures
from analysis.words.summary import Summary
from hw import Dimension
from hw.input import show
from simulator import Result

if TYPE_CHECKING:
    import pandas as pd

Rows = Sequence[tuple[str, str, str]]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What is told beside the run itself; all of it may be left out.

    `notes`: sentences on why it takes as long as it does. `sources`: section, figures, source of every chip figure; by
    default what the chips themselves say. `settings`: name, value and place of what a scenario file says.
    `study`: one row per run of a study, whose inputs are `inputs`. `what_if`: one row per resource (see `plot_tornado`).
    `also`: changes that were run beside those that the report tries itself. `beside`: lines on what the run is a part of
    (a model, a job, what it costs), by title.
    """

    name: str = "run"
    about: str = ""
    notes: Sequence[str] = ()
    sources: Rows = ()
    settings: Rows = ()
    inputs: Sequence[str] = ()
    study: pd.DataFrame | None = None
    what_if: pd.DataFrame | None = None
    also: Sequence[Advice] = ()
    beside: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __repr__(self) -> str:
        parts = [f"{len(self.notes)} notes", f"{len(self.sources)} sources"]
        parts += [word for word, frame in (("a study", self.study), ("a what-if", self.what_if)) if frame is not None]
        return f"Story({self.name}: {', '.join(parts)})"


@dataclass(frozen=True)
class Telling:
    """A run with its story; what several sections need is worked out once."""

    summary: Summary
    story: Story

    @cached_property
    def figures(self) -> list[OpFigures]:
        """The figures of every kernel."""
        return op_figures(self.summary.result)

    @cached_property
    def path(self) -> list[Segment]:
        """The run's own critical path."""
        return schedule_path(self.summary.result)

    @cached_property
    def timeline(self) -> Packed:
        """The timeline as it goes into the page."""
        return packed(self.summary.result, self.figures, (segment.task for segment in self.path))

    @cached_property
    def helps(self) -> list[Advice]:
        """Changes that save time, each really run, the most first."""
        found = [*advice(self.summary), *self.story.also]
        return sorted(found, key=lambda each: (-each.gain, each.change))

    @property
    def tried(self) -> bool:
        """Whether the run is small enough to be repeated with something better."""
        return len(self.summary.plan.program) <= MAX_TASKS

    @cached_property
    def assumed(self) -> list[str]:
        """What was assumed that matters."""
        return assumptions(self.summary)

    @property
    def time_s(self) -> float:
        """The run's time."""
        return self.summary.result.time_s

    def number(self, word: str) -> float:
        """A word of the results that is a number; 0 where it is not."""
        value = self.summary[word]
        return float(value) if isinstance(value, (int, float)) else 0.0

    def share(self, seconds: float) -> float:
        """A time as a share of the run's."""
        return seconds / self.time_s if self.time_s else 0.0


def time_text(seconds: float) -> str:
    """Seconds as a person reads them."""
    return show(seconds, Dimension.TIME)


def percent(share: float) -> str:
    """A share as a person reads it."""
    return f"{100 * share:.1f} %"


def held_by(result: Result) -> str:
    """Who holds what of the fullest chip's memory, largest first, where the graph says it."""
    if not result.plan.graph.roles:
        return ""
    held = memory_owners(memory_frame(result))
    if held.empty:
        return ""
    fullest = held.groupby("chip")["bytes"].sum().idxmax()
    most = held[held["chip"] == fullest].sort_values("bytes", ascending=False)
    rows = zip(most["owner"].tolist(), most["bytes"].tolist(), strict=True)
    return f": {', '.join(f'{owner} {show(nbytes, Dimension.DATA)}' for owner, nbytes in rows)}"
