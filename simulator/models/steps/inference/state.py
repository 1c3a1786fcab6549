"""Linear attention over a state: one matrix for each head of keys, to which each token adds its key and value.

Model: a pass adds the products of its keys and values to the state, and its queries read it: 2 d_k d_v FLOPs a token for
each head of keys, and as many for each head of queries. The state is as large at any context; it is read and written once a
pass, an input of the graph from the second token on.
Assumes: within a chunk of a prompt what queries may not see is left out at no cost; feature maps and decay cost nothing.
Source: Katharopoulos et al. 2020 (Transformers are RNNs), equations 16 to 20.
"""

from __future__ import annotations

from dataclasses import replace

from simulator.graph.items import Dim, Tensor
from simulator.models.steps.inference.request import Pass
from simulator.models.steps.storage.buffer import HERE
from simulator.models.steps.writer import Writer, dims

VALUES, GROUP = "vhead", "group"
"""The dims of a head of values, and of the heads of queries that share one of keys."""


def state_attention(
    write: Writer,
    inputs: tuple[Tensor, Tensor, Tensor],
    passed: tuple[Pass, str | None],
    dtype: str,
) -> Tensor:
    """What queries read of the state, keys and values of the pass added; `passed`: the pass, and what the names of the one
    before end in; `dtype`: what a state is stored in."""
    q, k, v = inputs
    batch, kv, tokens, head = k.dims
    v = write.op("view", v, out="vs", shape=(batch, kv, tokens, *dims(VALUES)), dtype=v.dtype, memory=v.memory)
    shape = (batch, kv, head, *dims(VALUES))
    had = _had(write, shape, passed, dtype)
    if had is None:
        state = write.op("matmul", k, v, out="skept", shape=shape, dtype=dtype, memory="hbm")
    else:
        added = write.op("matmul", k, v, out="sadd", shape=shape)
        state = write.op("add", had, added, out="skept", shape=shape, dtype=dtype, memory="hbm")
        write.together(added, state)
        write.owned("kv cache", had)
    write.owned("kv cache", state)
    return _read(write, q, state)


def _had(write: Writer, shape: tuple[Dim, ...], passed: tuple[Pass, str | None], dtype: str) -> Tensor | None:
    """The state before the pass: an input of the graph, what the pass before kept, or none."""
    step, earlier = passed
    if earlier is not None:
        found = write.tensor("skept", shape, dtype, "hbm")
        return replace(found, name=found.name.removesuffix(step.suffix) + earlier, rounds=HERE)
    return write.tensor("scache", shape, dtype, "hbm") if step.context else None


def _read(write: Writer, q: Tensor, state: Tensor) -> Tensor:
    """What every query reads: those that share a head of keys stand side by side."""
    batch, heads, tokens, head = q.dims
    grouped = (batch, state.dims[1], *dims(GROUP), tokens)
    q = write.op("view", q, out="qs", shape=(*grouped, head), dtype=q.dtype, memory=q.memory)
    a = write.op("matmul", q, state, out="as", shape=(*grouped, *dims(VALUES)))
    return write.op("view", a, out="a", shape=(batch, heads, tokens, head), dtype=a.dtype, memory=a.memory)
