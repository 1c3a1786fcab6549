"""The command `search`, put on the command's app. Everything heavy is imported inside it."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.cli.options import Json, Set
from scenarios.cli.reporting import print_json, reporting

if TYPE_CHECKING:
    from scenarios.building.build import Scenario

_File = Annotated[str, typer.Argument(help="A scenario file that trains a model, or library:NAME for a bundled one.")]
_Vary = Annotated[list[str] | None, typer.Option("--vary", help="What a key may be: tp=1,2,4,8 (repeatable).")]
_Most = Annotated[
    int | None, typer.Option("--most", help="Give up after so many runs, and say how far off a proof is.")
]
_Goal = Annotated[
    list[str] | None,
    typer.Option("--goal", help="What is to be best: time, cost, tokens_per_dollar or memory; two for a front."),
]
_Jobs = Annotated[int | None, typer.Option("--jobs", help="Processes that run layouts; by default as many as pay.")]
_Cluster = Annotated[
    str | None, typer.Option("--cluster", help="Run on a dask.distributed cluster: tcp://HOST:PORT of its scheduler.")
]
_Store = Annotated[str | None, typer.Option("--store", help="A file that keeps runs: the same search goes on from it.")]
_Draw = Annotated[
    int | None,
    typer.Option("--draw", help="Draw so many layouts (needs optuna) where a space is too large to look at all of it."),
]
_Seed = Annotated[int, typer.Option("--seed", help="What is drawn: one seed draws the same layouts again.")]
_Plot = Annotated[
    Path | None,
    typer.Option("--plot", help="Draw time over memory of what was run: .html, .png, .svg, .pdf."),
]


def search(  # noqa: PLR0913  # an option each
    file: _File,
    vary: _Vary = None,
    most: _Most = None,
    goal: _Goal = None,
    jobs: _Jobs = None,
    store: _Store = None,
    cluster: _Cluster = None,
    draw: _Draw = None,
    seed: _Seed = 0,
    set_: Set = None,
    plot: _Plot = None,
    json: Json = False,
) -> None:
    """The best layout of a model's training, with its proof. On the scenario's system, by bounds."""
    with reporting():
        from analysis.plots import plot_front
        from scenarios.cli.show.search import search_record, show_search, show_space
        from scenarios.cli.together import check_jobs, nothing, together
        from scenarios.console.pictures import check_picture, picture
        from scenarios.console.streams import unheard
        from scenarios.console.terminal import console
        from scenarios.console.waiting import waiting
        from scenarios.questions.searching.drawn import check_drawn, drawn
        from scenarios.questions.searching.frames import searched_frame
        from scenarios.questions.searching.goals import check_goals
        from scenarios.questions.searching.search import search as searched
        from scenarios.questions.searching.spaces import space_of
        from scenarios.studies.executors import check_address, dask_cluster
        from scenarios.studies.search_runs import search_runs

        goals = goal or ["time"]

        (scenario, values), *_ = together(
            partial(_read, file, tuple(set_ or ()), vary or []),
            partial(check_goals, goals, most),
            partial(check_drawn, draw, goals, most) if draw is not None else nothing,
            partial(check_jobs, jobs),
            partial(check_address, cluster),
            partial(check_picture, plot),
        )
        workers = dask_cluster(cluster) if cluster is not None else None
        with picture(plot) as draw_picture, unheard() if store is not None else nullcontext():
            if not json:
                show_space(console(), space_of(scenario, values))
            with waiting("searching"), search_runs(scenario, store, jobs, workers) as runs:
                if draw is not None:
                    found = drawn(scenario, draw, values, seed, runs)
                else:
                    found = searched(scenario, values, most, goals, runs)
            if json:
                print_json(search_record(found))
            else:
                show_search(console(), found)
            # last: where nothing can draw, what was found is told all the same
            draw_picture(lambda: plot_front(searched_frame(found)))
        if found.best is None:
            raise typer.Exit(3)


def register(app: typer.Typer) -> None:
    """Add the command to the command's app."""
    app.command()(search)


def _read(file: str, sets: tuple[str, ...], vary: list[str]) -> tuple[Scenario, dict[str, list[Any]]]:
    """A scenario, and what its layouts may be. Raises SpecError with everything that is wrong."""
    from scenarios.building.build import load_scenario
    from scenarios.cli.together import together
    from scenarios.questions.searching.spaces import space_of

    scenario, values = together(partial(load_scenario, file, sets), partial(_values, vary))
    space_of(scenario, values)
    return scenario, values


def _values(texts: list[str]) -> dict[str, list[Any]]:
    """What is said of keys. Raises SpecError with everything that is wrong."""
    from hw import Mark, Problems
    from hw.input import parse_document

    problems, found = Problems(), {}
    for number, text in enumerate(texts, 1):
        key, _, written = (each.strip() for each in text.partition("="))
        if not key or not all(each.strip() for each in written.split(",")):
            problems.add(Mark("--vary", number), f"'{text}' is not of the form tp=1,2,4")
            continue
        found[key.removeprefix("parallel.")] = [parse_document(each, "--vary").data for each in written.split(",")]
    problems.raise_if_any()
    return found
