"""Convolution stacks as plain data, and the layers that they are made of, with the sizes of their images.

Model: a square image of `channels` goes through stages, one after the other; a stage is one kind of layer, `repeat` times,
of which the first may have a stride. A residual stage repeats a block: `basic` is two 3x3 convolutions, `bottleneck` a
1x1, a 3x3 (which has the stride) and a 1x1 to four times as many channels; what goes around it is projected by a 1x1
convolution where its shape changes. Convolutions of a block have a batch norm and no bias. A linear layer reads the image
as one row.
Assumes: padding, where it is not said, keeps the size of an image at stride 1.
Source: He et al. 2016 (ResNet), with the stride in the 3x3 as torchvision and NVIDIA's v1.5 have it; Simonyan & Zisserman
2015 (VGG).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from simulator.models.weights import Weight

StageKind = Literal["conv", "basic", "bottleneck", "max_pool", "avg_pool", "linear"]

BOTTLENECK_EXPANSION = 4
"""How many times wider a bottleneck block is at its end than inside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Layers of one kind in a row.

    `channels`: what they put out (a bottleneck: its width inside; pools keep theirs). `kernel`: side of the window, of a
    pool 0 for the whole image. `norm`: a batch norm follows; a convolution has a bias if it has none.
    """

    kind: StageKind
    channels: int = 0
    kernel: int = 1
    stride: int = 1
    padding: int | None = None
    norm: bool = False
    activation: Literal["relu", "none"] = "relu"
    repeat: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvNet:
    """A stack of stages over a square image."""

    name: str
    image: int
    stages: tuple[Stage, ...]
    channels: int = 3
    family: Literal["convolution"] = "convolution"


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One layer, with the shapes of the images that it reads and writes. `adds`: the layer whose output is added to its own
    before the activation. A linear layer's images have a side of 1. `reads`: the layer before it in the order of data."""

    name: str
    kind: Literal["conv", "max_pool", "avg_pool", "linear"]
    reads: str
    in_channels: int
    in_size: int
    out_channels: int
    out_size: int
    kernel: int = 1
    stride: int = 1
    padding: int = 0
    norm: bool = False
    activation: Literal["relu", "none"] = "none"
    adds: str | None = None

    @property
    def weights(self) -> tuple[Weight, ...]:
        """Its tensors: a convolution's is [out, in, kernel, kernel]."""
        return tuple(_weights(self))

    @property
    def flops(self) -> int:
        """FLOPs of one image on the matrix unit, two for each multiplication."""
        if self.kind not in ("conv", "linear"):
            return 0
        return 2 * self.in_channels * self.kernel**2 * self.out_channels * self.out_size**2


@dataclass(frozen=True, slots=True)
class Unit:
    """Layers that stand together (a residual block, a convolution, a pool), `repeat` times in a row."""

    layers: tuple[Layer, ...]
    repeat: int = 1

    @property
    def reads(self) -> str:
        """The layer (or image) before it."""
        return self.layers[0].reads


def layers(model: ConvNet) -> tuple[Layer, ...]:
    """Every layer, in the order in which they run."""
    return tuple(layer for _, turn in _turns(model) for layer in turn)


def units(model: ConvNet) -> tuple[Unit, ...]:
    """The same as units: turns of a stage that are alike are one, repeated. A graph needs a block of ops for each."""
    found: list[Unit] = []
    stage_before = -1
    for stage, turn in _turns(model):
        before = found[-1] if found else None
        if before is not None and stage == stage_before and list(map(_shape, turn)) == list(map(_shape, before.layers)):
            found[-1] = replace(before, repeat=before.repeat + 1)
        else:
            found.append(Unit(turn))
        stage_before = stage
    return tuple(found)


def _shape(layer: Layer) -> Layer:
    """A layer without names."""
    return replace(layer, name="", reads="", adds=layer.adds and "around")


def _turns(model: ConvNet) -> Iterator[tuple[int, tuple[Layer, ...]]]:
    """The layers of each turn of each stage, with the number of the stage."""
    at = _At("image", model.channels, model.image)
    for number, stage in enumerate(model.stages):
        for turn in range(stage.repeat):
            name = f"stages.{number}.{turn}" if stage.repeat > 1 else f"stages.{number}"
            # only the first of a stage may shrink the image
            stride = stage.stride if turn == 0 or stage.kind not in _RESIDUAL else 1
            made = tuple(_MAKERS[stage.kind](stage, name, at, stride))
            yield number, made
            at = _At(made[-1].name, made[-1].out_channels, made[-1].out_size)


@dataclass(frozen=True, slots=True)
class _At:
    """How far a walk through the stages has come: the last layer, and the image that it wrote."""

    layer: str
    channels: int
    size: int


def _conv(stage: Stage, name: str, at: _At, stride: int) -> Iterator[Layer]:
    padding = _padding(stage)
    yield Layer(
        name=name,
        kind="conv",
        reads=at.layer,
        in_channels=at.channels,
        in_size=at.size,
        out_channels=stage.channels,
        out_size=_out(at.size, stage.kernel, stride, padding),
        kernel=stage.kernel,
        stride=stride,
        padding=padding,
        norm=stage.norm,
        activation=stage.activation,
    )


def _pool(stage: Stage, name: str, at: _At, stride: int) -> Iterator[Layer]:
    kernel = stage.kernel or at.size
    padding = _padding(stage) if stage.kernel else 0
    yield Layer(
        name=name,
        kind="max_pool" if stage.kind == "max_pool" else "avg_pool",
        reads=at.layer,
        in_channels=at.channels,
        in_size=at.size,
        out_channels=at.channels,
        out_size=_out(at.size, kernel, stride, padding),
        kernel=kernel,
        stride=stride,
        padding=padding,
    )


def _linear(stage: Stage, name: str, at: _At, _stride: int) -> Iterator[Layer]:
    yield Layer(
        name=name,
        kind="linear",
        reads=at.layer,
        in_channels=at.channels * at.size**2,
        in_size=1,
        out_channels=stage.channels,
        out_size=1,
        norm=stage.norm,
        activation=stage.activation,
    )


def _basic(stage: Stage, name: str, at: _At, stride: int) -> Iterator[Layer]:
    yield from _residual(name, at, stride, ((3, stage.channels, True), (3, stage.channels, False)))


def _bottleneck(stage: Stage, name: str, at: _At, stride: int) -> Iterator[Layer]:
    wide = BOTTLENECK_EXPANSION * stage.channels
    narrow = stage.channels
    inside = ((1, narrow, False), (3, narrow, True), (1, wide, False))
    yield from _residual(name, at, stride, inside)


_RESIDUAL = ("basic", "bottleneck")

_Inside = tuple[tuple[int, int, bool], ...]
"""The convolutions of a residual block: kernel, channels, and whether it has the block's stride."""


def _residual(name: str, at: _At, stride: int, inside: _Inside) -> Iterator[Layer]:
    """A residual block: what goes around it first, as the last convolution adds it."""
    out = inside[-1][1]
    around = at.layer
    if stride != 1 or at.channels != out:
        stage = Stage(kind="conv", channels=out, norm=True, activation="none")
        yield from _conv(stage, f"{name}.around", at, stride)
        around = f"{name}.around"
    here = at
    for number, (kernel, channels, strides) in enumerate(inside):
        stage = Stage(kind="conv", channels=channels, kernel=kernel, norm=True)
        last = number == len(inside) - 1
        (made,) = _conv(stage, f"{name}.conv{number}", here, stride if strides else 1)
        yield replace(made, adds=around) if last else made
        here = _At(made.name, made.out_channels, made.out_size)


_MAKERS: Mapping[StageKind, Callable[[Stage, str, _At, int], Iterator[Layer]]] = {
    "conv": _conv,
    "basic": _basic,
    "bottleneck": _bottleneck,
    "max_pool": _pool,
    "avg_pool": _pool,
    "linear": _linear,
}


def _padding(stage: Stage) -> int:
    return (stage.kernel - 1) // 2 if stage.padding is None else stage.padding


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    """The side of the image that a window of `kernel` leaves; 0 where it does not fit."""
    return max(0, (size + 2 * padding - kernel) // stride + 1)


def _weights(layer: Layer) -> Iterator[Weight]:
    if layer.kind not in ("conv", "linear"):
        return
    shape: tuple[int, ...] = (layer.in_channels, layer.out_channels)
    if layer.kind == "conv":
        shape = (layer.out_channels, layer.in_channels, layer.kernel, layer.kernel)
    yield Weight(name=f"{layer.name}.weight", shape=shape, use="matmul", rows="sequence")
    vectors = ("norm", "norm.bias") if layer.norm else ("bias",)
    for each in vectors:
        yield _vector(f"{layer.name}.{each}", layer.out_channels)


def _vector(name: str, width: int) -> Weight:
    return Weight(name=name, shape=(width,), use="vector", rows="sequence")
