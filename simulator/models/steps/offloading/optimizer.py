"""The optimizer's states in the memory of the host: fetched for the step of their weights, and sent back.

Model: moments and master weights of a part are copied to the chip when its gradients are complete, stepped there, and
copied back, part after part; the copies of one part go on beside the step of another.
Assumes: the host has room, and computes nothing.
Source: Rajbhandari et al. 2021 (ZeRO-Infinity); Megatron-LM and DeepSpeed step them on the host instead, which costs as many
bytes of gradients and weights and the host's time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from simulator.graph.items import Op


def stepped_from_host(step: Op) -> Iterator[Op]:
    """The step of a part of which all inputs behind weights and gradient live on the host."""
    weights, gradient, *states = step.inputs
    fetched = [replace(state, name=f"in{state.name}") for state in states]
    for state, here in zip(states, fetched, strict=True):
        yield Op(here, "copy", (replace(state, memory="host"),), (("after", gradient.reference),))
    yield replace(step, inputs=(weights, gradient, *fetched))
    for place, state in enumerate(states):
        made = replace(state, name=f"new{state.name}")
        yield Op(made, "side", (step.output,), (("of", f"state{place}"),))
        yield Op(replace(made, name=f"out{state.name}", memory="host"), "copy", (made,))
