"""A plain transformer in PyTorch: what steps of models are measured on.

Model: `Shape` says all of it; an embedding (vocab 0: neither embedding nor head), blocks of a norm, attention, a norm and a
network, a last norm and a head. Modules are PyTorch's own, what joins them is plain functions of tensors, so that a model
can be compiled, recomputed by blocks, or recorded in a graph.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from scenarios.bench.bench import Bench
from scenarios.bench.layers import rotated


@dataclass(frozen=True, slots=True)
class Shape:
    """A decoder, or an encoder where it is not causal, in the words of the rows that `validate` reads."""

    layers: int
    d: int
    heads: int
    kv_heads: int
    ff: int
    vocab: int = 0
    seq: int = 1024
    norm: Literal["rms", "layer"] = "rms"
    act: Literal["swiglu", "gelu"] = "swiglu"
    bias: bool = False
    causal: bool = True
    attention: Literal["flash", "standard"] = "flash"
    position: Literal["rope", "learned"] = "rope"
    tied: bool = False

    @property
    def head(self) -> int:
        """The width of a head."""
        return self.d // self.heads

    @property
    def params(self) -> dict[str, Any]:
        """As a row has it."""
        return asdict(self)

    def small(self) -> Shape:
        """As a dry run has it."""
        kv_heads = 2 if self.kv_heads < self.heads else 4
        few, words = min(self.layers, 2), min(self.vocab, 100)
        return replace(self, layers=few, d=64, heads=4, kv_heads=kv_heads, ff=128, vocab=words, seq=min(self.seq, 32))


def _gpt2(layers: int, d: int, heads: int, causal: bool = True, vocab: int = 50304) -> Shape:
    plain = Shape(layers, d, heads, heads, 4 * d, vocab, norm="layer", act="gelu", bias=True, causal=causal)
    return replace(plain, position="learned", tied=True)


_GPT3_LAYER = Shape(1, 12288, 96, 96, 49152, norm="layer", act="gelu", bias=True)

MODELS: dict[str, Shape] = {
    "gpt2_124m": _gpt2(12, 768, 12),
    "gpt2_355m": _gpt2(24, 1024, 16),
    "gpt2_774m": _gpt2(36, 1280, 20),
    "gpt2_1558m": _gpt2(48, 1600, 25),
    "bert_large": _gpt2(24, 1024, 16, causal=False, vocab=30592),
    "tinyllama_1b": Shape(22, 2048, 32, 4, 5632, vocab=32000),
    "llama2_7b_x4": Shape(4, 4096, 32, 32, 11008),
    "llama3_8b_x4": Shape(4, 4096, 32, 8, 14336),
    "llama3_8b_x4_vocab": Shape(4, 4096, 32, 8, 14336, vocab=128256),
    "llama3_70b_x1": Shape(1, 8192, 64, 8, 28672),
    "gpt3_175b_x1": _GPT3_LAYER,
    "llama3_8b": Shape(32, 4096, 32, 8, 14336, vocab=128256),
    "llama2_7b": Shape(32, 4096, 32, 32, 11008, vocab=32000),
}
"""By the names of rows. Source: the models' configuration files; x4 and x1 are so many of their layers."""

Cache = list[tuple[Any, Any]]
"""Keys and values of each layer, for the whole context and one more token."""


class Model:
    """A shape with weights. `parameters()` are those of its modules."""

    def __init__(self, bench: Bench, shape: Shape, dtype: str = "bfloat16") -> None:
        self.torch, self.shape, self.device = bench.torch, shape, bench.device
        # made in their format where they stay: twice the weights of a model may not fit
        made = {"device": bench.device, "dtype": getattr(bench.torch, dtype)}
        self.modules = _modules(bench.torch.nn, shape, made)
        if shape.tied and shape.vocab:
            self.modules["head"].weight = self.modules["embedding"].weight

    def __repr__(self) -> str:
        return f"Model({self.shape.layers} layers of {self.shape.d})"

    @property
    def count(self) -> int:
        """How many parameters it has."""
        return sum(each.numel() for each in self.modules.parameters())

    def rotation(self, start: int, count: int, dtype: Any) -> tuple[Any, Any] | None:
        """The cosines and sines of positions; None where positions are learned."""
        if self.shape.position != "rope":
            return None
        torch, numbers = self.torch, {"device": self.device, "dtype": self.torch.float32}
        half, at = torch.arange(0, self.shape.head, 2, **numbers), torch.arange(start, start + count, **numbers)
        angles = torch.outer(at, 10000.0 ** (-half / self.shape.head))
        return angles.cos().to(dtype), angles.sin().to(dtype)

    def embedded(self, x: Any, start: int = 0) -> Any:
        """Tokens as rows; what has no vocabulary comes as rows."""
        if self.shape.vocab:
            x = self.modules["embedding"](x)
        if self.shape.position == "learned":
            x = x + self.modules["position"].weight[start : start + x.shape[1]]
        return x

    def block(self, number: int, x: Any, rotation: Any, cache: Cache | None = None, start: int = 0) -> Any:
        """One layer."""
        layer = self.modules["blocks"][number]
        h = layer["norm1"](x)
        x = x + layer["out"](self._mixed(layer, h, rotation, cache[number] if cache is not None else None, start))
        h = layer["norm2"](x)
        functional = self.torch.nn.functional
        if "gate" in layer:
            return x + layer["down"](functional.silu(layer["gate"](h)) * layer["up"](h))
        return x + layer["down"](functional.gelu(layer["up"](h), approximate="tanh"))

    def made(self, x: Any) -> Any:
        """The last norm, and the logits of what has a vocabulary."""
        x = self.modules["norm"](x)
        return self.modules["head"](x) if self.shape.vocab else x

    def forward(self, x: Any, rotation: Any, recomputes: bool = False) -> Any:
        """The whole of it; `recomputes`: every block is carried out once more in the backward pass."""
        x = self.embedded(x)
        for number in range(self.shape.layers):
            if recomputes:
                again = self.torch.utils.checkpoint.checkpoint
                x = again(self.block, number, x, rotation, use_reentrant=False)
            else:
                x = self.block(number, x, rotation)
        return self.made(x)

    def token(self, x: Any, rotation: Any, cache: Cache, start: int) -> Any:
        """One token of each sequence, behind what the cache holds."""
        x = self.embedded(x, start)
        for number in range(self.shape.layers):
            x = self.block(number, x, rotation, cache, start)
        return self.made(x)

    def _mixed(self, layer: Any, h: Any, rotation: Any, cached: tuple[Any, Any] | None, start: int) -> Any:
        """What attention makes of the rows of a block."""
        shape, (batch, count, _) = self.shape, h.shape
        q, k, v = (layer[name](h).view(batch, count, -1, shape.head).transpose(1, 2) for name in "qkv")
        if rotation is not None:
            q, k = (rotated(self.torch, each, *rotation) for each in (q, k))
        if cached is not None:
            keys, values = cached
            keys[:, :, start : start + count] = k
            values[:, :, start : start + count] = v
            k, v = keys, values
        causal = shape.causal and cached is None
        mixed = self._standard(q, k, v, causal) if shape.attention == "standard" else self._fused(q, k, v, causal)
        return mixed.transpose(1, 2).reshape(batch, count, shape.d)

    def _fused(self, q: Any, k: Any, v: Any, causal: bool) -> Any:
        grouped = self.shape.kv_heads < self.shape.heads
        attend = self.torch.nn.functional.scaled_dot_product_attention
        return attend(q, k, v, is_causal=causal, enable_gqa=grouped)

    def _standard(self, q: Any, k: Any, v: Any, causal: bool) -> Any:
        """With scores in memory."""
        every = self.shape.heads // self.shape.kv_heads
        if every > 1:
            k, v = (each.repeat_interleave(every, 1) for each in (k, v))
        scores = (q @ k.transpose(-1, -2)) * (1 / math.sqrt(self.shape.head))
        if causal:
            count = q.shape[2]
            later = self.torch.ones(count, count, dtype=self.torch.bool, device=q.device).triu(1)
            scores = scores.masked_fill(later, float("-inf"))
        return scores.softmax(-1) @ v


def _modules(nn: Any, shape: Shape, where: Mapping[str, Any]) -> Any:
    """The modules of a model by name."""
    made = nn.ModuleDict({"blocks": nn.ModuleList(_layer(nn, shape, where) for _ in range(shape.layers))})
    made["norm"] = _norm(nn, shape, where)
    if shape.vocab:
        made["embedding"] = nn.Embedding(shape.vocab, shape.d, **where)
        made["head"] = nn.Linear(shape.d, shape.vocab, bias=False, **where)
    if shape.position == "learned":
        made["position"] = nn.Embedding(shape.seq, shape.d, **where)
    return made


def _layer(nn: Any, shape: Shape, where: Mapping[str, Any]) -> Any:
    of_keys = shape.kv_heads * shape.head
    widths = {"q": (shape.d, shape.d), "k": (shape.d, of_keys), "v": (shape.d, of_keys), "out": (shape.d, shape.d)}
    if shape.act == "swiglu":
        widths["gate"] = (shape.d, shape.ff)
    widths |= {"up": (shape.d, shape.ff), "down": (shape.ff, shape.d)}
    layer = nn.ModuleDict({name: nn.Linear(*width, bias=shape.bias, **where) for name, width in widths.items()})
    layer["norm1"], layer["norm2"] = _norm(nn, shape, where), _norm(nn, shape, where)
    return layer


def _norm(nn: Any, shape: Shape, where: Mapping[str, Any]) -> Any:
    return nn.RMSNorm(shape.d, eps=1e-5, **where) if shape.norm == "rms" else nn.LayerNorm(shape.d, **where)
