"""The `workload.pipeline` section: how the ops of a workload become the stages of a pipeline."""

from typing import Annotated, Literal

from pydantic import Field

from hw.input import Spec

Whole = Annotated[int, Field(ge=1, le=10**6, strict=True)]


class PipelineSpec(Spec):
    """A pipeline: the ops are what one chunk does for one microbatch, forwards and then backwards."""

    microbatches: Whole
    carry: dict[str, str] = Field(
        description="what a chunk takes in: what the chunk before makes, or backwards the next one"
    )
    backward: str | None = Field(default=None, description="the first op of the backward pass; none: forward only")
    weights: str | None = Field(
        default=None, description="the first op of the weights' gradients, which zero_bubble does when there is time"
    )
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero_bubble", "paired"] = Field(
        default="1f1b", description="in which order a stage goes about its microbatches"
    )
    interleave: Whole = Field(default=1, description="chunks a stage")
    axis: str | None = Field(default=None, description="the mesh axis of the stages (default: the first one)")
