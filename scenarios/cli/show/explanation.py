"""What `overlapse explain` and `overlapse sources` print."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.text import Text

from analysis import kind_labels
from analysis.runs import Advice
from hw import Dimension
from hw.input import show
from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import print_indented, print_rows
from scenarios.outcome.chip_figures import chip_figures
from scenarios.outcome.explain import graph_lines, reasons
from scenarios.outcome.model_story import communication_lines
from scenarios.outcome.outcome import Outcome
from scenarios.outcome.provenance import chip_sources, provenance
from scenarios.questions.software import software_advice


def show_explanation(outcome: Outcome) -> None:
    """Why the run takes as long as it does; then the model, the graph as understood, and where each value is from."""
    console = terminal()
    console.print(Text(outcome.scenario.name, style="bold"))
    console.print(Text("\nwhy it takes as long as it does", style="dim"))
    for reason in reasons(outcome.words, outcome.notes, outcome.sharding):
        print_indented(console, reason)
    for each in software_advice(outcome.scenario, outcome.words)[:3]:
        print_indented(console, f"Run with {each.change} it would take {_saved(each)}.")
    for title, lines in outcome.beside.items():
        _print_lines(console, title, lines)
    if outcome.scenario.model is not None:
        _print_model(console, outcome)
    console.print(Text("\nops as understood", style="dim"))
    for line in graph_lines(outcome.words.plan):
        console.print(Text(f"  {line}"))
    console.print(Text("\nvalues, and where each stands", style="dim"))
    print_rows(console, provenance(outcome.scenario.document), ("", "", "dim"))
    whose = "chip" if len(outcome.scenario.system.kinds) == 1 else "chips"
    console.print(Text(f"\nfigures of the {whose}, and their sources", style="dim"))
    _print_sources(console, outcome)


def _saved(advice: Advice) -> str:
    return f"{show(advice.time_s, Dimension.TIME)} (-{100 * advice.gain:.1f} %)"


def _print_lines(console: Console, title: str, lines: Iterable[str]) -> None:
    for at, line in enumerate(lines):
        if not at:
            console.print(Text(f"\n{title}", style="dim"))
        print_indented(console, line)


def _print_model(console: Console, outcome: Outcome) -> None:
    """Which of a model's communication is hidden, and why it does not fit."""
    _print_lines(console, "communication, hidden or exposed", communication_lines(outcome.words))
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
