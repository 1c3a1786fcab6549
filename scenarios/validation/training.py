"""Measured training steps beside estimates of them, source by source.

Model: each row is told as a step (`scenarios.validation.recipes`), and its time is the estimate's `expected`: kernels as
measured, every collective, the pipeline's schedule, a host that issues; what contends for a wire is not in it. Rows of one
model on as many chips share an estimator, and go to one process.
Beside the errors stand two figures: `rank`, whether the order of steps comes out right where one model runs on as many chips
in several ways (Spearman's correlation, the mean over such groups of three or more, by their rows); and `constant`, the mean
error of the best single efficiency of the source's chips, which is what a rule of thumb reaches.
Source of FLOPs for that: Narayanan et al. 2021, 72 B s l h^2 (1 + s / 6h + V / 12lh), a third more with full recomputation.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import accumulate

from hw import SpecError
from scenarios.building.idle_keys import Laid, keys_that_change_nothing
from scenarios.console.processes import Processes
from scenarios.validation.errors import Errors, errors_of
from scenarios.validation.left_out import LeftOutError
from scenarios.validation.recipes import Told, told
from scenarios.validation.training_rows import TrainingRow
from simulator import Estimator
from simulator.models import Transformer, description_problems

_ALIKE = (
    "framework",
    "dispatch",
    "model",
    "chip",
    "n_chips",
    "slices",
    "layers",
    "hidden",
    "heads",
    "seq",
    "vocab",
    "interconnect",
)
"""What rows that share an estimator have in common."""

_ASKS = {
    "schedule": "parallel.schedule",
    "context": "parallel.context",
    "expert_nodes": "parallel.expert_nodes",
    "collective_matmul": "parallel.collective_matmul",
    "capacity": "parallel.imbalance",
    "dropless": "dropless",
}
"""Columns in which a row asks for something that its layout or its model may leave nothing to do, and the key of each."""

_TRUTHS = {"false": False, "true": True}

_FEW = 3
"""Rows that have an order to speak of."""


@dataclass(frozen=True, slots=True)
class Trained:
    """A row and what is predicted for it; None where it is `left_out`, and why. `flops`: of a chip's matmuls, estimated.
    `idle`: what it asks for that changes nothing, and why."""

    row: TrainingRow
    predicted_s: float | None
    left_out: str = ""
    flops: float = 0.0
    idle: tuple[str, ...] = ()

    @property
    def error(self) -> float:
        """Relative; only of rows that are predicted."""
        assert self.predicted_s is not None
        assert self.row.measured_s is not None
        return self.predicted_s / self.row.measured_s - 1.0


Judge = Callable[[Mapping[str, float]], list[Trained]]
"""Every row with its estimate, in order, by the efficiencies of resources in place of what their calibration says."""


@dataclass(frozen=True, slots=True)
class Source:
    """Errors of the rows of a source. `rank`: None where there is no order to tell; `reasons`: why rows are left out;
    `idle`: what rows ask for that changes nothing, and in how many; `members`: the rows themselves."""

    errors: Errors
    rank: float | None
    constant: float
    reasons: tuple[str, ...]
    idle: Mapping[str, int]
    members: tuple[Trained, ...] = ()


def trained(rows: Sequence[TrainingRow], jobs: int = 1, efficiency: Mapping[str, float] | None = None) -> list[Trained]:
    """Every row with its estimate, in order; on so many processes. `efficiency`: of resources, in place of what their
    calibration says."""
    with judging(rows, jobs) as judge:
        return judge(efficiency or {})


@contextmanager
def judging(rows: Sequence[TrainingRow], jobs: int = 1) -> Iterator[Judge]:
    """How rows come out, as often as it is asked with other efficiencies; on so many processes."""
    batches: dict[tuple[str, ...], list[TrainingRow]] = {}
    for row in rows:
        batches.setdefault(tuple(row.text(name) for name in _ALIKE), []).append(row)
    if jobs == 1 or len(batches) == 1:
        yield lambda efficiency: _in_order(rows, [_batch(batch, efficiency) for batch in batches.values()])
        return
    with Processes(min(jobs, len(batches))) as pool:

        def judge(efficiency: Mapping[str, float]) -> list[Trained]:
            asked = [pool.submit(_batch, batch, efficiency) for batch in batches.values()]
            return _in_order(rows, [each.result() for each in asked])

        try:
            yield judge
        except BaseException:
            pool.stop()
            raise


def _in_order(rows: Sequence[TrainingRow], done: Iterable[list[Trained]]) -> list[Trained]:
    found = {each.row.mark.line: each for batch in done for each in batch}
    return [found[row.mark.line] for row in rows]


def _batch(rows: Sequence[TrainingRow], efficiency: Mapping[str, float]) -> list[Trained]:
    """Rows of one model on as many chips."""
    estimators: dict[Transformer, Estimator] = {}
    return [_one(row, estimators, efficiency) for row in rows]


def _one(row: TrainingRow, estimators: dict[Transformer, Estimator], efficiency: Mapping[str, float]) -> Trained:
    try:
        step = told(row)
        for _, wrong in description_problems(step.model):
            raise LeftOutError(wrong)
        # a padded vocabulary, fewer heads or dense blocks make another model of it
        if step.model not in estimators:
            options = replace(step.options, efficiency={**step.options.efficiency, **efficiency})
            estimators[step.model] = Estimator(step.model, step.system, options)
        found = estimators[step.model].estimate(step.parallel, step.training)
        return Trained(row, found.expected, flops=found.matrix_flops, idle=tuple(_idle(row, step)))
    except LeftOutError as reason:
        return Trained(row, None, str(reason))
    except SpecError as error:
        return Trained(row, None, error.problems[0].message)


def _idle(row: TrainingRow, step: Told) -> Iterator[str]:
    """What a row itself asks for that changes nothing, in the words of a scenario's keys, or that nobody reads."""
    idle = dict(keys_that_change_nothing(Laid(step.model, "train", step.parallel, step.training)))
    for column, key in _ASKS.items():
        part, _, name = key.rpartition(".")
        said, is_so = row.text(column), getattr(step.parallel if part else step.training, name)
        if said and key in idle:
            yield f"{column} {idle[key]}"
        elif said and is_so != _meant(said):
            yield f"{column} ({said}) changes nothing: no such rows have it"


def _meant(cell: str) -> bool | float | str:
    """The value of a cell."""
    try:
        return float(cell)
    except ValueError:
        return _TRUTHS.get(cell, cell)


def by_source(found: Iterable[Trained]) -> list[Source]:
    """The errors of each source, in the order in which sources first come; of one with rows of several chips, those of
    each chip."""
    sources: dict[str, dict[str, list[Trained]]] = {}
    for each in found:
        sources.setdefault(each.row.source, {}).setdefault(each.row.text("chip"), []).append(each)
    return [
        _source(f"{name}, {chip}" if len(chips) > 1 else name, members)
        for name, chips in sources.items()
        for chip, members in chips.items()
    ]


def _source(name: str, members: Sequence[Trained]) -> Source:
    known = [each for each in members if each.predicted_s is not None]
    errors = errors_of(name, [each.error for each in known], len(members) - len(known))
    reasons = tuple(dict.fromkeys(each.left_out for each in members if each.left_out))
    idle = Counter(line for each in members for line in each.idle)
    return Source(errors, _rank(known), _constant(known), reasons, idle, tuple(members))


def _rank(known: Sequence[Trained]) -> float | None:
    groups: dict[tuple[str, ...], list[Trained]] = {}
    for each in known:
        alike = tuple(each.row.text(name) for name in ("model", "n_chips", "global_batch"))
        groups.setdefault(alike, []).append(each)
    several = [group for group in groups.values() if len(group) >= _FEW]
    rows = sum(map(len, several))
    return sum(len(group) * _correlation(group) for group in several) / rows if rows else None


def _correlation(group: Sequence[Trained]) -> float:
    """Spearman's; 1 where nothing was measured to differ."""
    measured = _places([each.row.measured_s or 0.0 for each in group])
    predicted = _places([each.predicted_s or 0.0 for each in group])
    if len(set(measured)) == 1 or len(set(predicted)) == 1:
        return float(len(set(measured)) == 1)
    return statistics.correlation(measured, predicted)


def _places(values: Sequence[float]) -> list[float]:
    """The place of each value in the order of all, those of equal ones the mean."""
    ordered = sorted(values)
    first = {value: at for at, value in reversed(list(enumerate(ordered)))}
    last = {value: at for at, value in enumerate(ordered)}
    return [(first[value] + last[value]) / 2 for value in values]


def _constant(known: Sequence[Trained]) -> float:
    """The mean error of one efficiency for all rows, the one for which it is least: a sum of sizes of lines, which is least
    where one of them is zero, at their weighted median."""
    rates = sorted((_flops(each.row) or each.flops) / (each.row.measured_s or math.inf) for each in known)
    if not rates:
        return 0.0
    # pace x rate - 1 is zero at 1 / rate, where the slopes of the lines beyond make half of all
    reached = [so_far >= sum(rates) / 2 for so_far in accumulate(rates)]
    best = rates[reached.index(True)]
    return statistics.fmean(abs(rate / best - 1.0) for rate in rates)


def _flops(row: TrainingRow) -> float:
    """FLOPs of one chip; 0 where the row does not say its shapes."""
    names = ("layers", "hidden", "seq", "vocab", "global_batch", "n_chips")
    layers, width, seq, vocab, batch, chips = (float(row.count(name) or 0) for name in names)
    if not (layers and width and vocab):
        return 0.0
    blocks = 1.0 + seq / (6.0 * width)
    if row.text("recompute") == "full":
        blocks *= 4.0 / 3.0
    return 72.0 * batch * seq * layers * width**2 * (blocks + vocab / (12.0 * layers * width)) / chips
