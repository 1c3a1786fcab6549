"""A row of the table: what is measured, the figure to reach, and how a figure is printed and recorded.

Model: a benchmark is a function that returns figures by unit; its goals are limits by unit. A measurement that was stopped
at a limit (CPU seconds, say) is a figure that is known from one side only, `at_least`.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hw import VERSION

ROOT = Path(__file__).parent.parent
RECORDS = Path(__file__).parent / "records"
MORE_IS_BETTER = frozenset({"rows/s", "x faster"})


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value. `at_least` says that the measurement was stopped there."""

    value: float
    at_least: bool = False

    def meets(self, goal: float, unit: str) -> bool:
        """Whether the goal is reached; what was stopped is not."""
        return self.value >= goal if unit in MORE_IS_BETTER else self.value <= goal and not self.at_least

    def __str__(self) -> str:
        return f"{'> ' if self.at_least else ''}{self.value:.3g}" if self.value < 1000 else f"{self.value:,.0f}"


Figures = Mapping[str, Figure]
Profiled = Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What is measured, as DESIGN section 3 has it. `profile` says where the time goes, on demand."""

    name: str
    what: str
    goals: Mapping[str, float] = field(default_factory=dict)
    measure: Callable[[], Figures] | None = None
    profile: Profiled | None = None
    missing: str = ""

    def figures(self) -> Figures:
        """Measure; nothing where it cannot be done yet."""
        return self.measure() if self.measure is not None else {}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table."""

    what: str
    unit: str
    goal: float | None
    figure: Figure | None
    note: str = ""

    @property
    def verdict(self) -> str:
        """Whether the goal is met."""
        if self.figure is None:
            return "not yet"
        if self.goal is None:
            return ""
        return "met" if self.figure.meets(self.goal, self.unit) else "missed"

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"{self.goal:,g}"
        figure = "" if self.figure is None else str(self.figure)
        return f"{self.what:62} {figure:>9} {goal:>7} {self.unit:9} {self.verdict:7} {self.note}".rstrip()


HEADING = f"{'':62} {'today':>9} {'goal':>7} {'':9} {'':7}".rstrip()


def rows(benchmark: Benchmark, figures: Figures) -> list[Row]:
    """The lines of one benchmark: every figure, and every goal."""
    units = [*benchmark.goals, *(unit for unit in figures if unit not in benchmark.goals)]
    return [
        Row(benchmark.what if at == 0 else "", unit, benchmark.goals.get(unit), figures.get(unit), benchmark.missing)
        for at, unit in enumerate(units)
    ]


def commit() -> str:
    """What is checked out, with a `+` where files differ from it; empty outside a repository."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return told.stdout.strip()


def machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }


def record(lines: Iterable[tuple[Benchmark, Figures]], about: Mapping[str, Any], path: Path) -> None:
    """Write the figures as JSON: one file a commit. `about`: when and where they were measured."""
    found = {
        "commit": commit(),
        "version": VERSION,
        **about,
        "figures": {
            benchmark.name: {
                unit: {"value": figure.value, "at_least": figure.at_least, "goal": benchmark.goals.get(unit)}
                for unit, figure in figures.items()
            }
            for benchmark, figures in lines
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
