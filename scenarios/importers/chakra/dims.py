"""Collectives along some dims of a network, as ASTRA-sim's traces say them (`involved_dim`), as groups of ranks.

Model: ranks are numbered over the network's dims, the first of them innermost. A trace says which dims a collective goes
along, not how large these are: that is the network's, and asked for (`--dim dim0=8 --dim dim1=4`).
Source: astra-sim, Workload::issue_comm and the logical topologies of its system layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from scenarios.importers.chakra.nodes import ChakraNode
from scenarios.importers.chakra.tasks import is_collective


def network_dims(said: Mapping[str, int]) -> tuple[int, ...]:
    """The sizes of the network's dims, the innermost first, as far as they are said."""
    sizes: list[int] = []
    while f"dim{len(sizes)}" in said:
        sizes.append(max(1, said[f"dim{len(sizes)}"]))
    return tuple(sizes)


def named_dims(said: Mapping[str, int]) -> tuple[str, ...]:
    """The names that sizes may be given by: `ranks`, and each dim of the network from the innermost, one after another."""
    return ("ranks", *(f"dim{at}" for at in range(len(network_dims(said)) + 1)))


def goes_along(node: ChakraNode) -> tuple[bool, ...]:
    """The dims that a collective goes along; empty where it says none, or all."""
    said = node.attributes.get("involved_dim") or node.attributes.get("involved_dims") or ()
    along = tuple(bool(each) for each in said) if isinstance(said, list | tuple) else ()
    return () if all(along) or not is_collective(node) or node.attributes.get("pg_name") else along


def take_groups(nodes: Iterable[ChakraNode], rank: int, sizes: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """The groups of a rank's collectives along some dims, by a name that each of these is given."""
    found: dict[str, tuple[int, ...]] = {}
    for node in nodes:
        along = goes_along(node)
        if not along or len(along) != len(sizes):
            continue
        group = ranks_along(rank, along, sizes)
        name = f"dims {'+'.join(str(at) for at, is_in in enumerate(along) if is_in)} from {group[0]}"
        node.attributes["pg_name"] = name
        found[name] = group
    return found


def ranks_along(rank: int, along: tuple[bool, ...], sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The ranks that differ from one along some dims alone, in their order."""
    ranks = [rank]
    for at, size in enumerate(sizes):
        stride = math.prod(sizes[:at])
        if along[at]:
            ranks = [each + (place - each // stride % size) * stride for each in ranks for place in range(size)]
    return tuple(sorted(set(ranks)))
