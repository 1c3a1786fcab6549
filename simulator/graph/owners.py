"""Whose memory a tensor takes: weights, gradients, optimizer, activations, and so on.

Model: whoever builds a graph says it by what a tensor is called as written (`OpGraph.roles`): rounds and microbatches have
the owner of what they are copies of. Of a graph that says nothing, what is given from outside are inputs, what a collective
makes is a communication buffer, and all else are activations. Text of a graph has no owners: they are told in Python.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from simulator.graph.flat_ops import FlatOps
from simulator.graph.items import Op

Owner = Literal[
    "weights",
    "gradients",
    "optimizer",
    "master weights",
    "activations",
    "kv cache",
    "communication buffers",
    "logits and loss",
    "temporaries",
    "inputs",
]

OWNERS: tuple[Owner, ...] = (
    "weights",
    "gradients",
    "optimizer",
    "master weights",
    "activations",
    "kv cache",
    "communication buffers",
    "logits and loss",
    "temporaries",
    "inputs",
)
"""Every owner, those first that keep what they have for the whole run."""

Roles = Mapping[str, Owner]
"""Owners by what tensors are called as written."""


def owners_of(flat: FlatOps, roles: Roles) -> dict[str, Owner]:
    """The owner of every tensor of some ops, by its name there."""
    # copies of a site have one owner, so that no op is made for it
    of_site = [roles.get(site.output.base) or made_by(site) for site in flat.sites]
    found = {name: of_site[site] for name, site in zip(flat.names(), flat.site, strict=True)}
    for given in range(1, len(flat.given) + 1):
        written = flat.written(-given)
        found.setdefault(flat.name(-given), roles.get(written.base, "inputs"))
    return found


def made_by(op: Op) -> Owner:
    """The owner of what an op makes where nobody has said it."""
    return "communication buffers" if op.option("over") is not None else "activations"
