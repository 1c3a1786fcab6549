"""The commands `roofline`, `explain`, `sources` and `schema`, put on the command's app: what numbers rest on.

Everything heavy is imported inside them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.options import File, Set
from scenarios.cli.reporting import print_json, reporting
from scenarios.cli.running import loaded_for, simulated


def roofline(
    target: Annotated[str, typer.Argument(help="A scenario file or library:NAME, or a chip: a name or file.")],
    set_: Set = None,
    level: Annotated[str, typer.Option(help="The memory that feeds the roofs: hbm, on_chip, a level, host.")] = "hbm",
) -> None:
    """Roofs of a chip, and where a scenario's ops stand under them."""
    with reporting():
        from scenarios.cli.show.roofline import show_roofline

        show_roofline(target, set_ or [], level)


def explain(file: File, set_: Set = None) -> None:
    """Why a run takes as long as it does, and where figures are from."""
    with reporting():
        from scenarios.cli.show.explanation import show_explanation
        from scenarios.console.waiting import waiting

        with waiting("reading") as sign:
            show_explanation(simulated(loaded_for(file, set_, lambda: None), sign))


def sources(file: File, set_: Set = None) -> None:
    """The sources of the figures that a scenario uses."""
    with reporting():
        from scenarios.cli.show.explanation import show_sources
        from scenarios.outcome.outcome import run as run_scenario

        show_sources(run_scenario(file, set_ or ()))


def schema(
    what: Annotated[str, typer.Argument(help="scenario or chip.")] = "scenario",
) -> None:
    """The JSON Schema of scenario or chip files, for editors."""
    with reporting():
        from scenarios.language.schema import schema_of

        print_json(schema_of(what))


def register(app: typer.Typer) -> None:
    """Add the commands to the command's app."""
    app.command()(roofline)
    app.command()(explain)
    app.command()(sources)
    app.command()(schema)
