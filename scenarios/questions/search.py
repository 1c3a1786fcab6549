"""The fastest way to lay the training of a model on a system, with its proof.

Model: a candidate says how many chips share each kind of work, the microbatch and what is recomputed; replicas are what the
others leave of the chips. Each is estimated first: what every run of it holds at once, at the least (`least_memory`), and
the time that none beats (`earliest`). What needs more than a chip has is left out; of the rest the best bound is run first,
until no bound beats the best time of what was run and fitted: then no candidate that is left can win.
Law: the winner is that of running all and leaving out those whose peak is above what a chip has.
Assumes: on one system the fastest step is also the cheapest, and that of most tokens per dollar.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from typing import Any

from analysis import Summary
from hw import Mark, Problem, RunError, SpecError
from hw.input import cut, unknown
from scenarios.building.build import Scenario, build_scenario, without_questions
from scenarios.building.run_one import first_line, summarise
from scenarios.language.variants import changed
from simulator import Estimate, Estimator, Parallel, Training
from simulator.models import Transformer

Values = Mapping[str, Any]
"""Values of a candidate, by keys: those of `parallel`, and `recompute`."""

_NOT_VARIED = ("dp", "order", "layers", "collective_matmul")
_OF_PARALLEL = tuple(each.name for each in fields(Parallel) if each.name not in _NOT_VARIED)
KEYS = (*_OF_PARALLEL, "recompute")
"""What may be searched over; replicas follow, and of matmuls in pieces no bound is known."""

_MICROBATCHES = (1, 2, 4, 8)
_RECOMPUTE = ("none", "selective", "full")

_ROUNDING = 1e-9
"""By how much sums of the same bytes may differ."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout: its values, its estimate, the time that no run of it beats, and the words of its run if it was run."""

    values: Values
    estimate: Estimate
    bound_s: float
    words: Summary | None = None

    @property
    def time_s(self) -> float:
        """The time of its run."""
        assert self.words is not None
        return self.words.result.time_s

    @property
    def told(self) -> str:
        """Its values, in one line."""
        return ", ".join(f"{key}: {value}" for key, value in self.values.items())

    def __repr__(self) -> str:
        return f"Candidate({self.told})"


@dataclass(frozen=True)
class Searched:
    """What a search came to. `ran` are runs that fit, the fastest first; `left` could not have won unless `bound_s`, the
    best bound of those that were not run, is below the best time: then the search was stopped before its proof. `errors`:
    why some were refused, and how many for that reason."""

    ran: Sequence[Candidate]
    too_large: int
    left: int
    bound_s: float | None = None
    errors: Mapping[str, int] = field(default_factory=dict)

    @property
    def best(self) -> Candidate | None:
        """The fastest; None where nothing fits."""
        return self.ran[0] if self.ran else None

    @property
    def is_proven(self) -> bool:
        """Whether no candidate that was not run can be faster."""
        return self.bound_s is None or (self.best is not None and self.bound_s >= self.best.time_s)

    @property
    def refused(self) -> int:
        """How many cannot be built, or run."""
        return sum(self.errors.values())

    @property
    def candidates(self) -> int:
        """How many there were."""
        return len(self.ran) + self.refused + self.too_large + self.left


def search(scenario: Scenario, values: Mapping[str, Sequence[Any]] | None = None, most: int | None = None) -> Searched:
    """The fastest layout of the training of a scenario. `values`: what each key may be, in place of its own choice; `most`:
    runs after which it is given up without a proof. Raises SpecError where no transformer is trained, or on unlike chips."""
    run = scenario.model
    where = scenario.document.value_mark(("workload",))
    if run is None or not isinstance(run.how, Training) or not isinstance(run.model.description, Transformer):
        raise SpecError([Problem(where, "a search is for the layout of the training of a transformer")])
    if run.parallel.collective_matmul > 1:
        raise SpecError([Problem(where, "a search has no bounds of matmuls in pieces: collective_matmul is 1")])
    unknown_keys = [key for key in values or () if key not in KEYS]
    if unknown_keys:
        raise SpecError([Problem(Mark("--vary"), unknown("key of a layout", key, KEYS)) for key in unknown_keys])
    space = {**_space(scenario, run.parallel, run.model.description), **(values or {})}
    estimator = Estimator(run.model.description, scenario.system, scenario.options)
    room = min(chip.hbm.capacity_bytes for chip in scenario.system.kinds)
    refused = _Refused()
    fitting, too_large = [], 0
    for candidate in _candidates(scenario, space, estimator, refused):
        if candidate.estimate.least_memory > room * (1 + _ROUNDING):
            too_large += 1
        else:
            fitting.append(candidate)
    fitting.sort(key=lambda each: each.bound_s)
    found = _run_best_first(scenario, fitting, most, (room, refused))
    return replace(found, too_large=found.too_large + too_large)


def _run_best_first(
    scenario: Scenario, fitting: Sequence[Candidate], most: int | None, within: tuple[float, _Refused]
) -> Searched:
    """Run candidates until no bound beats the best; `within`: what a chip holds, and where to say what cannot be run."""
    ran: list[Candidate] = []
    room, refused = within
    tried, too_large = 0, 0
    for candidate in fitting:
        best_s = min((each.time_s for each in ran), default=None)
        is_over = most is not None and tried >= most
        if is_over or (best_s is not None and candidate.bound_s >= best_s):
            break
        tried += 1
        try:
            words = summarise(_scenario_of(scenario, candidate.values))
        except (SpecError, RunError) as error:
            refused.add(first_line(error))
            continue
        if max(words.memory_peaks.values()) > room:
            too_large += 1
            continue
        ran.append(replace(candidate, words=words))
    ran.sort(key=lambda each: each.time_s)
    left = fitting[tried:]
    bound_s = left[0].bound_s if left else None
    return Searched(ran, too_large, len(left), bound_s, refused.told())


class _Refused:
    """Why layouts were refused: reasons that differ in figures only are one, told with those of the first."""

    def __init__(self) -> None:
        self._first: dict[str, str] = {}
        self._counts: Counter[str] = Counter()

    def add(self, reason: str) -> None:
        """Another one is refused."""
        sort = re.sub(r"\d[\d,.]*", "#", reason)
        self._first.setdefault(sort, reason)
        self._counts[sort] += 1

    def told(self) -> dict[str, int]:
        """The reasons, the most common first, and how many were refused for each."""
        return {cut(self._first[sort], 120): count for sort, count in self._counts.most_common()}


def _candidates(
    scenario: Scenario, space: Mapping[str, Sequence[Any]], estimator: Estimator, refused: _Refused
) -> Iterator[Candidate]:
    """Every combination that can be built, with its estimate; why others cannot is counted."""
    run = scenario.model
    assert run is not None
    chips = scenario.system.size
    asked: list[tuple[Parallel, Training]] = []
    tried: list[Values] = []
    for chosen in product(*space.values()):
        values = dict(zip(space, chosen, strict=True))
        layout = {key: value for key, value in values.items() if key != "recompute"}
        others = 1
        for key in ("tp", "pp", "cp", "ep"):
            others *= layout.get(key, getattr(run.parallel, key))
        if chips % others:
            refused.add(f"{chips} chips are no multiple of the {others} of a replica")
            continue
        layers = () if "pp" in layout or "interleave" in layout else run.parallel.layers
        try:
            parallel = replace(run.parallel, **layout, dp=chips // others, layers=layers)
            asked.append((parallel, replace(run.how, recompute=values.get("recompute", run.how.recompute))))
        except SpecError as error:
            refused.add(first_line(error))
            continue
        tried.append(values)
    # where a host issues kernels, only the work of resources is a bound
    is_graph = scenario.options.dispatch == "graph"
    for given, found in zip(tried, estimator.estimates(asked), strict=True):
        if isinstance(found, SpecError):
            refused.add(first_line(found))
        else:
            yield Candidate(given, found, found.earliest if is_graph else found.lower_bound)


def _scenario_of(scenario: Scenario, values: Values) -> Scenario:
    """The scenario with the values of a candidate."""
    paths = {f"workload.{'' if key == 'recompute' else 'parallel.'}{key}": value for key, value in values.items()}
    given = scenario.document.data
    if "mesh" in given.get("system", {}):
        paths["system.mesh"] = None  # it follows
    for key in ("dp", "layers"):
        if key in given["workload"].get("parallel", {}):
            paths[f"workload.parallel.{key}"] = None
    return build_scenario(changed(without_questions(scenario.document), paths), scenario.path)


def _space(scenario: Scenario, parallel: Parallel, model: Transformer) -> dict[str, Sequence[Any]]:
    """What is tried where nothing is said: tensor parallelism inside the innermost wiring, every pipeline, microbatches of
    a few sequences, ZeRO's levels without a pipeline and its first with one, each way to recompute."""
    chips = scenario.system.size
    topology = scenario.system.topology
    inner = topology.levels[0].children if topology is not None else 1
    heads = model.attention.heads
    return {
        "tp": [size for size in _divisors(chips) if size <= inner and heads % size == 0],
        "pp": [size for size in _divisors(chips) if size <= model.layers],
        "zero": [0, 1, 2, 3] if chips > 1 else [0],
        "microbatch": list(_MICROBATCHES),
        "recompute": list(_RECOMPUTE),
    }


def _divisors(number: int) -> list[int]:
    return [size for size in range(1, number + 1) if number % size == 0]
