"""Sequences of tensors, as scripts collect them in loops: lists of names, until one tensor is made of them.

Model: a sequence has no bytes of its own. What is put together of it is a Concat of its parts, what is taken out of it a
name for one of them. A loop that collects is written out turn by turn (see `blocks`), so that its parts are known.
Source: the ONNX operator schemas of SequenceEmpty, -Construct, -Insert, -At, -Length, ConcatFromSequence, SplitToSequence.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scenarios.importers.onnx_graph.blocks import attribute
from scenarios.importers.onnx_graph.folding import Folding, is_closed, sizes_of


class Sequences:
    """The sequences of a graph that are known, by name."""

    def __init__(self, folding: Folding) -> None:
        self.folding = folding
        self.parts: dict[str, list[str]] = {}
        folding.inside = {
            **folding.inside,
            "SequenceEmpty": self._construct,
            "SequenceConstruct": self._construct,
            "SequenceInsert": self._insert,
            "SequenceAt": self._at,
            "SequenceLength": self._length,
            "ConcatFromSequence": self._concat,
            "SplitToSequence": self._split,
            "Identity": self._same,
        }

    def _construct(self, node: Any) -> list[Any]:
        self.parts[node.output[0]] = list(node.input)
        return []

    def _place(self, node: Any, at: int, usual: int) -> int | None:
        """A place in a sequence that an input says; None where it is not known."""
        if len(node.input) <= at or not node.input[at]:
            return usual
        known = self.folding.known.get(node.input[at])
        return int(np.asarray(known).item()) if known is not None and np.size(known) == 1 else None

    def _insert(self, node: Any) -> list[Any] | None:
        held = self.parts.get(node.input[0])
        if held is None:
            return None
        place = self._place(node, 2, len(held))
        if place is None:
            return None
        self.parts[node.output[0]] = [*held[:place], node.input[1], *held[place:]]
        return []

    def _at(self, node: Any) -> list[Any] | None:
        held, place = self.parts.get(node.input[0]), self._place(node, 1, 0)
        if held is None or place is None or not -len(held) <= place < len(held):
            return None
        return [self.folding.onnx.helper.make_node("Identity", [held[place]], [node.output[0]])]

    def _length(self, node: Any) -> list[Any] | None:
        held = self.parts.get(node.input[0])
        return None if held is None else [self._constant(node.output[0], np.array(len(held)))]

    def _constant(self, name: str, value: Any) -> Any:
        onnx = self.folding.onnx
        return onnx.helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(value))

    def _concat(self, node: Any) -> list[Any] | None:
        """One tensor of all parts, with one more dim where they are stacked."""
        held, made = self.parts.get(node.input[0]), node.output[0]
        if not held:
            return None
        make, axis = self.folding.onnx.helper.make_node, attribute(node, "axis", 0)
        if not attribute(node, "new_axis", 0):
            return [make("Concat", held, [made], axis=axis, name=node.name)]
        lifted = [f"{made}/part{at}" for at in range(len(held))]
        return [
            self._constant(f"{made}/axes", np.array([axis])),
            *(make("Unsqueeze", [part, f"{made}/axes"], [name]) for part, name in zip(held, lifted, strict=True)),
            make("Concat", lifted, [made], axis=axis, name=node.name),
        ]

    def _split(self, node: Any) -> list[Any] | None:
        """Parts along an axis, each of one size (1 unless it says another)."""
        kind, axis = self.folding.types.get(node.input[0]), attribute(node, "axis", 0)
        size = self._place(node, 1, 1)
        if kind is None or not is_closed(kind) or size is None or size < 1:
            return None
        whole = sizes_of(kind)[axis]
        sizes = [min(size, whole - begin) for begin in range(0, whole, size)]
        parts = [f"{node.output[0]}/{at}" for at in range(len(sizes))]
        make = self.folding.onnx.helper.make_node
        self.parts[node.output[0]] = parts
        if attribute(node, "keepdims", 1) or len(node.input) > 1:
            sizes_name = f"{node.output[0]}/sizes"
            return [
                self._constant(sizes_name, np.array(sizes)),
                make("Split", [node.input[0], sizes_name], parts, axis=axis, name=node.name),
            ]
        return [
            made
            for at, part in enumerate(parts)
            for made in (
                self._constant(f"{part}/at", np.array(at)),
                make("Gather", [node.input[0], f"{part}/at"], [part], axis=axis),
            )
        ]

    def _same(self, node: Any) -> list[Any] | None:
        """Another name for a sequence; of a tensor it stays."""
        if node.input[0] not in self.parts:
            return None
        self.parts[node.output[0]] = self.parts[node.input[0]]
        return []
