"""The `job` section, read: what it says and what its files hold, and the job that is made of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from analysis.economics import PricePath, checkpoint_interval_s, daly_interval_s
from hw import Problems, SpecError
from hw.input import Document, Rest, is_file, validate, validate_rest
from hw.systems import folder_of
from scenarios.jobs.trace import read_trace
from scenarios.language.job_spec import FailureSpec, JobSpec, SpotSpec
from scenarios.language.paths import path_problem
from simulator.faults import Away, Checkpoints, Failures, Job, Poisson, Replay, Slowdown, Trace

StepTime = Callable[[Mapping[str, Any]], float]
"""The time of a step with other values at dotted paths; the scenario's own with none."""


@dataclass(frozen=True)
class JobSection:
    """What a scenario says of its job."""

    spec: JobSpec
    failures: Failures | None

    @property
    def prices(self) -> PricePath | None:
        """Prices that change; None where they do not."""
        return price_path(self.spec.spot) if self.spec.spot is not None else None

    def machines(self, chips: int) -> int:
        """How many machines fail by themselves."""
        return self.spec.machines or chips

    def mtbf_s(self, chips: int) -> float | None:
        """The mean time between failures of all machines that the job uses; None where none fails."""
        return self.failures.mtbf_s(self.machines(chips)) if self.failures is not None else None

    def intervals_s(self, chips: int) -> tuple[float, float] | None:
        """Young's and Daly's intervals between checkpoints; None where nothing fails, or saving takes no time."""
        mtbf_s, saving = self.mtbf_s(chips), self.spec.checkpoint
        if mtbf_s is None or saving is None or not saving.write:
            return None
        return checkpoint_interval_s(saving.write, mtbf_s), daly_interval_s(saving.write, mtbf_s)

    def job(self, chips: int, step_time: StepTime) -> Job:
        """The job on so many chips. Raises SpecError, RunError where a run for the time of its steps does."""
        spec = self.spec
        step_s = spec.step or float(step_time({}))
        prices = self.prices
        taken = prices.above_the_bid() if prices is not None else ()
        return Job(
            steps=spec.steps,
            step_s=step_s,
            machines=self.machines(chips),
            spares=spec.spares,
            least=spec.shrink,
            checkpoints=self._checkpoints(chips),
            restart_s=spec.restart,
            failures=self.failures,
            slowdowns=tuple(self._slowdowns(step_time)),
            jitter=spec.jitter,
            spread=spec.spread,
            away=Away(taken, prices.period_s) if prices is not None and taken else None,
        )

    def _checkpoints(self, chips: int) -> Checkpoints | None:
        saving = self.spec.checkpoint
        if saving is None:
            return None
        every_s = saving.every
        if every_s is None:
            intervals = self.intervals_s(chips)
            assert intervals is not None
            every_s = intervals[1]
        return Checkpoints(every_s=every_s, write_s=saving.write, overlap=saving.overlap)

    def _slowdowns(self, step_time: StepTime) -> list[Slowdown]:
        found = []
        for name, spec in self.spec.slowdowns.items():
            factor = spec.factor
            if factor is None:
                factor = max(1.0, float(step_time(spec.set or {})) / float(step_time({})))
            found.append(Slowdown(name=name, every_s=spec.every, lasts_s=spec.lasts, factor=factor))
        return found


def price_path(spot: SpotSpec) -> PricePath:
    """The prices of a spot section."""
    prices = tuple((each.at, each.price) for each in spot.prices)
    return PricePath(prices, spot.period) if spot.bid is None else PricePath(prices, spot.period, spot.bid)


def read_job(document: Document, path: Path, problems: Problems) -> JobSection | None:
    """The job section of a scenario; what is wrong goes to `problems` with its place."""
    if "job" not in document.data:
        return None
    sound: JobSpec | None = validate(JobSpec, document, problems, ("job",))
    rest = Rest(sound, document) if sound is not None else validate_rest(JobSpec, document, ("job",))
    spec, document = rest.spec, rest.document
    if spec is None:
        return None
    for name, slowdown in spec.slowdowns.items():
        for dotted in slowdown.set or ():
            if wrong := _wrong_path(dotted, document):
                problems.add(document.key_mark(("job", "slowdowns", name, "set", dotted)), wrong)
    if sound is None:
        return None
    try:
        return JobSection(spec, _failures(spec, document, path) if spec.failures is not None else None)
    except SpecError as error:
        problems.extend(error)
    except OSError as error:
        problems.add(document.value_mark(("job", "failures", "trace")), f"{error.filename}: {error.strerror}")
    except ValueError as error:
        problems.add(document.value_mark(("job", "failures", "trace")), str(error))
    return None


def _wrong_path(dotted: str, document: Document) -> str | None:
    if dotted.split(".")[0] == "job":
        return f"{dotted}: a slowdown changes the run of a step, not the job"
    return path_problem(dotted, document)


def _failures(spec: JobSpec, document: Document, path: Path) -> Failures:
    """Raises SpecError, OSError, ValueError."""
    said = spec.failures
    assert said is not None
    if said.trace is None:
        assert said.mtbf is not None
        return Poisson(said.mtbf, said.repair)
    mark = document.value_mark(("job", "failures", "trace"))
    return _recorded(said, folder_of(mark, path.parent) / said.trace, (spec.machines or 1) + spec.spares)


def _recorded(said: FailureSpec, file: Path, machines: int) -> Failures:
    if not is_file(file):
        raise ValueError(f"there is no file '{file}' of recorded failures")
    assert said.of is not None
    status = file.stat()
    trace = _trace(file, said.of, said.unit, (status.st_mtime_ns, status.st_size))
    if said.fit:
        return trace.fitted()
    if machines > said.of:
        raise ValueError(f"the trace is of {said.of} machines, and the job has {machines} with its spares")
    return Replay(trace)


@lru_cache(maxsize=4)
def _trace(file: Path, machines: int, unit_s: float, _version: tuple[int, int]) -> Trace:
    """A study reads the section again in every row, and the file once."""
    return read_trace(file, machines, unit_s)
