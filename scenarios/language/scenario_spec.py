"""The scenario language as models: what keys a scenario file may hold, for validation and for the JSON Schema.

The ops themselves are lines of text, read by `simulator.graph.text`; dims and expected values are checked by hand in
`scenarios.building.build` and `scenarios.claims.claims`, so that one wrong entry does not hide the others.
"""

from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema

from hw.input import Spec
from hw.systems import SystemSpec
from scenarios.language.economics_spec import EconomicsSpec
from scenarios.language.job_spec import JobSpec
from scenarios.language.model_spec import DEFAULT_MODE, MODES, Count, Flag, ModelReference, ParallelSpec, Recompute
from scenarios.language.pipeline_spec import PipelineSpec
from scenarios.language.process_spec import LoaderSpec
from scenarios.language.run_spec import RunSpec
from scenarios.language.study_spec import StudySpec

OF_OPS = ("dims", "ops", "fuse", "uneven", "split", "pipeline")
"""The keys of a workload whose ops are written out; all others are of a model."""


OpItem = Annotated[
    Any,
    WithJsonSchema({"anyOf": [{"type": "string"}, {"additionalProperties": True, "type": "object"}]}),
]
"""An op line, or a block of them: whoever reads them says what is neither, once."""


class WorkloadSpec(Spec):
    """Sizes, ops, and what to fuse; or a model, and what is done with it."""

    dims: dict[str, Any] = Field(default_factory=dict, description="sizes by name; no underscore in a name")
    ops: list[OpItem] | None = Field(default=None, description="op lines: out:dtype[dims] = kind(inputs, key=value)")
    pipeline: PipelineSpec | None = Field(default=None, description="the ops as one chunk of a pipeline")
    model: ModelReference | None = Field(
        default=None, description="a whole model instead of ops: a name, a model file or config.json, or a mapping"
    )
    mode: str = Field(
        default=DEFAULT_MODE, description="what is done with the model", json_schema_extra={"enum": list(MODES)}
    )
    batch: Count | None = Field(default=None, description="sequences a step, of all replicas together")
    seq: Count | None = Field(default=None, description="tokens of a sequence")
    context: Annotated[int, Field(ge=0, le=10**12, strict=True)] | None = Field(
        default=None, description="tokens of each sequence that are in the cache already (decode, chunks of a prompt)"
    )
    chunk: Count | None = Field(default=None, description="tokens of a prompt that are read at once (default: all)")
    steps: Count = Field(default=1, description="tokens of each sequence that decode makes")
    in_flight: Count | None = Field(
        default=None, description="parts of the batch that follow each other through a pipeline (default: its stages)"
    )
    activations: Literal["hbm", "on_chip"] = Field(
        default="hbm", description="where activations of inference live: as written to HBM, or kept on chip"
    )
    parallel: ParallelSpec = ParallelSpec()
    recompute: Recompute = Field(default="none", description="what the backward pass computes again")
    precision: str | dict[str, str] | None = Field(
        default=None, description="formats by name, or part by part (default: mixed_bf16 in training, else bf16)"
    )
    optimizer: str = Field(default="adamw", description="adamw or sgd")
    clip: bool = Field(default=False, strict=True, description="gradients clipped by their norm")
    eager: Flag | Literal["loss"] = Field(
        default=False, description="ops of PyTorch without a compiler, and what they keep; or those of the loss alone"
    )
    engine: Literal["plain", "megatron", "pytorch", "fsdp1"] = Field(
        default="plain",
        description="whose training step: megatron adds up in place and gathers again, pytorch holds what FSDP2 does, "
        "fsdp1 puts gradients together and divides them",
    )
    attention: Literal["flash", "standard", "fused_softmax"] = Field(
        default="flash", description="how training carries out attention: fused, or with its scores in memory"
    )
    dropout: Flag = Field(default=False, description="training drops some of what attention and networks make")
    dropless: Flag = Field(
        default=True, description="engine megatron: experts take all tokens, whose counts the host waits for"
    )
    one_hot: Flag = Field(
        default=False,
        description="training brings tokens to experts and back by matmuls with masks, not by copying rows",
    )
    expert_biases: Literal["fused", "gathered"] = Field(
        default="fused", description="biases of experts are added by their matmuls' kernels, or gathered for every row"
    )
    offload: list[Literal["optimizer", "activations"]] = Field(
        default=[], description="what lives in the memory of the host, and goes over PCIe"
    )
    fuse: Literal["none", "elementwise"] | list[list[str]] = "none"
    uneven: Literal["refuse", "pad"] = Field(default="refuse", description="a dim that does not divide over its chips")
    split: Literal["equal", "proportional"] | dict[str, list[float]] = Field(
        default="equal",
        description="how unlike chips share dims out: equally, by speed, or by weights along a mesh axis",
    )


class ScenarioSpec(Spec):
    """A scenario file: a system, a workload, how to run it, and what must come out."""

    name: str = Field(min_length=1)
    about: str = ""
    extends: str | None = Field(default=None, description="a scenario file to start from; maps merge, null deletes")
    system: SystemSpec
    workload: WorkloadSpec
    run: RunSpec = RunSpec()
    processes: dict[str, LoaderSpec] = Field(
        default_factory=dict, description="data loaders by name; ops wait for them"
    )
    job: JobSpec | None = Field(default=None, description="a long job of many runs, and what happens to it")
    economics: EconomicsSpec | None = Field(default=None, description="prices, how often it runs, what it replaces")
    study: StudySpec | None = None
    expect: dict[str, Any] = Field(
        default_factory=dict, description="result word -> value, or {value, tolerance}; checked by `overlapse check`"
    )
