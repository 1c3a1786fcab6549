"""`overlapse check`: run scenarios and compare with their claims, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hw import RunError, SpecError
from hw.input import cut, first_problems, is_file, is_folder, printable
from scenarios.language.source import in_library
from scenarios.models import in_catalogue
from scenarios.outcome.outcome import run


def scenario_files(paths: Iterable[str]) -> Iterator[str]:
    """Files as given; folders as all scenario files (*.yaml) below them, sorted. What is there and is no file (a folder, a
    pipe that nobody may ever write to) is passed over, and so are the catalogue's models, which are no scenarios."""
    for path in paths:
        if path and not in_library(path) and is_folder(Path(path)):  # nothing is not the folder that one is in
            found = (file for file in sorted(Path(path).rglob("*.yaml")) if is_file(file) or not file.exists())
            yield from (str(file) for file in found if not in_catalogue(file))
        else:
            yield path


def check_all(paths: Iterable[str], echo: Callable[[str], None]) -> int:
    """Check every scenario and say how it went; returns the exit code: the worst of all."""
    worst, passed, failed, claims = 0, 0, 0, 0
    for file in scenario_files(paths):
        code, lines, count = _check_one(file)
        claims += count
        if code:
            failed += 1
        else:
            passed += 1
        worst = max(worst, code)
        for line in lines:
            echo(printable(line))
    echo(f"{passed} passed, {failed} failed ({claims} claims)")
    if not passed and not failed:
        echo("no scenario files found")
        return 2
    return worst


def _check_one(file: str) -> tuple[int, list[str], int]:
    try:
        outcome = run(file)
        failed = outcome.failed
    except SpecError as error:
        return 2, [f"FAIL {file}", *_indented(first_problems(error.problems))], 0
    except RunError as error:
        return 3, [f"FAIL {file}", *_indented(f"cannot run: {error}".splitlines())], 0
    except Exception as error:  # a defect of ours must not keep the other files from being checked
        return 3, [f"FAIL {file}", f"  defect of Overlapse: {type(error).__name__}: {cut(str(error))}"], 0
    count = len(outcome.verdicts)
    if failed:
        return 1, [f"FAIL {file}", *_indented(first_problems(failed, "claims failed"))], count
    return 0, [f"ok   {file} ({count} claims)"], count


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
