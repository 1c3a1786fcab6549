"""A convolution stack: units of layers, forwards; what repeats is one block of ops.

Model: images are NCHW, sharded over data-parallel chips; every chip has all weights. In training a batch norm takes its
statistics from the images of one chip (as DistributedDataParallel does), else those that it has learned. Convolutions,
their norms, sums and activations are one kernel each, and two with a norm's statistics, unless steps are eager; then a
pool keeps where its largest elements were, in int64.
Recomputing in full keeps what units take in.
Source: He et al. 2016; Simonyan & Zisserman 2015; torchvision models/resnet.py and vgg.py.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hw import Mark
from simulator.graph.items import Dim, Op, Repeat, Tensor
from simulator.models.convolution import ConvNet, Layer, Unit, units
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


def convolution_stack(model: ConvNet, parallel: Parallel, asked: Asked) -> Stack:
    """A stack of one chunk. Raises SpecError for a parallelism other than data's, or images that do not divide."""
    problems = refuse_ways(parallel, "chips share the images of a convolution stack (dp, zero)", "tp", "pp", "cp", "ep")
    refuse_blocks(problems, asked, ("none", "full"))
    at_once = parallel.dp * parallel.microbatch
    if asked.batch % at_once:
        told = f"batch {asked.batch} is no multiple of {parallel.dp} replicas x microbatch {parallel.microbatch}"
        problems.add(Mark("batch"), told)
    if asked.seq:
        problems.add(Mark("seq"), f"{model.name} reads images and has no tokens; leave seq out")
    problems.raise_if_any()
    sizes = {"batch": at_once} | dict(_widths(model))
    axes = Layout.of(parallel).batch

    def maker(_where: Slice, stored: Stored) -> _UnitMaker:
        return _UnitMaker(model, stored, sizes, axes, asked)

    return Stack(1, asked.batch // at_once, sizes, maker)


def _widths(model: ConvNet) -> Iterator[tuple[str, int]]:
    """Dims of linear layers: names tell those of one size apart."""
    for number, unit in enumerate(units(model)):
        for layer in unit.layers:
            if layer.kind == "linear":
                yield f"row{_suffix(number)}", layer.in_channels
                yield f"out{_suffix(number)}", layer.out_channels


def _suffix(number: int) -> str:
    """What names of a unit end in."""
    return f"u{number}"


@dataclass(frozen=True, slots=True)
class _UnitMaker:
    """Makes the parts of a convolution stack: one for each unit, and the loss."""

    model: ConvNet
    stored: Stored
    sizes: Mapping[str, int]
    axes: str
    asked: Asked

    @property
    def taken(self) -> Tensor:
        """The images."""
        write = writer_of(self.stored, self.asked.eager)
        side, shape = self.model.image, dims(("batch", self.axes))
        return write.tensor("image", (*shape, *_sizes(self.model.channels, side, side)), write.wide)

    def parts(self) -> list[Part]:
        """Unit after unit, then the loss."""
        found: list[Part] = []
        x = self.taken
        for number, unit in enumerate(units(self.model)):
            found.append(self._unit(number, unit, x))
            x = found[-1].makes
        if self.asked.trains:
            found.append(loss_of_classes(self.stored, self.asked.eager, x))
        return found

    def _unit(self, number: int, unit: Unit, x: Tensor) -> Part:
        write = writer_of(self.stored, self.asked.eager, _suffix(number))
        if number == 0:
            write.owned("inputs", x)
        layers = _Layers(write, self.axes, self.asked.trains)
        name, repeated, before = f"U{number}", unit.repeat > 1, list[Op]()
        if repeated and unit.layers[-1].kind == "linear":
            # every round takes in what the round before made, under the same dims
            taken = write.tensor("x", (x.dims[0], *dims(f"out{write.suffix}")))
            before.append(Op(taken, "view", (x,)))
            x = taken
        y = layers.through(unit, x)
        found = buffers(name, write.weights, self.stored.parallel, self.sizes, repeated=repeated)
        late = f"{y.name}@round-{self.stored.parallel.prefetch + 1}" if repeated else ""
        views = [op for buffer in found for op in self.stored.views(buffer, late)]
        again = frozenset().union(*(self.stored.late_names(buffer) for buffer in found))
        if self.asked.recompute == "full":
            again |= {op.name for op in write.ops if op.name != y.name}
        ops: tuple[Op | Repeat, ...] = (*views, *write.ops)
        items: tuple[Op | Repeat, ...] = ops
        if repeated:
            items = (*before, Repeat(unit.repeat, ops, ((x.name, y.name),)))
        return Part(items, found, y, again, tuple(write.fuse), write.roles)


def _sizes(*sizes: int) -> Sequence[Dim]:
    return [Dim(size) for size in sizes]


@dataclass
class _Layers:
    """Writes the ops of a unit's layers. `made`: what each layer has made; `late`: those that are made when they are
    added."""

    write: Writer
    axes: str
    trains: bool
    made: dict[str, Tensor] = field(default_factory=dict)
    late: dict[str, tuple[str, Layer]] = field(default_factory=dict)

    def through(self, unit: Unit, x: Tensor) -> Tensor:
        """From what a unit takes in to what it makes."""
        self.made = {unit.reads: x}
        marked = [(f"{at}" if len(unit.layers) > 1 else "", layer) for at, layer in enumerate(unit.layers)]
        around = {layer.adds for layer in unit.layers}
        # what goes around is made when it is added, as the reference implementations do
        self.late = {layer.name: (mark, layer) for mark, layer in marked if layer.name in around}
        for mark, layer in marked:
            if layer.name not in self.late:
                self.made[layer.name] = self._layer(layer, mark)
        if self.write.eager and around != {None}:
            # Python holds what a block was called with until it returns
            self.write.op("custom", x, out="held", shape=(), dtype="fp32", bytes="0")
        return self.made[unit.layers[-1].name]

    def _added(self, name: str) -> Tensor:
        """What a layer adds: what goes around it."""
        if name not in self.made:
            mark, layer = self.late[name]
            self.made[name] = self._layer(layer, mark)
        return self.made[name]

    def _layer(self, layer: Layer, mark: str) -> Tensor:
        x = self.made[layer.reads]
        if layer.kind in ("max_pool", "avg_pool"):
            return self._pool(layer, x)
        y = self._conv(layer, x, mark) if layer.kind == "conv" else self._linear(layer, x, mark)
        together = [y]
        if layer.norm:
            together.append(y := self._norm(y, mark))
        if layer.adds is not None:
            together.append(y := self.write.op("add", y, self._added(layer.adds), out=f"t{mark}", shape=y.dims))
        if layer.activation == "relu":
            together.append(y := self.write.op("relu", y, out=f"y{mark}", shape=y.dims))
        if len(together) > 1 and not self.write.eager:
            self.write.together(*together)
        return y

    def _shape(self, layer: Layer) -> tuple[Dim, ...]:
        return (Dim("batch", self.axes), *_sizes(layer.out_channels, layer.out_size, layer.out_size))

    def _conv(self, layer: Layer, x: Tensor, mark: str) -> Tensor:
        window = _sizes(layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
        weights = [self.write.narrow(self.write.weight(f"w{mark}", window))]
        if not layer.norm:
            weights.append(self.write.narrow(self.write.weight(f"b{mark}", _sizes(layer.out_channels))))
        told = _windows(layer)
        return self.write.op("conv2d", self.write.narrow(x), *weights, out=f"c{mark}", shape=self._shape(layer), **told)

    def _norm(self, x: Tensor, mark: str) -> Tensor:
        channels = x.dims[1:2]
        weights = [self.write.weight(f"{name}{mark}", channels) for name in ("g", "b")]
        known = [self.write.tensor(f"{name}{mark}", channels, "fp32") for name in ("mean", "var")]
        self.write.owned("weights", *known)
        trains = True if self.trains else None
        return self.write.op("batch_norm", x, *weights, *known, out=f"n{mark}", shape=x.dims, train=trains)

    def _pool(self, layer: Layer, x: Tensor) -> Tensor:
        indices = True if layer.kind == "max_pool" and self.write.eager and self.trains else None
        told: dict[str, Any] = {
            "window": layer.kernel,
            "stride": layer.stride,
            "pad": layer.padding or None,
            "indices": indices,
        }
        return self.write.op(f"{layer.kind}2d", x, out="y", shape=self._shape(layer), **told)

    def _linear(self, layer: Layer, x: Tensor, mark: str) -> Tensor:
        """A matmul over an image as one row, and its bias."""
        write, batch = self.write, Dim("batch", self.axes)
        before, after = dims(f"row{write.suffix}", f"out{write.suffix}")
        x = write.op("view", x, out=f"row{mark}", shape=(batch, before), dtype=x.dtype)
        w = write.narrow(write.weight(f"w{mark}", (before, after)))
        shape = (batch, after)
        if layer.norm:
            return write.op("matmul", write.narrow(x), w, out=f"c{mark}", shape=shape)
        made = write.op("matmul", write.narrow(x), w, out=f"m{mark}", shape=shape)
        added = write.op("add", made, write.weight(f"b{mark}", shape[1:]), out=f"c{mark}", shape=shape)
        if write.eager or layer.activation == "none":
            write.together(made, added)
        return added


def _windows(layer: Layer) -> dict[str, Any]:
    """Stride and padding, where they are not 1 and 0."""
    told = {"stride": layer.stride if layer.stride > 1 else 0, "pad": layer.padding}
    return {name: value for name, value in told.items() if value}
