"""One matrix on two stages: the table of tokens before the first block, and the head behind the last that is the same.

Model: each of the two stages has a copy, and makes a gradient of its own. When both are summed over microbatches and
data-parallel chips, each stage sends its part of the sum to the other and adds what comes: an all-reduce of two, V each way.
It begins when both have their parts, as any collective does, and is in place: what comes is added piece by piece to the part
that is there, and is never there as a whole. Then both step their copies alike.
Source: Shoeybi et al. 2019 (Megatron-LM); Megatron-LM, core/distributed/finalize_model_grads.py
(`_allreduce_word_embedding_grads`: behind all passes, `all_reduce` of the gradient where it is).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.graph.items import Dim, Op, Tensor
from simulator.graph.owners import Owner
from simulator.models.steps.layout import AXES, Parallel

_PIPELINE = AXES["pp"]


@dataclass(frozen=True, slots=True)
class Tie:
    """A weight that another stage has as well. `here`, `there`: places along the axis of the pipeline."""

    weight: Tensor
    here: int
    there: int

    @property
    def _name(self) -> str:
        return f"tied{self.weight.name}"

    @property
    def dim(self) -> str:
        """The dim of what is sent."""
        return f"shared{self._name.replace('_', '')}"

    def size(self, reduced: Tensor, sizes: Mapping[str, int], parallel: Parallel) -> int:
        """Numbers that are sent, over all chips that share the sum: those of the weight, padded as its buffer is."""
        whole = math.prod(sizes[dim.size] if isinstance(dim.size, str) else dim.size for dim in self.weight.dims)
        chips = math.prod(parallel.mesh[axis] for axis in reduced.axes)
        return -(-whole // chips) * chips

    def ops(self, reduced: Tensor) -> list[Op]:
        """The weight's part of a sum exchanged and added up; the last op is what the optimizer waits for."""
        part = replace(reduced, name=self._name, dims=(Dim(self.dim, reduced.axes),), rounds=(), written="")
        there = (("over", _PIPELINE), ("from", str(self.here)), ("to", str(self.there)), ("queue", "tied.out"))
        back = (("over", _PIPELINE), ("from", str(self.there)), ("to", str(self.here)), ("queue", "tied.in"))
        came = replace(part, name=f"{self._name}came")
        return [
            Op(part, "view", (reduced,)),
            Op(replace(part, name=f"{self._name}sent"), "send", (part,), there),
            # in the memory of its own part: it waits for that, and takes no room of its own
            Op(came, "recv", (part,), back),
            Op(replace(part, name=f"{self._name}sum"), "accumulate", (part, came)),
        ]

    def roles(self, reduced: Tensor) -> dict[str, Owner]:
        """Whose memory that takes."""
        part, sent, came, total = (op.name for op in self.ops(reduced))
        return {**dict.fromkeys((part, sent, total), "gradients"), came: "communication buffers"}
