"""What `overlapse explain` and `overlapse sources` print."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.text import Text

from analysis import kind_labels
from scenarios.building.model_workload import ModelRun
from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import print_rows
from scenarios.outcome.chip_figures import chip_figures
from scenarios.outcome.explain import graph_lines, reasons
from scenarios.outcome.model_story import communication_lines, model_lines
from scenarios.outcome.outcome import Outcome
from scenarios.outcome.provenance import chip_sources, provenance


def show_explanation(outcome: Outcome) -> None:
    """Values and their places, the graph as understood, the reasons."""
    console = terminal()
    console.print(Text(outcome.scenario.name, style="bold"))
    console.print(Text("\nvalues, and where each stands", style="dim"))
    print_rows(console, provenance(outcome.scenario.document), ("", "", "dim"))
    whose = "chip" if len(outcome.scenario.system.kinds) == 1 else "chips"
    console.print(Text(f"\nfigures of the {whose}, and their sources", style="dim"))
    _print_sources(console, outcome)
    console.print(Text("\nops as understood", style="dim"))
    for line in graph_lines(outcome.words.plan):
        console.print(Text(f"  {line}"))
    console.print(Text("\nwhy it takes as long as it does", style="dim"))
    for reason in reasons(outcome.words, outcome.notes, outcome.sharding):
        console.print(Text(f"  {reason}"))
    if outcome.scenario.model is not None:
        _print_model(console, outcome, outcome.scenario.model)


def _print_model(console: Console, outcome: Outcome, model: ModelRun) -> None:
    """What the model is, which of its communication is hidden, and why it does not fit."""
    console.print(Text("\nthe model", style="dim"))
    for line in model_lines(model, outcome.words):
        console.print(Text(f"  {line}"))
    console.print(Text("\ncommunication, hidden or exposed", style="dim"))
    for line in communication_lines(outcome.words):
        console.print(Text(f"  {line}"))
    if outcome.misfit is not None:
        console.print()
        for line in outcome.misfit.lines():
            console.print(Text(line, style="red"))


def show_sources(outcome: Outcome) -> None:
    """The sources of the chips' figures."""
    _print_sources(terminal(), outcome)


def _print_sources(console: Console, outcome: Outcome) -> None:
    """A table for each kind of chip, under its name where there are several."""
    system = outcome.scenario.system
    labels = kind_labels(system)
    for kind, rows in groupby(chip_sources(outcome.scenario), key=lambda row: row[0]):
        if len(labels) > 1:
            console.print(Text("" if kind == 0 else "\n").append(labels[kind], style="bold"))
        sections = [(section, chip_figures(system.kinds[kind], section), source) for _, section, source in rows]
        print_rows(console, sections, ("", "", "dim"))
