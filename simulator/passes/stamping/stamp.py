"""A kernel of an op as a stamp: where in the op its tensors stand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.ops.kernel import Kernel

OUT = -1
"""The place of what an op makes; its inputs have places from 0."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A kernel of an op as it was bound, the number of its template (which sees through views), and where in the op its
    tensors stand. `rests`: of names that the op made up, what follows its own, at places -2, -3, ..."""

    kernel: Kernel
    template: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    places: Mapping[str, int]
    rests: tuple[str, ...]


def stamp_of(kernel: Kernel, template: int, called: tuple[Sequence[str], str, Sequence[str]]) -> Stamp:
    """The stamp of a kernel. `called`: the inputs of its op, the op itself, and what that has made up."""
    inputs, out, made_up = called
    into = {name: -2 - number for number, name in enumerate(made_up)}
    given = {name: inputs.index(name) for name in inputs}
    taken, made = {**into, out: OUT, **given}, {**into, **given, out: OUT}
    makes = (*(made[access.tensor] for access in kernel.writes), *(made[name] for name in kernel.ops))
    rests = tuple(name.removeprefix(out) for name in made_up)
    reads = tuple(taken[access.tensor] for access in kernel.reads)
    return Stamp(kernel, template, reads, makes, taken, rests)


def named_in(kernel: Kernel) -> Iterator[str]:
    """Every name in a kernel."""
    yield kernel.name
    yield from kernel.ops
    for access in (*kernel.reads, *kernel.writes):
        yield access.tensor
    for pair in kernel.grown:
        yield from pair
    for part in kernel.parts:
        yield from named_in(part)


def renamed(kernel: Kernel, named: Mapping[str, str], written: tuple[str, ...], turn: tuple[int, ...]) -> Kernel:
    """A kernel under other names. `written`: its op as written, `turn`: in which rounds it stands."""
    return replace(
        kernel,
        name=named[kernel.name],
        ops=tuple(named[name] for name in kernel.ops),
        reads=tuple(replace(access, tensor=named[access.tensor]) for access in kernel.reads),
        writes=tuple(replace(access, tensor=named[access.tensor]) for access in kernel.writes),
        grown=tuple((named[name], named[into]) for name, into in kernel.grown),
        parts=tuple(renamed(part, named, written, turn) for part in kernel.parts),
        written=written,
        turn=turn,
    )
