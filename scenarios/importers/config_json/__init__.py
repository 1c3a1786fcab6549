"""The `config.json` of a model on the Hugging Face hub, as a document in the words of `scenarios.models`.

    config_document(Path("config.json")).data      # {"layers": 32, "d_model": 4096, "attention": {...}, ...}

What a file leaves out is what the transformers library (5.24) takes by default.
"""

from scenarios.importers.config_json.architectures import known_architectures
from scenarios.importers.config_json.reading import config_document, config_words

__all__ = ["config_document", "config_words", "known_architectures"]
