"""Graphs that AOTAutograd traces: of a step forward and backward, and of one rank of what is distributed (DTensor)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def joint_graph(torch: Any, given: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Any:
    """The graph of a step forward and backward of a module's first output. What looks at its own numbers while it is
    traced (masks, in models of Transformers) is exported first, which keeps the way that it takes."""
    from torch._functorch.aot_autograd import aot_export_module

    module = _with_tuple(torch, given)
    if is_distributed(torch, given, args):
        return local_graph(torch, module, args, kwargs)
    try:
        return aot_export_module(module, tuple(args), trace_joint=True, output_loss_index=0)[0]
    except torch._subclasses.fake_tensor.DataDependentOutputException:
        exported = torch.export.export(module, tuple(args), dict(kwargs or {}), strict=False).module()
        _untie(exported)
        return aot_export_module(exported, tuple(args), trace_joint=True, output_loss_index=0)[0]


def is_distributed(torch: Any, module: Any, args: Sequence[Any]) -> bool:
    """Whether weights or arguments are DTensors: torch.export does not take these."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return any(isinstance(each, DTensor) for each in (*module.parameters(), *module.buffers(), *args))


def local_graph(torch: Any, module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Any:
    """The graph of one rank, with its part of each tensor and with collectives; forward alone where gradients are off."""
    from contextlib import ExitStack

    from torch._functorch.aot_autograd import aot_export_joint_with_descriptors

    with ExitStack() as stack:
        return aot_export_joint_with_descriptors(stack, module, tuple(args), dict(kwargs or {})).graph_module


def _untie(exported: Any) -> None:
    """Leave each parameter one name: that of one tied to another is read by the other's."""
    first: dict[int, str] = {}
    for name, weight in list(exported.named_parameters(remove_duplicate=False)):
        kept = first.setdefault(id(weight), name)
        if kept == name:
            continue
        for node in exported.graph.nodes:
            if node.op == "get_attr" and node.target == name:
                node.target = kept
        owner, _, last = name.rpartition(".")
        delattr(exported.get_submodule(owner), last)
    exported.recompile()


def _with_tuple(torch: Any, module: Any) -> Any:
    """A module that gives back a tuple, as joint graphs must: of one output, or of those of a model's own record."""

    class WithTuple(torch.nn.Module):  # type: ignore[misc]  # torch comes when it is needed
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *given: Any) -> tuple[Any, ...]:
            made = self.module(*given)
            if isinstance(made, torch.Tensor):
                return (made,)
            return tuple(made.values() if isinstance(made, Mapping) else made)

    return WithTuple()
