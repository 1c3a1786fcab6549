"""Steps of whole models that were measured: a training step, a prefill, a token of a decode, as a row spells them out.

Params: `layers`, `d`, `heads`, `kv_heads`, `ff`, `seq`, `vocab` (0: neither embedding nor head), `batch`; `norm` (rms or
layer), `act` (swiglu, gelu), `bias`, `causal`, `position` (rope, learned), `tied`; of a decode `context`. Mode: eager or
compile, `+full` with recomputation of every block, `+standard` with the scores of attention in memory, `+amp` with
weights in fp32 and autocast to bf16; prefill, decode_eager, decode_graph. Weights and AdamW's states are in bf16 but
under autocast. Vision models are those of the catalogue by their name, with SGD and momentum: `batch` images, eager (in
TF32) or eager+amp, and infer+amp.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from scenarios.models import load_model, model_names
from scenarios.validation.rows import Row, of_params
from simulator import (
    Dispatch,
    Forward,
    Inference,
    OpGraph,
    Parallel,
    Precision,
    Training,
    forward_graph,
    inference_graph,
    train_graph,
)
from simulator.models import Attention, Embedding, Ffn, Head, Norm, Position, Transformer

_STATES_IN_BF16 = Precision(moments="bf16")
_AUTOCAST = Precision(weights="fp32", gradients="fp32")
_TF32 = Precision(compute="tf32", weights="tf32", gradients="tf32")


@dataclass(frozen=True, slots=True)
class _Way:
    """How a model is trained: what is recomputed, whether ops are carried out one by one, how attention is, and formats."""

    recompute: str = "none"
    eager: bool = True
    attention: Literal["flash", "standard"] = "flash"
    precision: Precision = _STATES_IN_BF16


_TRAINING: Mapping[str, _Way] = {
    "eager": _Way(),
    "eager+full": _Way(recompute="full"),
    "eager+standard": _Way(attention="standard"),
    "eager+amp": _Way(precision=_AUTOCAST),
    "compile": _Way(eager=False),
}

_VISION: Mapping[str, Precision] = {"eager": _TF32, "eager+amp": _AUTOCAST, "infer+amp": _AUTOCAST}

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


@of_params
def step_graph(row: Row) -> tuple[OpGraph, Dispatch] | None:
    """The workload of a measured step and who issues its kernels; None for one that is left out."""
    given = row.params
    if row.suite == "train" and row.phase == "step" and row.mode in _TRAINING:
        way, batch = _TRAINING[row.mode], given["batch"]
        training = Training(
            batch=batch,
            seq=given["seq"],
            precision=way.precision,
            recompute=way.recompute,
            eager=way.eager,
            attention=way.attention,
        )
        graph = train_graph(model_of(given), Parallel(microbatch=batch), training)
        return graph, "eager" if way.eager else "compiled"
    if row.suite == "vision" and row.mode in _VISION and row.name in model_names():
        return _of_images(row.name, given["batch"], row.mode), "eager"
    if row.suite == "infer" and row.phase == "step" and row.mode in _INFERENCE:
        mode, dispatch = _INFERENCE[row.mode]
        sizes = {"seq": given["seq"]} if mode == "prefill" else {"context": given["context"]}
        inference = Inference(mode=mode, batch=given["batch"], **sizes)  # type: ignore[arg-type]
        return inference_graph(model_of(given), Parallel(), inference), dispatch
    return None


def _of_images(name: str, batch: int, mode: str) -> OpGraph:
    """A step of a vision model of the catalogue, or a forward pass."""
    model, precision = load_model(name).description, _VISION[mode]
    parallel = Parallel(microbatch=batch)
    if mode.startswith("infer"):
        return forward_graph(model, parallel, Forward(batch=batch, precision=precision, eager=True))
    return train_graph(model, parallel, Training(batch=batch, precision=precision, optimizer="sgd", eager=True))
