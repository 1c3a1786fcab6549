"""The layouts that a search is among: which of them make sense, and the bounds of each.

Model: a candidate says how many chips share each kind of work, the microbatch and what is recomputed; replicas are what the
others leave of the chips. Its bounds are what every run of it holds at once, at the least (`least_memory`), and the time
that none beats (`earliest`).
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from operator import itemgetter
from typing import Any

from analysis import RUN_WORDS
from hw import Dimension, Mark, Problem, SpecError
from hw.input import cut, show
from scenarios.building.build import Scenario
from scenarios.building.run_one import first_line
from simulator import CHUNKED, Bounded, Estimator, Parallel, Training
from simulator.models import Transformer

Values = Mapping[str, Any]
"""Values of a candidate, by keys: those of `parallel`, and `recompute`."""

Asked = tuple[Parallel, Training]
"""A layout, as it is built."""

_ROUNDING = 1e-9
"""By how much sums of the same bytes may differ."""

AXES = ("tp", "cp", "ep", "dp", "pp")
"""Axes of a mesh, in the order in which they lie on a topology unless said otherwise."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layout: its values, what every run of it holds, the time that none beats, and the words of its run if it was run.
    `asked`: how it is built, as long as its bounds are but floors (`floors`)."""

    values: Values
    least_memory: float
    bound_s: float
    words: Mapping[str, Any] | None = None
    asked: Asked | None = None

    def word(self, name: str) -> Any:
        """A word of its run."""
        assert self.words is not None
        return self.words[name]

    @property
    def time_s(self) -> float:
        """The time of its run."""
        return float(self.word("time"))

    @property
    def peak(self) -> float:
        """The most that a chip holds in its run."""
        return float(self.word("peak_memory"))

    @property
    def tokens_per_dollar(self) -> float | None:
        """Tokens of its run for a dollar; None where its chips have no price."""
        per_million = self.word("cost_per_million_tokens")
        return 1e6 / float(per_million) if per_million else None

    @property
    def figures(self) -> tuple[str, str, str, str]:
        """Time, bound, MFU and peak memory of its run, as people read them."""
        time, bound = (show(each, Dimension.TIME) for each in (self.time_s, self.bound_s))
        return time, bound, RUN_WORDS["mfu"].text(self.word("mfu")), show(self.peak, Dimension.DATA)

    @property
    def told(self) -> str:
        """Its values, in one line."""
        return values_told(self.values)

    def __repr__(self) -> str:
        return f"Candidate({self.told})"


@dataclass(frozen=True, slots=True)
class Near:
    """A layout that came near, and what is wrong with it."""

    values: Values
    wrong: str

    @property
    def told(self) -> str:
        """Its values and what is wrong with them, in one line."""
        return f"{values_told(self.values)}: {self.wrong}"

    def __repr__(self) -> str:
        return f"Near({self.told})"


def values_told(values: Values) -> str:
    """Values of a layout, in one line."""
    return ", ".join(f"{key}: {as_written(value)}" for key, value in values.items())


def as_written(value: Any) -> str:
    """A value of a key as a scenario has it."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {as_written(each)}" for key, each in value.items()) + "}"
    return _WORDS.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)


_WORDS = {None: "null", True: "true", False: "false"}


def asked_of(
    scenario: Scenario, space: Mapping[str, Sequence[Any]], refused: Refused, twins: Refused
) -> dict[Asked, Values]:
    """Every layout of a space that makes sense, once; why others do not is said to `refused`, of whom they are the same as
    another to `twins`."""
    tried: dict[Asked, Values] = {}
    for chosen in product(*space.values()):
        values = dict(zip(space, chosen, strict=True))
        idle = _idle(values, space)
        if idle is not None:
            twins.add(idle)
            continue
        try:
            asked = layout_of(scenario, values)
        except SpecError as error:
            refused.add(first_line(error), values)
            continue
        if asked not in tried:
            tried[asked] = values
        elif asked[0].chunks == 1 and "schedule" in space:
            twins.add("without a pipeline one schedule is as any other")
        elif values.get("schedule") == "interleaved" and asked[0].interleave == 1:
            twins.add("with one chunk a stage interleaved is 1f1b")
        else:
            twins.add("axes of one chip lie anywhere: one order is as another")
    return tried


def _idle(values: Values, space: Mapping[str, Sequence[Any]]) -> str | None:
    """Why chunks a stage make no other layout of that with one chunk, where that is in the space, too; None if they do."""
    if values.get("interleave", 1) == 1 or 1 not in space["interleave"]:
        return None
    if values.get("pp") == 1:
        return "without a pipeline there are no chunks to interleave"
    others = bool(set(CHUNKED) & {*space.get("schedule", ())}) and values["schedule"] not in CHUNKED
    return f"chunks a stage are of the schedules {' and '.join(CHUNKED)}: others have one" if others else None


def _as_it_counts(parallel: Parallel) -> Parallel:
    """The same parallelism, without what makes no difference: a schedule without a pipeline, one chunk a stage interleaved,
    where axes of one chip lie."""
    alone = parallel.chunks == 1 or (parallel.schedule == "interleaved" and parallel.interleave == 1)
    schedule = "1f1b" if alone else parallel.schedule
    several = [name for name in parallel.order if parallel.extent(name) > 1]
    ones = [name for name in AXES if parallel.extent(name) == 1]
    return replace(parallel, schedule=schedule, order=(*several, *ones))


class Bounds:
    """Bounds of layouts of a scenario, worked out in this process. Raises SpecError on unlike chips."""

    def __init__(self, scenario: Scenario) -> None:
        run = scenario.model
        assert run is not None
        assert isinstance(run.model.description, Transformer)
        self._estimator = Estimator(run.model.description, scenario.system, scenario.options)
        self._room = room_of(scenario)

    def of(self, asked: Sequence[Asked]) -> list[Bounded | str]:
        """Of some layouts, or why they cannot be built; of those that do not fit no times."""
        found = self._estimator.bounds(asked, self._room)
        return [first_line(each) if isinstance(each, SpecError) else each for each in found]


def room_of(scenario: Scenario) -> float:
    """Bytes that a chip has; a little more, as sums of the same bytes may differ."""
    return min(chip.hbm.capacity_bytes for chip in scenario.system.kinds) * (1 + _ROUNDING)


def candidate_of(scenario: Scenario, values: Values, bounded: Bounded) -> Candidate | None:
    """A layout with its bounds; None of one that does not fit."""
    bound_s = bounded.earliest
    if bound_s is None or bounded.least_memory > room_of(scenario):
        return None
    return Candidate(values, bounded.least_memory, bound_s)


def paths_of(scenario: Scenario, values: Values) -> dict[str, Any]:
    """What a candidate changes in the scenario, by dotted paths."""
    paths: dict[str, Any] = {
        f"workload.{'' if key == 'recompute' else 'parallel.'}{key}": value for key, value in values.items()
    }
    if "order" in values:
        paths["workload.parallel.order"] = values["order"].split()
    given = scenario.document.data
    if "mesh" in given.get("system", {}):
        paths["system.mesh"] = None  # it follows
    for key in ("dp", "layers"):
        if key in given["workload"].get("parallel", {}):
            paths[f"workload.parallel.{key}"] = None
    return paths


def own_values(scenario: Scenario, keys: Iterable[str]) -> Values:
    """What a scenario itself says of some keys of a layout."""
    run = scenario.model
    assert run is not None
    again = run.how.recompute
    own = {"recompute": {"blocks": again} if isinstance(again, int) else again, "order": " ".join(run.parallel.order)}
    return {key: own[key] if key in own else getattr(run.parallel, key) for key in keys}


@dataclass(slots=True)
class Lightest:
    """Of the layouts that do not fit the one that needs least, at the least."""

    nbytes: float = math.inf
    values: Values | None = None

    def add(self, nbytes: float, values: Values) -> None:
        """Another one does not fit."""
        if nbytes < self.nbytes:
            self.nbytes, self.values = nbytes, values

    def near(self, scenario: Scenario) -> tuple[Near, ...]:
        """It, and what it needs; nothing where all fit."""
        if self.values is None:
            return ()
        needs, has = (show(each, Dimension.DATA) for each in (self.nbytes, room_of(scenario)))
        return (Near(self.values, f"needs {needs} of the {has} of a chip at the least"),)


class Refused:
    """Why layouts were refused: reasons that differ in figures only are one, told with those of the first. `own`: the
    scenario's own layout, to which those are near that have few other values."""

    def __init__(self, own: Values | None = None) -> None:
        self._own = own or {}
        self._first: dict[str, str] = {}
        self._counts: Counter[str] = Counter()
        self._near: dict[str, tuple[int, Values, str]] = {}

    def add(self, reason: str, values: Values | None = None) -> None:
        """Another one is refused: that of some values."""
        sort = re.sub(r"\d[\d,.]*", "#", reason)
        self._first.setdefault(sort, reason)
        self._counts[sort] += 1
        if values is not None:
            far = sum(self._own.get(key) != value for key, value in values.items())
            self._near[sort] = min(
                self._near.get(sort, (far, values, reason)), (far, values, reason), key=itemgetter(0)
            )

    def near(self) -> list[Near]:
        """For each reason the layout that is nearest to the scenario's own, the nearest of all first."""
        return [Near(values, cut(reason, 120)) for _, values, reason in sorted(self._near.values(), key=itemgetter(0))]

    def told(self) -> dict[str, int]:
        """The reasons, the most common first, and how many were refused for each."""
        return {cut(self._first[sort], 120): count for sort, count in self._counts.most_common()}


def layout_of(scenario: Scenario, values: Values) -> Asked:
    """The layout of some values, replicas being what the others leave of the chips, without what makes no difference.
    Raises SpecError where it makes no sense."""
    run = scenario.model
    assert run is not None
    assert isinstance(run.how, Training)
    chips = scenario.system.size
    layout = {key: value for key, value in values.items() if key != "recompute"}
    if "order" in layout:
        layout["order"] = tuple(str(layout["order"]).split())
    others = 1
    for key in ("tp", "pp", "cp", "ep"):
        others *= layout.get(key, getattr(run.parallel, key))
    if chips % others:
        message = f"{chips} chips are no multiple of the {others} of a replica"
        raise SpecError([Problem(Mark("workload.parallel"), message)])
    layers = () if "pp" in layout or "interleave" in layout else run.parallel.layers
    parallel = replace(run.parallel, **layout, dp=chips // others, layers=layers)
    recompute = values.get("recompute", run.how.recompute)
    blocks = recompute["blocks"] if isinstance(recompute, Mapping) else recompute
    return _as_it_counts(parallel), replace(run.how, recompute=blocks)
