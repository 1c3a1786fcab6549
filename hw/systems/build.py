"""From the description of a system to the system: chips, topology, mesh and hosts, with every problem at its place.

Each part is built on its own and mistakes in one do not hide those in another: where a chip is wrong, a stand-in takes its
place so that the rest can still be checked.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hw.chips.catalogue import (
    build_chip,
    catalogue_name,
    chip_document,
    chip_names,
    load_chip,
    override,
    overrides_matrix_unit,
)
from hw.chips.chip import Chip
from hw.chips.links import link_problems, links_of
from hw.input.document import Document, Key
from hw.input.errors import Mark, Problems, SpecError
from hw.input.wording import shown, unknown
from hw.network.text import TextError, parse_topology
from hw.network.topology import MAX_CHIPS, Topology
from hw.systems.groups import read_groups
from hw.systems.laying import fitted, mesh_problems
from hw.systems.mesh import Mesh
from hw.systems.spec import SystemSpec, counted_chip
from hw.systems.system import System

NODES = "{nodes}"
"""In `scale_out`: where the number of nodes goes."""

_NO_LINK = "neither the chip nor the wiring has it"
_ENTRY_KEYS = ("chip", "count", "set")


@dataclass(frozen=True)
class Built:
    """A system as far as it can be built; `chip` is None if a chip is wrong, `wired` False if the topology is.

    `unlike`: several chips are listed. Without a topology they have no places, and the first stands for all.
    """

    chip: Chip | None
    system: System
    wired: bool

    unlike: bool = False

    def __repr__(self) -> str:
        return f"Built({self.system}{'' if self.wired else ', not wired'})"

    @property
    def listed(self) -> bool:
        """Whether each kind of chip that is described is one of the system's."""
        return self.chip is not None and (self.wired or not self.unlike)


@dataclass(frozen=True)
class _Entry:
    """Chips of one description: how many, the document, and the places of what changes it."""

    count: int
    chip: Chip | None
    stand_in: Chip


@dataclass
class SystemBuilder:
    """Builds the system that stands under `at` in a document; `folder` gives the folder of the file that a mark is in."""

    spec: SystemSpec
    document: Document
    at: Key
    folder: Callable[[Mark], Path]
    problems: Problems

    def __repr__(self) -> str:
        return f"SystemBuilder({self.document.file}: {self.spec!r})"

    def build(self) -> Built:
        """The system; what is wrong is added to the problems."""
        entries = list(self._entries())
        chips = [each.chip or each.stand_in for each in entries]
        known = all(each.chip for each in entries) and bool(entries)
        first = chips[0] if chips else load_chip(chip_names()[0])
        counted = [chip for each, chip in zip(entries, chips, strict=True) for _ in range(each.count)]
        topology = self._topology(first, counted if self.spec.chips else [], known)
        if topology is not None and self.spec.mesh:
            topology = fitted(topology, self.spec.mesh)
        named = self._named(counted, topology) if self.spec.chips and known else ()
        axes = self._axes(topology)
        mesh = Mesh(axes, self._groups(axes, topology))
        wired = topology is not None or not self.spec.wired
        if self.spec.host and (wrong := self.spec.host.problem()):
            marks = [self._mark(("host", *key)) for key in wrong[0]]
            # what a user has changed of a base is likelier to be wrong than what the base says
            self.problems.add(next((mark for mark in marks if mark.file == self.document.file), marks[0]), wrong[1])
        system = System(first, topology, mesh, named, self.spec.host)
        return Built(entries[0].chip if known else None, system, wired, self.spec.chips is not None)

    def _mark(self, key: Key) -> Mark:
        return self.document.value_mark((*self.at, *key))

    def _add(self, key: Key, message: str) -> None:
        self.problems.add(self._mark(key), message)

    # Chips

    def _entries(self) -> Iterator[_Entry]:
        if self.spec.chips is None:
            if self.spec.chip is None:
                where = ".".join(map(str, (*self.at, "chip")))
                self._add((), f"'{where}' is missing: a name of the catalogue, or chips: [...], or base: a system")
            else:
                yield self._entry(("chip",), 1, self.spec.chip, None)
            return
        if self.spec.chip is not None:
            self._add(("chips",), "chip and chips are both given; write one of them")
        if not self.spec.chips:
            self._add(("chips",), "chips wants at least one chip, as in [4 x h100_sxm, 4 x h200]")
        for number, written in enumerate(self.spec.chips):
            yield from self._listed(("chips", number), written)

    def _listed(self, key: Key, written: str | dict[str, Any]) -> Iterator[_Entry]:
        if isinstance(written, str):
            count, name = counted_chip(written)
            if not 1 <= count <= MAX_CHIPS:
                self._add(key, f"'{written[:40]}': the count must be from 1 to {MAX_CHIPS}")
                count = 1
            yield self._entry(key, count, name, None)
            return
        for entry in written:
            if entry not in _ENTRY_KEYS:
                self.problems.add(self.document.key_mark((*self.at, *key, entry)), unknown("key", entry, _ENTRY_KEYS))
        count, reference = written.get("count", 1), written.get("chip")
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_CHIPS:
            self._add((*key, "count"), f"count is {shown(count, 40)}; it must be a whole number from 1 to {MAX_CHIPS}")
            count = 1
        if not isinstance(reference, (str, dict)):
            self._add((*key, "chip"), "an entry of chips wants a chip: a name, a file, or an inline chip")
            return
        changes = written.get("set", {})
        if not isinstance(changes, dict):
            self._add((*key, "set"), "set wants a mapping of dotted names, as in {hbm.bandwidth: 3 TB/s}")
            changes = {}
        yield self._entry((*key, "chip"), count, reference, ((*key, "set"), changes))

    def _entry(
        self, key: Key, count: int, reference: str | dict[str, Any], own: tuple[Key, Mapping[str, Any]] | None
    ) -> _Entry:
        chip = self._chip(key, reference, own)
        named = catalogue_name(reference) if isinstance(reference, str) else None
        return _Entry(count, chip, chip or load_chip(named or chip_names()[0]))

    def _chip(
        self, key: Key, reference: str | dict[str, Any], own: tuple[Key, Mapping[str, Any]] | None
    ) -> Chip | None:
        """The chip with what `set` makes of all chips, then what an entry's own `set` does."""
        where = self._mark(key)
        if isinstance(reference, str):
            try:
                described = chip_document(reference, where, self.folder(where))
            except SpecError as error:
                self.problems.extend(error)
                return None
        else:
            described = self._inline((*self.at, *key))
        changes = ((("set",), self.spec.set), own or ((), {}))
        for place, written in changes:
            full = (*self.at, *place)
            wrong = link_problems(self._known_links(place, described), written, _NO_LINK)
            for name, message in wrong.items():
                self.problems.add(self.document.key_mark((*full, name)), message)
            values = {name: value for name, value in written.items() if name not in wrong}
            marks = {
                name: (self.document.key_mark((*full, name)), self.document.value_mark((*full, name)))
                for name in values
            }
            override(described, values, marks)
        what_if = any(overrides_matrix_unit(values) for _, values in changes)
        return build_chip(described, self.problems, what_if)

    def _known_links(self, place: Key, described: Document) -> set[str]:
        """The links that a change under `place` may be about: those of the chip, or of any if it is for all, and those
        that the wiring goes over."""
        known = links_of(described) | self.spec.wired_links
        if place == ("set",) and self.spec.chips:
            for written in self.spec.chips:
                reference = written.get("chip") if isinstance(written, dict) else counted_chip(written)[1]
                known |= self._links_of(reference)
        return known

    def _links_of(self, reference: object) -> set[str]:
        where = self._mark(("chips",))
        if isinstance(reference, dict):
            return links_of(Document("", reference))
        with suppress(SpecError):  # told where the chip itself is read
            return links_of(chip_document(str(reference), where, self.folder(where)))
        return set()

    def _inline(self, at: Key) -> Document:
        """A chip written inside the document as a document of its own, places kept."""
        data: Any = self.document.data
        for part in at:
            data = data[part]
        depth = len(at)
        values = {key[depth:]: mark for key, mark in self.document.values.items() if key[:depth] == at}
        keys = {key[depth:]: mark for key, mark in self.document.keys.items() if key[:depth] == at and len(key) > depth}
        return Document(self.document.file, copy.deepcopy(data), values, keys)

    def _named(self, counted: list[Chip], topology: Topology | None) -> tuple[Chip, ...]:
        """Each chip by its number, where the list has as many as the topology, or as one of its nodes."""
        if topology is None and self.spec.wired:
            return ()
        size, nodes = topology.size if topology else 1, self.spec.nodes or 1
        if len(counted) == size:
            return tuple(counted)
        if len(counted) * nodes == size:
            return tuple(counted * nodes)
        place = f"{topology} has {size} chips" if topology else "there is no topology, so there is one chip"
        self._add(("chips",), f"chips lists {len(counted)} chips, {place}")
        return ()

    # Wiring

    def _topology(self, chip: Chip, chips: list[Chip], known: bool) -> Topology | None:
        key, levels = self._levels()
        if levels is None:
            return None

        def links_of(number: int) -> Any:
            return chips[number % len(chips)].links

        try:
            folder = self.folder(self._mark(("topology",)))
            return parse_topology(levels, chip.links, links_of if chips else None, folder)
        except SpecError as error:
            self.problems.extend(error)
        except ValueError as error:
            if known or isinstance(error, TextError):  # of links a stand-in proves nothing
                self._add(key, str(error))
        return None

    def _levels(self) -> tuple[Key, str | list[str] | None]:
        """The topology as text and where it stands; None if it says none, or after saying what is wrong."""
        spec = self.spec
        key: Key = ("topology",) if spec.topology is not None else ("slice",)
        levels: str | list[str] | None = spec.topology
        if spec.slice is not None:
            if spec.topology is not None or spec.slices is None:
                named = "a topology and a slice are both given; write one of them"
                lacking = "a slice wants a base that comes in slices: tpu_v4, tpu_v5e, tpu_v5p, tpu_v6e"
                self._add(("slice",), lacking if spec.slices is None else named)
                return key, None
            if message := spec.slices.problem(spec.slice):
                self._add(("slice",), message)
                return key, None
            levels = spec.slices.topology(spec.slice)
        if spec.joins_nothing:
            self._add(("scale_out",), "scale_out says how nodes are joined, and nodes, how many there are, is missing")
        if spec.nodes is None or spec.nodes == 1:
            return key, levels
        if spec.scale_out is None or NODES not in spec.scale_out or levels is None:
            how = f"scale_out, how to join them, as 'fat_tree({NODES}) over infiniband'"
            self._add(("nodes",), f"nodes wants a base that can be joined, or a topology and {how}")
            return ("nodes",), None
        inside = [levels] if isinstance(levels, str) else levels
        return ("nodes",), [*inside, spec.scale_out.replace(NODES, str(spec.nodes))]

    def _axes(self, topology: Topology | None) -> Mapping[str, int]:
        if self.spec.mesh is None:
            return {"X": topology.size} if topology else {}  # also of one chip: a study may begin with it
        if topology is not None or not self.spec.wired:
            for axis, message in mesh_problems(self.spec.mesh, topology):
                self._add(("mesh", axis) if axis else ("mesh",), message)
        # an axis of an impossible size still has a name: what uses it is not to blame
        return {name: size if 1 <= size <= MAX_CHIPS else 1 for name, size in self.spec.mesh.items()}

    def _groups(self, axes: Mapping[str, int], topology: Topology | None) -> Mapping[str, tuple[int, ...]]:
        """The chips of each named group."""
        size = topology.size if topology else MAX_CHIPS if self.spec.wired else 1
        read = read_groups(self.spec.groups or {}, axes, size)
        for name, at, message in read.wrong:
            listed = isinstance((self.spec.groups or {})[name], list)
            self._add(("groups", name) if at is None or not listed else ("groups", name, at), message)
        return read.named
