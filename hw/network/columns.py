"""The wires of a topology as columns, and the chips that have them: what is asked of many wires at once.

Model: nodes have numbers, those of chips first; a chip's ports are its wires to and from nodes that are no chips. Lists of
unlike lengths stand one after the other, with where each begins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from hw.network.topology import Topology
from hw.rows import array_of, told_apart


@dataclass(frozen=True, slots=True, eq=False)
class Ragged:
    """Lists one after the other: `values`, and where each list starts and the last one ends."""

    values: Any
    starts: Any

    @classmethod
    def by_owner(cls, owner: Any, values: Any, owners: int) -> Ragged:
        """What each of so many owners has, in the order in which it stands."""
        order = np.argsort(owner, kind="stable")
        return cls(values[order], np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=owners))]))

    @classmethod
    def listed(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """Some lists."""
        ends = np.cumsum(np.fromiter(map(len, lists), np.int64, len(lists)))
        return cls(np.fromiter(chain.from_iterable(lists), np.int64), np.concatenate([[0], ends]).astype(np.int64))

    def lengths(self, owners: Any) -> Any:
        """How long the lists of some owners are."""
        return self.starts[owners + 1] - self.starts[owners]

    def places(self, owners: Any) -> tuple[Any, Any]:
        """For everything in the lists of some owners: which of the owners has it, and its place in that list."""
        lengths = self.lengths(owners)
        which = np.repeat(np.arange(len(owners)), lengths)
        return which, np.arange(len(which)) - np.repeat(np.cumsum(lengths) - lengths, lengths)


@dataclass(frozen=True, slots=True, eq=False)
class WireColumns:
    """By wire: its ends as numbers of nodes, and its figures, a row each. By chip: its ports, and the trunks that it is
    behind; by trunk its wires."""

    source: Any
    target: Any
    figures: Any
    ports: Ragged
    trunks: Ragged
    of_trunk: Ragged

    def __repr__(self) -> str:
        return f"WireColumns({len(self.source)} wires, {len(self.of_trunk.starts) - 1} trunks)"


def columns_of(topology: Topology) -> WireColumns:
    """The columns of a topology."""
    size, wires = topology.size, topology.wires
    ends = [wire.source for wire in wires], [wire.target for wire in wires]
    number = {name: at for at, name in enumerate(dict.fromkeys(chain(topology.chip_numbers, *ends)))}
    source, target = (np.fromiter(map(number.__getitem__, names), np.int64, len(wires)) for names in ends)
    rates, hops = [wire.bytes_per_s for wire in wires], [float(wire.hop) for wire in wires]
    waits = [wire.latency_s for wire in wires], [wire.message_s for wire in wires]
    columns = [rates, *waits, hops, [float(wire.level) for wire in wires]]
    figures = np.array([told_apart(array_of(column, np.float64)) for column in columns])
    into, out = np.flatnonzero((source >= size) & (target < size)), np.flatnonzero((source < size) & (target >= size))
    # of each chip first the ways out, then those in
    ports = Ragged.by_owner(np.concatenate([source[out], target[into]]), np.concatenate([out, into]), size)
    trunks = [trunk for level in topology.level_trunks for trunk in level]
    chips = Ragged.listed([trunk.chips for trunk in trunks])
    which = np.repeat(np.arange(len(trunks)), np.diff(chips.starts))
    return WireColumns(
        source,
        target,
        figures,
        ports,
        Ragged.by_owner(chips.values, which, size),
        Ragged.listed([(*trunk.up, *trunk.down) for trunk in trunks]),
    )
