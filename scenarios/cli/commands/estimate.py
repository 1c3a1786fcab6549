"""The command `estimate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

_File = Annotated[str, typer.Argument(help="A scenario file that trains a model, or library:NAME for a bundled one.")]
_Set = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=v (repeatable).")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object in SI units on stdout, nothing else.")]


def register(
    app: typer.Typer, reporting: Callable[[], AbstractContextManager[None]], print_json: Callable[[object], None]
) -> None:
    """Add the command. `reporting` turns the user's errors into messages and exit codes."""

    @app.command()
    def estimate(file: _File, set_: _Set = None, json: _Json = False) -> None:
        """Bounds of a training step and its memory, without a run. Memory by stage and owner."""
        with reporting():
            from scenarios.building.build import load_scenario
            from scenarios.cli.show.estimate import show_estimate
            from scenarios.console.terminal import console
            from scenarios.questions.estimate import estimate_record, estimated

            scenario = load_scenario(file, tuple(set_ or ()))
            found = estimated(scenario)
            if json:
                print_json(estimate_record(scenario, found))
            else:
                show_estimate(console(), scenario, found)
