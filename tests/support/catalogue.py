"""Transformers of the catalogue that generate text, whole and cut to a few blocks."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from scenarios.models import load_model, model_names
from simulator.models import Model, Transformer

EVEN = 1920
"""Tokens that all experts of the catalogue can share evenly: slots are whole tokens."""


@cache
def described(name: str) -> Model:
    """The description of a model."""
    return load_model(name).description


@cache
def decoders() -> tuple[str, ...]:
    """The names of all that are decoders."""
    return tuple(name for name in model_names() if described(name).family == "decoder")


def cut(name: str, blocks: int = 6) -> Transformer:
    """A decoder with a few of its blocks: what repeats costs the same again."""
    model = described(name)
    assert isinstance(model, Transformer)
    return replace(model, layers=min(model.layers, blocks))


def reached(model: Transformer, tokens: int) -> int:
    """So many tokens, or as many as a model has learned positions for."""
    longest = model.position.longest if model.position.kind == "learned" else None
    return tokens if longest is None else min(tokens, longest)
