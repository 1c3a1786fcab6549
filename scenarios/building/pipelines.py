"""The ops of a workload as the chunk of a pipeline: one for each stage, or several, over all its microbatches.

Model: the ops are the program of one microbatch in one chunk; `backward` and `weights` name the ops with which its later
passes begin. `carry` joins chunks as it joins the rounds of a block: what is made in the forward pass goes to the next
chunk, what is made in the backward pass to the one before. What no op makes and nothing carries (weights) is the same for
all microbatches. All chunks are alike. How they are put in order: `simulator.pipelined`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from hw import Problems, System
from hw.input import Document, Key, unknown
from scenarios.language.pipeline_spec import PipelineSpec
from simulator import Items, OpGraph, Pipeline, PipelineChunk, pipelined

_AT: Key = ("workload", "pipeline")


def as_pipeline(
    spec: PipelineSpec, graph: OpGraph, system: System, document: Document, problems: Problems
) -> OpGraph | None:
    """The graph of all stages and microbatches; None after saying what is wrong."""
    before = len(problems.found)
    passes = _passes(spec, graph.items, document, problems)
    axis = spec.axis or next(iter(system.mesh.axes), "")
    if axis not in system.mesh.axes:
        problems.add(document.value_mark((*_AT, "axis")), unknown("mesh axis", axis, system.mesh.axes))
    ends = _ends(spec, passes, document, problems)
    if len(problems.found) > before:
        return None
    groups = () if isinstance(graph.fuse, str) else tuple(tuple(group) for group in graph.fuse)
    chunk = PipelineChunk(
        forward=passes[0],
        backward=passes[1],
        weights=passes[2],
        takes=ends.takes,
        makes=ends.makes,
        takes_back=ends.takes_back,
        makes_back=ends.makes_back,
        shared=frozenset(_inputs(graph)) - set(spec.carry),
        fuse=groups,
    )
    stages = system.mesh.axes[axis]
    how = Pipeline(stages=stages, microbatches=spec.microbatches, schedule=spec.schedule, axis=axis)
    try:
        made = pipelined([chunk] * (stages * spec.interleave), how)
    except ValueError as error:
        problems.add(document.value_mark(_AT), str(error))
        return None
    fuse = graph.fuse if isinstance(graph.fuse, str) else made.fuse or "none"
    return replace(graph, items=made.items, fuse=fuse)


@dataclass(frozen=True, slots=True)
class _Ends:
    """What goes from chunk to chunk, forwards and backwards."""

    takes: tuple[str, ...]
    makes: tuple[str, ...]
    takes_back: tuple[str, ...]
    makes_back: tuple[str, ...]


def _passes(spec: PipelineSpec, items: Items, document: Document, problems: Problems) -> tuple[Items, Items, Items]:
    """The items of the forward pass, of the backward pass, and of its second part."""
    made = [_made((item,)) for item in items]
    cuts = []
    for key in ("backward", "weights"):
        name = getattr(spec, key)
        place = next((at for at, names in enumerate(made) if name in names), len(items))
        if name is not None and place == len(items):
            known = [each for names in made for each in names]
            problems.add(document.value_mark((*_AT, key)), unknown("op", name, known))
        cuts.append(place)
    backward, weights = cuts
    if spec.weights is not None and weights <= backward and weights < len(items):
        problems.add(document.value_mark((*_AT, "weights")), f"{spec.weights} does not come behind the backward pass")
    return items[:backward], items[backward:weights], items[weights:]


def _ends(spec: PipelineSpec, passes: Sequence[Items], document: Document, problems: Problems) -> _Ends:
    """What is carried, sorted by the pass that makes it."""
    forward, backward = _made(passes[0]), _made(passes[1])
    ways: dict[bool, list[tuple[str, str]]] = {False: [], True: []}
    for taken, made in spec.carry.items():
        if made not in forward and made not in backward:
            mark = document.value_mark((*_AT, "carry", taken))
            problems.add(mark, unknown("op", made, [*forward, *backward]))
            continue
        ways[made in backward].append((taken, made))
    there, back = ways[False], ways[True]
    return _Ends(
        takes=tuple(taken for taken, _ in there),
        makes=tuple(made for _, made in there),
        takes_back=tuple(taken for taken, _ in back),
        makes_back=tuple(made for _, made in back),
    )


def _made(items: Items) -> Collection[str]:
    """The names of what ops make, in blocks too, in order."""
    return {op.name: None for op in OpGraph({}, items).every_op()}


def _inputs(graph: OpGraph) -> set[str]:
    """The names of what no op makes."""
    ops = list(graph.every_op())
    return {tensor.name for op in ops for tensor in op.inputs} - {op.name for op in ops}
