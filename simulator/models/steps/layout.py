"""How a model lies on chips: its parallelism, as the axes of a mesh, and which of them shard what.

Model: parallelism is a mesh. Axis T shards heads, the width of feed-forward networks and the vocabulary (tensor), C
the sequence (context), E the experts, and beside them, outside of experts, the batch (expert), D the batch (data), P
the layers (pipeline); R stands beside D where replicas share out in groups only. What is alike on several chips is
simulated once, so a mesh costs what is distinct in it. With `sequence` the tokens between two tensor-parallel regions
are sharded over T as well.
Data-parallel in what concerns weights are all axes that shard tokens: a gradient is a sum over D, E and C, that of an
expert over D and C. Where experts are whole on chips, these are of E, C and T, and their gradients sums over D alone.
Source: Shoeybi et al. 2019 (tensor); Korthikanti et al. 2022 (sequence); Rajbhandari et al. 2020 (ZeRO); Lepikhin et al.
2021 (experts); Liu et al. 2023 and Llama Team 2024 (context); Narayanan et al. 2021 (pipeline).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hw import Mark, Problem, Problems, SpecError
from hw.input import unknown
from simulator.passes.pipeline.schedules import SCHEDULES

AXES: Mapping[str, str] = {"tp": "T", "cp": "C", "ep": "E", "dp": "D", "pp": "P"}
"""The mesh axis of each kind of parallelism, in the order in which they lie on the topology unless said otherwise."""

COPIES = "R"
"""The mesh axis of groups of replicas that have copies, right outside of that of data."""

NODES = "N"
"""The mesh axis of nodes over which expert-parallel chips lie, right outside of that of experts."""

OUTER: Mapping[str, str] = {"dp": COPIES, "ep": NODES}
"""The outer axis of a kind of parallelism that has two."""

CONTEXTS = ("gather", "all_to_all", "ring")
"""How chips that share a sequence attend to all of it: keys and values gathered, heads exchanged for tokens, or keys and
values passed round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parallel:
    """How many chips share each kind of work, and how they go about it.

    `zero`: what is sharded over data-parallel chips: 0 nothing, 1 the optimizer, 2 gradients as well, 3 weights as well
    (FSDP). `microbatch`: sequences of one replica that are computed at once. `interleave`: pipeline chunks a stage.
    `sequence`: tokens are sharded over T between tensor-parallel regions. `order`: from the innermost axis outwards.
    `layers`: how many each pipeline chunk has, from the first; as even as can be where it is not said, the last and the
    first with fewer, since head and embedding stand there. `overlap_gradients`: gradients are reduced beside the backward
    pass, layer by layer, and not after it. `overlap_tensor`: in the backward pass sums over tensor-parallel chips go on
    beside the gradients of weights, and not behind them. `prefetch`: layers whose weights are gathered ahead of their turn
    (ZeRO-3); 0: each when it is needed. `imbalance`: tokens of the fullest expert over those of the mean one. `context`:
    how chips of the context axis attend: over gathered keys and values (Llama 3), each over some heads of the whole
    sequence, exchanged for tokens (DeepSpeed-Ulysses), or over keys and values that go round (ring attention).
    `shard`: replicas among which ZeRO shares out, the innermost ones; groups of so many hold copies (hybrid sharding, HSDP);
    all replicas where it is not said. `collective_matmul`: into how many pieces gathers and sums of tensor parallelism are
    cut with the matmuls beside them, so that they overlap. `expert_nodes`: on so many nodes expert-parallel chips lie, the
    outer part of them: a token is sent once to each node that has experts for it, and inside to the chips that have them.
    `whole_experts`: chips that share a tensor or a sequence share out experts, too, each of them whole on one chip (with
    `sequence`), and are not each a part of all: T x C x E chips have them.
    """

    dp: int = 1
    tp: int = 1
    pp: int = 1
    cp: int = 1
    ep: int = 1
    zero: int = 0
    microbatch: int = 1
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero_bubble", "paired"] = "1f1b"
    interleave: int = 1
    sequence: bool = True
    order: Sequence[str] = tuple(AXES)
    overlap_gradients: bool = True
    overlap_tensor: bool = True
    prefetch: int = 1
    layers: tuple[int, ...] = ()
    imbalance: float = 1.0
    context: Literal["gather", "all_to_all", "ring"] = "gather"
    shard: int | None = None
    collective_matmul: int = 1
    expert_nodes: int = 1
    whole_experts: bool = False

    def __post_init__(self) -> None:
        problems = Problems()
        for name in ("dp", "tp", "pp", "cp", "ep", "microbatch", "interleave", "collective_matmul"):
            if getattr(self, name) < 1:
                problems.add(Mark(f"parallel.{name}"), f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.zero not in range(4):
            problems.add(Mark("parallel.zero"), f"zero is {self.zero}; it is 0, 1, 2 or 3")
        if self.schedule not in SCHEDULES:
            problems.add(Mark("parallel.schedule"), unknown("schedule", self.schedule, SCHEDULES))
        if self.context not in CONTEXTS:
            problems.add(Mark("parallel.context"), unknown("context", self.context, CONTEXTS))
        if not self.imbalance >= 1:
            problems.add(Mark("parallel.imbalance"), f"imbalance is {self.imbalance}; it must be 1 or more")
        for name, message in self._wrong_groups():
            problems.add(Mark(f"parallel.{name}"), message)
        for name in self.order:
            if name not in AXES:
                problems.add(Mark("parallel.order"), unknown("axis", name, AXES))
        if not problems.found and sorted(self.order) != sorted(AXES):
            problems.add(Mark("parallel.order"), f"order names each of {', '.join(AXES)} once")
        problems.raise_if_any()

    def _wrong_groups(self) -> Iterator[tuple[str, str]]:
        """What is wrong with groups of replicas, and of expert-parallel chips, by the key that says it."""
        if self.whole_experts and self.tp > 1 and not self.sequence:
            yield "whole_experts", "chips of the tensor axis have tokens of their own with sequence: true alone"
        if self.expert_nodes < 1 or self.ep % max(self.expert_nodes, 1):
            yield "expert_nodes", f"{self.ep} expert-parallel chips do not lie evenly on {self.expert_nodes} nodes"
        if self.shard is None:
            return
        if self.shard < 1 or self.dp % max(self.shard, 1):
            yield "shard", f"{self.dp} replicas are not grouped by {self.shard}"
        elif self.shard < self.dp and not self.zero:
            yield "shard", f"nothing is shared out among {self.shard} replicas: shard goes with zero: 1, 2 or 3"

    @property
    def copies(self) -> int:
        """How many groups of replicas have copies of what they share out."""
        return self.dp // self.shard if self.shard else 1

    @property
    def extents(self) -> Mapping[str, int]:
        """How many chips lie along each mesh axis, those of one chip included, from the innermost axis outwards."""
        found: dict[str, int] = {}
        for name in self.order:
            outer = {"dp": self.copies, "ep": self.expert_nodes}.get(name, 1)
            found[AXES[name]] = self.extent(name) // outer
            if name in OUTER:
                found[OUTER[name]] = outer
        return found

    @property
    def chips(self) -> int:
        """Chips in all."""
        return math.prod(self.extent(name) for name in AXES)

    @property
    def expert_chips(self) -> int:
        """Chips among which experts are shared out."""
        return self.ep * (self.tp * self.cp if self.whole_experts else 1)

    @property
    def replicas(self) -> int:
        """Chips, along the axes that share out the batch."""
        return self.dp * self.ep

    def extent(self, name: str) -> int:
        """Chips along the axis of one kind of parallelism."""
        return int(getattr(self, name))

    @property
    def chunks(self) -> int:
        """Into how many parts the layers are cut: so many for each stage of a pipeline."""
        return self.pp * self.interleave

    def cut(self, layers: int) -> tuple[int, ...]:
        """How many of some layers each chunk has, from the first. Raises SpecError where they cannot be cut so."""
        count = self.chunks
        if self.layers:
            if len(self.layers) != count or sum(self.layers) != layers or min(self.layers) < 0:
                told = f"{len(self.layers)} numbers that add up to {sum(self.layers)}"
                message = f"layers has {told}; {layers} layers are cut into {count} chunks"
                raise SpecError([Problem(Mark("parallel.layers"), message)])
            return self.layers
        if layers < count:
            message = f"{layers} layers cannot be cut into {count} chunks"
            raise SpecError([Problem(Mark("parallel.pp"), message)])
        most = -(-layers // count)
        found = [most] * count
        # what is too much comes off the ends, then off what stands next to them
        ends = [at for pair in zip(reversed(range(count)), range(count), strict=True) for at in pair]
        for at in list(dict.fromkeys(ends))[: most * count - layers]:
            found[at] -= 1
        return tuple(found)

    @property
    def mesh(self) -> Mapping[str, int]:
        """The mesh, from the innermost axis outwards; axes of one chip are left out."""
        return {axis: size for axis, size in self.extents.items() if size > 1}

    def axes(self, *names: str) -> str:
        """The mesh axes of some kinds of parallelism, those of one chip left out."""
        asked = "".join(AXES[name] + OUTER.get(name, "") for name in names)
        extents = self.extents
        return "".join(axis for axis in asked if extents[axis] > 1)


@dataclass(frozen=True, slots=True)
class Layout:
    """The mesh axes that shard each dim of activations and weights.

    `rows`: those of the sequence between tensor-parallel regions, `seq`: inside them. `data`: those over which a gradient
    is a sum and ZeRO shares out, `expert_data`: the same of an expert, and `expert_tensor` those that cut one; `copies`:
    those over which a gradient is a sum, too, and nothing is shared out. `nodes`: the outer one of `experts`, where tokens
    are sent to nodes first.
    """

    batch: str = ""
    rows: str = ""
    seq: str = ""
    tensor: str = ""
    experts: str = ""
    data: str = ""
    expert_data: str = ""
    expert_tensor: str = ""
    copies: str = ""
    nodes: str = ""

    @classmethod
    def of(cls, parallel: Parallel) -> Layout:
        """The layout that a parallelism means."""
        tensor = parallel.axes("tp")
        seq = parallel.axes("cp")
        beside = seq + tensor if parallel.whole_experts else ""
        return cls(
            batch=parallel.axes("ep", "dp"),
            rows=seq + tensor if parallel.sequence else seq,
            seq=seq,
            tensor=tensor,
            experts="".join(reversed(parallel.axes("ep"))) + beside,
            expert_tensor="" if parallel.whole_experts else tensor,
            data=parallel.axes("cp", "ep", "dp").replace(COPIES, ""),
            expert_data=parallel.axes(*(() if parallel.whole_experts else ("cp",)), "dp").replace(COPIES, ""),
            copies=COPIES if parallel.copies > 1 else "",
            nodes=NODES if parallel.expert_nodes > 1 else "",
        )

    @property
    def sequence(self) -> bool:
        """Whether tokens are sharded over the tensor axis between its regions."""
        return self.rows != self.seq
