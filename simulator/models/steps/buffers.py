"""Weights in buffers: each part of a model keeps its weights in one flat buffer, as FSDP and Megatron do.

Model: a part is what is stored, gathered, reduced and stepped together: a block, the embedding, the head. Its weights
are views of the buffer, its gradients are packed into another. On a chip the buffer holds the chip's shards of all
weights, those that are whole on every chip of the tensor axis included, and is padded so that the data-parallel chips
can share it. Where groups of replicas have copies of what is shared out inside them (hybrid sharding), gradients are
scattered inside a group and each share is added up over the groups. Gradients of weights that are whole over the
tensor axis, but of which its chips saw other tokens or heads, are added up over it first, those of heads of keys that
chips have in copies among the chips of one head (`simulator.models.steps.storage.copied_heads`). With ZeRO-1 and 2 each chip
keeps all weights, and gathers what others have stepped into them; with ZeRO-1 it keeps all gradients until they are
stepped, and with ZeRO-2 its share of them: (2 + 2 + K / N), (2 + (2 + K) / N) and, with ZeRO-3, (2 + 2 + K) / N bytes
a parameter in bf16, K bytes of the optimizer's states, N chips. PyTorch's first FSDP has weights as views of what it
splits, so that their gradients are put together by a copy, and divides them before they are reduced (after it, too, a
share of them, which is not told), which is another pass over all of a part's.
Source: torch/distributed/fsdp/_flat_param.py (`_get_unflat_views_unaligned`), _runtime_utils.py (`_reduce_grad`: its
division before reducing by a power of two near the root of the number of chips); Zhao et al. 2023 (FSDP, FlatParameter
and hybrid sharding); Rajbhandari et al. 2020 (ZeRO, figure 1).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from simulator.graph.items import Dim, Op, Tensor
from simulator.models.steps.layout import Parallel
from simulator.models.steps.precision import Precision
from simulator.models.steps.storage.buffer import Buffer
from simulator.models.steps.storage.copied_heads import summed_over_copies

GATHER_QUEUE = "gather"
"""Weights are gathered in a queue of their own, so that they are not held up by gradients that are not ready yet."""

SUM_QUEUE = "sum"
"""Gradients that are reduced before they are added up are added up in a queue of their own."""

_REDUCED = "r"
"""What the names of reduced gradients begin with."""

_ACROSS = "c"
"""What the names of gradients begin with that are added up over groups of replicas."""

IN_PLACE = ("in_place", "true")
"""A collective's input and output are one buffer."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How the buffers of a model are stored, gathered, reduced and stepped under a parallelism and a precision. `adds_up`:
    whether gradients of several microbatches are added up; `megatron`: as Megatron-LM does all that; `offload`: what
    lives in the host's memory; `pytorch`: as PyTorch's own sharding does, `flat`: as it first did."""

    parallel: Parallel
    precision: Precision
    adds_up: bool = False
    megatron: bool = False
    offload: tuple[str, ...] = ()
    pytorch: bool = False
    flat: bool = False

    @property
    def has_main(self) -> bool:
        """Whether gradients are added to a buffer that is kept for them."""
        return self.adds_up or self.megatron or self.precision.main_gradients is not None

    def adds_each(self, buffer: Buffer) -> bool:
        """Whether each gradient is added to its part of the buffer by itself, matmuls' by the matmul."""
        return self.megatron and not self.sums_late(buffer)

    def part_of_main(self, buffer: Buffer, like: Tensor) -> Op:
        """The part of the buffer of sums that a gradient is added to, as a view."""
        main = self.main(buffer)
        made = replace(like, name=f"main{like.name}", dtype=main.dtype, rounds=(), written="")
        return Op(made, "view", (buffer.here(main),))

    def whole(self, buffer: Buffer) -> Tensor:
        """The weights of a part as its ops read them."""
        return buffer.tensor("w", buffer.dtype)

    def owned(self, buffer: Buffer) -> Tensor:
        """The weights of a part that a chip steps: its share of them with ZeRO."""
        return buffer.tensor("o" if self.is_shared(buffer) else "w", buffer.dtype, self._more(buffer))

    def is_shared(self, buffer: Buffer) -> bool:
        """Whether data-parallel chips share the optimizer's work."""
        return self.parallel.zero > 0 and bool(buffer.data)

    def keeps_whole(self, buffer: Buffer) -> bool:
        """Whether a chip always has all weights of a part, and steps its share of them where they are."""
        return self.is_shared(buffer) and self.parallel.zero < 3

    def gathers_late(self, buffer: Buffer) -> bool:
        """Whether weights are gathered only when they are needed, and thrown away afterwards."""
        return self.parallel.zero == 3 and bool(buffer.data) and buffer.repeated

    def _more(self, buffer: Buffer) -> str:
        return buffer.data if self.is_shared(buffer) else ""

    def declared(self, buffer: Buffer) -> Iterator[Op]:
        """What stands before the step: the stored weights under their names, gathered where that is not done late."""
        owned, whole = self.owned(buffer), self.whole(buffer)
        keeps = whole if self.keeps_whole(buffer) else owned
        yield Op(owned, "view", (replace(keeps, name=f"stored{keeps.name}"),))
        if self.is_shared(buffer) and not self.gathers_late(buffer):
            told = (("over", buffer.data), ("queue", GATHER_QUEUE))
            yield Op(whole, "all_gather", (owned,), (*told, IN_PLACE) if self.keeps_whole(buffer) else told)
        if self.has_main:
            main = self.main(buffer)
            yield Op(main, "view", (replace(main, name=f"stored{main.name}"),))

    def main(self, buffer: Buffer) -> Tensor:
        """The buffer in which gradients are added up: a chip's share of them from ZeRO-2 on."""
        dtype = self.precision.main_gradients or self.precision.gradients
        if self.sums_late(buffer):
            return buffer.tensor("main", dtype, buffer.data, partial=buffer.copies)
        return buffer.tensor("main", dtype, partial=buffer.sums)

    def sums_late(self, buffer: Buffer) -> bool:
        """Whether gradients are reduced before they are added up, so that a chip keeps its share of them only."""
        return self.parallel.zero >= 2 and bool(buffer.data)

    def views(self, buffer: Buffer, wait_for: str) -> Iterator[Op]:
        """The weights of a part for its ops; gathered late after `wait_for`."""
        whole = buffer.here(self.whole(buffer))
        if self.gathers_late(buffer):
            after = (("after", wait_for),) if wait_for else ()
            gathered = self.whole(buffer)
            told = (("over", buffer.data), ("queue", GATHER_QUEUE), *after)
            yield Op(gathered, "all_gather", (buffer.here(self.owned(buffer)),), told)
            whole = gathered
        for weight in buffer.weights:
            yield Op(weight, "view", (whole,))

    def late_names(self, buffer: Buffer) -> frozenset[str]:
        """What the backward pass gathers and views again."""
        if not self.gathers_late(buffer):
            return frozenset()
        return frozenset({self.whole(buffer).name, *(weight.name for weight in buffer.weights)})

    def collected(
        self, buffer: Buffer, gradients: Mapping[str, Tensor], added: Collection[str] = ()
    ) -> tuple[list[Op], Tensor]:
        """The gradients of a part in one buffer, still sums over data-parallel chips; and that buffer. `added`: those that
        are added to their sums already, by their names."""
        ops: list[Op] = []
        parts: list[Tensor] = []
        scattered: list[Tensor] = []
        copied = [gradients[weight.name] for weight in buffer.weights if weight.name in buffer.copied]
        for weight in buffer.weights:
            if weight.name in buffer.copied:
                continue
            gradient = gradients[weight.name]
            beyond = "".join(axis for axis in gradient.partial if axis not in buffer.sums)
            (scattered if beyond else parts).append(gradient)
        parts += self._summed(buffer, scattered, ops)
        if copied:
            more, total = summed_over_copies(buffer, copied, self.precision.gradients)
            ops += more
            parts.append(total)
        if self.adds_each(buffer):
            parts = [each if each.name in added else self._added(buffer, each, ops) for each in parts]
        packed = self.packed(buffer)
        if self.flat and self.sums_late(buffer):
            apart, together = (replace(packed, name=f"{name}{packed.name}") for name in ("apart", "together"))
            ops += [Op(apart, "pack", tuple(parts)), Op(together, "copy", (apart,)), Op(packed, "copy", (together,))]
        else:
            ops.append(Op(packed, "pack", tuple(parts)))
        return ops, packed

    def _added(self, buffer: Buffer, gradient: Tensor, ops: list[Op]) -> Tensor:
        """A gradient added to its part of the sums; where chips have it alike, each adds its share of it."""
        if set(gradient.partial) != set(buffer.sums):
            share = replace(gradient, name=f"share{gradient.name}", partial=buffer.sums)
            ops.append(Op(share, "view", (gradient,)))
            gradient = share
        part = self.part_of_main(buffer, gradient)
        total = replace(part.output, name=f"sum{gradient.name}")
        ops += [part, Op(total, "accumulate", (part.output, gradient))]
        return total

    def packed(self, buffer: Buffer) -> Tensor:
        """The gradients of a part as the backward pass makes them, sums over data-parallel chips."""
        if self.adds_each(buffer):
            return replace(self.main(buffer), name=f"sum{buffer.name}")
        return buffer.tensor("g", self.precision.gradients, partial=buffer.sums)

    def _summed(self, buffer: Buffer, scattered: Sequence[Tensor], ops: list[Op]) -> list[Tensor]:
        """Gradients that are sums over more axes than those of data, added up over those together."""
        if not scattered:
            return []
        axes = "".join(axis for axis in scattered[0].partial if axis not in buffer.sums)
        dim = Dim(f"shared{buffer.name}")
        packed = Tensor(f"q{buffer.name}", self.precision.gradients, (dim,), axes + buffer.sums)
        ops.append(Op(packed, "pack", tuple(scattered)))
        whole = replace(packed, name=f"qr{buffer.name}", partial=buffer.sums)
        ops.append(Op(whole, "all_reduce", (packed,), (("over", axes),)))
        return [whole]

    def waits(self, buffer: Buffer) -> bool:
        """Whether gradients are reduced when the whole backward pass is over."""
        return bool(buffer.sums) and not self.parallel.overlap_gradients and not self.sums_late(buffer)

    def reduced(self, buffer: Buffer, packed: Tensor) -> tuple[list[Op], Tensor]:
        """Complete sums reduced over data-parallel chips, by themselves."""
        before, total = self.finished(buffer, packed, last=False)
        ops: list[Op] = []
        made = self._reduced(buffer, buffer.here(total if before else packed), ops)
        return ops, self._across(buffer, made, ops)

    def finished(self, buffer: Buffer, packed: Tensor, last: bool = True) -> tuple[list[Op], Tensor]:
        """What becomes of a microbatch's gradients: added to those before, reduced over data-parallel chips; `last`: whether
        none comes behind it, so that sums are complete. Returns the ops, and what the optimizer takes."""
        ops: list[Op] = []
        steps = (self._reduced, self._accumulated) if self.sums_late(buffer) else (self._accumulated, self._reduced)
        made = packed
        for step in steps:
            if step == self._reduced and not last and not self.sums_late(buffer):
                continue
            made = step(buffer, made, ops)
        return ops, self._across(buffer, made, ops) if last else made

    def _accumulated(self, buffer: Buffer, new: Tensor, ops: list[Op]) -> Tensor:
        if not self.has_main or self.adds_each(buffer):
            return new
        total = replace(self.main(buffer), name=f"sum{buffer.name}")
        # what waits for a reduction must not hold up the backward pass behind it
        waits = self.sums_late(buffer) and self.parallel.overlap_gradients
        told = (("queue", SUM_QUEUE),) if waits else ()
        ops.append(Op(total, "accumulate", (buffer.here(self.main(buffer)), new), told))
        return total

    @staticmethod
    def reduction(buffer: Buffer) -> str:
        """The name of what reduces a part's gradients over data-parallel chips."""
        return buffer.tensor(_REDUCED, buffer.dtype).name

    def reductions(self, buffer: Buffer) -> tuple[str, ...]:
        """The names of all that reduces a part's gradients: inside groups of replicas, and over them."""
        across = (buffer.tensor(_ACROSS, buffer.dtype).name,) if buffer.copies else ()
        return (self.reduction(buffer), *across)

    def _reduced(self, buffer: Buffer, total: Tensor, ops: list[Op]) -> Tensor:
        if not buffer.data:
            return total
        kind = "reduce_scatter" if self.is_shared(buffer) else "all_reduce"
        made = buffer.tensor(_REDUCED, total.dtype, self._more(buffer), partial=buffer.copies)
        # until ZeRO-2 a gradient stays whole until the weights are stepped: what is reduced is a part of it
        told = () if self.sums_late(buffer) else (IN_PLACE,)
        ops.append(Op(made, kind, (total,), (("over", buffer.data), *told)))
        return made

    def _across(self, buffer: Buffer, total: Tensor, ops: list[Op]) -> Tensor:
        """What is summed inside groups of replicas, summed over the groups."""
        if not buffer.copies:
            return total
        made = buffer.tensor(_ACROSS, total.dtype, self._more(buffer))
        ops.append(Op(made, "all_reduce", (total,), (("over", buffer.copies), IN_PLACE)))
        return made

    def squared(self, buffer: Buffer, reduced: Tensor) -> Op:
        """The sum of the squares of a part's gradients: a chip's share of it."""
        made = Tensor(f"norm{buffer.name}", "fp32", (), reduced.axes)
        return Op(made, "reduce", (buffer.here(reduced),))

    def stepped(self, buffer: Buffer, reduced: Tensor, optimizer: str, after: Sequence[str] = ()) -> Op:
        """The optimizer's step of a part, when some other ops are over."""
        more, moments = self._more(buffer), self.precision.moments
        states = [buffer.tensor(name, moments, more) for name in STATES[optimizer]]
        if self.precision.master:
            states.append(buffer.tensor("master", self.precision.master, more))
        owned = self.owned(buffer)
        made = replace(owned, name=f"n{owned.name}")
        told = (("after", f"[{', '.join(after)}]"),) if after else ()
        return Op(made, optimizer, (buffer.here(owned), buffer.here(reduced), *states), told)


STATES: Mapping[str, tuple[str, ...]] = {"adamw": ("m", "v"), "sgd": ("momentum",)}
"""The states of each optimizer beside weights."""
