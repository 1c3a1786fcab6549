"""Whose memory the tensors of a run take: what its graph says, and whatever kernels make beside it.

Model: what a kernel makes that is no tensor of the graph (the second gradient of a kernel that makes two) has the owner of
what else it makes.
"""

from __future__ import annotations

from collections.abc import Mapping

from simulator import Owner, Plan


def tensor_owners(plan: Plan) -> Mapping[str, Owner]:
    """The owner of every tensor that is held, by name."""
    found = dict(plan.graph.owners)
    kernels = plan.kernels.kernels
    for at, sort in enumerate(plan.kernels.every_sort()):
        writes = [kernels.names.value_name(value) for value in kernels.made_by(at)[: len(sort.kernel.writes)]]
        if all(name in found for name in writes):
            continue
        owner: Owner = next((found[name] for name in writes if name in found), "temporaries")
        for name in writes:
            found.setdefault(name, owner)
    return found
