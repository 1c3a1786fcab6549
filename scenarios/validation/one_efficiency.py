"""One efficiency that a machine's own measured steps say: of its host, of a unit, of a link.

Model: all steps of a table ran on one kind of machine with one stack, of which one resource is faster or slower, by one
factor, than where it was calibrated. It is the factor with which the errors of the steps of a model are least: the mean of
absolute logarithms of predicted over measured. There may be more than one such low (queues change places), so it is looked
for on a grid first, and from the best of that on by scipy's bounded search.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hw import Mark, Problem, RunError, SpecError
from hw.input import unknown
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.recipes import told
from scenarios.validation.training import Trained, judging, trained
from scenarios.validation.training_rows import TrainingRow
from simulator import DISPATCH

LEAST, MOST = 0.1, 2.0
"""Between which efficiencies one is looked for."""

_GRID = 12
"""Efficiencies that are tried first, in equal steps of their logarithm."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The efficiency of a resource, on how many rows it was `fitted`, and all rows as they are predicted with it."""

    resource: str
    efficiency: float
    fitted: int
    found: list[Trained]


def with_one_efficiency(rows: Sequence[TrainingRow], resource: str, model: str = "", jobs: int = 1) -> Fitted:
    """Predict rows with the efficiency of one resource that explains best those of a model, or all of them. Raises SpecError
    for a resource that no row has, and a model of which there is no row."""
    mine = [row for row in rows if model in ("", row.model)]
    if not mine:
        wrong = unknown("model", model, dict.fromkeys(row.model for row in rows))
        raise SpecError([Problem(Mark("--on"), wrong)])
    known = dict.fromkeys(name for row in mine for name in _resources(row))
    if resource not in known:
        raise SpecError([Problem(Mark("--fit"), unknown("resource", resource, known))])

    with judging(mine, jobs) as judge:
        efficiency = math.exp(
            _least(lambda at: _error(judge({resource: math.exp(at)})), math.log(LEAST), math.log(MOST))
        )
    found = trained(rows, jobs, {resource: efficiency})
    fitted = sum(each.predicted_s is not None for each in found if model in ("", each.row.model))
    return Fitted(resource, efficiency, fitted, found)


def _resources(row: TrainingRow) -> Iterable[str]:
    """What of the machine of a row may have an efficiency; nothing where it cannot be told."""
    try:
        chip = told(row).system.chip
    except (LeftOutError, SpecError):
        return ()
    return (DISPATCH, "matrix_unit", "vector_unit", "hbm", *chip.levels, *chip.links)


def _error(found: Iterable[Trained]) -> float:
    seconds = [(each.predicted_s, each.row.measured_s) for each in found]
    known = [abs(math.log(said / ran)) for said, ran in seconds if said and ran]
    return statistics.fmean(known) if known else math.inf


def _least(of: Callable[[float], float], low: float, high: float) -> float:
    """Where a function is least between two numbers. Raises RunError without scipy."""
    try:
        from scipy.optimize import minimize_scalar
    except ImportError:
        raise RunError("validate --fit needs scipy: pip install 'overlapse[calibrate]'") from None
    step = (high - low) / _GRID
    best = min((low + step * at for at in range(_GRID + 1)), key=of)
    found = minimize_scalar(of, bounds=(best - step, best + step), method="bounded", options={"xatol": 0.005})
    return float(found.x) if found.fun < of(best) else best
