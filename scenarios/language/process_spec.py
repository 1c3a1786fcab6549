"""The `processes` section of a scenario: data loaders that prepare batches, and the ops that wait for them."""

from typing import Annotated, Any

from pydantic import Field, field_validator

from hw.input import Seconds, Spec

MAX_WORKERS = 10_000

Chip = Annotated[int, Field(strict=True, ge=0)]
"""The number of a chip."""


class LoaderSpec(Spec):
    """A data loader: each batch takes a time, and traffic; the ops that it feeds wait for their batches."""

    feeds: str | list[str] = Field(
        description="what takes a batch a round: an op, an input tensor (all ops that read it), or several of them"
    )
    every: Seconds = Field(default=0.0, description="time that a worker spends on a batch, before its traffic")
    uses: dict[str, Any] = Field(
        default_factory=dict,
        description="what a batch asks: resource -> bytes (matrix_unit, vector_unit: time). hbm is the HBM of the chips "
        "in `on`; chip1.hbm or the name of a wire is that one",
    )
    on: Chip | list[Chip] = Field(
        default=0, description="chips that prepare batches, in turn: whose hbm, pcie.in, ... count"
    )
    workers: int = Field(
        default=1, ge=1, le=MAX_WORKERS, strict=True, description="that prepare batches at once, per chip"
    )
    prefetch: int | None = Field(
        default=None, ge=0, strict=True, description="batches made ahead of the one in use; 2 per worker unless said"
    )

    @field_validator("feeds", "on")
    @classmethod
    def _names_something(cls, value: Any) -> Any:
        if isinstance(value, list) and (not value or len(set(value)) < len(value)):
            raise ValueError("{key} wants at least one entry, each once")
        return value
