"""What families of decoders have in common: names of keys, one flag for all biases, windows, and how heads are rotated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hw.input import unknown
from scenarios.importers.config_json.family import ConfigError, Dotted, Said, Values
from simulator.models import AttentionKind, shortest_kinds

WORDS: Mapping[Dotted, str] = {
    "layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "attention.heads": "num_attention_heads",
    "attention.kv_heads": "num_key_value_heads",
    "attention.head_dim": "head_dim",
    "ffn.d_ff": "intermediate_size",
    "norm.eps": "rms_norm_eps",
    "position.longest": "max_position_embeddings",
    "embedding.vocab": "vocab_size",
    "embedding.tied": "tie_word_embeddings",
}
"""What most decoders call things."""

ALWAYS: Mapping[Dotted, Any] = {
    "family": "decoder",
    "ffn.gated": True,
    "norm.kind": "rms",
    "norm.places": "pre",
    "position.kind": "rope",
}
"""What is so of every decoder of the Llama line."""


ROPE_KEYS = {"rope_theta": None, "partial_rotary_factor": None, "rope_parameters": None}
"""Where a config says how it rotates; none of them need be there."""


def heads_of(prefix: str) -> dict[str, dict[Dotted, Any]]:
    """What the two architectures of a decoder put after the last block."""
    return {f"{prefix}ForCausalLM": {"head.kind": "tokens"}, f"{prefix}Model": {"head.kind": "none"}}


def without(words: Mapping[Dotted, str], *left_out: Dotted) -> dict[Dotted, str]:
    """The words but for some."""
    return {word: key for word, key in words.items() if word not in left_out}


def biases(values: Values) -> dict[Dotted, Said]:
    """One flag for all four matmuls of attention."""
    bias = values.flag("attention_bias")
    return {"attention.qkv_bias": Said(bias, "attention_bias"), "attention.out_bias": Said(bias, "attention_bias")}


_ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_tanh": "gelu_tanh",
    "relu": "relu",
}


def activation(values: Values, key: str) -> Said:
    """The activation that a config names. Raises ConfigError."""
    name = values[key]
    if not isinstance(name, str) or name not in _ACTIVATIONS:
        raise ConfigError(key, unknown("activation", str(name), _ACTIVATIONS))
    return Said(_ACTIVATIONS[name], key)


def theta_and_rotary(values: Values, theta: float, rotary: float = 1.0) -> dict[Dotted, Said]:
    """RoPE's base and the share of a head that is rotated: keys of their own, or in `rope_parameters`.

    What is not said is the family's default.
    """
    nested = values.data.get("rope_parameters")
    inside = nested if isinstance(nested, dict) else {}
    said: dict[Dotted, Said] = {}
    for word, key, default in (
        ("position.theta", "rope_theta", theta),
        ("position.rotary", "partial_rotary_factor", rotary),
    ):
        given = values.data.get(key)
        if given is not None:
            said[word] = Said(given, key)
        else:
            said[word] = Said(inside.get(key, default), "rope_parameters" if key in inside else None)
    return said


def all_sliding(values: Values, key: str = "sliding_window") -> dict[Dotted, Said]:
    """A window over every block, where a config has one."""
    if values[key] is None:
        return {}
    return {"attention.kinds": Said(["sliding"], key), "attention.window": Said(values[key], key)}


_KINDS: Mapping[str, AttentionKind] = {"full_attention": "full", "sliding_attention": "sliding", "attention": "full"}


def kinds_of_layers(values: Values, window_key: str = "sliding_window") -> dict[Dotted, Said]:
    """The kinds of attention that `layer_types` lists, one for each block. Raises ConfigError."""
    listed = values.names("layer_types")
    strange = next((each for each in listed if each not in _KINDS), None)
    if strange is not None:
        raise ConfigError("layer_types", f"layers of type '{strange[:40]}' are not known: only {', '.join(_KINDS)}")
    layers = values.whole("num_hidden_layers")
    if len(listed) != layers:
        raise ConfigError("layer_types", f"'layer_types' lists {len(listed)} layers of {layers}")
    return kinds_said([_KINDS[each] for each in listed], "layer_types", values, window_key)


def kinds_said(kinds: list[AttentionKind], key: str, values: Values, window_key: str) -> dict[Dotted, Said]:
    """The kinds of attention, and the window where some of them slide."""
    said = {"attention.kinds": Said(list(shortest_kinds(kinds)), key)}
    if "sliding" in kinds:
        said["attention.window"] = Said(values[window_key], window_key)
    return said


LAYER_NORM_BIASED: Mapping[Dotted, Any] = {
    "attention.qkv_bias": True,
    "attention.out_bias": True,
    "ffn.gated": False,
    "ffn.bias": True,
    "norm.kind": "layer",
}
"""What is so of models with layer norms and biases everywhere."""
