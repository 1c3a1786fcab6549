"""Steps of whole models that were measured: a training step, a prefill, a token of a decode, as a row spells them out.

Params: `layers`, `d`, `heads`, `kv_heads`, `ff`, `seq`, `vocab` (0: neither embedding nor head), `batch`; `norm` (rms or
layer), `act` (swiglu, gelu), `bias`, `causal`, `position` (rope, learned), `tied`; of a decode `context`. Mode: eager or
compile, `+full` with recomputation of every block; prefill, decode_eager, decode_graph. Weights and AdamW's states in bf16.
Left out, and told: autocast, attention with its scores in memory, vision models.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from scenarios.validation.rows import Row
from simulator import Inference, OpGraph, Parallel, Precision, Training, inference_graph, train_graph
from simulator.models import Attention, Embedding, Ffn, Head, Norm, Position, Transformer

Dispatch = Literal["graph", "compiled", "eager"]
"""Who issues kernels."""

_STATES_IN_BF16 = Precision(moments="bf16")

_TRAINING: Mapping[str, tuple[str, bool]] = {
    "eager": ("none", True),
    "eager+full": ("full", True),
    "compile": ("none", False),
}
"""Recomputation, and whether ops are carried out one by one."""

_INFERENCE: Mapping[str, tuple[str, Dispatch]] = {
    "prefill": ("prefill", "eager"),
    "decode_eager": ("decode", "eager"),
    "decode_graph": ("decode", "graph"),
}


def model_of(given: Mapping[str, Any]) -> Transformer:
    """The model that a row names."""
    gated, heads = given["act"] == "swiglu", given["heads"]
    bias, vocab = given["bias"], given["vocab"]
    return Transformer(
        name="measured",
        family="decoder" if given["causal"] else "encoder",
        layers=given["layers"],
        d_model=given["d"],
        attention=Attention(
            heads=heads,
            kv_heads=given["kv_heads"],
            head_dim=given["d"] // heads,
            causal=given["causal"],
            qkv_bias=bias,
            out_bias=bias,
        ),
        ffn=Ffn(d_ff=given["ff"], gated=gated, activation="silu" if gated else "gelu_tanh", bias=bias),
        norm=Norm(kind=given["norm"]),
        position=Position(kind=given["position"], longest=given["seq"]),
        head=Head() if vocab else Head(kind="none"),
        embedding=Embedding(vocab=vocab, tied=given["tied"]) if vocab else None,
    )


def step_graph(row: Row) -> tuple[OpGraph, Dispatch] | None:
    """The workload of a measured step and who issues its kernels; None for one that is left out."""
    given = row.params
    if row.suite == "train" and row.phase == "step" and row.mode in _TRAINING:
        recompute, eager = _TRAINING[row.mode]
        batch = given["batch"]
        training = Training(
            batch=batch,
            seq=given["seq"],
            precision=_STATES_IN_BF16,
            recompute=recompute,
            eager=eager,
        )
        graph = train_graph(model_of(given), Parallel(microbatch=batch), training)
        return graph, "eager" if eager else "compiled"
    if row.suite == "infer" and row.phase == "step" and row.mode in _INFERENCE:
        mode, dispatch = _INFERENCE[row.mode]
        sizes = {"seq": given["seq"]} if mode == "prefill" else {"context": given["context"]}
        inference = Inference(mode=mode, batch=given["batch"], **sizes)  # type: ignore[arg-type]
        return inference_graph(model_of(given), Parallel(), inference), dispatch
    return None
