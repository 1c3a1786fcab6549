"""`python -m benchmarks [WORD]... [--profile] [--json FILE]`: the table of goals with today's figures.

Words choose rows by their names (`python -m benchmarks core study`); `--list` tells the names. `--record` writes the figures
to benchmarks/records, a file a commit; `--profile` says of each missed goal where its time goes. Everything takes about ten
minutes; what needs more than 300 CPU seconds or 8 GiB is stopped, and told as `>`. What is measured inside of this process
looks for garbage as rarely as the command does.
"""

from __future__ import annotations

import argparse
import gc
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.core import bare_event_ns
from benchmarks.goals import BENCHMARKS
from benchmarks.table import HEADING, RECORDS, Benchmark, Figures, commit, machine, record, rows

_OBJECTS = 400_000
"""Objects between two looks for circles of garbage, as the command has it."""


def chosen(words: list[str]) -> list[Benchmark]:
    """The benchmarks whose name has one of the words; all without any."""
    return [each for each in BENCHMARKS if not words or any(word in each.name for word in words)]


def measured(benchmarks: list[Benchmark], profile: bool) -> list[tuple[Benchmark, Figures]]:
    """Measure and print, one after the other."""
    found = []
    for benchmark in benchmarks:
        figures = benchmark.figures()
        found.append((benchmark, figures))
        lines = rows(benchmark, figures)
        print("\n".join(map(str, lines)), flush=True)
        if profile and benchmark.profile is not None and any(line.verdict == "missed" for line in lines):
            print(benchmark.profile(), flush=True)
    return found


def main() -> None:
    """Read the arguments, print the table, write the record."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Today's figures beside the goals.")
    parser.add_argument("words", nargs="*", help="rows whose name has one of these words")
    parser.add_argument("--list", action="store_true", help="the names of the rows, and nothing measured")
    parser.add_argument("--profile", action="store_true", help="where a missed goal's time goes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--record", action="store_true", help="write them to benchmarks/records, named by the commit")
    given = parser.parse_args()
    benchmarks = chosen(given.words)
    if not benchmarks:
        parser.error(f"no row has such a word; known: {', '.join(each.name for each in BENCHMARKS)}")
    if given.list:
        print("\n".join(f"{each.name:24} {each.what}" for each in benchmarks))
        return
    gc.set_threshold(_OBJECTS)
    now = datetime.now(UTC)
    about = {"when": f"{now:%Y-%m-%dT%H:%MZ}", **machine(), "bare_event_ns": round(bare_event_ns())}
    print(f"commit {commit()}, {', '.join(f'{key} {value}' for key, value in about.items())}")
    print(HEADING)
    found = measured(benchmarks, given.profile)
    paths = [given.json] if given.json else []
    if given.record:
        paths.append(RECORDS / f"{now:%Y-%m-%d}-{commit().rstrip('+')}.json")
    for path in paths:
        record(found, about, path)


if __name__ == "__main__":
    main()
