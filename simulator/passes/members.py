"""Which chips run an op, by the named groups that its tensors and its over= mention, and what is wrong with those.

Model: an op that mentions a group runs on the chips of that group alone; of several, side by side in one tensor, on the
chips of all of them. A chip is in one of these, so that groups make no product, with each other or with mesh axes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hw import System
from hw.input import unknown
from simulator.graph.items import Op, Tensor
from simulator.ops.kernel import Chips
from simulator.passes.placement import chips_of
from simulator.passes.sharding.rules import Finding


def members_of(op: Op, options: Mapping[str, Any], system: System) -> frozenset[int] | None:
    """The chips of the named groups that an op's tensors and its over= mention, which alone run it; None for any."""
    if not system.mesh.named:
        return None
    tensors = (tensor.axes + tensor.partial for tensor in (*op.inputs, op.output))
    found = [system.mesh.members(axes) for axes in (options.get("over", ""), *tensors)]
    members = [chips for chips in found if chips is not None]
    return frozenset.intersection(*members) if members else None


def side_by_side(op: Op, system: System) -> bool:
    """Whether an op is over several named groups at once: the planner takes axes one by one, these are one."""
    if not system.mesh.named:
        return False
    axes = {axis for tensor in (*op.inputs, op.output) for axis in tensor.axes + tensor.partial}
    return len(axes.intersection(system.mesh.named)) > 1


def place_findings(options: Mapping[str, Any], system: System) -> Iterator[Finding]:
    """Options that name axes, groups or chips which the system does not have."""
    over = options.get("over", "")
    for axis in over:
        if axis not in system.mesh.names:
            yield "over", unknown_axis(axis, system)
            return
    for axis in options.get("alike", ("",))[0]:
        if axis not in system.mesh.names:
            yield "alike", unknown_axis(axis, system)
            return
    if wrong := system.mesh.together(over):
        yield "over", wrong
    least = min((len(chips) for name, chips in system.mesh.named.items() if name in over), default=0)
    if over and 0 < least <= options.get("root", 0):
        yield "root", f"there is no place {options['root']} in a group of {least} chips; root= wants 0 to {least - 1}"
    named = [(part, Chips((options[part],), over)) for part in ("from", "to") if part in options]
    if "on" in options:
        named.append(("on", options["on"]))
    for part, chips in named:
        for message in _named_findings(chips, system):
            yield part, message


def _named_findings(chips: Chips, system: System) -> Iterator[str]:
    """What is wrong with chips that are named by their numbers, or by their places along axes."""
    missing = next((axis for axis in chips.axes if axis not in system.mesh.names), None)
    wrong = unknown_axis(missing, system) if missing else system.mesh.together(chips.axes)
    if wrong:
        yield wrong
        return
    groups = [len(group) for name, group in system.mesh.named.items() if name in chips.axes]
    count = min(groups, default=system.mesh.extent(chips.axes)) if chips.axes else system.size
    for at in chips.at:
        if at >= count and chips.axes:
            yield f"there is no place {at} along {chips.axes}, which has places 0 to {count - 1}"
        elif at >= count:
            yield f"there is no chip {at}; the system has chips 0 to {count - 1}"


def unknown_axis(axis: str, system: System) -> str:
    """That a system has neither a mesh axis nor a group of this name."""
    return unknown("mesh axis or group" if system.mesh.named else "mesh axis", axis, system.mesh.names)


def together_findings(tensor: Tensor, system: System) -> Iterator[str]:
    """What is wrong with the named groups of a tensor: a chip is in one of them, so they make no product."""
    named = system.mesh.named
    if not named:
        return
    places = [axes for axes in (*(dim.axes for dim in tensor.dims), tensor.partial) if set(axes) & set(named)]
    if not places:
        return
    wrong = system.mesh.together(tensor.axes + tensor.partial)
    if wrong is not None:
        yield f"{tensor.name}:{tensor.type_text}: {wrong}"
    elif len(places) > 1:
        groups = ", ".join(axis for axis in named if axis in tensor.axes + tensor.partial)
        yield f"{tensor.name}:{tensor.type_text} splits two dims over the groups {groups}; a chip is in one of them only"
    sizes = {len(named[axis]) for axis in tensor.axes}
    if wrong is None and len(sizes) > 1:
        groups = " and ".join(f"{axis} of {len(named[axis])}" for axis in tensor.axes)
        yield f"{tensor.name} cannot be cut alike over the groups {groups} chips; write a line for each group"


def nowhere(op: Op, options: Mapping[str, Any], system: System) -> Iterator[Finding]:
    """That no chip is in all of the groups that an op mentions, or in none that on= names."""
    if not system.mesh.named:
        return
    axes = [options.get("over", ""), *(tensor.axes + tensor.partial for tensor in (*op.inputs, op.output))]
    if set("".join(axes)) <= set(system.mesh.names):
        members = members_of(op, options, system)
        named = ", ".join(name for name in system.mesh.named if name in "".join(axes))
        if members is not None and not members:
            yield "kind", f"{op.name} runs on no chip: none is in all of the groups {named}"
        elif members is not None and "on" in options and members.isdisjoint(chips_of(options["on"], system)):
            yield "on", f"on= names none of the chips of {named}"
