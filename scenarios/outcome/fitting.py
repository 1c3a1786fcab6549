"""A model that does not fit: who needs what, and the smallest change with which it fits, really tried.

Model: a way to need less is a list of values, what costs least first: sharing more out over replicas (ZeRO), smaller
microbatches, recomputing, then twice the tensor, pipeline or context parallelism in place of replicas, and last the
optimizer's states in the host's memory, which cross PCIe twice a step. Each value is tried alone; then two ways together,
each at its end; then ZeRO, microbatches and recomputing at their ends with more and more of an axis, all that with the host.
Of so many changes those come first with which a step may end first, by its estimate, and else in that order. What fits so is
made as small as it can be, what costs most first: of each way the first value, or none, is taken with which it still fits.
So no part of the answer can be left out or be less.
Each is built, and run only if an estimate leaves it room: what every run of it holds at once has to fit. No run holds less,
so that nothing else comes out. Models that have no estimate, and chips that differ, are run where what is stored for the
whole run fits; pipelines of them always.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, product
from typing import Any

from analysis import Summary, memory_frame, memory_owners
from hw import Dimension, RunError, SpecError
from hw.input import show
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.model_workload import ModelRun
from scenarios.building.run_one import summarise
from scenarios.language.variants import changed
from simulator import Estimator, Training, tensor_bytes
from simulator.models import Transformer

MOST_TRIED = 48
"""Changes that are tried before it is given up."""

_WORKLOAD = "workload."
_SPREAD = ("tp", "pp", "cp")

Values = Mapping[str, Any]
"""Values by their paths below `workload`."""

_Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a model does not fit: the fullest chip's peak and capacity (B), who holds what then, and the change that helps
    with what the peak is then; none if none of those `tried` did."""

    model: str
    chip: int
    chip_name: str
    peak: float
    capacity: float
    owners: Sequence[tuple[str, float]]
    tried: int
    change: str = ""
    then: float = 0.0

    def lines(self) -> Iterator[str]:
        """The table, and the change."""
        peak, capacity = show(self.peak, Dimension.DATA), show(self.capacity, Dimension.DATA)
        yield f"{self.model} does not fit: chip {self.chip} ({self.chip_name}) needs {peak} of {capacity}"
        width = max((len(owner) for owner, _ in self.owners), default=0)
        for owner, nbytes in self.owners:
            yield f"  {owner:<{width}}  {show(nbytes, Dimension.DATA)}"
        if self.change:
            yield f"smallest change that fits: {self.change} ({show(self.then, Dimension.DATA)})"
        else:
            yield f"none of {self.tried} changes that were tried fits: more chips, a smaller batch or sequence might"

    def as_json(self) -> dict[str, Any]:
        """Plain data, SI units."""
        return {
            "chip": self.chip,
            "peak_memory": self.peak,
            "capacity": self.capacity,
            "owners": dict(self.owners),
            "change": self.change or None,
        }


def misfit(scenario: Scenario, words: Summary) -> Misfit | None:
    """Why the model of a scenario does not fit; None where it does, or there is none. Raises what a run raises."""
    run = scenario.model
    if run is None or not _over(words):
        return None
    chip, peak, capacity = _fullest(words)
    held = memory_owners(memory_frame(words.result))
    mine = held[held["chip"] == chip].sort_values("bytes", ascending=False)
    owners = list(zip(mine["owner"].astype(str).tolist(), mine["bytes"].tolist(), strict=True))
    name = scenario.system.chip_at(chip).name
    trial = _Trial(scenario)
    values = _fitting(run, trial)
    if not values:
        return Misfit(run.model.name, chip, name, peak, capacity, owners, len(trial.peaks))
    told = ", ".join(f"{path.rpartition('.')[2]}: {_written(value)}" for path, value in values.items())
    then = trial.peak(values) or 0.0
    return Misfit(run.model.name, chip, name, peak, capacity, owners, len(trial.peaks), told, then)


def _over(words: Summary) -> bool:
    _, peak, capacity = _fullest(words)
    return peak > capacity


def _fullest(words: Summary) -> tuple[int, float, float]:
    """The chip that is fullest for its size, its peak and its capacity."""
    peaks, system = words.memory_peaks, words.plan.system
    chip = max(sorted(peaks), key=lambda each: peaks[each] / system.chip_at(each).hbm.capacity_bytes)
    return chip, peaks[chip], system.chip_at(chip).hbm.capacity_bytes


class _Trial:
    """Changes to a scenario that have been tried, with the peak of each; None of those that cannot be run or do not fit."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._estimator = _estimator_of(scenario)
        self.peaks: dict[_Key, float | None] = {}

    def peak(self, values: Values) -> float | None:
        """The peak with other values of the workload; None where they do not fit, or enough has been tried."""
        key = _key(values)
        if key not in self.peaks:
            if len(self.peaks) >= MOST_TRIED:
                return None
            self.peaks[key] = self._peak_with(values)
        return self.peaks[key]

    def earliest(self, values: Values) -> float:
        """Seconds before which no step ends with other values of the workload; 0 where there is no estimate."""
        other = self._changed(values) if self._estimator is not None else None
        run = other.model if other is not None else None
        if self._estimator is None or run is None or not isinstance(run.how, Training):
            return 0.0
        (bounded,) = self._estimator.bounds([(run.parallel, run.how)])
        return 0.0 if isinstance(bounded, SpecError) else bounded.earliest or 0.0

    def _may_fit(self, other: Scenario) -> bool:
        """Whether a run of a changed scenario may fit."""
        run = other.model
        if self._estimator is None or run is None or not isinstance(run.how, Training):
            return _stored_fits(other)
        (bounded,) = self._estimator.bounds([(run.parallel, run.how)], 0.0)
        # a little more, as sums of the same bytes may differ
        return not isinstance(bounded, SpecError) and bounded.least_memory <= _room(other) * (1 + 1e-9)

    def _peak_with(self, values: Values) -> float | None:
        other = self._changed(values)
        if other is None:
            return None
        try:
            if not self._may_fit(other):
                return None
            words = summarise(other)
        except (SpecError, RunError):
            return None
        return None if _over(words) else _fullest(words)[1]

    def _changed(self, values: Values) -> Scenario | None:
        """The scenario with other values of the workload; None where that cannot be."""
        scenario = self._scenario
        paths = {f"{_WORKLOAD}{path}": value for path, value in values.items()}
        if "mesh" in scenario.document.data.get("system", {}):
            paths["system.mesh"] = None  # it follows
        try:
            return build_scenario(changed(without_questions(scenario.document), paths), scenario.path)
        except (SpecError, RunError):
            return None


def _fitting(run: ModelRun, trial: _Trial) -> Values:
    """The smallest change that fits; nothing where none does."""
    ways = [options for options in _ways(run) if options]
    spreads = [[_spread(run, name, 2)] for name in _SPREAD if run.parallel.dp % 2 == 0]
    hosts = _hosts(run)
    for option in sorted(chain.from_iterable((*ways, *spreads, *hosts)), key=trial.earliest):
        if trial.peak(option) is not None:
            return option
    # of two axes neither may take all replicas that are left, so that they are not tried together
    pairs = [*combinations(ways, 2), *product(ways, spreads), *product(ways, hosts)]
    times = 2
    more: list[list[list[Values]]] = [ways]
    while run.parallel.dp % times == 0 and times <= run.parallel.dp:
        more += [[*ways, [_spread(run, name, times)]] for name in _SPREAD]
        times *= 2
    with_host = [[*each, *hosts] for each in more] if hosts else []
    pairs.sort(key=lambda together: trial.earliest(_most(together)))
    for together in (*pairs, *more, *with_host):
        if trial.peak(_most(together)) is not None:
            return _smallest(together, trial)
    return {}


def _most(ways: Sequence[Sequence[Values]]) -> Values:
    """Each way at its end."""
    return _merged([options[-1] for options in ways])


def _smallest(ways: Sequence[Sequence[Values]], trial: _Trial) -> Values:
    """The least of each way, what costs most first, with which it fits together with the others."""
    chosen: list[Values] = [options[-1] for options in ways]
    for at in reversed(range(len(ways))):
        for option in ({}, *ways[at]):
            less = [*chosen[:at], option, *chosen[at + 1 :]]
            if trial.peak(_merged(less)) is not None:
                chosen = less
                break
    return _merged(chosen)


def _key(values: Values) -> _Key:
    return tuple(sorted((path, _written(value)) for path, value in values.items()))


def _written(value: Any) -> str:
    """A value as a file has it."""
    return f"[{', '.join(value)}]" if isinstance(value, list) else str(value)


def _merged(values: Iterable[Values]) -> Values:
    return {path: value for each in values for path, value in each.items()}


def _estimator_of(scenario: Scenario) -> Estimator | None:
    """What knows how much every run of the scenario's model holds, however it is laid out; None where nothing does."""
    run = scenario.model
    assert run is not None
    described = run.model.description
    if not isinstance(run.how, Training) or not isinstance(described, Transformer) or len(scenario.system.kinds) > 1:
        return None
    return Estimator(described, scenario.system, scenario.options)


def _stored_fits(scenario: Scenario) -> bool:
    """Whether what a graph takes in, which is there for the whole run, leaves room. Stages of a pipeline take in different
    things, which is left to the run."""
    graph, system = scenario.graph, scenario.system
    if scenario.model is None or scenario.model.parallel.pp > 1:
        return True
    taken = {each.name: each for each in graph.unrolled.taken() if each.memory == "hbm"}
    return sum(tensor_bytes(each, graph, system) for each in taken.values()) <= _room(scenario)


def _room(scenario: Scenario) -> float:
    """Bytes that a chip has."""
    return min(chip.hbm.capacity_bytes for chip in scenario.system.kinds)


def _ways(run: ModelRun) -> Iterator[list[Values]]:
    """What there is to change but for axes, one kind after the other, in each the cheapest first."""
    parallel = run.parallel
    if run.mode == "train":
        shared = parallel.dp * parallel.ep * parallel.cp > 1
        yield [{"parallel.zero": level} for level in range(parallel.zero + 1, 4) if shared]
        sizes = dict.fromkeys(size for size in (parallel.microbatch // 2, 1) if 0 < size < parallel.microbatch)
        yield [{"parallel.microbatch": size} for size in sizes]
        kept = {"none": ("selective", "full"), "selective": ("full",)}.get(str(run.how.recompute), ())
        yield [{"recompute": value} for value in kept]


def _hosts(run: ModelRun) -> list[list[Values]]:
    """The optimizer's states in the memory of the host, unless they are there already. What a chip without a host lacks is
    found when it is tried."""
    if run.mode != "train" or "optimizer" in run.how.offload:
        return []
    return [[{"offload": [*run.how.offload, "optimizer"]}]]


def _spread(run: ModelRun, name: str, times: int) -> Values:
    """So many times the chips along one axis, taken from the replicas."""
    values = {f"parallel.{name}": run.parallel.extent(name) * times}
    return values if run.is_left else {**values, "parallel.dp": run.parallel.dp // times}
