"""Programs of torch.export, from memory and from .pt2 files, and the joint graph of a step forward and backward.

    made = from_torch(module, (tokens,))                # forward
    made = from_torch(module, (tokens,), train=True)    # the first output is a loss; forward and backward

Needs the extra `torch`; nothing is run, shapes are traced.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hw import Mark, Problem, RunError, SpecError
from scenarios.importers.aten import contractions, exchanges, matrices, norms, recurrent, rules  # noqa: F401  (registers)
from scenarios.importers.aten.joint import is_distributed, joint_graph, local_graph, on_cpu, tensors_out
from scenarios.importers.aten.walk import Walk
from scenarios.importers.aten.wrapped import refuse_hooks
from scenarios.importers.imported import Imported, ImportOptions
from scenarios.importers.op_lines import OpLines
from scenarios.importers.written import Graph, written

_PARTS = ("serialized_exported_program.json", "models/model.json", "archive_format")
"""Files in an archive of torch.export, older and newer."""


class TorchExport:
    """Files of torch.export.save."""

    name = "torch"
    about = "programs of torch.export (.pt2; extra `torch`)"

    def recognises(self, path: Path, head: bytes) -> bool:
        """Whether a file is an archive with a program in it."""
        if not head.startswith(b"PK"):
            return False
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (OSError, zipfile.BadZipFile):
            return path.suffix == ".pt2"
        return any(name.endswith(_PARTS) for name in names)

    def read(self, paths: Sequence[Path], options: ImportOptions) -> Imported:
        """The scenario of a program. Raises SpecError, RunError where torch is missing."""
        torch = _torch()
        path = paths[0]
        if len(paths) > 1:
            raise SpecError([Problem(Mark(str(paths[1])), "one program is read at a time")])
        try:
            program = torch.export.load(path)
        except Exception as error:  # whatever torch finds wrong with it
            first = str(error).strip().splitlines() or [type(error).__name__]
            raise SpecError([Problem(Mark(str(path)), f"torch cannot load this program: {first[0][:200]}")]) from None
        return graph_words(program.graph.nodes, path.stem, options)


def from_torch(
    module: Any,
    args: Sequence[Any],
    kwargs: Mapping[str, Any] | None = None,
    *,
    train: bool = False,
    options: ImportOptions | None = None,
) -> Imported:
    """The scenario of a module with example arguments: forward, or with `train` forward and backward of its first output, a
    loss. Models of Transformers are as good as others: what they give beside tensors (caches) is left out. Raises SpecError
    (for modules under DDP and FSDP, whose hooks torch does not trace, too), and RunError where torch is missing; what torch
    says of the module comes as it is."""
    torch = _torch()
    refuse_hooks(torch, module)
    name = type(module).__name__
    if train:
        return graph_words(joint_graph(torch, module, args, kwargs).graph.nodes, name, options or ImportOptions())
    if is_distributed(torch, module, args):
        with torch.no_grad():
            return graph_words(local_graph(torch, module, args, kwargs).graph.nodes, name, options or ImportOptions())
    with ExitStack() as stack:
        stack.enter_context(tensors_out(torch, module))
        given, named = on_cpu(torch, stack, module, (tuple(args), dict(kwargs or {})))
        program = torch.export.export(module, given, named, strict=False)
    return graph_words(program.graph.nodes, name, options or ImportOptions())


def graph_words(nodes: Any, name: str, options: ImportOptions) -> Imported:
    """The scenario of the nodes of an FX graph whose values are known. Raises SpecError."""
    lines = OpLines(options)
    walk = Walk(lines, options.dims, name)
    walk.run(list(nodes))
    notes = walk.open.notes()
    notes += [f"process group {group} is taken for {size} ranks side by side" for group, size in walk.guessed.items()]
    if walk.known:
        notes.append(f"{len(walk.known)} masks of attention follow from sizes: what they leave out is not computed")
    if walk.masks:
        notes.append(f"{walk.masks} masks of attention are tensors: what they leave out is computed")
    graph = Graph(
        source=name,
        name=name,
        about=f"{name} as torch has it, op by op.",
        groups=walk.groups,
        world=walk.world,
        rules={"fuse": walk.fused} if walk.fused else {},
        open_dims=sorted({*walk.open.names, *walk.guessed}),
    )
    return written(lines, graph, options, notes)


def _torch() -> Any:
    try:
        import torch
    except ImportError:
        raise RunError("programs of torch need torch: pip install 'overlapse[torch]'") from None
    return torch
