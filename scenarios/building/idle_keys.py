"""Keys of a model's workload that are said and change nothing, and why. Somebody meant something by them, so they are told.

Model: a key that is said is one whose value is not the one it has when nothing is said. It is idle where the model, the mode
or the rest of the layout leaves it nothing to act on: no pipeline to schedule, no experts to fill unevenly. They are no
mistakes, since a study varies keys over rows of which some leave others nothing to do.
Law: what is told as idle makes the very graph that its default makes, and what is not told makes another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from hw.chips import chip_kernels
from simulator import KINDS, plan_sharding

if TYPE_CHECKING:
    from hw import System
    from hw.chips import KernelTimes
    from simulator import OpGraph, Parallel, RunOptions
    from simulator.models import Model, Transformer


@dataclass(frozen=True, slots=True)
class Laid:
    """What is done with a model, and how it lies on chips; `how`: the record of its mode."""

    model: Model
    mode: str
    parallel: Parallel
    how: Any

    @property
    def trains(self) -> bool:
        """Whether there is a backward pass."""
        return self.mode == "train"

    @property
    def serves(self) -> bool:
        """Whether prompts are read or tokens made."""
        return self.mode in ("prefill", "decode")

    @property
    def sharers(self) -> int:
        """Chips that a gradient is a sum over, and that share what `zero` says."""
        return self.parallel.dp * self.parallel.ep * self.parallel.cp

    @property
    def gathers(self) -> bool:
        """Whether weights are gathered layer by layer."""
        return self.parallel.zero == 3 and self.sharers > 1 and not self.serves

    @property
    def scatters(self) -> bool:
        """Whether gradients are shared out."""
        return self.parallel.zero >= 2 and self.sharers > 1

    @property
    def one_chunk(self) -> bool:
        """Whether a stage has one chunk."""
        return self.parallel.interleave == 1

    @property
    def transformer(self) -> Transformer | None:
        """The model, if it is one with blocks of attention."""
        from simulator.models import Transformer  # late: most runs are of no model

        return self.model if isinstance(self.model, Transformer) else None

    @property
    def graph_layer(self) -> str | None:
        """Which layers a graph network has; None of another model."""
        from simulator.models import GraphNetwork  # late: most runs are of no model

        return self.model.layer if isinstance(self.model, GraphNetwork) else None

    @property
    def experts(self) -> bool:
        """Whether there are any."""
        return self.transformer is not None and self.transformer.moe is not None

    @property
    def biased(self) -> bool:
        """Whether networks, and so experts, have biases."""
        return self.transformer is not None and self.transformer.ffn.bias


Why = tuple[str, Callable[[Laid], bool]]
"""Why a key changes nothing, and when that is so."""

_NO_PIPELINE: Why = ("there is no pipeline (pp: 1)", lambda it: it.parallel.pp == 1)
_NO_TENSOR: Why = ("no chips share tensors (tp: 1)", lambda it: it.parallel.tp == 1)
_ONE_REPLICA: Why = ("there is one replica", lambda it: it.sharers == 1)
_NO_EXPERTS: Why = ("the model has no experts", lambda it: not it.experts)
_NO_ATTENTION: Why = ("the model has no attention", lambda it: it.transformer is None)
_NO_GRADIENTS: Why = ("only training has gradients", lambda it: not it.trains)
_ONE_TOKEN: Why = ("a single token is shared by none", lambda it: it.mode == "decode")

PARALLEL: Mapping[str, Sequence[Why]] = {
    "schedule": (
        _NO_PIPELINE,
        ("passes of inference follow each other in one order", lambda it: it.serves),
        ("with one chunk a stage it is 1f1b", lambda it: it.parallel.schedule == "interleaved" and it.one_chunk),
    ),
    "sequence": (_NO_TENSOR, _ONE_TOKEN),
    "order": (("chips lie along one axis", lambda it: len(it.parallel.mesh) < 2),),
    "zero": (
        _ONE_REPLICA,
        ("inference has whole weights, and no optimizer", lambda it: it.serves),
        ("a forward pass has no optimizer and no gradients", lambda it: it.mode == "forward" and it.parallel.zero < 3),
    ),
    "overlap_gradients": (_NO_GRADIENTS, _ONE_REPLICA),
    "overlap_tensor": (_NO_GRADIENTS, _NO_TENSOR),
    "prefetch": (("no weights are gathered (zero: 3 over replicas)", lambda it: not it.gathers),),
    "imbalance": (_NO_EXPERTS,),
    "context": (("no chips share a sequence (cp: 1)", lambda it: it.parallel.cp == 1), _ONE_TOKEN),
    "collective_matmul": (_NO_TENSOR,),
    "expert_nodes": (_NO_EXPERTS,),
    "whole_experts": (_NO_EXPERTS,),
    "microbatch": (("a forward pass takes all of a replica's batch at once", lambda it: it.mode == "forward"),),
}
"""Keys of `workload.parallel`."""

TRAINING: Mapping[str, Sequence[Why]] = {
    "recompute": (("no gradient reads what layers make on the way", lambda it: it.graph_layer == "gcn"),),
    "offload": (
        (
            "a graph network has no blocks whose activations go away",
            lambda it: it.graph_layer is not None and it.how.offload == ("activations",),
        ),
    ),
    "attention": (_NO_ATTENTION,),
    "dropout": (_NO_ATTENTION,),
    "engine": (("gradients are not shared out (zero: 2)", lambda it: it.how.engine == "fsdp1" and not it.scatters),),
    "dropless": (_NO_EXPERTS, ("hosts wait with engine: megatron alone", lambda it: it.how.engine != "megatron")),
    "one_hot": (_NO_EXPERTS,),
    "expert_biases": (
        _NO_EXPERTS,
        ("its experts have no biases", lambda it: not it.biased),
        ("engine: megatron has its own way with them", lambda it: it.how.engine == "megatron"),
    ),
}
"""Keys of the workload of a training step."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a graph is run, and on what."""

    options: RunOptions
    system: System
    graph: OpGraph

    @property
    def measured(self) -> list[KernelTimes]:
        """How long kernels were measured to take, of each kind of chip of which that is known and asked for."""
        if self.options.calibration == "spec":
            return []
        found = (chip_kernels(chip) for chip in self.system.kinds)
        return [each.times for each in found if each is not None]

    @property
    def issues(self) -> bool:
        """Whether it was measured what it takes to issue a kernel in the way that is asked for, or which it has then."""
        fuses, by_host = self.options.fused_kernels, self.options.by_host
        times = self.measured
        return (by_host and any(max(each.dispatch.eager_s, each.dispatch.compiled_s) > 0 for each in times)) or (
            fuses and any(kind.compiled for each in times for kind in each.kinds.values())
        )

    @property
    def communicates(self) -> bool:
        """Whether chips send each other anything, also what nobody wrote."""
        if self.system.size == 1:
            return False
        return _sends(self.graph) or _sends(plan_sharding(self.graph, self.system))

    @property
    def slows_down(self) -> bool:
        """Whether it was measured what power leaves of a matrix unit's clocks."""
        return any({each.sustained, each.sustained_plain} - {None, 1.0} for each in self.measured)

    @property
    def answers_late(self) -> bool:
        """Whether a memory has a latency."""
        host = self.system.host
        shared = [host.memory, host.disk] if host is not None else []
        every = [memory for chip in self.system.kinds for memory in chip.memories.values()]
        return any(memory is not None and memory.latency_s for memory in (*every, *shared))


def _sends(graph: OpGraph) -> bool:
    kinds = (KINDS[op.kind] for op in graph.every_op())
    return any(kind.network and not kind.view for kind in kinds)


Idle = tuple[str, Callable[[Ran], bool]]
"""Why an option changes nothing, and when that is so."""

_ONE_CHIP: Idle = ("there is one chip", lambda it: it.system.size == 1)
_SILENT: Idle = ("no chip sends anything", lambda it: not it.communicates)

OPTIONS: Mapping[str, Sequence[Idle]] = {
    "clocks": (
        ("clocks fall with calibration: measured alone", lambda it: it.options.calibration == "spec"),
        ("no kernels of these chips were measured", lambda it: not it.measured),
        ("what power leaves of their clocks was not measured", lambda it: not it.slows_down),
    ),
    "dispatch": (
        ("hosts take time with calibration: measured alone", lambda it: it.options.calibration == "spec"),
        ("what issuing a kernel takes was not measured on these chips", lambda it: not it.issues),
    ),
    "tile_level": (
        (
            "tiles are sought with overlap: auto, and what fused ops pass on where some are fused",
            lambda it: it.options.overlap != "auto" and it.graph.fuse in ("none", [], ()),
        ),
    ),
    "memory_latency": (("no latency of a memory is known", lambda it: not it.answers_late),),
    "sharding": (_ONE_CHIP,),
    **dict.fromkeys(("collectives", "network", "routing"), (_ONE_CHIP, _SILENT)),
    "spread": (_ONE_CHIP, ("no chip waits for another", lambda it: not it.communicates)),
    "network_share": (
        _ONE_CHIP,
        _SILENT,
        ("messages hold no units of a chip", lambda it: it.options.network == "messages"),
    ),
}
"""Keys of `run`."""


def idle_options(options: RunOptions, system: System, graph: OpGraph) -> Iterator[str]:
    """Lines about the options of a run that are said and change nothing."""
    it = Ran(options, system, graph)
    defaults = _defaults(options)
    for key, reasons in OPTIONS.items():
        value = getattr(options, key)
        if value == defaults[key]:
            continue  # whether it is idle may take a plan of the graph
        why = next((reason for reason, idle in reasons if idle(it)), None)
        if why is not None:
            yield f"run.{key} ({_told(value)}) changes nothing: {why}"


def idle_keys(it: Laid) -> Iterator[str]:
    """Lines about the keys that are said and change nothing."""
    return (f"workload.{key} {told}" for key, told in keys_that_change_nothing(it))


def keys_that_change_nothing(it: Laid) -> Iterator[tuple[str, str]]:
    """Keys of the workload that are said and change nothing, and what is to be told of each behind its name."""
    for said, table, name in ((it.parallel, PARALLEL, "parallel."), (it.how, TRAINING if it.trains else {}, "")):
        defaults = _defaults(said)
        for key, reasons in table.items():
            value = getattr(said, key)
            why = next((reason for reason, idle in reasons if idle(it)), None)
            if why is not None and value != defaults[key]:
                yield f"{name}{key}", f"({_told(value)}) changes nothing: {why}"


def _defaults(record: Any) -> dict[str, Any]:
    """What a record has where nothing is said."""
    return {each.name: each.default for each in fields(record)}


def _told(value: Any) -> str:
    """A value as it stands in a file."""
    if isinstance(value, bool):
        return str(value).lower()
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
