"""Ring attention: keys and values go round the chips of the context axis, a block at a time, beside attention.

Model: at each step a chip attends over the block of keys and values that it has and sends it on; what it finds is merged
with what it found before. The next block is on its way meanwhile, no more than one ahead. Under a causal mask a chip has
the first and the last of twice as many pieces of the sequence as there are chips, counted from both ends (zig-zag): over
its own block it does what a causal mask leaves, over any other exactly half of the pairs, whichever half that is.
Backwards blocks go round the other way: the block of the last step is one hop away on the other side, so nothing but a
chip's own keys and values is kept, and gradients of keys and values travel with their blocks and end at home.
Law: all steps of all chips are the pairs of the whole sequence, S (S + 1) / 2 of them; forwards a chip sends (N - 1) / N of
all keys and values, backwards the same twice: them, and their gradients.
Source: Liu et al. 2023 (Ring Attention); zig-zag: Zhu 2024 (ring-flash-attention), and Megatron-LM's context parallelism.
"""

from __future__ import annotations

from simulator.graph.items import Op, Tensor
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims
from simulator.passes.differentiate import Remake


def ring_attention(write: Writer, shapes: Shapes, q: Tensor, k: Tensor, v: Tensor, size: str) -> Tensor:
    """From a chip's queries, keys and values to what its queries find in the whole sequence, values of `size`."""
    axes, places = shapes.layout.seq, shapes.ring
    shape = (*q.dims[:-1], *dims(size))
    causal = shapes.model.attention.causal
    blocks = [(k, v)]
    found: Tensor | None = None
    for step in range(places):
        if step + 1 < places:
            # sent on when this step begins, so that no block is more than one step ahead
            waits = found.name if found is not None else None
            blocks.append(
                (
                    write.op("permute", blocks[step][0], out=f"k{step + 1}p", shape=k.dims, over=axes, after=waits),
                    write.op("permute", blocks[step][1], out=f"v{step + 1}p", shape=v.dims, over=axes, after=waits),
                )
            )
        last = step + 1 == places
        before = (found,) if found is not None else ()
        found = write.op(
            "attention_block",
            q,
            *blocks[step],
            *before,
            out="a" if last else f"a{step}p",
            shape=shape,
            causal=True if causal and not step else None,
            share="1/2" if causal and step else None,
            last=True if last else None,
        )
    for which in (0, 1):
        _made_again(write, [block[which] for block in blocks], axes)
    assert found is not None
    return found


def _made_again(write: Writer, blocks: list[Tensor], axes: str) -> None:
    """How blocks come back for the backward pass: the last one from the other side, each of the others behind it."""
    told = (("over", axes), ("shift", "-1"))
    behind = blocks[0]
    for step in range(len(blocks) - 1, 0, -1):
        again = Op(blocks[step], "permute", (behind,), told)
        ahead = (blocks[step - 1].name,) if step > 1 else ()
        write.remakes[blocks[step].name] = Remake(again, ahead)
        behind = blocks[step]
