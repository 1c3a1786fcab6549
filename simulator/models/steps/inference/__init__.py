"""Prefill and decode of a model as op graphs: `inference_graph(model, parallel, Inference(mode="decode", ...))`."""

from simulator.models.steps.inference.graph import inference_graph
from simulator.models.steps.inference.request import BF16, MODES, Inference, Pass

__all__ = ["BF16", "MODES", "Inference", "Pass", "inference_graph"]
