"""A whole model as a workload: its mode, its parallelism, what is recomputed, and in which formats.

Model: what a model is stands in `scenarios.models`; what the numbers mean, and what they may be together, in
`simulator.models.steps`. `MODES` is the one table of what can be done with a model: the record that says it, the function
that makes its op graph, and the keys it must have. The keys that it may have are the fields of the record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from hw import Mark, Problem, SpecError
from hw.input import Spec

if TYPE_CHECKING:
    from simulator import Precision
    from simulator.models import Model

Count = Annotated[int, Field(ge=1, le=10**12, strict=True)]
"""A whole number of something, at least one."""

Flag = Annotated[bool, Field(strict=True)]


Made = tuple[Callable[..., Any], Callable[..., Any]]
"""What says what is done with a model (its record), and what makes the op graph of it."""


@dataclass(frozen=True, slots=True)
class Mode:
    """What can be done with a model. `made` has its record and what makes its graph, and is asked late, since most runs are
    of no model; `needs`: the keys that must be said, `needs_of` which of them a model has; `fixed`: some of the record's
    fields; `use`: what its precisions are for."""

    made: Callable[[], Made]
    needs: tuple[str, ...]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    use: Literal["training", "inference"] = "training"
    needs_of: Callable[[Model, Sequence[str]], Sequence[str]] = field(default=lambda _model, needs: needs)

    @property
    def record(self) -> Callable[..., Any]:
        """Says what is done, with `fixed` as some of its fields."""
        return self.made()[0]

    @property
    def graph(self) -> Callable[..., Any]:
        """Makes the op graph from a description, a parallelism and a record."""
        return self.made()[1]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of a workload that it takes, beside those of any model."""
        record: Any = self.record
        return tuple(each.name for each in fields(record) if each.name not in self.fixed)

    def precision(self, given: str | Mapping[str, str]) -> Precision:
        """A precision by name, or one (`base`, else `bf16`) with some parts changed. Raises SpecError."""
        from simulator import PRECISIONS, precision_of

        keeps_none = self.use == "inference" and "context" not in self.keys
        if keeps_none and isinstance(given, Mapping) and "kv" in given:
            raise SpecError([Problem(Mark("precision.kv"), "kv is of prefill and decode: nothing else keeps a cache")])
        # what is meant by bf16, of which others may change parts: the precision of an inference where none is said
        record: Any = self.record
        said: dict[str, Any] = {each.name: each.default for each in fields(record)}
        bf16 = PRECISIONS["bf16"] if self.use == "training" else said["precision"]
        return precision_of(given, self.use, {"bf16": bf16})


def _training() -> Made:
    from simulator import Training, train_graph

    return Training, train_graph


def _forward() -> Made:
    from simulator import Forward, forward_graph

    return Forward, forward_graph


def _inference() -> Made:
    from simulator import Inference, inference_graph

    return Inference, inference_graph


def _read(model: Model, needs: Sequence[str]) -> Sequence[str]:
    """What of a mode's keys a model needs: an image has no length to be said, a graph is no batch."""
    from simulator.models import sample_of

    sample = sample_of(model, 0)
    without = {"sequence": (), "image": ("seq",), "graph": ("seq", "batch")}[sample.name]
    return [key for key in needs if key not in without]


MODES: Mapping[str, Mode] = {
    "train": Mode(_training, ("batch", "seq"), needs_of=_read),
    "forward": Mode(_forward, ("batch", "seq"), {}, "inference", _read),
    "prefill": Mode(_inference, ("batch", "seq"), {"mode": "prefill"}, "inference"),
    "decode": Mode(_inference, ("batch", "context"), {"mode": "decode"}, "inference"),
}
"""What can be done with a model, by name."""

DEFAULT_MODE = "train"

OF_ANY_MODEL = ("model", "mode", "parallel")
"""The keys of a workload that is a model, whatever is done with it."""


class ParallelSpec(Spec):
    """How many chips share each kind of work; `dp` is what the others leave of the system where it is not said."""

    dp: Count | None = Field(default=None, description="data parallel: replicas (default: what is left of the chips)")
    tp: Count = Field(default=1, description="tensor parallel: heads, widths and the vocabulary")
    pp: Count = Field(default=1, description="pipeline stages")
    cp: Count = Field(default=1, description="context parallel: tokens of a sequence")
    ep: Count = Field(default=1, description="expert parallel: experts, and replicas outside of them")
    zero: Annotated[int, Field(ge=0, le=3, strict=True)] = Field(
        default=0, description="sharded over replicas: 1 the optimizer, 2 gradients too, 3 weights too (FSDP)"
    )
    shard: Count | None = Field(
        default=None, description="replicas among which zero shares out, the others have copies (default: all of them)"
    )
    microbatch: Count = Field(default=1, description="sequences of a replica that are computed at once")
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero_bubble", "paired"] = "1f1b"
    interleave: Count = Field(default=1, description="pipeline chunks a stage")
    layers: list[Annotated[int, Field(ge=0, strict=True)]] | None = Field(
        default=None, description="blocks of each pipeline chunk, from the first"
    )
    sequence: Flag = Field(default=True, description="tokens sharded over tensor-parallel chips between their regions")
    order: list[str] | None = Field(default=None, description="axes from the innermost: [tp, cp, ep, dp, pp]")
    context: Literal["gather", "all_to_all", "ring"] = Field(
        default="gather",
        description="over context-parallel chips keys are gathered, heads exchanged for tokens, or keys passed round",
    )
    imbalance: Annotated[float, Field(ge=1, le=1e6, allow_inf_nan=False, strict=True)] = Field(
        default=1.0, description="tokens of the fullest expert, over the mean"
    )
    overlap_gradients: Flag = Field(default=True, description="gradients are reduced beside the backward pass")
    overlap_tensor: Flag = Field(
        default=True, description="backwards, sums over tensor-parallel chips go on beside the gradients of weights"
    )
    expert_nodes: Count = Field(
        default=1, description="nodes over which ep lies: a token is sent once to each that has experts for it"
    )
    whole_experts: Flag = Field(
        default=False,
        description="experts lie whole on the chips that share a tensor or a sequence, too, not cut among them",
    )
    collective_matmul: Annotated[int, Field(ge=1, le=1000, strict=True)] = Field(
        default=1, description="pieces in which collectives of tensor parallelism overlap with the matmuls beside them"
    )
    prefetch: Annotated[int, Field(ge=0, le=10_000, strict=True)] = Field(
        default=1, description="layers gathered ahead of their turn (zero: 3)"
    )


class RecomputedBlocks(Spec):
    """So many blocks, from the first, of which all is recomputed."""

    blocks: Annotated[int, Field(ge=0, le=10**6, strict=True)]


Recompute = (
    Literal["none", "selective", "light", "alternate", "projected", "attended", "joined", "surrounded", "full", "whole"]
    | RecomputedBlocks
)

ModelReference = str | dict[str, Any]
"""A name of the catalogue, the path of a model file or of a config.json, or a model written inline."""
