"""The commands `library` and `new`, put on the command's app. Everything heavy is imported inside them."""

from __future__ import annotations

from typing import Annotated

import typer

from scenarios.cli.reporting import print_json, reporting

_Words = Annotated[list[str] | None, typer.Argument(help="Only scenarios that have all these words, or a name.")]
_Print = Annotated[bool, typer.Option("--print", help="Print the file of the one scenario that is named.")]
_Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
_Name = Annotated[str, typer.Argument(help="What the scenario is called; NAME.yaml is written here.")]
_From = Annotated[
    str | None, typer.Option("--from", help="A scenario to start from: library:NAME, or a file; else a template.")
]


def library(words: _Words = None, print_: _Print = False, json: _Json = False) -> None:
    """List the bundled scenarios, those with some words, or print one."""
    with reporting():
        from scenarios.cli.show.library import print_scenario, show_library
        from scenarios.shelf import found_in_library

        if print_:
            print_scenario(words or [])
        elif json:
            print_json({"scenarios": [each.as_json() for each in found_in_library(words or ())]})
        else:
            show_library(found_in_library(words or ()))


def new(name: _Name, from_: _From = None) -> None:
    """Write a commented scenario to start from."""
    with reporting():
        from scenarios.console.terminal import tell
        from scenarios.shelf import new_scenario

        path = new_scenario(name, from_)
        tell(f"wrote {path}; `overlapse run` runs it, `overlapse explain` says why it takes so long")


def register(app: typer.Typer) -> None:
    """Add the commands to the command's app."""
    app.command()(library)
    app.command()(new)
