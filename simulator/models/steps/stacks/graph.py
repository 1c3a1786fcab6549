"""A graph network as a stack: matmuls over nodes and sums over neighbours, layer by layer.

Model: a GCN multiplies features by its matrix and then sums them over neighbours, weighted by degree; GraphSAGE takes the
mean of the neighbours as they are, and multiplies it and the node itself by a matrix each. Data-parallel chips share nodes,
and each has the edges into its own: what they sum is gathered from all before (and its gradient scattered behind).
Nodes and edges that chips do not share evenly are padded.
Source: Kipf & Welling 2017; Hamilton et al. 2017; PyTorch Geometric's GCNConv and SAGEConv for the order; Tripathy et al.
2020 (CAGNET, the 1D layout).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hw import Mark
from simulator.graph.items import Dim, Tensor
from simulator.models.graph_network import GraphNetwork
from simulator.models.steps.buffers import Stored
from simulator.models.steps.layout import Layout, Parallel
from simulator.models.steps.parts import Part, Slice
from simulator.models.steps.stacks.stack import (
    Asked,
    Stack,
    loss_of_classes,
    refuse_blocks,
    refuse_ways,
    writer_of,
)
from simulator.models.steps.storage.buffer import buffers
from simulator.models.steps.writer import Writer, dims


def graph_stack(model: GraphNetwork, parallel: Parallel, asked: Asked) -> Stack:
    """A stack of one chunk. Raises SpecError for a parallelism other than data's."""
    problems = refuse_ways(parallel, "chips share the nodes of a graph (dp, zero)", "tp", "pp", "cp", "ep")
    refuse_blocks(problems, asked, ("none", "full"))
    if asked.batch != 1:
        problems.add(Mark("batch"), f"batch is {asked.batch}; a step is over the one graph of {model.name}")
    if parallel.microbatch != 1:
        problems.add(Mark("parallel.microbatch"), "a step is over one whole graph")
    if asked.seq:
        problems.add(Mark("seq"), f"{model.name} reads a graph and has no tokens; leave seq out")
    problems.raise_if_any()
    sizes = {
        name: -(-count // parallel.dp) * parallel.dp
        for name, count in (("nodes", model.nodes), ("peers", model.nodes), ("edges", model.summed))
    }
    sizes |= {_width(number): width for number, width in enumerate((model.features, *model.widths))}
    axes = Layout.of(parallel).batch

    def maker(_where: Slice, stored: Stored) -> _LayerMaker:
        return _LayerMaker(model, stored, sizes, axes, asked)

    return Stack(1, 1, sizes, maker)


def _width(number: int) -> str:
    """The dim of the features of a node before layer `number`."""
    return f"f{number}"


@dataclass(frozen=True, slots=True)
class _LayerMaker:
    """Makes the parts of a graph network: one for each layer, and the loss."""

    model: GraphNetwork
    stored: Stored
    sizes: Mapping[str, int]
    axes: str
    asked: Asked

    @property
    def taken(self) -> Tensor:
        """The features of nodes."""
        write = writer_of(self.stored, self.asked.eager)
        return write.tensor("h", (*dims(("nodes", self.axes)), Dim(_width(0))), write.dtype)

    def parts(self) -> list[Part]:
        """Layer after layer, then the loss."""
        found: list[Part] = []
        x, last = self.taken, len(self.model.widths) - 1
        for number in range(last + 1):
            found.append(self._layer(number, x, number == last))
            x = found[-1].makes
        if self.asked.trains:
            found.append(loss_of_classes(self.stored, self.asked.eager, x))
        return found

    def _layer(self, number: int, x: Tensor, is_last: bool) -> Part:
        write = writer_of(self.stored, self.asked.eager, f"l{number}")
        if number == 0:
            write.owned("inputs", x)
        after = Dim(_width(number + 1))
        made = self._convolved(write, x, after) if self.model.layer == "gcn" else self._sampled(write, x, after)
        if self.model.bias:
            made = write.op("add", made, write.weight("b", [after]), out="sb", shape=made.dims)
        if self.model.activation == "relu" and not is_last:
            made = write.op("relu", made, out="y", shape=made.dims)
        found = buffers(f"G{number}", write.weights, self.stored.parallel, self.sizes, repeated=False)
        views = [op for buffer in found for op in self.stored.views(buffer, "")]
        again = frozenset[str]()
        if self.asked.recompute == "full":
            again = frozenset(op.name for op in write.ops if op.name != made.name)
        return Part((*views, *write.ops), found, made, again, tuple(write.fuse), write.roles)

    def _convolved(self, write: Writer, x: Tensor, after: Dim) -> Tensor:
        """Times a matrix, then summed over neighbours."""
        return self._summed(write, self._times(write, x, "w", after, "hw"), "s")

    def _sampled(self, write: Writer, x: Tensor, after: Dim) -> Tensor:
        """The mean of the neighbours times one matrix, and the node itself times another."""
        around = self._times(write, self._summed(write, x, "s"), "wn", after, "hn")
        itself = self._times(write, x, "wi", after, "hi")
        return write.op("add", around, itself, out="sum", shape=around.dims)

    def _times(self, write: Writer, x: Tensor, name: str, after: Dim, out: str) -> Tensor:
        w = write.narrow(write.weight(name, (x.dims[1], after)))
        return write.op("matmul", x, w, out=out, shape=(x.dims[0], after))

    def _summed(self, write: Writer, x: Tensor, out: str) -> Tensor:
        """Summed over neighbours, wherever those are."""
        edges = Tensor("edges", "int32", dims(("edges", self.axes)))
        given = [edges]
        if self.model.layer == "gcn":
            given.append(Tensor("degrees", "fp32", edges.dims))
        write.owned("inputs", *given)
        if self.axes:
            whole = (*dims("nodes"), x.dims[1])
            x = write.op("all_gather", x, out=f"{out}all", shape=whole, over=self.axes)
        peers = write.op("view", x, out=f"{out}peers", shape=(*dims("peers"), x.dims[1]))
        shape = (*dims(("nodes", self.axes)), x.dims[1])
        return write.op("aggregate", edges, peers, *given[1:], out=out, shape=shape)
