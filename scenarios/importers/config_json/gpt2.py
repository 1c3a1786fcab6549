"""GPT-2: layer norms before attention and FFN, learned positions, q, k and v in one matmul.

Source: Hugging Face transformers 5.24, configuration and modelling files.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scenarios.importers.config_json.family import ConfigFamily, Dotted, Said, Values
from scenarios.importers.config_json.shared import LAYER_NORM_BIASED, activation

_GPT2: Mapping[str, Any] = {
    "vocab_size": 50257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
}


def _gpt2(values: Values) -> Mapping[Dotted, Said]:
    inner = values["n_inner"]
    d_ff = Said(4 * values.whole("n_embd"), "n_embd") if inner is None else Said(inner, "n_inner")
    return {"ffn.activation": activation(values, "activation_function"), "ffn.d_ff": d_ff}


GPT2 = ConfigFamily(
    "gpt2",
    _GPT2,
    {
        "layers": "n_layer",
        "d_model": "n_embd",
        "attention.heads": "n_head",
        "norm.eps": "layer_norm_epsilon",
        "position.longest": "n_positions",
        "embedding.vocab": "vocab_size",
        "embedding.tied": "tie_word_embeddings",
    },
    {
        **LAYER_NORM_BIASED,
        "family": "decoder",
        "norm.places": "pre",
        "attention.fused": True,
        "position.kind": "learned",
    },
    {"GPT2LMHeadModel": {"head.kind": "tokens"}, "GPT2Model": {"head.kind": "none"}},
    _gpt2,
    aliases={
        "hidden_size": "n_embd",
        "max_position_embeddings": "n_positions",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
    only={"add_cross_attention": (False, None)},
)
