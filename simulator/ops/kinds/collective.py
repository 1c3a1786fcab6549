"""Op kinds that cross links: collectives, permute, send, recv.

A collective reads its input from HBM and writes its output to HBM while it streams over the links; V is the gathered
(or to-be-scattered) array on one chip, with what shards are padded by: a shard times the chips. The additions of a
reduction hide behind its bytes and are not charged to the vector unit. Over one chip alone nothing moves.
With `in_place=true` input and output are one buffer: the shard of which a gathered array is made is a part of it, what is
scattered a part of what it was scattered from, and a sum lies where its input was (as NCCL does where the addresses say so).
`send(x, from=0, to=1)` runs on chip `from`, `recv(from=0, to=1)` on chip `to`; the n-th recv of a pair of chips takes
what its n-th send gives, in one transfer that starts when both have come. With `over=P` these are places along a mesh
axis: every chip at place `from` sends to the one at place `to` whose place along all other axes is the same.
`shares=` on those that share out or put together says what part each place has (`simulator.passes.parts`); V is then
the array. How long they take on a wiring stands in `simulator.collectives.algorithms`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hw.input import unknown
from hw.rows import distinct
from simulator.collectives.choice import choices
from simulator.ops.adjoint import Adjoint
from simulator.ops.kernel import Communication, Kernel
from simulator.ops.options import read_axes
from simulator.ops.registry import Call, Shaped, ShapeError, kind


def _over(call: Call) -> str:
    axes = call.options.get("over")
    if axes is None:
        raise ShapeError(f"{call.op.kind} needs over=, the mesh axes whose chips take part")
    return str(axes)


def _all_shards(call: Call, shard: Shaped) -> float:
    """Bytes of the shards of all chips that take part: where a dim does not divide, more than of the array itself."""
    return shard.nbytes * float(call.options.get("over_chips", 1))


def parts_moved(call: Call, nbytes: float) -> dict[str, Any]:
    """V of a communication, and the unequal parts that each place holds before and gets. Raises ShapeError."""
    axes, chips = call.options.get("over", ""), call.options.get("over_chips", 1)
    written = call.options.get("shares")
    if written is not None and len(written) != chips:
        raise ShapeError(f"shares= has {len(written)} parts, a group over {axes} has {chips} chips", "shares")
    of_group: tuple[float, ...] = call.options.get("group_bytes", (nbytes,))
    return {
        "nbytes": max(of_group),
        "group_bytes": of_group if len(distinct(of_group)) > 1 else (),
        "held": call.options.get("held", ()),
        "shares": call.options.get("given", ()),
    }


def _collective(call: Call, nbytes: float) -> list[Kernel]:
    root, chips = call.options.get("root", 0), call.options.get("over_chips", 1)
    if root >= max(chips, 1):
        raise ShapeError(f"there is no place {root} in a group; root= wants one of the places 0 to {chips - 1}", "root")
    algorithm = call.options.get("algorithm", "")
    if algorithm and algorithm not in choices():
        raise ShapeError(unknown("algorithm", algorithm, choices()), "algorithm")
    communication = Communication(
        kind=call.op.kind,
        axes=_over(call),
        root=root,
        shift=call.options.get("shift", 1),
        algorithm=algorithm,
        **parts_moved(call, nbytes),
    )
    grown = ((call.op.name, call.inputs[0].name),) if call.options.get("in_place", False) else ()
    kernel = call.kernel(communication=communication, grown=grown)
    return [kernel if chips > 1 else _in_place(kernel)]


def _in_place(kernel: Kernel) -> Kernel:
    """A collective of one chip: its result is its input, nothing moves."""
    reads, writes = (tuple(replace(access, nbytes=0.0) for access in each) for each in (kernel.reads, kernel.writes))
    return replace(kernel, reads=reads, writes=writes)


def _same(adjoint: Adjoint) -> None:
    """Everyone has the sum, so everyone's part has the gradient of the sum."""
    adjoint.give(0, adjoint.given)


def _ungather(adjoint: Adjoint) -> None:
    """Of a gathered array each chip has a gradient of its own, which add up to that of the shards; where all have the
    same, each keeps its part of it."""
    over = adjoint.op.option("over") or ""
    summed = set(read_axes(over)) <= set(adjoint.given.partial)
    adjoint.make(0, "reduce_scatter" if summed else "slice", adjoint.given, options=[("over", over)])


def _unscatter(adjoint: Adjoint) -> None:
    adjoint.make(0, "all_gather", adjoint.given, options=[("over", adjoint.op.option("over") or "")])


def _unpermute(adjoint: Adjoint) -> None:
    shift = -int(adjoint.op.option("shift") or "1")
    adjoint.make(
        0, "permute", adjoint.given, options=[("over", adjoint.op.option("over") or ""), ("shift", f"{shift}")]
    )


@kind("all_reduce", (1, 1), ("over", "algorithm", "in_place"), network=True, backward=_same)
def all_reduce(call: Call) -> Sequence[Kernel]:
    """Partial sums over the axes added up, the whole on every chip. V: the array."""
    return _collective(call, call.inputs[0].nbytes)


@kind("all_gather", (1, 1), ("over", "algorithm", "shares", "in_place"), network=True, backward=_ungather)
def all_gather(call: Call) -> Sequence[Kernel]:
    """Shards over the axes put together, the whole on every chip. V: the gathered array."""
    return _collective(call, _all_shards(call, call.inputs[0]))


@kind("reduce_scatter", (1, 1), ("over", "algorithm", "shares", "in_place"), network=True, backward=_unscatter)
def reduce_scatter(call: Call) -> Sequence[Kernel]:
    """Partial sums over the axes added up, a shard on every chip. V: the array before it is scattered."""
    return _collective(call, _all_shards(call, call.output))


@kind("broadcast", (1, 1), ("over", "root"), network=True)
def broadcast(call: Call) -> Sequence[Kernel]:
    """What the chip at place `root=` (0) of each group has, on every chip of it. V: the array."""
    return _collective(call, call.inputs[0].nbytes)


@kind("reduce_to", (1, 1), ("over", "root"), network=True)
def reduce_to(call: Call) -> Sequence[Kernel]:
    """Partial sums over the axes added up on the chip at place `root=` (0) of each group. V: the array."""
    return _collective(call, call.inputs[0].nbytes)


@kind("gather_to", (1, 1), ("over", "root", "shares"), network=True)
def gather_to(call: Call) -> Sequence[Kernel]:
    """Shards over the axes put together on the chip at place `root=` (0) of each group. V: the gathered array."""
    return _collective(call, _all_shards(call, call.inputs[0]))


@kind("scatter", (1, 1), ("over", "root", "shares"), network=True)
def scatter(call: Call) -> Sequence[Kernel]:
    """A shard of what the chip at place `root=` (0) of each group has to each chip. V: the array before."""
    return _collective(call, _all_shards(call, call.output))


@kind("permute", (1, 1), ("over", "shift"), network=True, backward=_unpermute)
def permute(call: Call) -> Sequence[Kernel]:
    """Each chip sends what it has to the one `shift=` (1) places on along the axes. V: what one chip has."""
    return _collective(call, call.inputs[0].nbytes)


def _pair(call: Call, nbytes: float) -> Communication:
    ends = call.options.get("from"), call.options.get("to")
    axes = call.options.get("over", "")
    if None in ends:
        raise ShapeError(
            f"{call.op.kind} needs from= and to=, the {'two places' if axes else 'numbers of the two chips'}"
        )
    if call.options.get("chunks", 1) > 1:
        raise ShapeError(
            f"a {call.op.kind} is one transfer and is not cut into chunks; send the parts by themselves", "chunks"
        )
    if ends[0] == ends[1]:
        where = f"place {ends[0]} along {axes}" if axes else f"chip {ends[0]}"
        raise ShapeError(f"{call.op.kind} from {where} to itself", "to")
    source, target = int(ends[0] or 0), int(ends[1] or 0)
    return Communication(kind=call.op.kind, axes=axes, source=source, target=target, **parts_moved(call, nbytes))


@kind("send", (1, 1), ("over", "from", "to"), partial="every", network=True)
def send(call: Call) -> Sequence[Kernel]:
    """The sending half of a transfer; its output is the token that the tensor has left."""
    return [call.kernel(writes=(), communication=_pair(call, call.inputs[0].nbytes))]


@kind("recv", (0, 1), ("over", "from", "to"), partial="every", network=True)
def recv(call: Call) -> Sequence[Kernel]:
    """The receiving half of a transfer; its output is the tensor that came, in the memory of an input if it has one."""
    reads = tuple(replace(room.access, nbytes=0.0) for room in call.inputs)
    grown = tuple((call.op.name, room.name) for room in call.inputs)
    return [call.kernel(reads=reads, communication=_pair(call, call.output.nbytes), grown=grown)]
