"""Ops bound once: what differs in names only is stamped out.

Model: two ops are alike if kind, options and the types of all tensors are the same, and a tensor that stands twice in one
stands twice in the other; then their kernels differ in names only. A name of a kernel is that of a tensor of its op, or
begins with the op's own name. An op whose kernels name anything else (what they wait for) is bound by itself: nothing is
read off such a name.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.graph.flat_ops import FlatOps, suffix
from simulator.graph.items import Op, Tensor
from simulator.ops.kernel import Kernel
from simulator.ops.registry import ShapeError, find_kind
from simulator.ops.views import seen_through
from simulator.passes.kernels import Kernels

_OUT = -1
"""The place of what an op makes; its inputs have places from 0."""


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A kernel of an op as it was bound, the number of its template (which sees through views), and where in the op its
    tensors stand. `rests`: of names that the op made up, what follows its own, at places -2, -3, ..."""

    kernel: Kernel
    template: int
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    places: Mapping[str, int]
    rests: tuple[str, ...]


def _named(kernel: Kernel) -> Iterator[str]:
    """Every name in a kernel."""
    yield kernel.name
    yield from kernel.ops
    for access in (*kernel.reads, *kernel.writes):
        yield access.tensor
    for pair in kernel.grown:
        yield from pair
    for part in kernel.parts:
        yield from _named(part)


class Stamps:
    """Makes the kernels of ops, bound with `bind`, as columns."""

    def __init__(self, flat: FlatOps, bind: Callable[[Op], list[Kernel]]) -> None:
        self._flat = flat
        self._bind = bind
        self.kernels = Kernels(self)
        # by kernel: its op, and its stamp
        self._op = array("i")
        self._stamp: list[_Stamp] = []
        self._alone: dict[int, Kernel] = {}
        self._types: dict[Hashable, int] = {}
        self._type_of_site: list[int] = []
        # by site, what it shows if it is a view: the place of an input, and what follows the name of that
        self._shows: list[tuple[tuple[int, str], ...] | None] = []
        self._type_made: list[int] = []
        of_tensor = [self._type(tensor) for tensor in flat.tensors]
        self._type_given = [of_tensor[tensor] for tensor in flat.given]
        self._known: dict[Hashable, list[_Stamp]] = {}
        self._alike: dict[Hashable, list[_Stamp]] = {}
        # by view, the tensors behind it: as values; as names, but for those that nobody has asked for yet
        self._behind: dict[int, tuple[int, ...]] = {}
        self._behind_names: dict[str, tuple[str, ...]] = {}
        self._unnamed: list[int] = []
        # what ops made beside their outputs: op and the rest of the name, by value and the other way round
        self._made_up: list[tuple[int, str]] = []
        self._beside: dict[tuple[int, str], int] = {}
        self._bases: dict[tuple[int, int], str] = {}

    def all(self, failed: Callable[[Op, ShapeError], None]) -> Kernels:
        """The kernels of all ops; `failed` is told of each that cannot be bound."""
        for at in range(len(self._flat)):
            try:
                self._add(at)
            except ShapeError as error:
                failed(self._flat[at], error)
        return self.kernels

    def value_name(self, value: int) -> str:
        """The name of a value."""
        count = len(self._flat)
        if value < count:
            return self._flat.name(value)
        op, rest = self._made_up[value - count]
        return self._flat.name(op) + rest

    def _type(self, tensor: Tensor) -> int:
        return self._types.setdefault(tensor.type, len(self._types))

    def _add(self, at: int) -> None:
        flat, made = self._flat, self._type_made
        site, values = flat.site[at], flat.values_of(at)
        if site >= len(self._type_of_site):
            self._enter_sites(site)
        types = tuple([made[value] if value >= 0 else self._type_given[-1 - value] for value in values])
        made.append(self._type_of_site[site])
        if self._shows[site] is not None:
            self._look_through(at, site)
        # a tensor that stands twice must stand twice in the first one, too
        twice = tuple(map(values.index, values)) if len(values) > 1 and len(set(values)) < len(values) else ()
        key = site, types, twice
        stamps = self._known.get(key)
        if stamps is None:
            written = flat.sites[site]
            alike = written.kind, written.options, types, self._type_of_site[site], twice
            stamps = self._alike.get(alike)
            if stamps is None:
                stamps = self._bound(at, alike)
                if stamps is None:
                    return
            self._known[key] = stamps
        if stamps:
            self._enter(at, values, stamps)

    def _enter_sites(self, last: int) -> None:
        """Work out what holds for all ops of a site, for those up to one."""
        for new in self._flat.sites[len(self._type_of_site) : last + 1]:
            self._type_of_site.append(self._type(new.output))
            kind = find_kind(new)
            self._shows.append(tuple(_shown(new, kind.shows(new))) if kind.view else None)

    def _look_through(self, at: int, site: int) -> None:
        """Note what lies behind a view."""
        values, found = self._flat.values_of(at), self._behind
        seen: list[int] = []
        for place, rest in self._shows[site] or ():
            value = values[place]
            # what nobody made beside anything is the input itself
            shown = self._beside.get((value, rest), values[0]) if rest else value
            seen += found.get(shown, (shown,))
        self._unnamed.append(at)
        behind = found[at] = tuple(dict.fromkeys(seen))
        # views are of one type only with those that show as many tensors
        self._type_made[at] = self._types.setdefault((self._type_made[at], len(behind)), len(self._types))

    def _bound(self, at: int, alike: Hashable) -> list[_Stamp] | None:
        """The stamps of an op that is the first of its sort; None if its kernels are like no other, and entered already."""
        op = self._flat[at]
        kernels = self._bind(op)
        names = [tensor.name for tensor in op.inputs]
        own = {*names, op.name}
        made_up = dict.fromkeys(name for kernel in kernels for name in _named(kernel) if name not in own)
        distinct = len(own) == len({*self._flat.values_of(at)}) + 1
        waits = any(kernel.schedule.after for kernel in kernels)
        usual = distinct and not waits and all(name.startswith(op.name) for name in made_up)
        behind = self._names_behind(self._flat.values_of(at)) if usual else self._every_view()
        seen = [seen_through(kernel, behind) for kernel in kernels]
        templates = [self.kernels.template(kernel) for kernel in seen]
        called = names, op.name, list(made_up)
        stamps = [_stamp(kernel, number, called) for kernel, number in zip(kernels, templates, strict=True)]
        if usual:
            self._alike[alike] = stamps
            return stamps
        self._alone.update(enumerate(seen, start=len(self.kernels)))
        self._enter(at, self._flat.values_of(at), stamps)
        return None

    def _names_behind(self, values: Iterable[int]) -> dict[str, tuple[str, ...]]:
        """The names of the tensors behind the views among some values."""
        found = self._behind
        return {self.value_name(each): tuple(map(self.value_name, found[each])) for each in values if each in found}

    def _every_view(self) -> Mapping[str, tuple[str, ...]]:
        """The same of all views so far."""
        self._behind_names.update(self._names_behind(self._unnamed))
        self._unnamed.clear()
        return self._behind_names

    def _enter(self, at: int, values: Sequence[int], stamps: Sequence[_Stamp]) -> None:
        """Append the kernels of an op that reads these values."""
        behind, rests = self._behind, stamps[0].rests
        # by place: those of inputs count from the front, of all else from the end
        row = [*values, at]
        if rests:
            first = len(self._flat) + len(self._made_up)
            row[-1:] = [*reversed(range(first, first + len(rests))), at]
            for number, rest in enumerate(rests, start=first):
                self._made_up.append((at, rest))
                self._beside[at, rest] = number
        for stamp in stamps:
            reads = [row[place] for place in stamp.reads]
            if behind and not behind.keys().isdisjoint(reads):
                seen = [behind.get(value, (value,)) for value in reads]
                # as `seen_through` has it: what else lies behind the views comes last
                reads = [*(first for first, *_ in seen), *(other for _, *others in seen for other in others)]
            self.kernels.add(stamp.template, reads, [row[place] for place in stamp.makes])
            self._op.append(at)
            self._stamp.append(stamp)

    def base(self, number: int) -> str:
        """The name of a kernel without the numbers of rounds."""
        key = self._flat.site[self._op[number]], self.kernels.code[number]
        if key not in self._bases:
            own, written, _ = self.op(number)
            name = self.kernel_name(number)
            # as `Kernel.base` has it, without a kernel made for it
            self._bases[key] = written + name.removeprefix(own) if written != own else name
        return self._bases[key]

    def kernel_name(self, number: int) -> str:
        """The name of a kernel."""
        if number in self._alone:
            return self._alone[number].name
        stamp, flat, at = self._stamp[number], self._flat, self._op[number]
        place = stamp.places[stamp.kernel.name]
        if place >= 0:
            return flat.name(flat.values_of(at)[place])
        return flat.name(at) + (stamp.rests[-2 - place] if place != _OUT else "")

    def op(self, number: int) -> tuple[str, str, tuple[int, ...]]:
        """The first op of a kernel: its name, the one with which it is written, and the numbers of its rounds."""
        if number in self._alone:
            kernel = self._alone[number]
            return kernel.ops[0], kernel.base_ops[0], kernel.turn
        flat, at, kernels = self._flat, self._op[number], self.kernels
        path, output = flat.turns[flat.turn[at]], flat.sites[flat.site[at]].output
        own = self.value_name(kernels.makes[kernels.made_at[number] + len(self._stamp[number].kernel.writes)])
        return own, output.base if path or output.written else own, path

    def written(self, number: int) -> tuple[str, str]:
        """The name of that op without the numbers of its rounds, and the one with which it is written."""
        at, kernels = self._op[number], self.kernels
        if (
            number in self._alone
            or kernels.makes[kernels.made_at[number] + len(self._stamp[number].kernel.writes)] != at
        ):
            own, base, turn = self.op(number)
            return own.removesuffix(suffix(turn)), base
        output = self._flat.sites[self._flat.site[at]].output
        return output.name, output.base

    def kernel(self, number: int) -> Kernel:
        """A kernel as an object, under its own names."""
        if number in self._alone:
            return self._alone[number]
        flat, at, stamp = self._flat, self._op[number], self._stamp[number]
        values, own = flat.values_of(at), flat.name(at)
        named = {
            name: flat.name(values[place]) if place >= 0 else own + (stamp.rests[-2 - place] if place != _OUT else "")
            for name, place in stamp.places.items()
        }
        path = flat.turns[flat.turn[at]]
        output = flat.sites[flat.site[at]].output
        written = (output.base,) if path or output.written else ()
        return seen_through(_renamed(stamp.kernel, named, written, path), self._names_behind(values))


def _shown(view: Op, names: Iterable[str]) -> Iterator[tuple[int, str]]:
    """What a view shows, by the place of an input; of what was made beside that, the rest of its name."""
    inputs = [tensor.name for tensor in view.inputs]
    for name in names:
        if name in inputs:
            yield inputs.index(name), ""
        else:
            beside = ((place, name.removeprefix(each)) for place, each in enumerate(inputs) if name.startswith(each))
            yield next(beside, (0, ""))


def _stamp(kernel: Kernel, template: int, called: tuple[Sequence[str], str, Sequence[str]]) -> _Stamp:
    """The stamp of a kernel. `called`: the inputs of its op, the op itself, and what that has made up."""
    inputs, out, made_up = called
    into = {name: -2 - number for number, name in enumerate(made_up)}
    given = {name: inputs.index(name) for name in inputs}
    taken, made = {**into, out: _OUT, **given}, {**into, **given, out: _OUT}
    makes = (*(made[access.tensor] for access in kernel.writes), *(made[name] for name in kernel.ops))
    rests = tuple(name.removeprefix(out) for name in made_up)
    reads = tuple(taken[access.tensor] for access in kernel.reads)
    return _Stamp(kernel, template, reads, makes, taken, rests)


def _renamed(kernel: Kernel, named: Mapping[str, str], written: tuple[str, ...], turn: tuple[int, ...]) -> Kernel:
    """A kernel under other names. `written`: its op as written, `turn`: in which rounds it stands."""
    return replace(
        kernel,
        name=named[kernel.name],
        ops=tuple(named[name] for name in kernel.ops),
        reads=tuple(replace(access, tensor=named[access.tensor]) for access in kernel.reads),
        writes=tuple(replace(access, tensor=named[access.tensor]) for access in kernel.writes),
        grown=tuple((named[name], named[into]) for name, into in kernel.grown),
        parts=tuple(_renamed(part, named, written, turn) for part in kernel.parts),
        written=written,
        turn=turn,
    )
