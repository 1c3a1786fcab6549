"""From an image to the stream: the ops before the first block of a vision transformer.

Model: a convolution whose window and stride are a patch makes one row of the stream of each patch; the class token, learned,
is put before them, and learned positions are added. Chips of the tensor axis all do this; where tokens are sharded between
tensor-parallel regions each then takes its own.
Source: Dosovitskiy et al. 2021 (ViT); torchvision models/vision_transformer.py.
"""

from __future__ import annotations

from simulator.graph.items import Tensor
from simulator.models.description import Patches
from simulator.models.steps.ends.tokens import position_ops
from simulator.models.steps.shapes import Shapes
from simulator.models.steps.writer import Writer, dims


def image_ops(write: Writer, shapes: Shapes, patches: Patches, out: str) -> Tensor:
    """From the pixels of images to the stream."""
    layout = shapes.layout
    placed = shapes.model.position.kind == "learned"
    made = _projected(write, shapes, patches)
    whole, last = dims(("batch", layout.batch), "seq", "model"), "e" if placed or layout.rows else out
    if patches.class_token:
        token = write.weight("class", dims("model"))
        made = write.op("concat", made, token, out=last, shape=whole, dtype=write.wide, axis="seq")
    elif made.dtype != write.wide:
        made = write.op("cast", made, out=last, shape=whole, dtype=write.wide)
    if layout.rows:
        name = "er" if placed else out
        made = write.op("slice", made, out=name, shape=shapes.stream, dtype=write.wide, over=layout.rows)
    return position_ops(write, shapes, made, out) if placed else made


def _projected(write: Writer, shapes: Shapes, patches: Patches) -> Tensor:
    """A row for each patch."""
    batch = dims(("batch", shapes.layout.batch))
    pixels = write.tensor("image", (*batch, *dims("colours", "side", "side")), write.wide)
    write.owned("inputs", pixels)
    weights = [write.narrow(write.weight("wpatch", dims("model", "colours", "patch", "patch")))]
    if patches.bias:
        weights.append(write.narrow(write.weight("bpatch", dims("model"))))
    shape = (*batch, *dims("model", "grid", "grid"))
    grid = write.op("conv2d", write.narrow(pixels), *weights, out="grid", shape=shape, stride=patches.patch)
    rows = "patches" if patches.class_token else "seq"
    return write.op("view", grid, out="rows", shape=(*batch, *dims(rows, "model")))
