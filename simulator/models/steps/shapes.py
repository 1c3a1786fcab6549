"""The dims of a model's tensors under a layout."""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.graph.items import Dim
from simulator.models.description import Transformer
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.sizes import copies_of_heads
from simulator.models.steps.writer import dims


@dataclass(frozen=True, slots=True)
class Shapes:
    """Dims of a model's tensors under a layout."""

    model: Transformer
    layout: Layout
    kv_axes: str
    key_copies: int = 1
    """How many chips of the tensor axis have a copy of each head of keys and values."""
    exchanges: bool = False
    """Whether chips of the context axis exchange heads for tokens around attention."""
    ring: int = 0
    """How many chips of the context axis pass keys and values round; 0 where they do not."""
    met: float | None = None
    """The share of the experts that some token goes to, where tokens go through experts row by row; None: by slots."""
    filled: float = 1.0
    """The share of the slots, or rows, of experts that holds tokens."""
    places: str = "seq"
    """The dim of the rows of a table of positions: as many as tokens, unless sequences are shorter, or chips have parts of
    them, each with the whole table."""

    attention: str = "flash"
    """How attention is carried out: the `kind` of its ops."""
    dropout: bool = False
    """Whether some of what attention and networks make is dropped, as in the training of older models."""

    dropless: bool = False
    """Whether a host has to know how many tokens experts get before it goes on."""
    one_hot: bool = False
    """Whether tokens are brought to experts and back by matmuls with masks."""
    biased: str = "fused"
    """How biases of experts are added: 'fused', by their matmuls' kernels; 'gathered', a row for each token; 'grouped', the
    last expert by expert, with gates clamped by kernels of their own (Megatron-LM)."""
    by_experts: bool = False
    """Whether rows that come from other chips, which lie chip by chip, are copied into the order of a chip's experts, and
    back: a library whose experts are one tensor each, and whose all-to-all knows nothing of them, does."""

    fuses_qkv: bool = False
    """Whether queries, keys and values are one matmul whatever the model says, as a library of layers has them."""

    gathers_heads: bool = False
    """Whether what that matmul makes is gathered over the tensor axis, as heads of keys are fewer than its chips: each takes
    its head of keys out of it and its queries, and has no copy of weights."""

    keeps_attended: bool = False
    """Whether what attention makes is kept though it is run again, as a function that only attention stands in leaves it."""

    @property
    def one_matmul(self) -> bool:
        """Whether queries, keys and values are one matmul: heads of keys that stand whole on chips, or in copies, are made
        apart."""
        return (
            (self.fuses_qkv or self.model.attention.fused)
            and self.kv_axes == self.layout.tensor
            and self.key_copies == 1
        )

    @property
    def whole_experts(self) -> bool:
        """Whether experts lie whole on the chips of the tensor axis, too."""
        return bool(self.layout.tensor) and not self.layout.expert_tensor

    @property
    def of_own_tokens(self) -> Shapes:
        """Where each chip of the tensor axis has tokens of its own, as between regions."""
        return replace(self, layout=replace(self.layout, seq=self.layout.rows, tensor=""))

    @classmethod
    def of(cls, model: Transformer, parallel: Parallel, seq: int = 0) -> Shapes:
        """The dims of a model under a parallelism, for sequences of so many tokens (0: the longest)."""
        layout = Layout.of(parallel)
        attention = model.attention
        copies = copies_of_heads(model, parallel.tp)
        kv_axes = layout.tensor if attention.kv_heads * copies % parallel.tp == 0 else ""
        exchanges = parallel.context == "all_to_all" and bool(layout.seq)
        ring = parallel.cp if parallel.context == "ring" and layout.seq else 0
        longer = model.embedding is not None and 0 < seq < (model.position.longest or 0)
        looked_up = longer or bool(layout.seq)
        return cls(model, layout, kv_axes, copies, exchanges, ring, places="places" if looked_up else "seq")

    @property
    def stream(self) -> tuple[Dim, ...]:
        """Tokens between tensor-parallel regions."""
        return dims(("batch", self.layout.batch), ("seq", self.layout.rows), "model")

    @property
    def inside(self) -> tuple[Dim, ...]:
        """Tokens inside a tensor-parallel region."""
        return self.tokens("model")

    def tokens(self, *last: str | tuple[str, str]) -> tuple[Dim, ...]:
        """Tokens inside a tensor-parallel region, with other dims behind them."""
        return dims(("batch", self.layout.batch), ("seq", self.layout.seq), *last)

    def heads(self, heads: str, axes: str, seq: str = "seq", size: str = "head") -> tuple[Dim, ...]:
        """Tokens by heads; `seq`: the sequence, sharded as inside a region unless it was gathered."""
        split = self.layout.seq if seq == "seq" else ""
        return dims(("batch", self.layout.batch), (heads, axes), ("seq", split), size)
