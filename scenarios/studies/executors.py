"""Where points run: in this process, in a pool of processes, on any `concurrent.futures.Executor`, on a dask cluster.

Model: points go out in chunks of about `_CHUNK_S` of work, so that little is on the way when something stops, and yet those
of one chunk can be worked out together (`scenarios.studies.batches`), which costs the less each the more there are; a few
chunks per worker are out at a time. Results come back in any order, under their number.
A worker that dies takes the chunks that were out with it. Each of their points is then run again alone, so that the one
which kills its worker is known; after two more deaths it is a row with an error.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from scenarios.console.processes import Processes
from scenarios.studies.batches import MOST_ROWS
from scenarios.studies.worker import Job, Ran, run_each, run_points

Task = tuple[int, Mapping[str, Any]]
"""A point's number and its values."""

Done = tuple[int, Ran]

_CHUNK_S = 0.5
"""Far above what a batch costs before its first row, a tenth of a second: in chunks that cost less than that none ever grew,
since the few points in them cost as much each as alone."""

_MOST_IN_CHUNK = MOST_ROWS
_CHUNKS_OUT = 3
"""Per worker: one that runs, and others that wait so that it need not."""

_RETRIES = 2
_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://[^\s/:]+:\d+")
_CONNECT_S = 10.0
_TRIAL_S = 0.5
_GROWS = 4
_PAYS_S = 4.0
"""Work that must be left for a pool to be worth its start."""

_DYING = "worker processes die as soon as they start; what had finished is kept"
_GUARD = "worker processes cannot start; a script that sweeps needs `if __name__ == '__main__':`, or jobs=1"


@dataclass(frozen=True)
class Workers:
    """An executor, how many work at a time in it, how to get a new one when it breaks, and how to end it with all that still
    runs in it (None: there is no other, and it is not ours to end)."""

    executor: Executor
    count: int
    renewed: Callable[[], Executor] | None = None
    stop: Callable[[], None] | None = None


def cpu_count() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_here(job: Job, tasks: Iterable[Task]) -> Iterator[Done]:
    """Run points in this process."""
    left = list(tasks)
    for begin in range(0, len(left), MOST_ROWS):
        yield from _run_some(job, left[begin : begin + MOST_ROWS])


def _run_some(job: Job, tasks: Sequence[Task]) -> Iterator[Done]:
    """Run points together; results under their numbers, as they are ready."""
    for at, ran in run_each(job, [inputs for _, inputs in tasks]):
        yield tasks[at][0], ran


def run_where_it_pays(job: Job, tasks: Iterable[Task]) -> Iterator[Done]:
    """Run the first points here, and the others in a process pool if that saves more time than it takes to start: by the
    time that this process worked, since a pool gains nothing from processors that others keep busy."""
    left, begin, ran, cpus = deque(tasks), time.process_time(), 0, cpu_count()
    some = 1
    while left:
        spent = time.process_time() - begin
        if cpus > 1 and ran and spent > _TRIAL_S and spent / ran * len(left) > _PAYS_S:
            with process_pool(cpus) as workers:
                yield from run_on(workers, job, left)
            return
        # ever more at a time: together they cost less each, but one may take long
        yield from _run_some(job, [left.popleft() for _ in range(min(some, len(left)))])
        ran += some
        some = min(_GROWS * some, MOST_ROWS)


@contextmanager
def process_pool(jobs: int) -> Iterator[Workers]:
    """A pool of so many worker processes. Raises RunError if they cannot start."""
    pools: list[Processes] = []

    def fresh(unless: str = _DYING) -> Executor:
        while pools:
            _end(pools.pop())
        pools.append(Processes(jobs))
        started = pools[-1].submit(_ready)
        try:
            started.result()
        except BrokenExecutor:
            raise RunError(unless) from None
        return pools[-1]

    def stop() -> None:
        for pool in pools:
            pool.stop()

    try:
        first = fresh(_GUARD)
        yield Workers(first, jobs, fresh, stop)
    except BaseException:  # nobody waits for what is still running
        stop()
        raise
    finally:
        while pools:
            _end(pools.pop())


def _end(pool: Processes) -> None:
    pool.shutdown(wait=True, cancel_futures=True)


def _ready() -> bool:
    return True


def given(executor: Executor, jobs: int | None) -> Workers:
    """An executor of the user's; `jobs` says how many work in it at a time."""
    return Workers(executor, jobs or cpu_count())


def check_address(address: str | None) -> None:
    """Raises SpecError for what is no address of a scheduler."""
    if address is not None and not _ADDRESS.fullmatch(address):
        raise SpecError(
            [Problem(Mark("--cluster"), f"'{address}' is no address of a scheduler, such as tcp://host:8786")]
        )


@contextmanager
def dask_cluster(address: str) -> Iterator[Workers]:
    """The workers of a dask.distributed scheduler at `address` (tcp://HOST:PORT). Raises SpecError, RunError."""
    try:
        import distributed
    except ImportError:
        raise RunError("--cluster needs dask.distributed: pip install 'overlapse[cluster]'") from None
    check_address(address)
    connect: Any = distributed.Client  # it has no annotations
    try:
        client = connect(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise RunError(f"no dask scheduler answers at {address}: {error}") from None
    try:
        threads = sum(client.nthreads().values())
        if not threads:
            raise RunError(f"the dask scheduler at {address} has no workers")
        # a run is never taken from a cache of dask's: the store decides what is known
        yield Workers(client.get_executor(pure=False), threads)
    finally:
        client.close()


def run_on(workers: Workers, job: Job, tasks: Iterable[Task]) -> Iterator[Done]:
    """Run points on workers; results come as they are ready. Raises RunError if there are no workers left."""
    return _Dispatch(workers, job, deque(tasks)).results()


@dataclass
class _Dispatch:
    """Chunks that are out, points that wait, and points under suspicion of killing their worker."""

    workers: Workers
    job: Job
    waiting: deque[Task]
    out: dict[Future[Any], list[Task]] = field(default_factory=dict)
    suspects: deque[Task] = field(default_factory=deque)
    losses: dict[int, int] = field(default_factory=dict)
    point_s: float = _CHUNK_S

    def __post_init__(self) -> None:
        self.executor = self.workers.executor

    def results(self) -> Iterator[Done]:
        """Everything, as it comes."""
        try:
            while self.waiting or self.suspects or self.out:
                self._send()
                done, _ = wait(self.out, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._taken(future)
        finally:
            for future in self.out:
                future.cancel()

    def _send(self) -> None:
        if self.suspects:  # alone: then a death says whose it was
            if not self.out:
                self._submit([self.suspects.popleft()])
            return
        while self.waiting and len(self.out) < self.workers.count * _CHUNKS_OUT:
            self._submit([self.waiting.popleft() for _ in range(self._chunk_size())])

    def _chunk_size(self) -> int:
        fair = len(self.waiting) // (self.workers.count * _CHUNKS_OUT)
        return max(1, min(int(_CHUNK_S / self.point_s), _MOST_IN_CHUNK, fair, len(self.waiting)))

    def _submit(self, chunk: list[Task]) -> None:
        points = [inputs for _, inputs in chunk]
        try:
            future = self.executor.submit(run_points, self.job, points)
        except BrokenExecutor:
            self._renew()
            future = self.executor.submit(run_points, self.job, points)
        self.out[future] = chunk

    def _taken(self, future: Future[Any]) -> Iterator[Done]:
        """The results of a chunk; where it was lost, its points become suspects."""
        chunk = self.out.pop(future, None)
        if chunk is None:  # lost together with another
            return
        try:
            ran, seconds = future.result()
        except BrokenExecutor:
            lost = [chunk]
            for other in list(self.out):
                if _succeeded(other):
                    yield from self._taken(other)
                else:
                    lost.append(self.out.pop(other))
            self._renew()
            yield from self._lost(lost, "its worker died")
        except Exception as error:  # what an executor makes of a lost worker is its own affair
            yield from self._lost([chunk], f"{type(error).__name__}: {error}")
        else:
            self.point_s += 0.3 * (max(seconds / len(chunk), 1e-6) - self.point_s)
            yield from ((number, result) for (number, _), result in zip(chunk, ran, strict=True))

    def _lost(self, chunks: list[list[Task]], why: str) -> Iterator[Done]:
        """Put lost points under suspicion; those that were lost alone, and too often, are given up."""
        alone = len(chunks) == 1 and len(chunks[0]) == 1
        for number, inputs in sorted((task for chunk in chunks for task in chunk), key=lambda task: task[0]):
            self.losses[number] = self.losses.get(number, 0) + 1
            if alone and self.losses[number] > _RETRIES:
                yield number, Ran("", f"no result in {self.losses[number]} tries: {why}", lasting=False)
            else:
                self.suspects.append((number, inputs))

    def _renew(self) -> None:
        if self.workers.renewed is None:
            raise RunError("the executor is broken; what had finished is kept")
        self.executor = self.workers.renewed()


def _succeeded(future: Future[Any]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
