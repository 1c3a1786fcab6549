"""Attention over a cache of keys and values: its ops, for prompts and for single tokens.

Model: each block has a cache of its own, an input of the graph that is written in place. A block whose window is full
writes over the oldest token and reads the window alone. A first pass has no cache: what it made is copied into one, at the
end of which it has the window at most. Heads of the cache are sharded over the tensor axis; where chips share a sequence
(the context axis) each has a part of its tokens. A single token attends over the part that each chip has, and what chips
found is added up; a chunk of a prompt gathers keys and values first, or exchanges heads for tokens, and keys of a whole
prompt may go round. Multi-head latent attention (MLA) caches the narrow vector and the rotated part, in one row. Single
tokens attend over these rows as they are: the matrices that would expand them go to the query and to what comes out
("absorbed"); a chunk expands them for every head.
Assumes: a cache that chips share is allocated in full and evenly; paged caches cost what contiguous ones do.
Source: Pope et al. 2023; Jiang et al. 2023 (rolling buffer); Kwon et al. 2023 (paged); DeepSeek-AI 2024 (DeepSeek-V2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from simulator.graph.items import Dim, Tensor
from simulator.models.blocks import Block
from simulator.models.description import Attention, AttentionKind, Latent
from simulator.models.steps.attention import (
    expanded,
    heads_joined,
    latent_queries,
    narrow_keys,
    queries_keys_values,
)
from simulator.models.steps.context.ring import ring_attention
from simulator.models.steps.inference.request import Pass
from simulator.models.steps.inference.state import state_attention
from simulator.models.steps.pieces import base_name, heads_for_tokens, keys_of_all
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.storage.buffer import HERE
from simulator.models.steps.writer import Writer, dims


@dataclass(frozen=True, slots=True)
class Cached:
    """How the cache of one kind of block is in a pass: the dims of its tokens before the pass (None: there is no cache yet),
    while attention reads them, and of those that later passes need; `in_place`: the pass writes over tokens."""

    had: Dim | None
    keys: Dim
    kept: Dim
    in_place: bool = False


@dataclass(frozen=True, slots=True)
class CacheMaker:
    """Works out the caches of a run's passes. `shares`: the axes over which chips have parts of the tokens, `chips` along
    them; `last`: tokens in the cache when the run is over; `sizes`: of dims, filled on the way."""

    attention: Attention
    shares: str
    chips: int
    last: int
    sizes: dict[str, int]

    def next(self, kind: AttentionKind, step: Pass, earlier: Cached | None) -> Cached:
        """The cache of a kind of block in a pass, behind that of the pass before."""
        window = self.attention.window if kind == "sliding" else None
        mark = f"{'w' if window else ''}{step.suffix}"
        before = min(step.context, window or step.context)
        had = earlier.kept if earlier is not None else None
        if had is None and before:
            had = self._dim("had" + mark, before)
        if step.tokens == 1 and self.chips > 1:
            # allocated in full, so that all chips have as much of it
            room = -(-min(self.last, window or self.last) // self.chips) * self.chips
            had = self._dim("room" + ("w" if window else ""), room)
            return Cached(had, had, had, in_place=True)
        if had is None:
            keys, after = Dim("seq", self.shares), step.tokens
        elif step.tokens == 1 and before == window:
            return Cached(had, had, had, in_place=True)
        else:
            after = before + step.tokens
            keys = self._dim("keys" + mark, after)
        kept = self._dim("kept" + mark, window) if window is not None and window < after else keys
        return Cached(had, keys, kept)

    def _dim(self, name: str, size: int) -> Dim:
        """A dim of so many tokens, shared as the cache is."""
        self.sizes[name] = size
        return Dim(name, self.shares)


@dataclass(frozen=True, slots=True)
class CacheAttention:
    """Attention of one pass. `caches`: by the kind of a block's attention; `earlier`: what the names of the pass before
    end in, None in the first; `dtype`: what the cache is stored in."""

    step: Pass
    earlier: str | None
    caches: Mapping[AttentionKind, Cached]
    dtype: str

    def __call__(self, write: Writer, shapes: Shapes, block: Block, x: Tensor) -> Tensor:
        """From tokens inside a region to the sums of the output's matmul."""
        latent = shapes.model.attention.latent
        if latent is not None:
            return self._of_latent(write, shapes, block, latent, x)
        q, k, v = queries_keys_values(write, shapes, x)
        if block.attention == "linear":
            a = state_attention(write, (q, k, v), (self.step, self.earlier), self.dtype)
            return heads_joined(write, shapes, a)
        cached = self.caches[block.attention]
        keys, values = (self._stored(write, cached, each, name) for each, name in ((k, "k"), (v, "v")))
        if shapes.ring:
            return heads_joined(write, shapes, ring_attention(write, shapes, q, keys, values, "head"))
        return heads_joined(write, shapes, self._of_sequence(write, shapes, block, (q, keys, values), "head"))

    # --- what is in the cache

    def _stored(self, write: Writer, cached: Cached, new: Tensor, name: str) -> Tensor:
        """Put something new into the cache; returns all that attention reads."""
        at = len(new.dims) - 2
        trimmed = cached.kept != cached.keys
        if cached.had is None:
            # the first pass leaves a copy of what it made, at most of the last window
            left = self._last(write, cached, new, f"{name}last") if trimmed else new
            kind = "copy" if self.dtype == new.dtype else "cast"
            kept = write.op(kind, left, out=f"{name}kept", shape=left.dims, dtype=self.dtype, memory="hbm")
            write.owned("kv cache", kept)
            return new
        kind, out = "update" if cached.in_place else "append", f"{name}all" if trimmed else f"{name}kept"
        had, shape = self._had(write, cached, new, name), _with(new.dims, at, cached.keys)
        made = write.op(kind, had, new, out=out, shape=shape, dtype=self.dtype, memory="hbm")
        write.owned("kv cache", had, made)
        if trimmed:
            write.owned("kv cache", self._last(write, cached, made, f"{name}kept"))
        return made

    def _had(self, write: Writer, cached: Cached, new: Tensor, name: str) -> Tensor:
        """The cache before the pass: an input of the graph, or what the pass before kept."""
        shape = _with(new.dims, len(new.dims) - 2, cached.had or cached.keys)
        if self.earlier is None:
            return write.tensor(f"{name}cache", shape, self.dtype, "hbm")
        found = write.tensor(f"{name}kept", shape, self.dtype, "hbm")
        return replace(found, name=found.name.removesuffix(self.step.suffix) + self.earlier, rounds=HERE)

    @staticmethod
    def _last(write: Writer, cached: Cached, x: Tensor, out: str) -> Tensor:
        """Of keys or values those that later passes need."""
        shape = _with(x.dims, len(x.dims) - 2, cached.kept)
        return write.op("view", x, out=out, shape=shape, dtype=x.dtype, memory=x.memory)

    # --- attention

    def _of_sequence(
        self, write: Writer, shapes: Shapes, block: Block, inputs: tuple[Tensor, Tensor, Tensor], size: str
    ) -> Tensor:
        """Attention of a chip's queries over keys and values that chips share: each chip its queries over all of them, or
        some heads of the whole sequence."""
        q, k, v = inputs
        if shapes.exchanges:
            q, k, v = (heads_for_tokens(write, shapes, each) for each in inputs)
        elif self.caches[block.attention].had is None:
            k, v = keys_of_all(write, shapes, k), keys_of_all(write, shapes, v)
        a = self._attend(write, shapes, block, (q, k, v), size)
        return heads_for_tokens(write, shapes, a) if shapes.exchanges else a

    def _attend(
        self, write: Writer, shapes: Shapes, block: Block, inputs: tuple[Tensor, Tensor, Tensor], size: str
    ) -> Tensor:
        """Attention of queries over keys and values, over all that chips share of these."""
        q, k, v = inputs
        attention, alone = shapes.model.attention, self.step.tokens == 1
        seen = attention.window if block.attention == "sliding" else None
        causal = attention.causal or None
        if alone:
            # the cache holds what the token sees
            causal = seen = None
        shares = k.dims[-2].axes
        if shares and not alone:
            k, v = self._of_all(write, k), self._of_all(write, v)
            shares = ""
        shape = (*q.dims[:-1], *dims(size))
        a = write.op("attention", q, k, v, out="a", shape=shape, partial=shares, causal=causal, window=seen)
        if not shares:
            return a
        return write.op("all_reduce", a, out="ar", shape=a.dims, over=shares)

    @staticmethod
    def _of_all(write: Writer, x: Tensor) -> Tensor:
        """Keys or values of the whole sequence."""
        at = len(x.dims) - 2
        whole = _with(x.dims, at, Dim(x.dims[at].size))
        out, axes = f"{base_name(write, x)}c", x.dims[at].axes
        return write.op("all_gather", x, out=out, shape=whole, over=axes, dtype=x.dtype, memory="hbm")

    # --- MLA

    def _of_latent(self, write: Writer, shapes: Shapes, block: Block, latent: Latent, x: Tensor) -> Tensor:
        q = latent_queries(write, shapes, latent, x)
        narrow, rotated = narrow_keys(write, shapes, x)
        row = write.op("concat", narrow, rotated, out="c", shape=shapes.tokens("latent"))
        cached = self.caches[block.attention]
        rows = self._stored(write, cached, row, "c")
        if self.step.tokens == 1:
            return heads_joined(write, shapes, self._absorbed(write, shapes, block, q, rows))
        if cached.had is not None:
            # of the whole sequence, so that each chip expands what its heads need
            rows = self._of_all(write, rows) if rows.dims[1].axes else rows
            narrow, rotated = (
                write.op("view", rows, out=name, shape=_last_as(rows.dims, size), dtype=rows.dtype, memory=rows.memory)
                for name, size in (("kvc", "kvrank"), ("krc", "rotated"))
            )
        k, v = expanded(write, shapes, narrow, rotated)
        if shapes.ring:
            return heads_joined(write, shapes, ring_attention(write, shapes, q, k, v, "vhead"))
        return heads_joined(write, shapes, self._of_sequence(write, shapes, block, (q, k, v), "vhead"))

    def _absorbed(self, write: Writer, shapes: Shapes, block: Block, q: Tensor, rows: Tensor) -> Tensor:
        """Attention over the rows of the cache as they are, the same for all heads."""
        axes = shapes.layout.tensor
        plain = write.op("view", q, out="qplain", shape=_last_as(q.dims, "plain"))
        rotated = write.op("view", q, out="qrot", shape=_last_as(q.dims, "rotated"))
        wide = write.weight("wkn", dims("kvrank", ("heads", axes), "plain"))
        narrow = write.op("matmul", plain, wide, out="qnarrow", shape=_last_as(q.dims, "kvrank"))
        asked = write.op("concat", narrow, rotated, out="qc", shape=_last_as(q.dims, "latent"))
        a = self._attend(write, shapes, block, (asked, rows, rows), "kvrank")
        values = write.weight("wv", dims("kvrank", ("heads", axes), "vhead"))
        return write.op("matmul", a, values, out="av", shape=_last_as(a.dims, "vhead"))


def _with(given: tuple[Dim, ...], at: int, dim: Dim) -> tuple[Dim, ...]:
    """Dims with another one in a place."""
    return (*given[:at], dim, *given[at + 1 :])


def _last_as(given: tuple[Dim, ...], size: str) -> tuple[Dim, ...]:
    """Dims with another last one."""
    return (*given[:-1], Dim(size))
