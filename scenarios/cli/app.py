"""The command `overlapse`: its app, the commands that run a scenario, and those of `scenarios.cli.commands` put beside them.

Everything heavy is imported inside the commands: `overlapse --help` stays fast. What errors become: `reporting`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from scenarios.cli.commands.bench import register as register_bench
from scenarios.cli.commands.calibrate import register as register_calibrate
from scenarios.cli.commands.catalogue import register as register_catalogue
from scenarios.cli.commands.estimate import register as register_estimate
from scenarios.cli.commands.find import register as register_find
from scenarios.cli.commands.fusion import register as register_fusion
from scenarios.cli.commands.graph import register as register_graph
from scenarios.cli.commands.imports import register as register_import
from scenarios.cli.commands.library import register as register_library
from scenarios.cli.commands.reasons import register as register_reasons
from scenarios.cli.commands.search import register as register_search
from scenarios.cli.commands.study import register as register_study
from scenarios.cli.commands.validate import register as register_validate
from scenarios.cli.commands.what_if import register as register_what_if
from scenarios.cli.options import File, Json, Set
from scenarios.cli.reporting import print_json, reporting
from scenarios.cli.running import loaded_for, simulated

app = typer.Typer(
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Overlapse: how much time really elapses when compute and communication overlap.",
)


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
    with reporting():
        from contextlib import nullcontext

        from hw import RunError
        from scenarios.console.outputs import check_places_in, promised_in
        from scenarios.console.terminal import tell
        from scenarios.console.waiting import waiting
        from scenarios.outcome.outcome import WRITTEN

        written: list[Path] = []
        with waiting("reading"):
            outcome = loaded_for(file, set_, lambda: None if out is None else check_places_in(out, WRITTEN))
        with promised_in(out, WRITTEN) if out is not None else nullcontext(), waiting("lowering") as sign:
            simulated(outcome, sign)
            if outcome.misfit is not None:
                raise RunError("\n".join(outcome.misfit.lines()))
            if json:
                print_json(outcome.as_json())
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
    with reporting():
        from scenarios.console.outputs import check_places, promised
        from scenarios.console.terminal import tell
        from scenarios.console.waiting import waiting

        with waiting("reading"):
            outcome = loaded_for(file, set_, lambda: check_places(out))
        with promised(out), waiting("lowering") as sign:
            simulated(outcome, sign)
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


register_catalogue(app)
register_reasons(app)
register_what_if(app)
register_study(app)
register_find(app)
register_search(app)
register_estimate(app)
register_fusion(app)
register_graph(app)
register_import(app)
register_library(app)
register_validate(app)
register_calibrate(app)
register_bench(app)


def main() -> None:
    """The entry point; a reader that goes away (`| head`) is no error."""
    from scenarios.console.streams import flush_all, of_the_command

    sys.stdout, sys.stderr = of_the_command(sys.stdout), of_the_command(sys.stderr)
    try:
        app()
    finally:
        flush_all()
