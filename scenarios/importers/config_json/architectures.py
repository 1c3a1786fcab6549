"""Every family of the hub that is known, by its `model_type`."""

from __future__ import annotations

from collections.abc import Mapping

from scenarios.importers.config_json.bert import BERT
from scenarios.importers.config_json.deepseek import DEEPSEEK_V2, DEEPSEEK_V3
from scenarios.importers.config_json.family import ConfigFamily
from scenarios.importers.config_json.gemma import GEMMA, GEMMA2, GEMMA3
from scenarios.importers.config_json.gpt2 import GPT2
from scenarios.importers.config_json.gpt_oss import GPT_OSS
from scenarios.importers.config_json.llama import LLAMA
from scenarios.importers.config_json.llama4 import LLAMA4
from scenarios.importers.config_json.mistral import MISTRAL, MIXTRAL
from scenarios.importers.config_json.phi import PHI, PHI3
from scenarios.importers.config_json.qwen import QWEN2, QWEN3, QWEN3_MOE

_KNOWN = (
    LLAMA,
    LLAMA4,
    MISTRAL,
    MIXTRAL,
    QWEN2,
    QWEN3,
    QWEN3_MOE,
    GEMMA,
    GEMMA2,
    GEMMA3,
    GPT2,
    DEEPSEEK_V2,
    DEEPSEEK_V3,
    GPT_OSS,
    PHI,
    PHI3,
    BERT,
)

FAMILIES: Mapping[str, ConfigFamily] = {family.model_type: family for family in _KNOWN}
"""The families, by their `model_type`."""


def known_architectures() -> dict[str, tuple[str, ...]]:
    """The names of architectures that can be read, by `model_type`."""
    return {name: tuple(family.heads) for name, family in FAMILIES.items()}


def family_of_architecture(name: str) -> ConfigFamily | None:
    """The family that has an architecture of that name, or None."""
    return next((family for family in _KNOWN if name in family.heads), None)
