"""Models as plain data: what a transformer, a convolution stack or a graph network is, and what follows from that alone.

    model = Transformer(name="tiny", family="decoder", layers=2, ...)
    parameters(model).total, parameters(model).tensors, flops_per_token(model, seq=4096).total
    runs(model)                  # blocks that repeat: what a graph of the model is made of

Nothing here knows of hardware, batch or parallelism. The catalogue of models is in `scenarios.models`.
"""

from simulator.models.blocks import Block, Run, alike, blocks, runs, shortest_kinds
from simulator.models.checks import description_problems
from simulator.models.convolution import BOTTLENECK_EXPANSION, ConvNet, Layer, Stage, Unit, layers, units
from simulator.models.description import (
    Activation,
    Attention,
    AttentionKind,
    Embedding,
    Family,
    Ffn,
    Head,
    HeadKind,
    Latent,
    Moe,
    Norm,
    NormPlaces,
    Patches,
    Position,
    PositionKind,
    QkNorm,
    Router,
    Transformer,
)
from simulator.models.flops import (
    Flops,
    Sample,
    Work,
    attention_mask,
    first_flops,
    flops_per_token,
    forward_flops,
    sample_of,
    training_flops,
)
from simulator.models.graph_network import GraphNetwork, graph_weights
from simulator.models.parameters import Model, Parameters, Part, parameters, parts
from simulator.models.weights import Weight, block_weights, input_weights, output_weights

__all__ = [
    # A description, and its parts.
    "Model",
    "Transformer",
    "ConvNet",
    "GraphNetwork",
    "Attention",
    "Latent",
    "Ffn",
    "Moe",
    "Norm",
    "Position",
    "Embedding",
    "Patches",
    "Head",
    "Stage",
    # The words that they use.
    "Activation",
    "AttentionKind",
    "Family",
    "HeadKind",
    "NormPlaces",
    "PositionKind",
    "QkNorm",
    "Router",
    "BOTTLENECK_EXPANSION",
    "description_problems",
    # What it is made of, in order.
    "Block",
    "Run",
    "alike",
    "blocks",
    "runs",
    "shortest_kinds",
    "Layer",
    "layers",
    "Unit",
    "units",
    "Weight",
    "block_weights",
    "input_weights",
    "output_weights",
    "graph_weights",
    # What it adds up to.
    "Parameters",
    "Part",
    "parameters",
    "parts",
    "Flops",
    "Work",
    "attention_mask",
    "first_flops",
    "flops_per_token",
    "forward_flops",
    "training_flops",
    "Sample",
    "sample_of",
]
