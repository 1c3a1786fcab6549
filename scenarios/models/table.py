"""What is told of a model: one line in the catalogue's table, and everything as plain data for JSON.

Model: a figure is printed as its authors print theirs: 8.03 B parameters, 37.5 B active. The table of docs/models.md is
made here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import singledispatch
from typing import Any

from scenarios.models.catalogue import LoadedModel, load_model, model_names
from scenarios.models.published import Figure, Published
from simulator.models import ConvNet, GraphNetwork, Model, Transformer, layers, parameters, runs

COLUMNS = ("model", "family", "layers", "d_model", "heads", "feed-forward", "vocab", "parameters", "active")
"""The columns of the catalogue's table."""

_UNITS = (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3))


def count_shown(number: int, digits: int = 4) -> str:
    """A number of parameters as people write it: 8.03 B, 124.4 M."""
    for unit, size in _UNITS:
        if number >= size:
            return f"{number / size:.{digits}g} {unit}"
    return str(number)


def model_facts(model: LoadedModel) -> dict[str, str]:
    """One line of the table, by column."""
    description = model.description
    counted = parameters(description)
    shape = _shape(description)
    active = counted.active if _has_experts(description) else counted.total
    return {
        "model": model.name,
        "family": description.family,
        **{column: shape.get(column, "") for column in COLUMNS[2:7]},
        "parameters": count_shown(counted.total),
        "active": count_shown(active) if active != counted.total else "",
    }


def _has_experts(model: Model) -> bool:
    return getattr(model, "moe", None) is not None


@singledispatch
def _shape(model: Model) -> Mapping[str, str]:
    """The columns that depend on the family."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@_shape.register
def _(model: Transformer) -> Mapping[str, str]:
    return {
        "layers": str(model.layers),
        "d_model": str(model.d_model),
        "heads": _heads(model),
        "feed-forward": _feed_forward(model),
        "vocab": str(model.embedding.vocab) if model.embedding is not None else "",
    }


@_shape.register
def _(model: ConvNet) -> Mapping[str, str]:
    made = [layer for layer in layers(model) if layer.kind in ("conv", "linear")]
    return {"layers": str(len(made)), "feed-forward": f"image {model.image} x {model.image}"}


@_shape.register
def _(model: GraphNetwork) -> Mapping[str, str]:
    return {"layers": str(len(model.widths)), "feed-forward": " > ".join(map(str, (model.features, *model.widths)))}


def _heads(model: Transformer) -> str:
    """Heads, those of keys and values where they are fewer, and the size of one."""
    attention = model.attention
    if attention.latent is not None:
        return f"{attention.heads} latent"
    shared = f"/{attention.kv_heads}" if attention.kv_heads != attention.heads else ""
    return f"{attention.heads}{shared} x {attention.head_dim}"


def _feed_forward(model: Transformer) -> str:
    """Its width, or how many experts of what width a token takes."""
    moe = model.moe
    if moe is None:
        return str(model.ffn.d_ff)
    shared = f" + {moe.shared_experts}" if moe.shared_experts else ""
    return f"{moe.top_k} of {moe.experts}{shared} x {moe.d_expert}"


def model_lines(model: LoadedModel) -> list[tuple[str, str]]:
    """What stands above a model's weights on the screen: its shape, and what it adds up to."""
    counted = parameters(model.description)
    shape = [(column, text) for column, text in _shape(model.description).items() if text]
    lines = [*shape, ("parameters", f"{counted.total:,}{_beside(model, 'parameters')}")]
    if _has_experts(model.description):
        lines.append(("active", f"{counted.active:,}{_beside(model, 'active')}"))
    return [*lines, *_run_lines(model.description)]


def _beside(model: LoadedModel, figure: str) -> str:
    """What its authors print, after our count."""
    printed = _published(model.published).get(figure) if model.published is not None else None
    return f" (published: {printed})" if printed else ""


@singledispatch
def _run_lines(_model: Model) -> Iterator[tuple[str, str]]:
    """Blocks that repeat, and what a block keeps of a token; only a transformer has them."""
    return iter(())


@_run_lines.register
def _(model: Transformer) -> Iterator[tuple[str, str]]:
    for run in runs(model):
        each = ", ".join(f"{block.attention}{' with experts' if block.has_experts else ''}" for block in run.blocks)
        yield "blocks", f"{run.repeat} x ({each})"
    if model.attention.window is not None:
        yield "window", f"{model.attention.window} keys"
    if model.attention.causal:
        if set(model.attention.kinds) != {"linear"}:
            yield "cached", f"{model.attention.cached} numbers a token and block"
        if "linear" in model.attention.kinds:
            yield "state", f"{model.attention.state} numbers a sequence and block of linear attention"


def model_words(model: LoadedModel) -> dict[str, Any]:
    """Everything that is known of a model, as plain data."""
    counted = parameters(model.description)
    published = model.published
    return {
        **asdict(model.description),
        "about": model.about,
        "hub": model.hub,
        "parameters": counted.total,
        "active_parameters": counted.active,
        "published": _published(published) if published is not None else {},
        "sources": dict(model.sources),
        "notes": list(model.notes),
    }


def _published(published: Published) -> dict[str, str]:
    """What the authors print, by what it is of."""
    figures = {"parameters": published.parameters, "active": published.active}
    return {name: _told(figure) for name, figure in figures.items() if figure is not None}


def _told(figure: Figure) -> str:
    return f"{figure.value}{' with its tables' if figure.tables else ''}"


def catalogue_table() -> str:
    """The catalogue as a table in Markdown, a line for each model."""
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    for facts in map(model_facts, listed_models()):
        lines.append(f"| {' | '.join(facts[column] for column in COLUMNS)} |")
    return "\n".join(lines) + "\n"


_FAMILIES = ("decoder", "encoder", "vision", "convolution", "graph")


def listed_models() -> list[LoadedModel]:
    """Every model of the catalogue: families one after the other, and in each by name, numbers in it by their size."""
    return sorted(map(load_model, model_names()), key=_order)


def _order(model: LoadedModel) -> tuple[int, list[tuple[float, str]]]:
    parts = re.findall(r"(\d+\.?\d*)|(\D+)", model.name)
    return _FAMILIES.index(model.description.family), [(float(number or 0), word) for number, word in parts]
