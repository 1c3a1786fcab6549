"""The layers of a round: where layers repeat in a pattern, each of them is stored, gathered, reduced and stepped by itself.

Model: a round of a part's block is a turn of the pattern: a layer, or some that differ. Each has buffers of its own, as FSDP
wraps each layer of a model, whatever the next one is. So what is said of layers (how far ahead their weights are gathered)
counts layers, and not rounds.
Law: a model is the same whether its layers are written as one that repeats or as a pattern of equal ones.
Source: PyTorch, torch/distributed/fsdp (fully_shard is applied to each layer); DeepSpeed (ZeRO-3 gathers module by module).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from simulator.graph.items import Op, Repeat
from simulator.models.steps.parts import Part
from simulator.passes.differentiate import Gradients
from simulator.passes.pipeline.paces import Pace


def pace_of_layers(
    parts: Sequence[Part], back: Gradients, fetched: Mapping[str, str], fetches: Collection[str], ahead: int
) -> Pace:
    """How far ahead both passes of a chunk fetch. `fetched`: by the name of what comes back from the host, what that is."""
    ends: dict[str, Sequence[str]] = {}
    places: dict[str, int] = {}
    for part in parts:
        if len(part.ends) > 1:
            ends[part.ends[-1]] = part.ends
            ends |= _ends_back(part, back)
            places |= _places(part, back, fetched, fetches)
    return Pace(fetches, ahead, ends, places)


def block_of(part: Part) -> Repeat:
    """The block of a part that has one."""
    return next(item for item in part.items if isinstance(item, Repeat))


def layer_of_each(part: Part) -> dict[str, int]:
    """In which layer of a round each of its ops stands; and, as what it is taken in by, what a layer ends in."""
    found: dict[str, int] = {}
    layer = 0
    for item in block_of(part).items:
        if isinstance(item, Repeat):
            continue
        found[item.name] = layer
        if item.name in part.ends:
            layer += 1
            found[item.name] = layer % len(part.ends)
    return found


def _ends_back(part: Part, back: Gradients) -> dict[str, Sequence[str]]:
    """The same of the backward pass: the gradients of what layers take in, from the last one to the first."""
    wanted = set(part.ends[:-1])
    for item in back.items:
        if not isinstance(item, Repeat):
            continue
        # of the parts of a gradient the last one is the whole
        whole = {of: op.name for op in item.items if isinstance(op, Op) and (of := back.stands_for.get(op.name, ""))}
        if wanted <= whole.keys():
            end = next(iter(dict(item.carry).values()))
            return {end: (*(whole[name] for name in reversed(part.ends[:-1])), end)}
    return {}


def _places(part: Part, back: Gradients, fetched: Mapping[str, str], fetches: Collection[str]) -> dict[str, int]:
    """In which layer of a round each op stands that fetches, in the order of its pass."""
    layers = layer_of_each(part)
    last = len(part.ends) - 1
    found = {name: layer for name, layer in layers.items() if name in fetches}
    for name in fetches:
        of = fetched.get(name, back.remade.get(name, ""))
        if of in layers:
            found[name] = last - layers[of]
    return found
