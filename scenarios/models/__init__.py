"""Models by name, by file or inline, as descriptions that graphs are built from.

    load_model("llama3_70b").description          # of the catalogue, scenarios/models/*.yaml
    load_model("path/to/config.json")              # as the Hugging Face hub has it
    load_model({"base": "llama3_70b", "layers": 12})

`read_model(document, at, problems)` does the same for a value of a scenario, and tells what is wrong at its place.
"""

from scenarios.models.called import model_called, no_model
from scenarios.models.catalogue import (
    LoadedModel,
    is_description,
    load_model,
    model_names,
    published_counts,
    read_model,
)
from scenarios.models.published import Figure, Printed, Published, printed
from scenarios.models.spec import SPECS, TransformerSpec
from scenarios.models.table import (
    COLUMNS,
    catalogue_table,
    count_shown,
    listed_models,
    model_facts,
    model_lines,
    model_words,
)

__all__ = [
    # One model.
    "LoadedModel",
    "is_description",
    "load_model",
    "model_called",
    "model_names",
    "no_model",
    "read_model",
    # What is written in a file.
    "SPECS",
    "TransformerSpec",
    "Figure",
    "Printed",
    "Published",
    "printed",
    "published_counts",
    # What is told of one.
    "COLUMNS",
    "catalogue_table",
    "count_shown",
    "listed_models",
    "model_facts",
    "model_lines",
    "model_words",
]
