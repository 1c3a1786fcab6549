"""Rows a second of a study on one core: rows that differ in dims only, in rates only, or in both; lower bounds; and what-if.

The scenario is small (four layers of two matmuls), so what is measured is what a row costs beside its engine. No store, no
workers. Rows that differ in numbers alone are worked out together (`scenarios.studies.batches`): how many rows a second
that gives depends on how many of them go the same way, so one study is of a decoder block, where tiles are chosen.
"""

from __future__ import annotations

import cProfile
import math
import pstats
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.commands import top_lines
from benchmarks.core import cpu_s
from benchmarks.table import Figure, Figures
from scenarios import load_scenario, sweep, what_if

REFERENCE = "library:stack_of_four"
DECODER = "library:llama3_8b_block"
SHARDED = "library:tensor_parallel_limit"
ROWS = 1_000
BOUNDS = 10_000
Values = Mapping[str, Sequence[Any]]


def dims() -> Values:
    """A thousand sizes."""
    first = next(iter(load_scenario(REFERENCE).graph.dims))
    return {f"workload.dims.{first}": [16 * at for at in range(1, ROWS + 1)]}


def rates() -> Values:
    """A thousand bandwidths of HBM, from 1 to 2 TB/s."""
    return {"system.set.hbm.bandwidth": [1e12 + 1e9 * at for at in range(ROWS)]}


def both() -> Values:
    """Sizes by bandwidths, a grid of a thousand."""
    (size, sizes), (rate, speeds) = *dims().items(), *rates().items()
    return {size: sizes[:40], rate: speeds[:: ROWS // 25]}


def links() -> Values:
    """Bandwidths of links by sizes of what crosses them, a grid of a thousand."""
    rates = [4.5e10 + 1e9 * at for at in range(40)]
    return {"system.set.links.ici.bandwidth": rates, "workload.dims.B": [1024 * at for at in range(1, 26)]}


def rows_a_second(values: Values, reference: str = REFERENCE) -> Figures:
    """By CPU seconds of this process, once what is imported late is there."""
    scenario = load_scenario(reference)
    sweep(scenario, {path: column[:2] for path, column in values.items()}, jobs=1)
    spent = cpu_s(lambda: sweep(scenario, dict(values), jobs=1))
    return {"rows/s": Figure(math.prod(map(len, values.values())) / spent)}


def bounds() -> Figures:
    """Lower bounds alone, of sizes by bandwidths: nothing is simulated."""
    (size, sizes), (rate, speeds) = *dims().items(), *rates().items()
    return _bounds(REFERENCE, {size: sizes[:100], rate: speeds[: BOUNDS // 100]})


def bounds_over_links() -> Figures:
    """The same of what crosses links, by the rates of those."""
    rate, size = links()
    speeds = [4.5e10 + 1e8 * at for at in range(BOUNDS // 100)]
    return _bounds(SHARDED, {rate: speeds, size: [256 * at for at in range(1, 101)]})


def _bounds(reference: str, values: Values) -> Figures:
    scenario = load_scenario(reference)
    grid = {**values, "words": ["lower_bound"]}
    sweep(scenario, {path: column[:2] if path != "words" else column for path, column in grid.items()}, jobs=1)
    return {"CPU s": Figure(cpu_s(lambda: sweep(scenario, grid, jobs=1)))}


def profile(values: Values, reference: str = REFERENCE) -> str:
    """Where a row's time goes."""
    scenario = load_scenario(reference)
    with cProfile.Profile() as profiler:
        sweep(scenario, dict(values), jobs=1)
    return top_lines(pstats.Stats(profiler))


def levers() -> Figures:
    """All levers of what-if on the quickstart, imports paid for."""
    scenario = load_scenario("library:llama3_8b_block")
    what_if(scenario)
    return {"CPU s": Figure(cpu_s(lambda: what_if(scenario)))}
