"""Nodes of a replay as lines of a scenario.

Model: measured work is `custom(time=...)` on its queue: that time and nothing else, so nothing slows it down but what it
waits for. A collective that is modelled is the op that it stands for, with as many elements, over its group; whether it
adds up or cuts is in the types of its tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from scenarios.importers.collectives import Collective, collective_kind
from scenarios.importers.dtypes import dtype_named
from scenarios.importers.kineto.nodes import LONG_PS, Node
from scenarios.importers.names import Names

_PS_PER_US = 1_000_000


def microseconds(time_ps: int) -> str:
    """A time to the picosecond, as text."""
    whole, part = divmod(time_ps, _PS_PER_US)
    return f"{whole}.{part:06d}".rstrip("0").rstrip(".") + " us"


def lines_of(nodes: Sequence[Node], several: bool, over: Callable[[Node], str]) -> Iterator[str]:
    """Nodes as op lines, in an order in which each stands behind what it waits for. `several`: whether ops say on which
    chip they run; `over`: what a modelled collective goes over."""
    names = Names()
    for node in nodes:
        node.name = names.fresh(node.title)
    for node in nodes:
        after = [each.name for each in node.after]
        if node.modelled is not None:
            yield node.modelled.line(node.name, over(node), after, f", queue={node.queue}")
            continue
        on = f", on={node.chip}" if several else ""
        delay = node.delay_ps
        if delay > LONG_PS:
            idle = names.fresh(f"{node.name}_idle")
            yield _line(idle, f"time={microseconds(delay)}", node.queue, after, on)
            after, delay = [idle], 0
        took = f"time={microseconds(node.took.likely_ps)}" + (f", delay={microseconds(delay)}" if delay else "")
        yield _line(node.name, took, node.queue, after, on)


def _line(name: str, took: str, queue: str, after: Sequence[str], on: str) -> str:
    waits = f", after=[{', '.join(after)}]" if after else ""
    return f"{name}:int8[1] = custom({took}, queue={queue}{on}{waits})"


def model_of(node: Node) -> Collective | None:
    """The collective of a kernel with all that its model needs; None where its type, its size or its kind is not known."""
    said = node.collective
    dtype, kind = (dtype_named(said.dtype), collective_kind(said.kind)) if said is not None else (None, None)
    if said is None or dtype is None or kind is None or not node.elements:
        return None
    return Collective(kind, dtype, node.elements, said.size)
