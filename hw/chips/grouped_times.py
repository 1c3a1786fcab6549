"""How long a library's kernels of grouped matmuls take, where they are other kernels than those of one matrix.

Model: matrices of groups whose rows lie one behind the other are gone along in tiles that are the same for all: the cores
share out columns, and each visits a tile of rows once for every group that has some of it.
"""

from typing import Annotated

from pydantic import Field

from hw.input.validation import Efficiency, Spec

Count = Annotated[int, Field(ge=1, strict=True)]


class GroupedTimes(Spec):
    """Kernels of rows by expert: their tiles, and what these reach."""

    rows: Count = Field(
        description="rows of a tile: tokens by expert, or those that a gradient of weights adds up at once"
    )
    columns: Count = Field(description="columns of a tile, of which each core has whole ones")
    depth: Count = Field(description="elements of the contraction that a tile goes along in a step")
    rate: Efficiency = Field(description="share of a core's peak in a step of whole tiles")
    sums_rate: Efficiency = Field(description="the same where rows are added up, in gradients of weights")
