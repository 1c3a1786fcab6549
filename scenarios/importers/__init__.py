"""What other tools have, read into the words of scenarios.

    made = import_files(["rank0.json"])       # the format is found by content
    Path("replay.yaml").write_text(made.text)

`FORMATS` has what can be read; a model's `config.json` of the Hugging Face hub is no graph, and read by `config_document`.
"""

from scenarios.importers.aten.format import TorchExport, from_torch
from scenarios.importers.chakra.format import Chakra
from scenarios.importers.config_json import config_document, config_words, known_architectures
from scenarios.importers.formats import FORMATS, Format, add_format, format_of, import_files
from scenarios.importers.hlo.format import Hlo, StableHlo, from_jax
from scenarios.importers.imported import Imported, ImportOptions, Unpriced
from scenarios.importers.kineto.replay import Replay
from scenarios.importers.nsys.format import Nsys
from scenarios.importers.onnx_graph.format import Onnx

__all__ = [
    "FORMATS",
    "Format",
    "ImportOptions",
    "Imported",
    "Unpriced",
    "add_format",
    "config_document",
    "config_words",
    "format_of",
    "from_jax",
    "from_torch",
    "import_files",
    "known_architectures",
]

add_format(Replay())
add_format(Nsys())
add_format(Chakra())
add_format(Hlo())
add_format(StableHlo())
add_format(Onnx())
add_format(TorchExport())
