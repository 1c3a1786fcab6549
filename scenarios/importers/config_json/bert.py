"""BERT: an encoder with layer norms after each residual, segments, and heads for masked tokens and pairs.

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import LAYER_NORM_BIASED, activation

_BERT: Mapping[str, Any] = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "tie_word_embeddings": True,
}


def _bert(values: Values) -> Mapping[Dotted, Said]:
    return {"ffn.activation": activation(values, "hidden_act")}


_MASKED = {"head.kind": "masked_tokens", "head.bias": True}

BERT = ConfigFamily(
    "bert",
    _BERT,
    {
        "layers": "num_hidden_layers",
        "d_model": "hidden_size",
        "attention.heads": "num_attention_heads",
        "ffn.d_ff": "intermediate_size",
        "norm.eps": "layer_norm_eps",
        "position.longest": "max_position_embeddings",
        "embedding.vocab": "vocab_size",
        "embedding.tied": "tie_word_embeddings",
        "embedding.segments": "type_vocab_size",
    },
    {
        **LAYER_NORM_BIASED,
        "family": "encoder",
        "norm.places": "post",
        "position.kind": "learned",
        "embedding.norm": True,
    },
    {
        "BertForMaskedLM": _MASKED,
        "BertForPreTraining": {**_MASKED, "head.pooler": True, "head.pairs": True},
        "BertModel": {"head.kind": "none", "head.pooler": True},
    },
    _bert,
    only={
        "add_cross_attention": (False, None),
        "is_decoder": (False, None),
        "position_embedding_type": ("absolute", None),
    },
)
