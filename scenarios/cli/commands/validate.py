"""The command `validate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.cli.reporting import print_json, reporting

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios.validation import Judged

_File = Annotated[
    str,
    typer.Argument(help="A CSV of measured operators, steps, or training steps (docs/accuracy.md has its columns)."),
]
_Chip = Annotated[
    str | None,
    typer.Option("--chip", help="The chip that they were measured on, by name or file.", show_default="h100_sxm"),
]
_Rows = Annotated[bool, typer.Option("--rows", help="Every row, too, the worst first.")]
_Jobs = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Processes, for training steps (default: the cores there are)."),
]
_Fit = Annotated[
    str | None,
    typer.Option("--fit", help="Training steps: with the efficiency of this resource that explains them best."),
]
_On = Annotated[str, typer.Option("--on", help="The model whose steps --fit looks at (default: all).")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def validate(  # noqa: PLR0913  # an option each
    file: _File,
    chip: _Chip = None,
    rows: _Rows = False,
    jobs: _Jobs = None,
    fit: _Fit = None,
    on: _On = "",
    json: _Json = False,
) -> None:
    """How far off the measured profile of a chip is. Measured operators or steps of models stand beside predictions.

    Training steps on many chips, and steps of published models, name their chips themselves; the former are estimates.
    """
    with reporting():
        from functools import partial
        from pathlib import Path

        from hw import load_chip
        from scenarios.cli.show.errors import as_json, show
        from scenarios.cli.together import together
        from scenarios.validation import has_training_rows, judged, read_rows
        from scenarios.validation.published import by_device

        published = _judge_of_published(Path(file))
        steps = has_training_rows(Path(file))
        if chip is not None and (published or steps):
            raise _refused("--chip", f"each row of {file} names its chip itself")
        if fit is not None and not steps:
            raise _refused("--fit", f"{file} has no training steps, which alone can be fitted")
        if on and fit is None:
            raise _refused("--on", "names the model whose steps --fit looks at; there is no --fit")
        if steps:
            _training(Path(file), jobs, (fit, on), rows, json)
            return
        parts = 0
        if published:
            found = published(Path(file))
        else:
            measured, of = together(partial(read_rows, Path(file)), partial(load_chip, chip or "h100_sxm"))
            found = judged(measured, of)
            parts = len(measured) - len(found)
        if json:
            print_json(as_json(found, parts))
        else:
            show(found, rows, by_device(found) if published else (), parts)


def _judge_of_published(file: Path) -> Callable[[Path], list[Judged]] | None:
    """What judges steps of published models, where a file has such."""
    from scenarios.validation.published import has_published_rows, has_serving_rows, judged_published, judged_serving

    ways = ((has_published_rows, judged_published), (has_serving_rows, judged_serving))
    return next((judge for holds, judge in ways if holds(file)), None)


def _refused(option: str, message: str) -> Exception:
    from hw import Mark, Problem, SpecError

    return SpecError([Problem(Mark(option), message)])


def _training(file: Path, jobs: int | None, fit: tuple[str | None, str], rows: bool, json: bool) -> None:
    """Training steps beside what is estimated of them. `fit`: the resource whose efficiency explains them, if one is asked
    for, and of which model."""
    import os

    from scenarios.cli.show.errors import fitted_as_json, show_fitted, show_sources, sources_as_json
    from scenarios.validation import read_training_rows, trained, with_one_efficiency

    known, processes = read_training_rows(file), jobs or os.cpu_count() or 1
    resource, on = fit
    if resource is not None:
        fitted = with_one_efficiency(known, resource, on, processes)
        print_json(fitted_as_json(fitted)) if json else show_fitted(fitted, rows)
        return
    found = trained(known, processes)
    print_json(sources_as_json(found)) if json else show_sources(found, rows)


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(validate)
