"""`overlapse check`: run scenarios and compare with their claims, one line each; of descriptions of models, the parameters
that are published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from hw import Mark, Problem, RunError, SpecError
from hw.input import first_problems, is_file, is_folder, printable
from scenarios.language.source import in_library
from scenarios.models import is_description, load_model, published_counts
from scenarios.outcome.outcome import run
from scenarios.questions.measured import verdicts_of_trace
from scenarios.questions.pieces import is_trace, measured_pieces
from scenarios.questions.what_if import check_edits
from scenarios.studies.blame import whose
from scenarios.studies.trial import need_a_row


def scenario_files(paths: Iterable[str]) -> Iterator[str]:
    """Files as given; folders as all scenario files (*.yaml) below them, sorted. What is there and is no file (a folder, a
    pipe that nobody may ever write to) is passed over."""
    for path in paths:
        if path and not in_library(path) and is_folder(Path(path)):  # nothing is not the folder that one is in
            yield from (str(file) for file in sorted(Path(path).rglob("*.yaml")) if is_file(file) or not file.exists())
        else:
            yield path


def check_all(
    paths: Iterable[str], echo: Callable[[str], None], begins: Callable[[str], None] = lambda _file: None
) -> int:
    """Check every scenario and say how it went; returns the exit code: the worst of all. A trace is held against the
    scenario before it. `begins`: told of each file before it is run."""
    worst, passed, failed, claims = 0, 0, 0, 0
    scenario: str | None = None
    for file in scenario_files(paths):
        begins(file)
        code, lines, count = _check_one(file, scenario)
        scenario = scenario if is_trace(file) else file
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


def _check_one(file: str, scenario: str | None) -> tuple[int, list[str], int]:
    try:
        failed, count, notes = (*_claims_of_trace(file, scenario), ()) if is_trace(file) else _claims(file)
    except SpecError as error:
        return 2, [f"FAIL {file}", *_indented(first_problems(error.problems))], 0
    except RunError as error:
        return 3, [f"FAIL {file}", *_indented(f"cannot run: {error}".splitlines())], 0
    except Exception as error:  # a defect must not keep the other files from being checked
        said, theirs = whose(error)
        return (2 if theirs else 3), [f"FAIL {file}", f"  {said}"], 0
    if failed:
        return 1, [f"FAIL {file}", *_indented([*first_problems(failed, "claims failed"), *notes])], count
    return 0, [f"ok   {file} ({count} claims)", *_indented(notes)], count


def _claims(file: str) -> tuple[Sequence[object], int, Sequence[str]]:
    """The claims of a file that fail, how many it makes, and what a reader should know of how it was read."""
    if not in_library(file) and is_description(Path(file)):
        compared = published_counts(load_model(file))
        return [told for agrees, told in compared if not agrees], len(compared), ()
    outcome = run(file)
    check_edits(outcome.scenario)
    if "sweep" not in vars(outcome):  # claims of rows have run them
        need_a_row(outcome.scenario)
    # a scenario that only asks about others is not run itself
    notes = outcome.notes if "words" in vars(outcome) else outcome.scenario.notes
    return outcome.failed, len(outcome.verdicts), [f"note: {note}" for note in notes]


def _claims_of_trace(file: str, scenario: str | None) -> tuple[Sequence[object], int]:
    """What a scenario claims of what a trace has, too. Raises SpecError where it claims nothing of that."""
    if scenario is None:
        raise SpecError(
            [Problem(Mark(file), "a trace is held against a scenario that stands before it: check FILE TRACE")]
        )
    outcome, trace = run(scenario), measured_pieces(Path(file))
    verdicts = verdicts_of_trace(outcome.words, outcome.scenario.claims, trace)
    if not verdicts:
        message = f"{scenario} claims nothing of what a trace has: {', '.join(trace.words)}"
        raise SpecError([Problem(Mark(file), message)])
    return [each for each in verdicts if not each.holds], len(verdicts)


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"  {line}" for line in lines)
