"""ONNX models as scenarios. Needs the extra `onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hw import Mark, Problem, SpecError
from scenarios.importers.imported import Imported, ImportOptions
from scenarios.importers.onnx_graph import few_bits, recurrent, repeats, transformer_rules  # noqa: F401  (register)
from scenarios.importers.onnx_graph.shapes import read_model
from scenarios.importers.onnx_graph.walk import OnnxWalk
from scenarios.importers.op_lines import OpLines
from scenarios.importers.written import Graph, written

_FIELDS = frozenset((0x12, 0x1A, 0x22, 0x28, 0x32, 0x3A, 0x42))
"""What can follow the version of the format: producer, its version, domain, version, text, graph, opsets."""


class Onnx:
    """ONNX models."""

    name = "onnx"
    about = "ONNX models (extra `onnx`)"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file begins as a model does: a version of the format, then a field of a model."""
        return len(head) > 3 and head[0] == 0x08 and 0 < head[1] < 0x20 and head[2] in _FIELDS

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario of a model. Raises SpecError, RunError where onnx is missing."""
        if len(paths) > 1:
            raise SpecError([Problem(Mark(str(paths[1])), "one model is read at a time")])
        model = read_model(paths[0], options.dims)
        lines = OpLines(options)
        walk = OnnxWalk(model, lines)
        walk.run()
        notes = [f"dim {name} is open, and taken to be 1: say another with --dim {name}=N" for name in model.open_dims]
        notes += model.doubts
        about = f"{model.name}, an ONNX model, op by op."
        rules = {"fuse": walk.fused} if walk.fused else {}
        graph = Graph(source=paths[0], name=model.name, about=about, rules=rules, open_dims=model.left_open)
        return written(lines, graph, options, notes)
