"""Steps of MaxText on TPUs, as AI-Hypercomputer/tpu-recipes has them: how one is shared out stands in its recipe, and not in
the table."""

from __future__ import annotations

from scenarios.validation.tables.cells import SECONDS, Cells
from scenarios.validation.tables.tpu_recipes import recipe_of


def tpu_cells(row: Cells) -> dict[str, str]:
    """A line in our columns; of a recipe that is not known here the model alone."""
    recipe = recipe_of(row)
    tokens = float(row["step_s"]) * float(row["tokens_per_s_per_chip"].replace(",", ""))
    said = {"source": "tpu-recipes", "framework": "maxtext", "dispatch": "graph", SECONDS: row["step_s"]}
    if recipe is None:
        return {**said, "model": row.get("model") or row.get("recipe", ""), "chip": "", "n_chips": row.get("chips", "")}
    batch = row.get("gbs") or round(tokens * recipe.chips / recipe.seq)
    return {**said, **recipe.cells, "global_batch": str(batch)}
