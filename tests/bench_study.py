"""The speed of studies:  python -m tests.bench_study [RUNS]

One study of 10,000 runs, on one core and then on two processes, in one go: seconds, and their ratio (goal 1.7 on two idle
cores; other work on the machine makes it smaller). Then what a run costs beside its simulation: keys, the store (goal
100 us per row for both together), and making a scenario with other values. Wall-clock seconds for studies, and their ratio
by CPU seconds, too, which says what two idle cores would give where the machine is busy; CPU seconds for rows.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scenarios import Scenario, Study, load_scenario, sweep, what_if
from scenarios.studies.content_keys import ContentKeys
from scenarios.studies.store import Store
from scenarios.studies.worker import Job, Ran, run_point

REFERENCE = "library:stack_of_four"
RUNS = 10_000
JOBS = 2
GOAL_RATIO, GOAL_ROW_US, LEAST_RUN_MS = 1.7, 100.0, 3.0
GOAL_WHAT_IF_S = 2.0
REPEATS = 200
BEST_OF = 3


def grid(scenario: Scenario, runs: int) -> dict[str, list[int]]:
    """Two sizes of the scenario, as many values of each as make the number of runs."""
    first, second = list(scenario.graph.dims)[:2]
    rows = max(1, round(runs**0.5))
    return {
        f"workload.dims.{first}": [16 * at for at in range(1, rows + 1)],
        f"workload.dims.{second}": [64 * at for at in range(1, runs // rows + 1)],
    }


def seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def cpu_seconds() -> tuple[float, float]:
    """Of this process, and of its workers that have ended."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def say(what: str, figure: str, note: str = "") -> None:
    print(f"{what:<44}{figure:>14}  {note}".rstrip(), flush=True)


def bench_parallel(scenario: Scenario, runs: int, folder: Path) -> None:
    values = grid(scenario, runs)
    studies: list[Study] = []
    before = cpu_seconds()
    one = seconds(lambda: studies.append(sweep(scenario, values, jobs=1)))
    between = cpu_seconds()
    two = seconds(lambda: studies.append(sweep(scenario, values, jobs=JOBS)))
    after = cpu_seconds()
    used_one, own, used_two = between[0] - before[0], after[0] - between[0], sum(after) - sum(between)
    stored = seconds(lambda: studies.append(sweep(scenario, values, jobs=JOBS, store=folder / "parallel.db")))
    again = seconds(lambda: studies.append(sweep(scenario, values, jobs=JOBS, store=folder / "parallel.db")))
    count = studies[0].ran
    say(f"{count} runs on one core", f"{one:.2f} s", f"{1e3 * one / count:.2f} ms a run, {LEAST_RUN_MS:g} ms wanted")
    say(f"{count} runs on {JOBS} processes", f"{two:.2f} s")
    say("ratio", f"{one / two:.2f} x", f"goal {GOAL_RATIO} on two idle cores; load {os.getloadavg()[0]:.1f} now")
    say(
        "by CPU seconds",
        f"{used_one / max(used_two / JOBS, own):.2f} x",
        f"{own:.2f} s of {used_two:.2f} s in this process",
    )
    say(f"{count} runs on {JOBS} processes, stored", f"{stored:.2f} s", f"{one / stored:.2f} x")
    say("the same again from the store", f"{again:.2f} s", f"{1e6 * again / count:.0f} us a row")
    same = all(study.frame.equals(studies[0].frame) for study in studies[1:])
    say("tables equal", "yes" if same else "NO")


def bench_row(scenario: Scenario, runs: int, folder: Path) -> None:
    """What keeping a row costs, apart from the run: best of three."""
    values = grid(scenario, runs)
    points = [dict(zip(values, pair, strict=True)) for pair in _pairs(*values.values())]
    ran = run_point(Job.of(scenario), points[0])
    rounds = [_row_us(scenario, points, ran, folder / f"rows{at}.db") for at in range(BEST_OF)]
    key_us, get_us, put_us, wall_us = (min(each) for each in zip(*rounds, strict=True))
    say("key of a row", f"{key_us:.1f} us")
    say("looking a row up", f"{get_us:.1f} us")
    say("committing a row", f"{put_us:.1f} us", f"by the clock {wall_us:.1f} us")
    say("store, all in all", f"{key_us + get_us + put_us:.1f} us", f"a row; goal {GOAL_ROW_US:g}")


def _row_us(scenario: Scenario, points: list[dict[str, int]], ran: Ran, file: Path) -> tuple[float, ...]:
    """CPU microseconds a row: its key, asking for it, committing it; and the last by the clock."""
    keys = ContentKeys(scenario.document, scenario.path)
    named: list[str] = []
    begin = time.process_time()
    named.extend(keys.key(point) for point in points)
    keyed = time.process_time()
    with Store(file, scenario.name) as store:
        opened = time.process_time()
        store.get(named)
        asked, clock = time.process_time(), time.perf_counter()
        for key, point in zip(named, points, strict=True):
            store.put(key, ran, point)
        done, late = time.process_time(), time.perf_counter()
    each = (keyed - begin, asked - opened, done - asked, late - clock)
    return tuple(1e6 * spent / len(points) for spent in each)


def _pairs(first: list[int], second: list[int]) -> list[tuple[int, int]]:
    return [(one, other) for one in first for other in second]


def bench_having(scenario: Scenario) -> None:
    """What another value costs before anything runs."""
    size = f"workload.dims.{next(iter(scenario.graph.dims))}"
    for path, value in ((size, 128), ("run.overlap", "none"), ("system.set.hbm.bandwidth", 2e12)):
        each = seconds(lambda: [scenario.having(path, value) for _ in range(REPEATS)]) / REPEATS  # noqa: B023
        say(f"a scenario with another {path}", f"{1e6 * each:.0f} us")


def bench_what_if() -> None:
    """All levers of the quickstart, once imports are paid for."""
    scenario = load_scenario("library:llama3_8b_block")
    what_if(scenario)
    begin = cpu_seconds()[0]
    found = what_if(scenario)
    took = cpu_seconds()[0] - begin
    say(f"what-if on the quickstart, {len(found.effects)} resources", f"{took:.2f} s", f"CPU, goal {GOAL_WHAT_IF_S} s")


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    scenario = load_scenario(REFERENCE)
    with tempfile.TemporaryDirectory() as folder:
        bench_row(scenario, runs, Path(folder))
        bench_having(scenario)
        bench_what_if()
        bench_parallel(scenario, runs, Path(folder))


if __name__ == "__main__":
    main()
