"""Tables of training steps that others publish, in the columns that they have there: each is read as rows of ours.

Model: a table is known by its columns. What it says is said in our columns (`scenarios.validation.training_rows`); what it
does not say stays empty, so that such rows are left out and say why, and what it says that has no form here is told
(`left_out`), never passed over. Throughput is made seconds: tokens of a step over tokens a second of all chips.
Source: MooreThreads/SimuMax docs/b200; NVIDIA-NeMo/Megatron-Bridge docs/performance-summary; pytorch/torchtitan benchmarks;
AI-Hypercomputer/tpu-recipes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from scenarios.validation.tables.cells import Cells
from scenarios.validation.tables.megatron_bridge import bridge_cells
from scenarios.validation.tables.simumax import simumax_cells
from scenarios.validation.tables.torchtitan import torchtitan_cells
from scenarios.validation.tables.tpu import tpu_cells


@dataclass(frozen=True, slots=True)
class Dialect:
    """A kind of table: the columns that it is known by, and a row of it in our columns."""

    columns: Collection[str]
    cells: Callable[[Cells], dict[str, str]]


def dialect_of(head: Collection[str]) -> Dialect | None:
    """The kind of table that has such columns; None if it is not known."""
    return next((each for each in DIALECTS if set(each.columns) <= set(head)), None)


DIALECTS = (
    Dialect(("parallel", "layer_num", "mbc", "real_ms"), simumax_cells),
    Dialect(("System", "#-GPUs", "GBS", "Tokens / sec / GPU"), bridge_cells),
    Dialect(("technique", "local_batch", "fsdp", "tps_per_gpu"), torchtitan_cells),
    Dialect(("step_s", "tflops_per_chip", "tokens_per_s_per_chip"), tpu_cells),
)
"""All kinds of tables that are known."""
