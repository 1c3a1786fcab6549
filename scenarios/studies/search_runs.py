"""The runs of a search: in a pool of processes, and kept in a store, so that a search that was stopped goes on.

Model: a layout is a point of a study, run by the same workers under the same keys. A pool is started when there is
something to run, and stays until the search is over. Each run is committed to the store as soon as it is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, as_completed
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from scenarios.building.build import Scenario
from scenarios.questions.search import WORDS
from scenarios.studies.content_keys import ContentKeys
from scenarios.studies.executors import Done, Task, Workers, process_pool
from scenarios.studies.store import Store
from scenarios.studies.worker import Job, Ran, run_point


@dataclass
class StoredRuns:
    """Runs by `at_once` processes, those that a store has left out. `known`: how many of them the store had."""

    at_once: int
    _job: Job
    _keys: ContentKeys
    _store: Store | None
    _stack: ExitStack
    _workers: Workers | None = None
    known: int = 0

    def of(self, paths: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any] | str]:
        """As `scenarios.questions.search.Runs` does."""
        keys = [self._keys.key(each) for each in paths]
        found = self._store.get(keys) if self._store is not None else {}
        self.known += len(found)
        missing = [(at, each) for at, each in enumerate(paths) if keys[at] not in found]
        for at, ran in self._results(missing):
            found[keys[at]] = ran
            if self._store is not None and ran.lasting:
                self._store.put(keys[at], ran, paths[at])
        return [_told(found[key]) for key in keys]

    def _results(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Each alone: layouts differ in their graphs, so that nothing is gained by taking points together."""
        if self.at_once == 1:
            yield from ((at, run_point(self._job, paths)) for at, paths in tasks)
        elif tasks:
            if self._workers is None:
                self._workers = self._stack.enter_context(process_pool(self.at_once))
            running = {self._workers.executor.submit(run_point, self._job, paths): at for at, paths in tasks}
            try:
                for done in as_completed(running):
                    yield running[done], done.result()
            except BrokenExecutor:
                raise RunError("a process that ran a layout has died; what had finished is kept") from None


def _told(ran: Ran) -> Mapping[str, Any] | str:
    return ran.error or ran.as_dict()


@contextmanager
def search_runs(scenario: Scenario, store: str | Path | None = None, jobs: int = 1) -> Iterator[StoredRuns]:
    """Runs of the layouts of a scenario. Raises SpecError, RunError."""
    if jobs < 1:
        raise SpecError([Problem(Mark("--jobs"), f"jobs is {jobs}; it must be 1 or more")])
    with ExitStack() as stack:
        kept = stack.enter_context(Store(store, scenario.name)) if store is not None else None
        keys = ContentKeys(scenario.document, scenario.path, {"words": list(WORDS)})
        yield StoredRuns(jobs, Job.asking(scenario, WORDS), keys, kept, stack)
