"""The command `study`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

_File = Annotated[str, typer.Argument(help="A scenario file, or library:NAME for a bundled one.")]
_Vary = Annotated[
    list[str] | None,
    typer.Option("--vary", help="An axis of a grid: a.b=1:4096:x2, a.b=1:10:+1, or a.b=x,y,z (repeatable)."),
]
_Zip = Annotated[
    list[str] | None, typer.Option("--zip", help="Values that go together, first with first (repeatable).")
]
_Random = Annotated[
    list[str] | None,
    typer.Option("--random", help="Values that are drawn: a.b=1:4096, a.b=1:4096:log, samples=100, seed=0."),
]
_Sort = Annotated[
    str | None, typer.Option("--sort", help="The order of the rows: time, -mfu, cost / tokens_per_s; the least first.")
]
_Show = Annotated[str | None, typer.Option("--show", help="The words of the table: time,peak_memory,training_cost.")]
_Words = Annotated[
    str | None, typer.Option("--words", help="The words of a row: time,mfu. Where none needs it, no row is simulated.")
]
_Store = Annotated[
    Path | None, typer.Option("--store", help="A file that keeps finished runs; the same study goes on from there.")
]
_Jobs = Annotated[int | None, typer.Option("--jobs", help="Worker processes; by default as many as pay.")]
_Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Run on a dask.distributed cluster: tcp://HOST:PORT of its scheduler.")
]
_Export = Annotated[Path | None, typer.Option("--export", help="Write the table: FILE.csv or FILE.parquet.")]


def study(  # noqa: PLR0913  # an option each
    file: _File,
    vary: _Vary = None,
    zip_: _Zip = None,
    random: _Random = None,
    sort: _Sort = None,
    show: _Show = None,
    words: _Words = None,
    store: _Store = None,
    jobs: _Jobs = None,
    cluster: _Cluster = None,
    export: _Export = None,
    set_: Set = None,
    json: Json = False,
) -> None:
    """Run a scenario many times: a grid, rows or samples of values. Rows with errors are rows, too."""
    with reporting():
        from scenarios.cli.study_answer import Asked, answer

        added = (tuple(set_ or ()), tuple(vary or ()), tuple(zip_ or ()), tuple(random or ()))
        answers = answer(Asked(file, *added, sort, show, words, store, jobs, cluster, export))
        if json:
            print_json(answers.as_json())
        else:
            answers.show()
        if answers.exit:
            raise typer.Exit(answers.exit)


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(study)
