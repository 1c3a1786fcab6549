"""What `overlapse models` prints: the catalogue, or one model with its blocks, weights and sources."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from scenarios.console.terminal import console as terminal
from scenarios.console.terminal import fitting, left_out, listing, print_rows
from scenarios.models import COLUMNS, LoadedModel, listed_models, load_model, model_facts, model_lines, model_words
from simulator.models import Part, parameters

_TABLE_WIDTH = 118
_MAY_GO = ("feed-forward", "vocab", "heads")
_LEFT = ("model", "family", "heads", "feed-forward")


def model_records(name: str | None) -> Any:
    """One model, or all of them, as plain data."""
    if name is not None:
        return model_words(load_model(name))
    return [model_words(each) for each in listed_models()]


def show_models() -> None:
    """Every model of the catalogue: its shape and its size."""
    facts = [model_facts(model) for model in listed_models()]
    console = listing(_TABLE_WIDTH)
    kept = fitting(COLUMNS, [[each[column] for column in COLUMNS] for each in facts], _MAY_GO, console)
    table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
    for at in kept:
        table.add_column(COLUMNS[at], justify="left" if COLUMNS[at] in _LEFT else "right", no_wrap=True)
    for each in facts:
        table.add_row(*(each[COLUMNS[at]] for at in kept))
    console.print(table)
    if len(kept) < len(COLUMNS):
        console.print(left_out(COLUMNS, kept))
    told = "active: parameters that one token uses, where experts differ. `overlapse models NAME`: weights and sources."
    console.print(Text(told, "dim"))


def show_model(name: str) -> None:
    """One model: its figures with their sources, and its weights in the order in which they are used."""
    model = load_model(name)
    console = terminal()
    console.print(Text.assemble((model.name, "bold"), f"  {model.description.family}  {model.about}"))
    print_rows(console, model_lines(model), ("dim", ""))
    rows = [("blocks", "weight", "shape", "parameters"), *_weight_rows(model)]
    print_rows(console, rows, ("dim", "", "", ""))
    print_rows(console, model.sources.items(), ("dim", "dim"))
    for note in model.notes:
        console.print(Text(note, "yellow"))


def _weight_rows(model: LoadedModel) -> Iterator[tuple[str, str, str, str]]:
    """Matrices and tables, each with its parameters in one block; scales and biases together."""
    vectors = 0
    for part in parameters(model.description).parts:
        for weight in part.weights:
            if weight.use == "vector":
                vectors += part.count * weight.size
                continue
            held = f"same as {weight.same_as}" if weight.same_as else f"{weight.size:,}"
            yield _where(part), weight.name, " x ".join(map(str, weight.shape)), held
    yield "", "scales and biases", "", f"{vectors:,}"


def _where(part: Part) -> str:
    """Which blocks: the first and the last of those in a row."""
    if part.layers is None:
        return ""
    first, last = part.layers[0], part.layers[-1]
    step = part.layers[1] - first if len(part.layers) > 1 else 1
    every = f" by {step}" if step > 1 else ""
    return f"{first}-{last}{every}" if last > first else str(first)
