"""Nodes of a replay as lines of a scenario.

Model: measured work is `custom(time=...)` on its queue: that time and nothing else, so nothing slows it down but what it
waits for. A collective that is modelled is the op that it stands for, with as many elements, over its group; whether it
adds up or cuts is in the types of its tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from scenarios.importers.dtypes import dtype_named
from scenarios.importers.kineto.events import CollectiveSaid
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
            yield from _modelled(node, node.modelled, over(node), after)
            continue
        on = f", on={node.chip}" if several else ""
        delay = node.delay_ps
        if delay > LONG_PS:
            idle = names.fresh(f"{node.name}_idle")
            yield _line(idle, f"time={microseconds(delay)}", node.queue, after, on)
            after, delay = [idle], 0
        took = f"time={microseconds(node.time_ps)}" + (f", delay={microseconds(delay)}" if delay else "")
        yield _line(node.name, took, node.queue, after, on)


def _line(name: str, took: str, queue: str, after: Sequence[str], on: str) -> str:
    waits = f", after=[{', '.join(after)}]" if after else ""
    return f"{name}:int8[1] = custom({took}, queue={queue}{on}{waits})"


def can_model(said: CollectiveSaid) -> bool:
    """Whether a collective has all that its model needs."""
    return _typed(said, "X") is not None


def _modelled(node: Node, said: CollectiveSaid, over: str, after: Sequence[str]) -> Iterator[str]:
    axes = over.strip("[]").replace(", ", "")
    typed = _typed(said, axes)
    assert typed is not None
    kind, given, made = typed
    waits = f", after=[{', '.join(after)}]" if after else ""
    yield f"{node.name}:{made} = {kind}({node.name}_in:{given}, over={over}, queue={node.queue}{waits})"


def _typed(said: CollectiveSaid, axes: str) -> tuple[str, str, str] | None:
    """The kind of a collective, and the types of what it takes and makes."""
    dtype, kind = dtype_named(said.dtype), said.kind.lower().strip("_")
    if dtype is None or not (said.elements_in or said.elements_out):
        return None
    given, made, size = said.elements_in, said.elements_out, said.size
    whole = max(given, made)
    if kind.startswith(("allreduce", "all_reduce")):
        return "all_reduce", f"{dtype}[{given}]{{U_{axes}}}", f"{dtype}[{given}]"
    if kind.startswith(("allgather", "all_gather")):
        return "all_gather", f"{dtype}[{_even(whole, size)}_{axes}]", f"{dtype}[{_even(whole, size)}]"
    if kind.startswith(("reduce_scatter", "reducescatter")):
        return "reduce_scatter", f"{dtype}[{_even(whole, size)}]{{U_{axes}}}", f"{dtype}[{_even(whole, size)}_{axes}]"
    if kind.startswith(("all_to_all", "alltoall")):
        each = _even(given, size)
        return "all_to_all", f"{dtype}[{size}_{axes},{each}]", f"{dtype}[{size},{each}_{axes}]"
    if kind.startswith("broadcast"):
        return "broadcast", f"{dtype}[{whole}]", f"{dtype}[{whole}]"
    return None


def _even(count: int, size: int) -> int:
    """A number of elements that ranks share evenly: what a library pads to."""
    return max(size, -(-count // size) * size)
