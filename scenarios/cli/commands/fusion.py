"""The command `fusion`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated

import typer

_File = Annotated[str, typer.Argument(help="A scenario file, or library:NAME for a bundled one.")]
_Matmuls = Annotated[
    int | None, typer.Option("--matmuls", min=0, help="Most matmuls (convolutions, attentions) of a group.")
]
_Set = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=v (repeatable).")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object in SI units on stdout, nothing else.")]


def register(
    app: typer.Typer, reporting: Callable[[], AbstractContextManager[None]], print_json: Callable[[object], None]
) -> None:
    """Add the command. `reporting` turns the user's errors into messages and exit codes."""

    @app.command()
    def fusion(file: _File, matmuls: _Matmuls = None, set_: _Set = None, json: _Json = False) -> None:
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
