"""How many parameters a model has: tensor by tensor, in all, and those that one token uses.

Model: parts of a model that are alike are counted once, with the numbers of the layers that are so. `active`: what one
token goes through, a row of each table that is looked up, top_k of the experts, and a matrix that is tied to a table as a
matrix. `total` counts what has a gradient: a tied head is no parameter, nor is a number that only balances experts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import singledispatch

from simulator.models.blocks import alike
from simulator.models.convolution import ConvNet, layers
from simulator.models.description import Transformer
from simulator.models.graph_network import GraphNetwork, graph_weights
from simulator.models.weights import Weight, block_weights, input_weights, output_weights

Model = Transformer | ConvNet | GraphNetwork
"""Whatever a description can be of."""


@dataclass(frozen=True, slots=True)
class Part:
    """Weights that stand together. `layers`: the numbers of the blocks that have them; None outside of the blocks."""

    weights: tuple[Weight, ...]
    layers: tuple[int, ...] | None = None

    @property
    def count(self) -> int:
        """How often the model has these weights."""
        return 1 if self.layers is None else len(self.layers)

    def named(self) -> Iterator[tuple[str, Weight]]:
        """Every tensor of its own by its full name: `blocks.3.ffn.up`."""
        for at in self.layers if self.layers is not None else (None,):
            before = "" if at is None else f"blocks.{at}."
            for weight in self.weights:
                if weight.same_as is None:
                    yield f"{before}{weight.name}", weight


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a model, as parts that are alike."""

    parts: tuple[Part, ...]

    @property
    def total(self) -> int:
        """Parameters that are trained."""
        return sum(part.count * sum(map(_owned, part.weights)) for part in self.parts)

    @property
    def active(self) -> int:
        """Parameters that one token uses."""
        return sum(part.count * sum(map(_used, part.weights)) for part in self.parts)

    @property
    def looked_up(self) -> int:
        """Parameters in tables that tokens look up; of each, `active` counts one row."""
        return sum(part.count * sum(map(_owned, filter(_is_table, part.weights))) for part in self.parts)

    @property
    def active_with_tables(self) -> int:
        """Parameters that one token uses, with all of the tables of which it looks up a row: as some authors count."""
        rows = sum(part.count * sum(map(_used, filter(_is_table, part.weights))) for part in self.parts)
        return self.active - rows + self.looked_up

    @property
    def stored(self) -> int:
        """Numbers that a checkpoint holds: parameters, and what has no gradient."""
        return sum(part.count * weight.size for part in self.parts for weight in part.weights if not weight.same_as)

    @property
    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """The shape of every tensor by its name, those without a gradient included; experts stand in one."""
        return {name: weight.shape for part in self.parts for name, weight in part.named()}


@singledispatch
def parts(model: Model) -> tuple[Part, ...]:
    """A model's weights, those of blocks that are alike once."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@parts.register
def _(model: Transformer) -> tuple[Part, ...]:
    # blocks that only see another way have the same weights
    numbers: dict[tuple[Weight, ...], list[int]] = {}
    for block, at in alike(model).items():
        numbers.setdefault(block_weights(model, block), []).extend(at)
    middle = (Part(weights, tuple(sorted(at))) for weights, at in numbers.items())
    return (Part(input_weights(model)), *middle, Part(output_weights(model)))


@parts.register
def _(model: ConvNet) -> tuple[Part, ...]:
    return tuple(Part(layer.weights) for layer in layers(model) if layer.weights)


@parts.register
def _(model: GraphNetwork) -> tuple[Part, ...]:
    return (Part(tuple(graph_weights(model))),)


def parameters(model: Model) -> Parameters:
    """The parameters of a model."""
    return Parameters(parts(model))


def _is_table(weight: Weight) -> bool:
    return weight.use == "lookup"


def _owned(weight: Weight) -> int:
    return weight.size if weight.trained and weight.same_as is None else 0


def _used(weight: Weight) -> int:
    if not weight.trained:
        return 0
    if _is_table(weight):
        return weight.shape[-1]
    return int(weight.size * weight.share)
