"""The command `graph`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.options import Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file, or library:NAME for a bundled one.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object: name, mesh, workload.")]


def graph(file: _File, set_: Set = None, json: _Json = False) -> None:
    """The op graph that a scenario runs, as lines of a workload. They can be pasted into one; also those of a model."""
    with reporting():
        from scenarios.building.build import load_scenario
        from scenarios.importers.workload_text import workload_lines
        from scenarios.outcome.graph_text import graph_record

        record = graph_record(load_scenario(file, tuple(set_ or ())))
    if json:
        print_json(record)
        return
    axes = ", ".join(f"{axis}: {size}" for axis, size in record["mesh"].items())
    heading = [f"# system.mesh: {{{axes}}}"] if axes else []
    typer.echo("\n".join([*heading, *workload_lines(record["workload"])]))


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(graph)
