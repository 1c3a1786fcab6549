"""What `overlapse run` prints: the run on one screen, then the study's answers and the claims that failed."""

from __future__ import annotations

from rich.text import Text

from analysis import screen
from hw.input import first_problems
from scenarios.building.run_one import job_words_of, money_words_of
from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import print_whole
from scenarios.outcome.model_story import model_lines
from scenarios.outcome.outcome import Outcome
from scenarios.questions.software import software_advice
from scenarios.studies.asked import points_of

MOST_ALONG = 200
"""Runs of a study that `run` makes beside its own; more are for `study`."""


def show_outcome(outcome: Outcome) -> None:
    """The one-screen summary, then the study's answers and claims that failed."""
    console = terminal()
    scenario = outcome.scenario
    told = list(model_lines(scenario.model, outcome.words)) if scenario.model is not None else []
    if (job_words := job_words_of(scenario, [outcome.words])) is not None:
        told += job_words.lines()
    also = software_advice(scenario, outcome.words)
    console.print(screen(scenario.name, scenario.about, outcome.words, console.width, told, also))
    if scenario.study is not None and scenario.study.find is not None and outcome.search is not None:
        from scenarios.cli.show.find import find_lines

        console.print(find_lines(scenario.study.find, outcome.search))
    for note in outcome.notes:
        console.print(Text.assemble(("note         ", "dim"), (note, "yellow")))
    for line in scenario.loaders.lines(outcome.words.plan):
        console.print(Text.assemble(("beside       ", "dim"), line))
    for at, line in enumerate(outcome.sharding.lines()):
        console.print(Text.assemble(("" if at else "sharding     ", "dim"), line))
    if (money_words := money_words_of(scenario)) is not None:
        for at, line in enumerate(money_words.lines(outcome.words)):
            console.print(Text.assemble(("" if at else "economics    ", "dim"), line))
    points = points_of(scenario)
    if points is not None and len(points) > MOST_ALONG:
        console.print(
            Text(f"study        {len(points):,} runs; `overlapse study` runs them, and keeps them with --store")
        )
    elif outcome.sweep is not None:
        from scenarios.cli.show.study import show_study

        show_study(console, outcome.sweep)
    for verdict in first_problems(outcome.failed, "claims failed"):
        print_whole(console, Text(f"claim failed {verdict}", style="red"))
