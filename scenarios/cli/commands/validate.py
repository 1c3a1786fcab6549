"""The command `validate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

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


def register(
    app: typer.Typer, reporting: Callable[[], AbstractContextManager[None]], print_json: Callable[[object], None]
) -> None:
    """Add the command. `reporting` turns the user's errors into messages and exit codes."""

    @app.command()
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
            import os
            from functools import partial
            from pathlib import Path

            from hw import Mark, Problem, SpecError, load_chip
            from scenarios.cli.show.errors import (
                as_json,
                fitted_as_json,
                show,
                show_fitted,
                show_sources,
                sources_as_json,
            )
            from scenarios.cli.together import together
            from scenarios.validation import (
                has_training_rows,
                judged,
                read_rows,
                read_training_rows,
                trained,
                with_one_efficiency,
            )
            from scenarios.validation.published import (
                by_device,
                has_published_rows,
                has_serving_rows,
                judged_published,
                judged_serving,
            )

            ways = ((has_published_rows, judged_published), (has_serving_rows, judged_serving))
            published = next((judge for holds, judge in ways if holds(Path(file))), None)
            steps = has_training_rows(Path(file))
            if chip is not None and (published or steps):
                raise SpecError([Problem(Mark("--chip"), f"each row of {file} names its chip itself")])
            if fit is not None and not steps:
                raise SpecError([Problem(Mark("--fit"), f"{file} has no training steps, which alone can be fitted")])
            if on and fit is None:
                raise SpecError(
                    [Problem(Mark("--on"), "names the model whose steps --fit looks at; there is no --fit")]
                )
            if steps:
                known, processes = read_training_rows(Path(file)), jobs or os.cpu_count() or 1
                if fit is not None:
                    fitted = with_one_efficiency(known, fit, on, processes)
                    print_json(fitted_as_json(fitted)) if json else show_fitted(fitted, rows)
                    return
                found_steps = trained(known, processes)
                print_json(sources_as_json(found_steps)) if json else show_sources(found_steps, rows)
                return
            if published:
                found = published(Path(file))
            else:
                found = judged(*together(partial(read_rows, Path(file)), partial(load_chip, chip or "h100_sxm")))
            if json:
                print_json(as_json(found))
            else:
                show(found, rows, by_device(found) if published else ())
