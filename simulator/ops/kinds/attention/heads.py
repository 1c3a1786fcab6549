"""What heads a chip attends with: the sizes of a call, and what of keys and values its query heads need.

Model: heads of k and v may stand whole, or be cut more coarsely than those of q, on chips that share the heads of q: a chip
reads those that its own query heads need, once. One tensor may be keys and values (the latent of MLA, absorbed): its first
numbers a row are the values then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hw.rows import distinct
from simulator.graph.items import Tensor
from simulator.ops.kernel import Access
from simulator.ops.kinds.attention.mask import Mask
from simulator.ops.registry import Call, Shaped, ShapeError


@dataclass(frozen=True, slots=True)
class Heads:
    """The sizes of an attention call on one chip; `kv_heads` are those that its query heads need, as `reads` has them,
    and `reached` the keys in reach of its queries; `covered`: the share of its pairs that is not masked, where said."""

    heads: int
    kv_heads: int
    queries: int
    keys: int
    d: int
    e: int
    mask: Mask
    reached: int
    reads: tuple[Access, ...]
    covered: float | None = None

    @property
    def rows(self) -> int:
        """Queries that one head of k and v serves."""
        return -(-self.heads * self.queries // (self.kv_heads or 1))

    @property
    def share(self) -> float:
        """The share of the pairs that is not masked, over all chips."""
        if self.covered is not None:
            return self.covered
        return self.mask.pairs / (self.mask.queries * self.mask.keys)


def attended(call: Call) -> Heads:
    """The sizes of q, k, v and the output of a call. Raises ShapeError where they do not fit."""
    q, k, v = (shaped.sizes for shaped in call.inputs)
    if min(len(q), len(k), len(v)) < 2:
        raise ShapeError("attention takes q[...,T,d], k[...,S,d], v[...,S,e]: at least a sequence and a head size")
    _check_whole(call)
    e = _value_size(call)
    if call.output.sizes != (*q[:-1], e):
        wanted = ",".join(map(str, (*q[:-1], e)))
        raise ShapeError(f"the output is [{wanted}], not [{','.join(map(str, call.output.sizes))}]", "out")
    needed = [_needed_heads(call, at) for at in (1, 2)]
    reads = (call.inputs[0].access, *map(_part_read, call.inputs[1:], needed))
    mask = _mask(call)
    reached = mask.reached(q[-2], call.inputs[0].begins(len(q) - 2))
    # of keys that chips share each reads its part
    reached = -(-reached * k[-2] // mask.keys)
    return Heads(math.prod(q[:-2]), needed[0], q[-2], k[-2], q[-1], e, mask, reached, tuple(distinct(reads)))


def _value_size(call: Call) -> int:
    """Numbers of a value: all of v's row, or the first ones of a row that is a key, too."""
    _, k, v = call.inputs
    said = call.output.sizes[-1] if call.output.sizes else 0
    return said if k.name == v.name and 0 < said < v.sizes[-1] else v.sizes[-1]


def _mask(call: Call) -> Mask:
    """What is masked, over all chips."""
    q, k = call.inputs[:2]
    causal, window = call.options.get("causal", False), call.options.get("window")
    if window is not None and call.options.get("kind") == "linear":
        raise ShapeError("linear attention keeps no keys and has no window", "window")
    for name, given in (("causal", causal), ("window", window)):
        if given and q.whole[-2] > k.whole[-2]:
            told = f"{name}={call.op.option(name)} with {q.whole[-2]} queries over {k.whole[-2]} keys"
            raise ShapeError(f"{told}: more queries than keys", name)
    return Mask(q.whole[-2], k.whole[-2], causal, window)


def _check_whole(call: Call) -> None:
    """What must fit over all chips together: head sizes, sequences, and how heads share heads."""
    q, k, v = (shaped.whole for shaped in call.inputs)
    heads, kv_heads = math.prod(q[:-2]), math.prod(k[:-2])
    if q[-1] != k[-1]:
        raise ShapeError(f"q has head size {q[-1]}, k has {k[-1]}", "in1")
    if k[-2] != v[-2] or math.prod(v[:-2]) != kv_heads:
        raise ShapeError("k and v must have the same sequence and heads", "in2")
    if heads % kv_heads:
        raise ShapeError(f"{heads} heads of q cannot share {kv_heads} heads of k and v evenly", "in1")


def _part_read(shaped: Shaped, heads: int) -> Access:
    """Some heads of k or v, read once."""
    whole = shaped.access
    return replace(whole, nbytes=whole.nbytes / (math.prod(shaped.sizes[:-2]) or 1) * heads)


def _needed_heads(call: Call, at: int) -> int:
    """How many heads of k or v (input number `at`) the query heads of one chip need; of unlike chips, the most."""
    q, kv = call.inputs[0], call.inputs[at]
    partners = partners_of(q.tensor, kv.tensor)
    needed = 1
    for place, size in enumerate(kv.sizes[:-2]):
        partner = partners[place]
        if partner is None or q.whole[partner] % kv.whole[place]:
            needed *= size
            continue
        group = q.whole[partner] // kv.whole[place]
        if size < kv.whole[place] != kv.padded[place] and q.sizes[partner] != group * size:
            # parts of unlike sizes: the heads that some chip needs may be on the next one
            message = f"{kv.whole[place]} heads of {kv.name} are not cut over chips where {q.whole[partner]} of q are"
            raise ShapeError(f"{message}; keep them whole", f"in{at}")
        needed *= min(size, _groups_met(q, partner, group))
    return needed


def _groups_met(q: Shaped, place: int, group: int) -> int:
    """How many groups of `group` heads the heads of a chip fall on; of all chips that have as many, the most."""
    block, begins = q.sizes[place], q.begins(place)
    if not block:
        return 0
    if isinstance(begins, range):
        begins = begins[:group]  # after `group` equal blocks they fall alike again
    lasts = [min(begin + block, q.whole[place]) - 1 for begin in begins]
    return max(last // group - begin // group + 1 for begin, last in zip(begins, lasts, strict=True))


def partners_of(first: Tensor, other: Tensor) -> list[int | None]:
    """For each head or batch dim of k or v the place of the dim of q that runs with it: the one of its name; the others
    one by one, if as many are left on both sides."""
    names = [dim.size for dim in first.dims[:-2]]
    found: list[int | None] = [
        names.index(dim.size) if isinstance(dim.size, str) and dim.size in names else None for dim in other.dims[:-2]
    ]
    left = [place for place in range(len(names)) if place not in found]
    open_places = [at for at, place in enumerate(found) if place is None]
    if len(left) == len(open_places):
        for at, place in zip(open_places, left, strict=True):
            found[at] = place
    return found
