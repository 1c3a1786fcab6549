"""The command `fusion`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file, or library:NAME for a bundled one.")]
_Matmuls = Annotated[
    int | None, typer.Option("--matmuls", min=0, help="Most matmuls (convolutions, attentions) of a group.")
]


def fusion(file: _File, matmuls: _Matmuls = None, set_: Set = None, json: Json = False) -> None:
    """Which ops to fuse: the best of all ways. It is found exactly, and run beside the usual ones."""
    with reporting():
        from scenarios.building.build import load_scenario
        from scenarios.cli.fit import check_fits
        from scenarios.cli.show.fusion import fusions_record, show_fusions
        from scenarios.console.terminal import console
        from scenarios.console.waiting import waiting
        from scenarios.questions.fusions import fusions

        with waiting("searching"):
            scenario = load_scenario(file, tuple(set_ or ()))
            check_fits(scenario)
            found = fusions(scenario, matmuls)
        if json:
            print_json(fusions_record(found))
        else:
            show_fusions(console(), found)


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(fusion)
