"""Which runs a study has: the grid of `vary`, times the rows of `zip`, times the samples of `random`, with `derive` on top.

Model: an axis is a list of inputs that go together: one value of a varied path, one row of all zipped paths, one sample of
all random ones. A point takes one entry of each axis; the last axis turns fastest. Points are made when they are asked for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from hw import Problems, SpecError
from hw.input import Document, Key, validate
from hw.systems import folder_of
from scenarios.language.paths import path_problem
from scenarios.language.source import find_file, read_source
from scenarios.language.study_spec import MAX_POINTS, SampleSpec, StudySpec
from scenarios.language.value_text import read_values
from scenarios.points.derived import Derived, read_derived
from scenarios.points.sampling import Sampler, read_sampler, stream

_STUDY: Key = ("study",)
_WORKLOAD = "workload"

Entry = Mapping[str, Any]
"""Values by path."""


@dataclass(frozen=True, slots=True)
class Point:
    """One run that is wanted: its number, its values by path, and what keeps it from being one."""

    number: int
    inputs: Entry
    error: str = ""


@dataclass(frozen=True)
class Points:
    """The runs of a study, by number. `workloads`: what the files that stand for a whole workload hold."""

    grid: Mapping[str, Sequence[Any]]
    zipped: Mapping[str, Sequence[Any]]
    samplers: Mapping[str, Sampler]
    samples: int
    seed: int
    derived: Derived
    workloads: Mapping[str, Any]

    @property
    def varies(self) -> bool:
        """Whether there are points at all."""
        return bool(self.grid or self.zipped or self.samplers)

    @property
    def paths(self) -> list[str]:
        """The varied paths, in the order of the table's columns."""
        return [*self.grid, *self.zipped, *self.samplers, *self.derived.order]

    def values_by_path(self) -> Iterator[tuple[str, Sequence[Any]]]:
        """What each path takes; of what is drawn some draws, of what is derived a number that stands for all."""
        yield from self.grid.items()
        yield from self.zipped.items()
        yield from ((path, [sampler(u) for u in (0.0, 0.5, 0.99)]) for path, sampler in self.samplers.items())
        yield from ((path, (0,)) for path in self.derived.order)

    @property
    def size(self) -> int:
        """How many points there are, without making them."""
        rows = min((len(values) for values in self.zipped.values()), default=1)
        return math.prod([len(values) for values in self.grid.values()]) * rows * (self.samples if self.samplers else 1)

    @cached_property
    def _axes(self) -> list[list[Entry]]:
        axes: list[list[Entry]] = [[{path: value} for value in values] for path, values in self.grid.items()]
        samples = {path: stream(self.seed, path, sampler, self.samples) for path, sampler in self.samplers.items()}
        for together in (self.zipped, samples):
            if together:
                rows = zip(*together.values(), strict=True)
                axes.append([dict(zip(together, row, strict=True)) for row in rows])
        return axes

    def resolved(self, inputs: Entry) -> Entry:
        """The values with the files among them read."""
        named = inputs.get(_WORKLOAD)
        return {**inputs, _WORKLOAD: self.workloads[named]} if isinstance(named, str) else inputs

    def __len__(self) -> int:
        return self.size if self.varies else 0

    def __getitem__(self, number: int) -> Point:
        if not 0 <= number < len(self):
            raise IndexError(number)
        inputs: dict[str, Any] = {}
        left, chosen = number, []
        for axis in reversed(self._axes):
            left, at = divmod(left, len(axis))
            chosen.append(axis[at])
        for entry in reversed(chosen):
            inputs.update(entry)
        try:
            return Point(number, {**inputs, **self.derived.values(inputs)})
        except ValueError as error:
            return Point(number, inputs, str(error))

    def __iter__(self) -> Iterator[Point]:
        return (self[number] for number in range(len(self)))


def read_points(study: StudySpec, document: Document, problems: Problems) -> Points:
    """The runs that a document's study asks for; everything wrong is added to the problems, at its place."""
    return _Reader(study, document, problems).read()


def check_paths(study: StudySpec, document: Document, problems: Problems) -> None:
    """The same of the paths alone, of a study that is not known whole."""
    _Reader(study, document, problems).check_paths()


@dataclass
class _Reader:
    """Reads the parts of a study; each is checked on its own, so that one mistake hides no other."""

    study: StudySpec
    document: Document
    problems: Problems
    places: dict[str, Key] = field(default_factory=dict)
    workloads: dict[str, Any] = field(default_factory=dict)

    def read(self) -> Points:
        """All parts."""
        self.check_paths()
        grid = self._lists(self.study.vary or {}, ("vary",))
        zipped = self._lists(self.study.zip or {}, ("zip",))
        self._equal_lengths(zipped)
        chance = self.study.random
        samplers = dict(self._samplers(chance.values)) if chance else {}
        searched = self._searched()
        named = [*self.places, *searched]
        derived = read_derived(self.study.derive or {}, named, searched, self.document, self.problems)
        samples, seed = (chance.samples, chance.seed) if chance else (0, 0)
        points = Points(grid, zipped, samplers, samples, seed, derived, self.workloads)
        if points.size > MAX_POINTS:
            message = f"the study has {points.size:,} runs; at most {MAX_POINTS:,} are allowed"
            self.problems.add(self.document.value_mark(_STUDY), message)
        if derived.order and not (points.varies or searched):
            mark = self.document.value_mark((*_STUDY, "derive"))
            self.problems.add(mark, "derive needs something that varies: vary, zip, random, find or crossover")
        return points

    def check_paths(self) -> None:
        """Every path of the study, once, and known to the language."""
        chance = self.study.random.values if self.study.random else {}
        parts: tuple[tuple[Key, Mapping[str, Any]], ...] = (
            (("vary",), self.study.vary or {}),
            (("zip",), self.study.zip or {}),
            (("random", "values"), chance),
            (("derive",), self.study.derive or {}),
        )
        everywhere = [path for _, part in parts for path in part]
        for above, part in parts:
            for path in part:
                here = (*_STUDY, *above, path)
                if path in self.places:
                    message = f"{path} is also given under {'.'.join(map(str, self.places[path][1:-1]))}"
                    self.problems.add(self.document.key_mark(here), message)
                elif wrong := path_problem(path, self.document, everywhere):
                    self.problems.add(self.document.key_mark(here), wrong)
                self.places.setdefault(path, here)

    def _searched(self) -> list[str]:
        """The paths whose values are looked for; none of them may be derived. One that varies as well is looked for in each
        row whatever the row has."""
        asked: list[tuple[str, Key]] = []
        find, crossover = self.study.find, self.study.crossover
        if find is not None:
            asked.append((find.path, ("find", find.wanted)))
        if crossover is not None:
            asked += [(crossover.x.path, ("crossover", "x", "path")), (crossover.y.path, ("crossover", "y", "path"))]
        for path, here in asked:
            if self.places.get(path, ())[1:2] == ("derive",):
                self.problems.add(self.document.value_mark((*_STUDY, *here)), f"{path} is also given under derive")
        return list(dict.fromkeys(path for path, _ in asked if path not in self.places))

    def _lists(self, part: Mapping[str, Any], above: Key) -> dict[str, Sequence[Any]]:
        lists: dict[str, Sequence[Any]] = {}
        for path, written in part.items():
            here = (*_STUDY, *above, path)
            try:
                lists[path] = read_values(written, MAX_POINTS)
            except ValueError as error:
                self.problems.add(self.document.value_mark(here), f"{path}: {error}")
                continue
            if path == _WORKLOAD:
                self._read_workloads(lists[path], here)
        return lists

    def _read_workloads(self, values: Sequence[Any], here: Key) -> None:
        """Read the files among the values of `workload`: scenarios (their workload is meant), or workloads alone."""
        for at, value in enumerate(values):
            if not isinstance(value, str):
                continue
            mark = self.document.value_mark((*here, at))
            folder = folder_of(mark, Path(self.document.file).parent)
            try:
                file = find_file(value, folder, mark)
            except SpecError as error:
                self.problems.extend(error)
                continue
            try:
                data = read_source(file).data
            except SpecError as error:
                self.problems.add(mark, f"workload: {error.problems[0]}")
                continue
            self.workloads[value] = data.get(_WORKLOAD, data)

    def _equal_lengths(self, zipped: Mapping[str, Sequence[Any]]) -> None:
        lengths = {path: len(values) for path, values in zipped.items()}
        first = next(iter(lengths), "")
        for path, length in lengths.items():
            if length != lengths[first]:
                message = f"zip: {path} has {_count(length)}, {first} has {lengths[first]}; they go together one by one"
                self.problems.add(self.document.value_mark((*_STUDY, "zip", path)), message)

    def _samplers(self, part: Mapping[str, Any]) -> Iterator[tuple[str, Sampler]]:
        for path in part:
            here = (*_STUDY, "random", "values", path)
            written = self.document.data["study"]["random"]["values"][path]
            drawn = validate(SampleSpec, self.document, self.problems, here) if isinstance(written, dict) else written
            if drawn is None:
                continue
            try:
                if path == _WORKLOAD:
                    drawn = read_values(drawn, MAX_POINTS)
                    self._read_workloads(drawn, here)
                yield path, read_sampler(drawn)
            except ValueError as error:
                self.problems.add(self.document.value_mark(here), f"{path}: {error}")


def _count(number: int) -> str:
    return f"{number} value{'s' if number != 1 else ''}"
