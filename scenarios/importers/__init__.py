"""What other tools have, read into the words of scenarios: so far a model's `config.json` of the Hugging Face hub."""

from scenarios.importers.config_json import config_document, config_words, known_architectures

__all__ = ["config_document", "config_words", "known_architectures"]
