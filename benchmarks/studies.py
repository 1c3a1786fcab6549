"""Rows a second of a study on one core: rows that differ in dims only, and rows that differ in rates only; and what-if.

The scenario is small (a stack of four matmuls), so what is measured is what a row costs beside its engine. No store, no
workers.
"""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.commands import top_lines
from benchmarks.core import cpu_s
from benchmarks.table import Figure, Figures
from scenarios import load_scenario, sweep, what_if

REFERENCE = "library:stack_of_four"
ROWS = 1_000
Values = Mapping[str, Sequence[Any]]


def dims() -> Values:
    """A thousand sizes."""
    first = next(iter(load_scenario(REFERENCE).graph.dims))
    return {f"workload.dims.{first}": [16 * at for at in range(1, ROWS + 1)]}


def rates() -> Values:
    """A thousand bandwidths of HBM, from 1 to 2 TB/s."""
    return {"system.set.hbm.bandwidth": [1e12 + 1e9 * at for at in range(ROWS)]}


def rows_a_second(values: Values) -> Figures:
    """By CPU seconds of this process, once what is imported late is there."""
    scenario = load_scenario(REFERENCE)
    path, column = next(iter(values.items()))
    sweep(scenario, {path: list(column[:2])}, jobs=1)
    spent = cpu_s(lambda: sweep(scenario, {path: list(column)}, jobs=1))
    return {"rows/s": Figure(len(column) / spent)}


def profile(values: Values) -> str:
    """Where a row's time goes."""
    scenario = load_scenario(REFERENCE)
    with cProfile.Profile() as profiler:
        sweep(scenario, dict(values), jobs=1)
    return top_lines(pstats.Stats(profiler))


def levers() -> Figures:
    """All levers of what-if on the quickstart, imports paid for."""
    scenario = load_scenario("library:llama3_8b_block")
    what_if(scenario)
    return {"CPU s": Figure(cpu_s(lambda: what_if(scenario)))}
