"""The sizes of the dims of a model's step."""

from __future__ import annotations

from hw import Mark, Problems
from simulator.models.description import Transformer
from simulator.models.steps.layout import Parallel


def sizes_of(model: Transformer, parallel: Parallel, batch: int, seq: int) -> dict[str, int]:
    """Dims by name: those of the model, sequences of one microbatch of all replicas, and tokens of a sequence. Raises
    SpecError where they do not divide."""
    problems = Problems()
    at_once = parallel.replicas * parallel.microbatch
    if batch % at_once:
        message = f"batch {batch} is no multiple of {parallel.replicas} replicas x microbatch {parallel.microbatch}"
        problems.add(Mark("batch"), message)
    split = parallel.cp * (parallel.tp if parallel.sequence else 1)
    if seq % split:
        problems.add(Mark("seq"), f"{seq} tokens are not shared evenly by {split} chips")
    attention = model.attention
    for name, size in (("heads", attention.heads), ("d_ff", model.ffn.d_ff or 0)):
        if size % parallel.tp:
            problems.add(Mark("parallel.tp"), f"{name} {size} is not shared evenly by {parallel.tp} chips")
    problems.raise_if_any()
    vocab = model.embedding.vocab if model.embedding is not None else 0
    # the vocabulary is padded, as Megatron does, so that chips share it evenly
    padded = -(-vocab // parallel.tp) * parallel.tp
    sizes = {
        "batch": at_once,
        "seq": seq,
        "model": model.d_model,
        "heads": attention.heads,
        "kv": attention.kv_heads,
        "head": attention.head_dim,
        "ff": model.ffn.d_ff or 0,
        "vocab": padded,
    }
    return {name: size for name, size in sizes.items() if size}


def microbatches(parallel: Parallel, batch: int) -> int:
    """How many microbatches a step has."""
    return batch // (parallel.replicas * parallel.microbatch)
