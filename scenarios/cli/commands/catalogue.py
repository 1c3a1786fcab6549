"""The commands `chips`, `models`, `topology` and `systems`, put on the command's app: what ships.

Everything heavy is imported inside them.
"""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.options import Json
from scenarios.cli.reporting import print_json, reporting


def chips(
    name: Annotated[str | None, typer.Argument(help="A chip of the catalogue, or a chip file.")] = None,
    json: Json = False,
) -> None:
    """List the chips of the catalogue, or show one with its sources."""
    with reporting():
        from scenarios.cli.show.chips import chip_records, show_chip, show_chips

        if json:
            print_json(chip_records(name))
        elif name is None:
            show_chips()
        else:
            show_chip(name)


def models(
    name: Annotated[
        str | None, typer.Argument(help="A model of the catalogue, a model file, or a hub's config.json.")
    ] = None,
    json: Json = False,
) -> None:
    """List the models with their sizes, or show one with its weights."""
    with reporting():
        from scenarios.cli.show.models import model_records, show_model, show_models

        if json:
            print_json(model_records(name))
        elif name is None:
            show_models()
        else:
            show_model(name)


def topology(
    target: Annotated[
        str, typer.Argument(help="A scenario file, library:NAME, a system, a graph file, or a text: torus(4,4).")
    ],
    chip: Annotated[str | None, typer.Option("--chip", help="The chip of a bare text (default h100_sxm).")] = None,
    nodes: Annotated[int | None, typer.Option("--nodes", help="So many nodes of a shipped system.")] = None,
    slice_: Annotated[str | None, typer.Option("--slice", help="A slice of a shipped pod: 4x4x8.")] = None,
    json: Json = False,
) -> None:
    """Draw how chips are wired. Beside it hops, bisection bandwidth and a table of the links."""
    with reporting():
        from scenarios.cli.show.topology import show_topology, system_record
        from scenarios.cli.topology_target import system_of

        system = system_of(target, chip, nodes, slice_)
        if json:
            print_json(system_record(system))
        else:
            show_topology(system)


def systems(
    name: Annotated[str | None, typer.Argument(help="A shipped system, or a system file.")] = None,
    json: Json = False,
) -> None:
    """List the shipped systems, or show one with its sources."""
    with reporting():
        from scenarios.cli.show.topology import show_system, show_systems, systems_record
        from scenarios.cli.topology_target import known_system

        if json:
            print_json(systems_record(name and known_system(name)))
        elif name is None:
            show_systems()
        else:
            show_system(known_system(name))


def register(app: typer.Typer) -> None:
    """Add the commands to the command's app."""
    app.command()(chips)
    app.command()(models)
    app.command()(topology)
    app.command()(systems)
