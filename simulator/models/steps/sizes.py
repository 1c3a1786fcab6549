"""The sizes of the dims of a model's step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from hw import Mark, Problems
from simulator.models.description import Moe, Transformer
from simulator.models.steps.layout import Parallel


def sizes_of(model: Transformer, parallel: Parallel, batch: int, seq: int) -> dict[str, int]:
    """Dims by name: those of the model, sequences of one microbatch of all replicas, and tokens of a sequence. Raises
    SpecError where they do not divide."""
    _check(model, parallel, batch, seq)
    attention, at_once = model.attention, parallel.replicas * parallel.microbatch
    vocab = model.embedding.vocab if model.embedding is not None else 0
    # the vocabulary is padded, as Megatron does, so that chips share it evenly
    padded = -(-vocab // parallel.tp) * parallel.tp
    sizes = {
        "batch": at_once,
        "seq": seq,
        "model": model.d_model,
        "heads": attention.heads,
        "kv": attention.kv_heads * copies_of_heads(model, parallel.tp),
        "qkv": attention.heads + 2 * attention.kv_heads,
        "head": attention.head_dim,
        "ff": model.ffn.d_ff or 0,
        "vocab": padded,
    }
    sizes |= _gathered_sizes(model, parallel.tp)
    sizes |= _latent_sizes(model) | _expert_sizes(model, parallel, at_once * seq) | _end_sizes(model)
    return {name: size for name, size in sizes.items() if size}


def _check(model: Transformer, parallel: Parallel, batch: int, seq: int) -> None:
    """Raises SpecError with everything that does not divide."""
    problems = Problems()
    at_once = parallel.replicas * parallel.microbatch
    if batch % at_once:
        message = f"batch {batch} is no multiple of {parallel.replicas} replicas x microbatch {parallel.microbatch}"
        problems.add(Mark("batch"), message)
    split = parallel.cp * (parallel.tp if parallel.sequence else 1)
    if seq % split:
        told = f"{seq} tokens are not shared evenly by {split} chips"
        whole = "; sequence: false keeps them whole between tensor-parallel regions" if seq % parallel.cp == 0 else ""
        problems.add(Mark("seq"), told + whole)
    if longer := beyond_chunk(model, seq):
        problems.add(Mark("seq"), longer)
    attention = model.attention
    widths = {"heads": attention.heads, "d_ff": model.ffn.d_ff or 0}
    if model.moe is not None:
        widths |= {"d_expert": 0 if parallel.whole_experts else model.moe.d_expert, "d_shared": model.moe.d_shared}
        for key, message in _expert_problems(model, model.moe, parallel):
            problems.add(Mark(f"parallel.{key}"), message)
    if parallel.context == "all_to_all" and parallel.cp > 1:
        kv = attention.heads if attention.latent is not None else attention.kv_heads
        if kv % (parallel.tp * parallel.cp):
            message = f"{kv} heads of keys are not exchanged evenly among {parallel.tp} x {parallel.cp} chips"
            problems.add(Mark("parallel.context"), f"{message}; context: gather takes any")
    for message in _ring_problems(model, parallel, seq):
        problems.add(Mark("parallel.context"), f"{message}; context: gather takes any")
    for name, size in widths.items():
        if size % parallel.tp:
            problems.add(Mark("parallel.tp"), f"{name} {size} is not shared evenly by {parallel.tp} chips")
    problems.raise_if_any()


def copies_of_heads(model: Transformer, chips: int) -> int:
    """How many chips of the tensor axis have a copy of each head of keys and values: several where heads are fewer than
    chips and share them evenly."""
    heads = model.attention.kv_heads
    return chips // heads if heads < chips and chips % heads == 0 else 1


def gathers_heads(model: Transformer, chips: int) -> bool:
    """Whether a library that makes queries, keys and values at once, and cuts them among chips as they come, has to gather
    them: where heads of keys are fewer than chips. Chips are to share out all numbers evenly, as it asks for."""
    attention = model.attention
    width = (attention.heads + 2 * attention.kv_heads) * attention.head_dim
    return attention.latent is None and copies_of_heads(model, chips) > 1 and width % chips == 0


def _gathered_sizes(model: Transformer, chips: int) -> dict[str, int]:
    """What is gathered of a token, and of each chip the head of keys that it reads, with all heads of queries that do."""
    if not gathers_heads(model, chips):
        return {}
    attention = model.attention
    queries = attention.heads // attention.kv_heads
    width = (attention.heads + 2 * attention.kv_heads) * attention.head_dim
    return {"qkvwidth": width, "asked": chips * queries, "keyed": chips * (queries + 2)}


def beyond_chunk(model: Transformer, tokens: int) -> str | None:
    """What is to be said of more tokens than a chunk has in which blocks attend; None of no more."""
    chunk = model.attention.chunk
    if chunk is None or tokens <= chunk:
        return None
    return f"{tokens} tokens; some blocks of {model.name} attend in chunks of {chunk}, and more than one chunk is not known"


def beyond_table(model: Transformer, tokens: int) -> str | None:
    """What is to be said of more tokens than a learned table has rows; None of no more."""
    longest = model.position.longest
    if model.position.kind != "learned" or longest is None or tokens <= longest:
        return None
    return f"{tokens} tokens; {model.name} has learned positions for {longest}"


def _expert_problems(model: Transformer, moe: Moe, parallel: Parallel) -> Iterator[tuple[str, str]]:
    """What is wrong with how experts are laid out, by the key that says it."""
    if moe.experts % parallel.expert_chips:
        yield "ep", f"{moe.experts} experts are not shared evenly by {parallel.expert_chips} chips"
    most = moe.experts / moe.top_k
    if parallel.imbalance > most:
        yield "imbalance", f"imbalance is {parallel.imbalance:g}; an expert with all tokens has {most:g} times the mean"
    if model.parallel and parallel.whole_experts and parallel.tp > 1:
        yield "whole_experts", "experts beside attention are in its region, and cut as it is"


def _ring_problems(model: Transformer, parallel: Parallel, seq: int) -> Iterator[str]:
    """What is wrong with keys and values that go round."""
    if parallel.context != "ring" or parallel.cp == 1:
        return
    if "sliding" in model.attention.kinds:
        yield "a ring has no sliding windows"
    if "linear" in model.attention.kinds:
        yield "linear attention passes no keys and values round"
    if model.attention.causal and seq % (2 * parallel.cp):
        yield f"{seq} tokens are not cut into 2 x {parallel.cp} pieces, a first and a last one for each chip"


def _end_sizes(model: Transformer) -> dict[str, int]:
    """The dims of what stands before the first block and behind the last."""
    found = {"classes": model.head.classes, "two": 2 if model.head.pairs else 0}
    if model.embedding is not None:
        learned = model.position.kind == "learned"
        found |= {"segments": model.embedding.segments, "places": (model.position.longest or 0) if learned else 0}
    if model.patches is not None:
        patches, grid = model.patches, model.patches.image // model.patches.patch
        found |= {"colours": patches.channels, "side": patches.image, "patch": patches.patch, "grid": grid}
        found |= {"patches": grid**2, "places": patches.tokens if model.position.kind == "learned" else 0}
    return found


def _latent_sizes(model: Transformer) -> dict[str, int]:
    """The dims of MLA: narrow vectors, the rotated and the other part of a head of keys, and heads of values."""
    latent = model.attention.latent
    if latent is None:
        return {}
    return {
        "head": model.attention.qk_dim,
        "vhead": latent.v_head_dim,
        "qrank": latent.q_lora_rank or 0,
        "kvrank": latent.kv_lora_rank,
        "rotated": latent.qk_rope_head_dim,
        "plain": latent.qk_nope_head_dim,
    }


def _expert_sizes(model: Transformer, parallel: Parallel, tokens: int) -> dict[str, int]:
    """The dims of experts; slots are what chips that share tokens can share evenly."""
    moe = model.moe
    if moe is None:
        return {}
    chips = parallel.replicas * parallel.cp * (parallel.tp if parallel.whole_experts else 1)
    each = math.ceil(tokens * moe.top_k * parallel.imbalance / (moe.experts * chips))
    nodes = parallel.expert_nodes
    copies = math.ceil(tokens * nodes_of_token(moe, nodes) / (nodes * chips))
    return {
        "experts": moe.experts,
        "top": moe.top_k,
        "slots": each * chips,
        "nodes": nodes if nodes > 1 else 0,
        "copies": copies * chips if nodes > 1 else 0,
        "eff": moe.d_expert,
        "sff": moe.d_shared,
    }


def filled_share(model: Transformer, sizes: Mapping[str, int]) -> float:
    """The share of the slots of experts, or of rows, that holds tokens: the fullest expert sets the slots of all, and no
    chip has a part of one. To nine digits, as it is written."""
    if model.moe is None:
        return 1.0
    slots = sizes.get("rows") or sizes["experts"] * sizes["slots"]
    return min(1.0, round(sizes["batch"] * sizes["seq"] * model.moe.top_k / slots, 9))


def nodes_of_token(moe: Moe, nodes: int) -> float:
    """On how many of so many nodes, with as many experts each, the experts of a token lie, as expected: so many are drawn
    from the nodes that a router limited to groups of experts leaves, evenly."""
    left = nodes
    if moe.groups > 1:
        left = min(nodes, max(1, moe.top_groups * nodes // moe.groups) if moe.groups < nodes else moe.top_groups)
    return float(left * (1 - (1 - 1 / left) ** moe.top_k))


def microbatches(parallel: Parallel, batch: int) -> int:
    """How many microbatches a step has."""
    return batch // (parallel.replicas * parallel.microbatch)
