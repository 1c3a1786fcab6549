"""The command `estimate`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file that trains a model, or library:NAME for a bundled one.")]


def estimate(file: _File, set_: Set = None, json: Json = False) -> None:
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


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(estimate)
