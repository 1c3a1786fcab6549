"""The command `validate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

_File = Annotated[str, typer.Argument(help="A CSV of measured operators or steps (docs/accuracy.md has its columns).")]
_Chip = Annotated[str, typer.Option("--chip", help="The chip that they were measured on, by name or file.")]
_Rows = Annotated[bool, typer.Option("--rows", help="Every row, too, the worst first.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def register(
    app: typer.Typer, reporting: Callable[[], AbstractContextManager[None]], print_json: Callable[[object], None]
) -> None:
    """Add the command. `reporting` turns the user's errors into messages and exit codes."""

    @app.command()
    def validate(file: _File, chip: _Chip = "h100_sxm", rows: _Rows = False, json: _Json = False) -> None:
        """How far off the measured profile of a chip is: measured operators or steps of models beside predictions."""
        with reporting():
            from pathlib import Path

            from hw import load_chip
            from scenarios.cli.show.validation import as_json, show
            from scenarios.validation import judged, read_rows

            found = judged(read_rows(Path(file)), load_chip(chip))
            if json:
                print_json(as_json(found))
            else:
                show(found, rows)
