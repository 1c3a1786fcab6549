"""The runs of a search: in a pool of processes or on a cluster, and kept in a store from which a stopped search goes on.

Model: a layout is a point of a study, run by the same workers under the same keys. A pool is started when there is
something to run, and stays until the search is over. Each run is committed to the store as soon as it is there.
Bounds are worked out where runs are, in parts: layouts that have most in common are in one.
Where nobody says how many processes there are to be, runs are made here until they have taken as long as processes take to
start: how many are left nobody knows, but so a search never takes twice as long as it would if that were known. Bounds
before them are worked out here: half of what they take every process would have to work out for itself.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.questions.searching.layouts import Asked, Bounds
from scenarios.questions.searching.running import SPENT_WORD, WORDS, Wanted, Words, always, layout_words
from scenarios.studies.content_keys import ContentKeys
from scenarios.studies.executors import Done, Task, Workers, cpu_count, process_pool
from scenarios.studies.store import Store
from scenarios.studies.worker import Job, Ran, run_point, scenario_of
from simulator import Bounded

_FEW = 200
"""So few layouts have their bounds sooner here than a pool of processes starts."""

_START_S = 1.0
"""CPU seconds that a process takes to import what it needs and to build a scenario."""


@dataclass
class StoredRuns:
    """Runs by `at_once` processes, those that a store has left out. `known`: how many of them the store had. `alone_s`: CPU
    seconds for which runs are still made here, before there are processes."""

    at_once: int
    _job: Job
    _keys: ContentKeys
    _store: Store | None
    _starting: Callable[[], Workers]
    _workers: Workers | None = None
    known: int = 0
    alone_s: float = 0.0

    def of(self, paths: Sequence[Mapping[str, Any]], wanted: Wanted = always) -> Iterator[tuple[int, Words]]:
        """As `scenarios.questions.searching.running.Runs` does."""
        keys = [self._keys.key(each) for each in paths]
        found = self._store.get(keys) if self._store is not None else {}
        missing = deque[Task]()
        for at, each in enumerate(paths):
            if keys[at] not in found:
                missing.append((at, each))
            elif wanted(at):
                self.known += 1
                yield at, _told(found[keys[at]])
        for at, ran in self._results(missing, wanted):
            if self._store is not None and ran.lasting:
                self._store.put(keys[at], ran, paths[at])
            yield at, _told(ran)

    def bounds(self, asked: Sequence[Asked]) -> Sequence[Bounded | str]:
        """As `scenarios.questions.searching.running.Runs` does."""
        if self._is_alone() or len(asked) < _FEW:
            return bounded(self._job, asked)
        parts = _parts(asked)
        submit = self._ready().executor.submit
        going = [submit(bounded, self._job, [asked[at] for at in part]) for part in parts]
        found: dict[int, Bounded | str] = {}
        try:
            for part, future in zip(parts, going, strict=True):
                found |= zip(part, future.result(), strict=True)
        except BrokenExecutor:
            raise RunError("a process that bounded layouts has died") from None
        return [found[at] for at in range(len(asked))]

    def _results(self, tasks: deque[Task], wanted: Wanted) -> Iterator[Done]:
        """Each alone: layouts differ in their graphs, so that nothing is gained by taking points together."""
        while tasks and self._is_alone():
            at, paths = tasks.popleft()
            if wanted(at):
                begin = time.process_time()
                ran = run_point(self._job, paths)
                self.alone_s -= time.process_time() - begin
                yield at, ran
        running: dict[Future[Ran], int] = {}
        try:
            while tasks or running:
                while tasks and len(running) < self.at_once:
                    at, paths = tasks.popleft()
                    if wanted(at):
                        running[self._ready().executor.submit(run_point, self._job, paths)] = at
                if not any(map(wanted, running.values())):
                    break
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(done), done.result()
        except BrokenExecutor:
            raise RunError("a process that ran a layout has died; what had finished is kept") from None
        finally:
            self._give_up(running)

    def _is_alone(self) -> bool:
        """Whether what is asked for is done here."""
        return self.at_once == 1 or (self._workers is None and self.alone_s > 0.0)

    def _give_up(self, running: Collection[Future[Ran]]) -> None:
        """Nobody waits for what is still running."""
        ended = [each.cancel() for each in running]
        if not all(ended) and self._workers is not None and self._workers.stop is not None:
            self._workers.stop()
            self._workers = None

    def _ready(self) -> Workers:
        if self._workers is None:
            self._workers = self._starting()
        return self._workers


def bounded(job: Job, asked: Sequence[Asked]) -> list[Bounded | str]:
    """The bounds of some layouts of a job's scenario, or why they cannot be built. Raises SpecError on unlike chips."""
    return _bounds(job).of(asked)


@lru_cache(maxsize=1)
def _bounds(job: Job) -> Bounds:
    """What bounds of one search have in common, kept in each process."""
    return Bounds(scenario_of(job))


def _parts(asked: Sequence[Asked]) -> list[list[int]]:
    """Layouts by number, in parts that have their pipelines in common, which are gone through together."""
    parts: dict[tuple[int, str], list[int]] = {}
    for at, (parallel, _) in enumerate(asked):
        parts.setdefault((parallel.pp, parallel.schedule), []).append(at)
    return [parts[stages] for stages in sorted(parts, reverse=True)]


def _told(ran: Ran) -> Mapping[str, Any] | str:
    return ran.error or ran.as_dict()


@contextmanager
def search_runs(
    scenario: Scenario,
    store: str | Path | None = None,
    jobs: int | None = 1,
    cluster: AbstractContextManager[Workers] | None = None,
) -> Iterator[StoredRuns]:
    """Runs of the layouts of a scenario, by so many processes (None: as many as pay), or on the workers of a `cluster`.
    Raises SpecError, RunError."""
    if jobs is not None and jobs < 1:
        raise SpecError([Problem(Mark("--jobs"), f"jobs is {jobs}; it must be 1 or more")])
    with ExitStack() as stack:
        kept = stack.enter_context(Store(store, scenario.name)) if store is not None else None
        keys = ContentKeys(scenario.document, scenario.path, {"words": [*WORDS, SPENT_WORD]})
        workers = stack.enter_context(cluster) if cluster is not None else None
        processes = cpu_count() if jobs is None else jobs
        count = workers.count if workers is not None else processes
        job = Job.asking(scenario, WORDS, layout_words)
        starting = partial(_started, stack, processes)
        yield StoredRuns(count, job, keys, kept, starting, workers, alone_s=_START_S if jobs is None else 0.0)


def _started(stack: ExitStack, jobs: int) -> Workers:
    """A pool that ends with what the stack holds."""
    return stack.enter_context(process_pool(jobs))
