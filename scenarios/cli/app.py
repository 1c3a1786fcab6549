"""The command `overlapse`. Exit codes: 0 fine, 1 a claim failed, 2 the input is wrong, 3 the run cannot be done.

Everything heavy is imported inside the commands: `overlapse --help` stays fast.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from scenarios.cli.commands.bench import register as register_bench
from scenarios.cli.commands.calibrate import register as register_calibrate
from scenarios.cli.commands.estimate import register as register_estimate
from scenarios.cli.commands.find import register as register_find
from scenarios.cli.commands.fusion import register as register_fusion
from scenarios.cli.commands.graph import register as register_graph
from scenarios.cli.commands.imports import register as register_import
from scenarios.cli.commands.library import register as register_library
from scenarios.cli.commands.search import register as register_search
from scenarios.cli.commands.study import register as register_study
from scenarios.cli.commands.validate import register as register_validate
from scenarios.cli.commands.what_if import register as register_what_if

if TYPE_CHECKING:
    from scenarios.console.waiting import Sign
    from scenarios.outcome.outcome import Outcome

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Overlapse: how much time really elapses when compute and communication overlap.",
)


class Exit(IntEnum):
    """What the exit code says."""

    FINE = 0
    CLAIM_FAILED = 1
    WRONG_INPUT = 2
    CANNOT_RUN = 3


File = Annotated[str, typer.Argument(help="A scenario file, library:NAME for a bundled one, or - for standard input.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a value: a.b=v (repeatable).")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object in SI units on stdout, nothing else.")]


def _tell_version(is_asked: bool) -> None:
    if is_asked:
        from hw import VERSION

        typer.echo(f"overlapse {VERSION}")
        raise typer.Exit


@app.callback()
def _common(
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_tell_version, is_eager=True)
    ] = False,
) -> None:
    """How much time really elapses when compute and communication overlap."""


@contextmanager
def _reporting() -> Iterator[None]:
    """Turn the errors that a user can cause into messages and exit codes."""
    from hw import RunError, SpecError
    from scenarios.console.pager import paged
    from scenarios.console.terminal import tell

    try:
        with paged():
            yield
    except SpecError as error:
        from scenarios.cli.errors import located

        for line in located(error.problems):
            tell(line)
        raise typer.Exit(Exit.WRONG_INPUT) from None
    except RunError as error:
        for line in f"cannot run: {error}".splitlines():
            tell(line)
        raise typer.Exit(Exit.CANNOT_RUN) from None
    except OSError as error:
        tell(f"{error.filename or 'output'}: {error.strerror or error}")
        raise typer.Exit(Exit.WRONG_INPUT) from None


def _loaded(file: str, sets: list[str] | None, places: Callable[[], None]) -> Outcome:
    """A scenario that is not run yet. Raises SpecError with what is wrong with it and with `places` to write to."""
    from functools import partial

    from scenarios.cli.together import together
    from scenarios.outcome.outcome import loaded

    outcome: Outcome = together(partial(loaded, file, sets or ()), places)[0]
    return outcome


def _simulated(outcome: Outcome, sign: Sign) -> Outcome:
    """A scenario, run, with a sign of what is being done."""
    sign.says("lowering")
    words = outcome.words
    sign.says("simulating")
    _ = words.result
    sign.says("summing up")
    return outcome


@app.command()
def run(
    file: File,
    set_: Set = None,
    json: Json = False,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="Folder for timeline.csv, trace.json, summary.json, report.html, memory.pickle."
        ),
    ] = None,
) -> None:
    """Run a scenario and show where the time went."""
    with _reporting():
        from contextlib import nullcontext

        from hw import RunError
        from scenarios.console.outputs import check_places_in, promised_in
        from scenarios.console.terminal import tell
        from scenarios.console.waiting import waiting
        from scenarios.outcome.outcome import WRITTEN

        written: list[Path] = []
        with waiting("reading"):
            outcome = _loaded(file, set_, lambda: None if out is None else check_places_in(out, WRITTEN))
        with promised_in(out, WRITTEN) if out is not None else nullcontext(), waiting("lowering") as sign:
            _simulated(outcome, sign)
            if outcome.misfit is not None:
                raise RunError("\n".join(outcome.misfit.lines()))
            if json:
                _print_json(outcome.as_json())
            else:
                from scenarios.cli.show.run import show_outcome

                show_outcome(outcome)
            if out is not None:
                sign.says("writing")
                written = outcome.write(out)
        for path in written:
            tell(f"wrote {path}")


@app.command()
def report(
    file: File,
    set_: Set = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Run a scenario and write one HTML page about it. It has bounds, timeline, roofline, memory, network and sources."""
    with _reporting():
        from scenarios.console.outputs import check_places, promised
        from scenarios.console.terminal import tell
        from scenarios.console.waiting import waiting

        with waiting("reading"):
            outcome = _loaded(file, set_, lambda: check_places(out))
        with promised(out), waiting("lowering") as sign:
            _simulated(outcome, sign)
            sign.says("writing the report")
            out.write_text(outcome.report(), encoding="utf-8")
        tell(f"wrote {out}")


@app.command()
def check(
    paths: Annotated[list[str], typer.Argument(help="Scenario files or folders (all *.yaml below), or library:NAME.")],
) -> None:
    """Run scenarios and compare with what they expect."""
    from scenarios.console.waiting import waiting
    from scenarios.outcome.check import check_all

    with waiting("checking") as sign:
        failed = check_all(paths, sign.aside(typer.echo), lambda file: sign.says(f"checking {file}"))
    raise typer.Exit(failed)


@app.command()
def chips(
    name: Annotated[str | None, typer.Argument(help="A chip of the catalogue, or a chip file.")] = None,
    json: Json = False,
) -> None:
    """List the chips of the catalogue, or show one with its sources."""
    with _reporting():
        from scenarios.cli.show.chips import chip_records, show_chip, show_chips

        if json:
            _print_json(chip_records(name))
        elif name is None:
            show_chips()
        else:
            show_chip(name)


@app.command()
def models(
    name: Annotated[
        str | None, typer.Argument(help="A model of the catalogue, a model file, or a hub's config.json.")
    ] = None,
    json: Json = False,
) -> None:
    """List the models with their sizes, or show one with its weights."""
    with _reporting():
        from scenarios.cli.show.models import model_records, show_model, show_models

        if json:
            _print_json(model_records(name))
        elif name is None:
            show_models()
        else:
            show_model(name)


@app.command()
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
    with _reporting():
        from scenarios.cli.show.topology import show_topology, system_record
        from scenarios.cli.topology_target import system_of

        system = system_of(target, chip, nodes, slice_)
        if json:
            _print_json(system_record(system))
        else:
            show_topology(system)


@app.command()
def systems(
    name: Annotated[str | None, typer.Argument(help="A shipped system, or a system file.")] = None,
    json: Json = False,
) -> None:
    """List the shipped systems, or show one with its sources."""
    with _reporting():
        from scenarios.cli.show.topology import show_system, show_systems, systems_record
        from scenarios.cli.topology_target import known_system

        if json:
            _print_json(systems_record(name and known_system(name)))
        elif name is None:
            show_systems()
        else:
            show_system(known_system(name))


@app.command()
def roofline(
    target: Annotated[str, typer.Argument(help="A scenario file or library:NAME, or a chip: a name or file.")],
    set_: Set = None,
    level: Annotated[str, typer.Option(help="The memory that feeds the roofs: hbm, on_chip, a level, host.")] = "hbm",
) -> None:
    """Roofs of a chip, and where a scenario's ops stand under them."""
    with _reporting():
        from scenarios.cli.show.roofline import show_roofline

        show_roofline(target, set_ or [], level)


@app.command()
def explain(file: File, set_: Set = None) -> None:
    """Why a run takes as long as it does, and where figures are from."""
    with _reporting():
        from scenarios.cli.show.explanation import show_explanation
        from scenarios.console.waiting import waiting

        with waiting("reading") as sign:
            show_explanation(_simulated(_loaded(file, set_, lambda: None), sign))


@app.command()
def sources(file: File, set_: Set = None) -> None:
    """The sources of the figures that a scenario uses."""
    with _reporting():
        from scenarios.cli.show.explanation import show_sources
        from scenarios.outcome.outcome import run as run_scenario

        show_sources(run_scenario(file, set_ or ()))


@app.command()
def schema(
    what: Annotated[str, typer.Argument(help="scenario or chip.")] = "scenario",
) -> None:
    """The JSON Schema of scenario or chip files, for editors."""
    with _reporting():
        from scenarios.language.schema import schema_of

        _print_json(schema_of(what))


def _print_json(data: object) -> None:
    import json

    typer.echo(json.dumps(data, indent=2, allow_nan=False))


register_what_if(app, _reporting, _print_json)
register_study(app, _reporting, _print_json)
register_find(app, _reporting, _print_json)
register_search(app, _reporting, _print_json)
register_estimate(app, _reporting, _print_json)
register_fusion(app, _reporting, _print_json)
register_graph(app, _reporting, _print_json)
register_import(app, _reporting, _print_json)
register_library(app, _reporting, _print_json)
register_validate(app, _reporting, _print_json)
register_calibrate(app, _reporting)
register_bench(app, _reporting)


def main() -> None:
    """The entry point; a reader that goes away (`| head`) is no error."""
    from scenarios.console.streams import flush_all, of_the_command

    sys.stdout, sys.stderr = of_the_command(sys.stdout), of_the_command(sys.stderr)
    try:
        app()
    finally:
        flush_all()
