"""A forward pass of any model as an op graph: what it tells of a batch, without a loss.

Model: everything that the model reads goes through it once, all of a replica's batch at once: sequences of an encoder or a
decoder (logits of every token, no cache), images, a graph. Weights are stored, shared and gathered as in training; batch
norms have statistics that they have learned. Prompts and tokens of decoders have modes of their own (`inference`).
Law: matmuls are those of the closed form (`simulator.models.forward_flops`), a third of a training step's but for the
first layer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from hw import Mark, Problems
from simulator.graph.items import Op, Repeat
from simulator.graph.op_graph import OpGraph
from simulator.models.parameters import Model
from simulator.models.steps.buffers import Stored
from simulator.models.steps.carried_out.alike import marked
from simulator.models.steps.inference.request import BF16
from simulator.models.steps.layout import Parallel
from simulator.models.steps.parts import Slice
from simulator.models.steps.precision import Precision
from simulator.models.steps.roles import forward_roles
from simulator.models.steps.stacks.families import stack_of
from simulator.models.steps.stacks.stack import Asked
from simulator.passes.sharding.collective_matmul import collective_matmuls


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """What goes through a model: sequences (or images) of all replicas together, tokens of each where they do not follow
    from the model, and formats. `eager`: ops are those of PyTorch without a compiler."""

    batch: int = 1
    seq: int = 0
    precision: Precision = BF16
    eager: bool = False

    @property
    def tokens(self) -> int:
        """Tokens of all replicas together, as far as they are said."""
        return self.batch * self.seq


def forward_graph(model: Model, parallel: Parallel, forward: Forward) -> OpGraph:
    """The op graph of one forward pass. Raises SpecError where batch, sequence or sizes do not divide."""
    problems = Problems()
    for name in ("pp", "interleave"):
        if getattr(parallel, name) > 1:
            problems.add(Mark(f"parallel.{name}"), "a forward pass alone has no pipeline; prefill and training have")
    problems.raise_if_any()
    # without optimizer and gradients there is nothing to share out but weights
    zero = parallel.zero if parallel.zero == 3 else 0
    # what does not divide is told by the stack
    parallel = replace(parallel, microbatch=max(1, forward.batch // parallel.replicas), zero=zero)
    stack = stack_of(model, parallel, Asked(forward.batch, forward.seq, eager=forward.eager, trains=False))
    parallel.cut(stack.layers)  # or says why not
    stored = Stored(parallel, forward.precision)
    parts = stack.maker(Slice(0, stack.layers), stored).parts()
    items: list[Op | Repeat] = []
    for part in parts:
        items += part.for_each([op for buffer in part.buffers for op in stored.declared(buffer)])
    for part in parts:
        copies = max(buffer.key_copies for buffer in part.buffers) if part.buffers else 1
        items += marked(part.items, parallel, copies)
    sizes = {buffer.dim: buffer.size for part in parts for buffer in part.buffers}
    fuse = [list(group) for part in parts for group in part.fuse]
    graph = OpGraph({**stack.sizes, **sizes}, tuple(items), fuse=fuse or "none", roles=forward_roles(parts, stored))
    return collective_matmuls(graph, parallel.axes("tp"), parallel.collective_matmul)
