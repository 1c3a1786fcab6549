"""What is wrong with a description: numbers that do not go together, each with the key that it is about.

Types, names and signs of single values are the business of whoever reads them from a file; here is what only shows when
several values are seen at once. Where a message names another key than its own, that is as `called` has it: a file may
have other words for it (`hidden_size` for d_model).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import singledispatch

from simulator.models.blocks import blocks
from simulator.models.convolution import ConvNet, Stage, layers
from simulator.models.description import Attention, Moe, Transformer
from simulator.models.graph_network import GraphNetwork
from simulator.models.parameters import Model

Wrong = tuple[tuple[str | int, ...], str]
"""A key of the description, and what is wrong with it."""

Called = Callable[[tuple[str | int, ...]], str]
"""What a key of the description is called where it was written."""


def dotted(key: tuple[str | int, ...]) -> str:
    """A key as the catalogue has it."""
    return ".".join(map(str, key))


_NEEDS_CHANNELS = ("conv", "basic", "bottleneck", "linear")


@singledispatch
def description_problems(model: Model, called: Called = dotted) -> Iterator[Wrong]:
    """Everything that is wrong with a description; `called`: what its keys are called."""
    raise TypeError(f"{type(model).__name__} is no description of a model")


@description_problems.register
def _(model: Transformer, called: Called = dotted) -> Iterator[Wrong]:
    yield from _attention_problems(model.attention)
    yield from _position_problems(model, called)
    yield from _ffn_problems(model, called)
    yield from _ends_problems(model)
    if model.moe is not None:
        yield from _moe_problems(model, model.moe)


@description_problems.register
def _(model: ConvNet, _called: Called = dotted) -> Iterator[Wrong]:
    for number, stage in enumerate(model.stages):
        yield from _stage_problems(number, stage)
    if all(stage.kind not in _NEEDS_CHANNELS or stage.channels for stage in model.stages):
        yield from _vanishing(model)


@description_problems.register
def _(model: GraphNetwork, _called: Called = dotted) -> Iterator[Wrong]:
    most = model.nodes**2
    if model.edges > most:
        yield ("edges",), f"{model.edges:,} edges between {model.nodes:,} nodes: at most {most:,}"


def _attention_problems(attention: Attention) -> Iterator[Wrong]:
    heads, kv_heads = attention.heads, attention.kv_heads
    if heads % kv_heads:
        told = f"{heads} heads do not share {kv_heads} heads of keys and values evenly"
        yield ("attention", "kv_heads"), told
    sliding = "sliding" in attention.kinds
    if sliding and attention.window is None:
        yield ("attention",), "sliding attention needs a window: how many keys a query sees"
    if attention.window is not None and not sliding:
        yield ("attention", "window"), "a window belongs to sliding attention, and no kind is that"
    if attention.latent is not None and "linear" in attention.kinds:
        yield ("attention", "latent"), "linear attention keeps a matrix of keys and values, no latent of them"
    if attention.latent is not None and kv_heads != heads:
        yield ("attention", "kv_heads"), "latent attention has as many heads of keys as of queries"
    if attention.latent is not None and attention.fused:
        yield ("attention", "fused"), "latent attention has no matrix of q, k and v in one"
    if attention.latent is not None and attention.qk_norm != "none":
        yield ("attention", "qk_norm"), "latent attention norms its latent, not its heads"


def _position_problems(model: Transformer, called: Called) -> Iterator[Wrong]:
    position = model.position
    if position.kind == "learned" and model.patches is None and position.longest is None:
        key = ("position", "longest")
        yield key, f"learned positions need '{called(key)}': rows of their table"
    if position.rotary != 1.0 and position.kind != "rope":
        yield ("position", "rotary"), f"nothing is rotated with {position.kind} positions"
    rotated = model.attention.qk_dim * position.rotary
    if model.attention.latent is None and position.kind == "rope" and int(rotated) % 2:
        key = ("position", "rotary") if position.rotary != 1.0 else ("attention", "head_dim")
        yield key, f"{int(rotated)} numbers of a head cannot be rotated in pairs"


def _ffn_problems(model: Transformer, called: Called) -> Iterator[Wrong]:
    ffn = model.ffn
    if ffn.fused and not ffn.gated:
        yield ("ffn", "fused"), "gate and up are one matmul only where there is a gate"
    if ffn.activation == "clamped_silu" and not ffn.gated:
        yield ("ffn", "activation"), "clamped_silu is a gated activation"
    dense = sum(not block.has_experts for block in blocks(model))
    if dense and ffn.d_ff is None:
        key = ("ffn", "d_ff")
        yield key, f"'{called(key)}' is missing: {dense} of {model.layers} blocks have no experts"
    if not dense and ffn.d_ff is not None:
        yield ("ffn", "d_ff"), "every block has experts: no network has this width"


def _moe_problems(model: Transformer, moe: Moe) -> Iterator[Wrong]:
    if moe.top_k > moe.experts:
        yield ("moe", "top_k"), f"a token cannot choose {moe.top_k} of {moe.experts} experts"
    if moe.experts % moe.groups:
        yield ("moe", "groups"), f"{moe.experts} experts do not form {moe.groups} groups evenly"
    if moe.top_groups > moe.groups:
        told = f"experts cannot come from {moe.top_groups} of {moe.groups} groups"
        yield ("moe", "top_groups"), told
    elif moe.experts // moe.groups * moe.top_groups < moe.top_k <= moe.experts:
        told = f"{moe.top_groups} groups have fewer than {moe.top_k} experts"
        yield ("moe", "top_k"), told
    if bool(moe.shared_experts) != bool(moe.d_shared):
        yield ("moe",), "shared experts have a number and a width, or neither"
    if moe.shared_gate and not moe.shared_experts:
        yield ("moe", "shared_gate"), "there is no shared expert to be scaled"
    if not any(block.has_experts for block in blocks(model)):
        yield ("moe",), f"none of {model.layers} blocks has experts"


def _ends_problems(model: Transformer) -> Iterator[Wrong]:
    head = model.head
    if model.embedding is not None and model.patches is not None:
        yield ("patches",), "a model reads tokens or an image, not both"
    if head.kind in ("tokens", "masked_tokens") and model.embedding is None:
        yield ("head", "kind"), "a head over tokens needs an embedding with a vocabulary"
    if (head.kind == "classes") != bool(head.classes):
        yield ("head",), "a head of kind 'classes', and only that, has a number of classes"
    if head.pairs and not head.pooler:
        yield ("head", "pairs"), "whether sentences are a pair is read off the pooler"
    if model.patches is not None and model.patches.image % model.patches.patch:
        told = f"an image of {model.patches.image} is not cut evenly by {model.patches.patch}"
        yield ("patches", "patch"), told
    if model.parallel and model.norm.places != "pre":
        yield ("parallel",), "attention and FFN side by side read one norm before both"


def _stage_problems(number: int, stage: Stage) -> Iterator[Wrong]:
    at = ("stages", number)
    needs = stage.kind in _NEEDS_CHANNELS
    if needs != bool(stage.channels):
        told = "needs 'channels'" if needs else "keeps the channels that it reads"
        yield at, f"a stage of kind '{stage.kind}' {told}"
    if not stage.kernel and stage.kind not in ("max_pool", "avg_pool"):
        yield (*at, "kernel"), "only a pool takes the whole image (kernel 0)"
    if stage.kind == "linear" and (stage.kernel, stage.stride) != (1, 1):
        yield at, "a linear layer has neither kernel nor stride"


def _vanishing(model: ConvNet) -> Iterator[Wrong]:
    """A window that is larger than what it slides over."""
    for layer in layers(model):
        if not layer.out_size:
            told = f"{layer.name}: a window of {layer.kernel} over an image of {layer.in_size}"
            yield ("stages",), told
            return
