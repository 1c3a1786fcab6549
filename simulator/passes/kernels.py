"""Kernels as columns: which template each is of, and by number the tensors that it reads and makes.

Model: kernels of one template differ in names only; what does not follow from names is worked out once for all of them.
Tensors and ops are values (`simulator.graph.flat_ops`); beyond those, what kernels of one op pass to each
other has values of its own. What kernels come after is told by values, and templates say nothing of it. A kernel as an
object, with its names, is made when somebody asks for it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, overload

import numpy as np

from simulator.ops.kernel import Kernel


@dataclass(frozen=True, slots=True)
class Called:
    """What kernels are called: names, each once, and which of them each kernel has."""

    names: Sequence[str]
    of: Any


def called(names: Iterable[str]) -> Called:
    """Names as they come, numbered."""
    place: dict[str, int] = {}
    of = [place.setdefault(name, len(place)) for name in names]
    return Called(list(place), np.asarray(of, dtype=np.int64))


def called_once(names: Sequence[str], of: Any) -> Called:
    """What kernels are called, where one name may stand at several places."""
    each = called(names)
    return Called(each.names, each.of[of])


@dataclass(frozen=True, slots=True)
class Standing:
    """Where kernels stand: by kernel, its op, of some `names` that ops are written with (numbered, -1 for another one), the
    number of its copy, and that of its turn. `copies`: by what names get in a copy, its number."""

    names: Mapping[str, int]
    copies: Mapping[str, int]
    name: Any
    copy: Any
    turn: Any


class Naming(Protocol):
    """Who knows what kernels and values are called."""

    def kernel(self, number: int) -> Kernel:
        """A kernel as an object, under its own names."""

    def kernel_name(self, number: int) -> str:
        """The name of a kernel."""

    def bases(self) -> Called:
        """The names of all kernels without the numbers of rounds."""

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        """The first op of a kernel: its name, the one with which it is written, and the numbers of its rounds."""

    def may_be(self, begins: Collection[str], written: Collection[str]) -> Sequence[int]:
        """The kernels whose first op, without the numbers of its rounds, may be called one of some names (`begins`), or is
        written as one of others: no kernel that is in neither, as far as that is cheaply told."""

    def standing(self, written: Sequence[str]) -> Standing | None:
        """Where the kernels stand whose first op is written with one of some names; None where that is told by nothing but
        what they are called."""

    def value_name(self, value: int) -> str:
        """The name of a value."""


class Kernels(Sequence[Kernel]):
    """Kernels in program order. Kernel i is of template `code[i]`; it reads `reads[read_at[i]:read_at[i + 1]]` and makes
    `makes[made_at[i]:made_at[i + 1]]`: what it writes, and the ops that it carries out. Kernel `waiting[i]` comes after who
    makes value `awaited[i]`, in program order. `names`: what they are called."""

    def __init__(self, names: Naming) -> None:
        self.names = names
        self.templates: list[Kernel] = []
        self.code = array("i")
        self.read_at, self.reads = array("q", [0]), array("i")
        self.shown = array("i")
        """What each read is read through: a view, or the value itself; empty where that is not known."""
        self.made_at, self.makes = array("q", [0]), array("i")
        self.waiting, self.awaited = array("i"), array("i")

    def template(self, kernel: Kernel) -> int:
        """Append a template, given as one of its kernels; returns its number."""
        self.templates.append(_without_waits(kernel))
        return len(self.templates) - 1

    def add(self, template: int, reads: Iterable[int], makes: Iterable[int]) -> None:
        """Append a kernel."""
        self.code.append(template)
        self.reads.extend(reads)
        self.read_at.append(len(self.reads))
        self.makes.extend(makes)
        self.made_at.append(len(self.makes))

    def extend(self, templates: Any, reads: tuple[Any, Any], makes: tuple[Any, Any]) -> None:
        """Append kernels of templates, given by their numbers. `reads` and `makes`: values, and how many of each kernel."""
        self.code.frombytes(templates.astype("i").tobytes())
        for values, at, (added, count) in (
            (self.reads, self.read_at, reads),
            (self.makes, self.made_at, makes),
        ):
            at.frombytes((len(values) + np.cumsum(count)).astype("q").tobytes())
            values.frombytes(added.astype("i").tobytes())

    def add_waits(self, kernels: Any, values: Any) -> None:
        """Let kernels come after who makes values, as arrays in program order."""
        self.waiting.frombytes(kernels.astype("i").tobytes())
        self.awaited.frombytes(values.astype("i").tobytes())

    def awaited_by(self, at: int) -> array[int]:
        """The values after whose makers a kernel comes."""
        return self.awaited[bisect_left(self.waiting, at) : bisect_right(self.waiting, at)]

    def read_by(self, at: int) -> array[int]:
        """The values that a kernel reads, one for each of its reads."""
        return self.reads[self.read_at[at] : self.read_at[at + 1]]

    def made_by(self, at: int) -> array[int]:
        """The values that a kernel makes: one for each of its writes, then one for each of its ops."""
        return self.makes[self.made_at[at] : self.made_at[at + 1]]

    def like(self, at: int) -> Kernel:
        """The template of a kernel: all of it but names."""
        return self.templates[self.code[at]]

    def written_by(self, at: int) -> array[int]:
        """The values that a kernel writes."""
        return self.made_by(at)[: len(self.like(at).writes)]

    @property
    def values(self) -> int:
        """Values that are read or made are below this."""
        return max(max(self.reads, default=-1), max(self.makes, default=-1)) + 1

    def values_named(self) -> dict[str, int]:
        """The value of every name that kernels read or make; of several the last."""
        last = dict.fromkeys((*reversed(self.makes), *reversed(self.reads)))
        return {self.names.value_name(value): value for value in reversed(last)}

    def __len__(self) -> int:
        return len(self.code)

    @overload
    def __getitem__(self, at: int) -> Kernel: ...
    @overload
    def __getitem__(self, at: slice) -> list[Kernel]: ...
    def __getitem__(self, at: int | slice) -> Kernel | list[Kernel]:
        if isinstance(at, slice):
            return [self.names.kernel(each) for each in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        return self.names.kernel(at % len(self))

    def __iter__(self) -> Iterator[Kernel]:
        return map(self.names.kernel, range(len(self)))


@dataclass(frozen=True, slots=True)
class Columns:
    """Kernels as arrays, as they are now."""

    code: Any
    read_at: Any
    reads: Any
    made_at: Any
    makes: Any

    @classmethod
    def of(cls, kernels: Kernels) -> Columns:
        """Those of some kernels."""
        columns = kernels.code, kernels.read_at, kernels.reads, kernels.made_at, kernels.makes
        return cls(*(np.asarray(column, dtype=np.int64) for column in columns))


class _Listed:
    """The names of kernels that are there as objects."""

    def __init__(self, kernels: Sequence[Kernel], like: Kernels | None) -> None:
        self.kernels, self.kernel = kernels, kernels.__getitem__
        self.values = values = like.values_named() if like is not None else {}
        self._like = like
        self._names = {value: name for name, value in values.items()}
        self._free = max(values.values(), default=-1) + 1

    def kernel_name(self, number: int) -> str:
        return self.kernel(number).name

    def bases(self) -> Called:
        return called(kernel.base for kernel in self.kernels)

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        kernel = self.kernel(number)
        return kernel.ops[0], kernel.base_ops[0], kernel.turn

    def may_be(self, begins: Collection[str], written: Collection[str]) -> Sequence[int]:
        return range(len(self.kernels))

    def standing(self, written: Sequence[str]) -> Standing | None:
        return None

    def value_name(self, value: int) -> str:
        if value not in self._names and self._like is not None:
            return self._like.names.value_name(value)  # of what no kernel reads or makes
        return self._names[value]

    def value(self, name: str) -> int:
        """The value of a name: one of its own where it has none yet."""
        if name not in self.values:
            self.values[name], self._names[self._free] = self._free, name
            self._free += 1
        return self.values[name]


def listed(kernels: Sequence[Kernel], like: Kernels | None = None) -> Kernels:
    """Kernels that are there as objects, as columns; what is in `like` has the same values as there."""
    names = _Listed(kernels, like)
    made = Kernels(names)
    known: dict[Hashable, int] = {}
    for kernel in kernels:
        reads = [names.value(access.tensor) for access in kernel.reads]
        makes = [names.value(name) for name in (*(access.tensor for access in kernel.writes), *kernel.ops)]
        made.add(_template(made, known, kernel), reads, makes)
    # of several that are called by one name the last is meant
    waits = [
        (at, names.values[name])
        for at, kernel in enumerate(kernels)
        for name in kernel.schedule.after
        if name in names.values
    ]
    waiting, awaited = np.asarray(waits, dtype=np.int64).reshape(-1, 2).T
    made.add_waits(waiting, awaited)
    return made


def _template(made: Kernels, known: dict[Hashable, int], kernel: Kernel) -> int:
    alike = _but_for_names(_without_waits(kernel))
    try:
        number = known.get(alike)
    except TypeError:  # a tiling of somebody's own that cannot be hashed
        return made.template(kernel)
    if number is None:
        number = known[alike] = made.template(kernel)
    return number


def _without_waits(kernel: Kernel) -> Kernel:
    """A kernel that says nothing of what it comes after."""
    return replace(kernel, schedule=replace(kernel.schedule, after=())) if kernel.schedule.after else kernel


def _but_for_names(kernel: Kernel) -> Hashable:
    """All of a kernel but what it and its tensors are called."""
    return (
        kernel.kind,
        tuple((access.nbytes, access.memory, access.item_bytes) for access in kernel.reads),
        tuple((access.nbytes, access.memory, access.item_bytes) for access in kernel.writes),
        (kernel.matrix_flops, kernel.matrix_dtype, kernel.vector_flops, kernel.vector_dtype),
        (kernel.contractions, kernel.tiling, kernel.row_elements, kernel.fusable, kernel.reduces),
        (kernel.fixed_s, kernel.host_s, kernel.communication, kernel.schedule, kernel.spilled_bytes),
        (kernel.recompute, kernel.others_flops, kernel.efficiency, kernel.members, len(kernel.ops), bool(kernel.parts)),
        (kernel.launches, kernel.awaited, kernel.alike),
        _grown(kernel),
    )


def _grown(kernel: Kernel) -> Hashable:
    """What is written into the memory of what is read, by their places."""
    writes, reads = ([access.tensor for access in each] for each in (kernel.writes, kernel.reads))
    places = [
        (name in writes and writes.index(name), into in reads and reads.index(into)) for name, into in kernel.grown
    ]
    return tuple(places)
