"""Which stack each family of models is."""

from __future__ import annotations

from functools import singledispatch

from simulator.models.convolution import ConvNet
from simulator.models.description import Transformer
from simulator.models.graph_network import GraphNetwork
from simulator.models.parameters import Model
from simulator.models.steps.layout import Parallel
from simulator.models.steps.stacks.convolution import convolution_stack
from simulator.models.steps.stacks.graph import graph_stack
from simulator.models.steps.stacks.stack import Asked, Stack
from simulator.models.steps.stacks.transformer import transformer_stack


@singledispatch
def stack_of(model: Model, parallel: Parallel, asked: Asked) -> Stack:
    """The stack of a model. Raises SpecError for what it cannot be asked."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@stack_of.register
def _(model: Transformer, parallel: Parallel, asked: Asked) -> Stack:
    return transformer_stack(model, parallel, asked)


@stack_of.register
def _(model: ConvNet, parallel: Parallel, asked: Asked) -> Stack:
    return convolution_stack(model, parallel, asked)


@stack_of.register
def _(model: GraphNetwork, parallel: Parallel, asked: Asked) -> Stack:
    return graph_stack(model, parallel, asked)
