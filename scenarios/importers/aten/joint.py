"""Graphs that AOTAutograd traces: of a step forward and backward, and of one rank of what is distributed (DTensor)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any


def joint_graph(torch: Any, module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Any:
    """The graph of a step forward and backward of a module's first output. What looks at its own numbers while it is
    traced (masks, in models of Transformers) is exported first, which keeps the way that it takes."""
    try:
        return local_graph(torch, module, args, kwargs)
    except torch._subclasses.fake_tensor.DataDependentOutputException:
        with tensors_out(torch, module):
            exported = torch.export.export(module, tuple(args), dict(kwargs or {}), strict=False).module()
    return local_graph(torch, exported, args, kwargs)


def is_distributed(torch: Any, module: Any, args: Sequence[Any]) -> bool:
    """Whether weights or arguments are DTensors: torch.export does not take these."""
    if not torch.distributed.is_available():
        return False
    from torch.distributed.tensor import DTensor

    return any(isinstance(each, DTensor) for each in (*module.parameters(), *module.buffers(), *args))


def local_graph(torch: Any, module: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None) -> Any:
    """The graph of one rank, with its part of each tensor and with collectives; forward alone where gradients are off."""
    from torch._functorch.aot_autograd import aot_export_joint_with_descriptors

    with ExitStack() as stack:
        stack.enter_context(tensors_out(torch, module))
        stack.enter_context(_tied(module))
        given, named = tuple(args), dict(kwargs or {})
        if not is_distributed(torch, module, args):
            given, named = on_cpu(torch, stack, module, (given, named))
        return aot_export_joint_with_descriptors(stack, module, given, named).graph_module


def on_cpu(torch: Any, stack: ExitStack, module: Any, given: Any) -> Any:
    """Arguments, and meanwhile the module's weights, as tensors without memory that say to be on the CPU, where they are on
    the meta device: that has no kernel of attention, which would be traced as products and a softmax, or lie otherwise."""
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils._pytree import tree_map

    weights = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    if not any(each.is_meta for each in weights.values()):
        return given
    mode = FakeTensorMode(allow_non_fake_inputs=True)

    def moved(tensor: Any) -> Any:
        if not isinstance(tensor, torch.Tensor) or not tensor.is_meta:
            return tensor
        with mode:
            made = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")
        wants = tensor.requires_grad
        return torch.nn.Parameter(made, wants) if isinstance(tensor, torch.nn.Parameter) else made.requires_grad_(wants)

    replaced = {name: moved(each) for name, each in weights.items()}
    stack.enter_context(torch.nn.utils.stateless._reparametrize_module(module, replaced, tie_weights=True))
    return tree_map(moved, given)


@contextmanager
def tensors_out(torch: Any, module: Any) -> Iterator[None]:
    """Let a module give back a tuple of the tensors in what it makes, as joint graphs must. Records and caches of a model's
    own are left out, since tracers do not know them; backward goes from the first tensor alone, the loss."""

    def hook(_module: Any, _given: Any, made: Any) -> tuple[Any, ...]:
        loss, *rest = _tensors(torch, made)
        return (loss, *(each.detach() if each.requires_grad else each for each in rest))

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _tied(module: Any) -> Iterator[None]:
    """Let a weight that has several names be one: else each name has a gradient of its own, and nothing adds them up."""
    first: dict[int, tuple[Any, str]] = {}
    others: list[tuple[Any, str, tuple[Any, str]]] = []
    for owner in module.modules():
        for name, weight in owner._parameters.items():
            if weight is not None and first.setdefault(id(weight), (owner, name)) != (owner, name):
                others.append((owner, name, first[id(weight)]))

    def hook(_module: Any, _given: Any) -> None:
        for owner, name, (kept, kept_name) in others:
            owner._parameters[name] = kept._parameters[kept_name]

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def _tensors(torch: Any, made: Any) -> Iterator[Any]:
    """The tensors in an output, in their order."""
    if isinstance(made, torch.Tensor):
        yield made
    elif isinstance(made, Mapping):
        yield from _tensors(torch, list(made.values()))
    elif isinstance(made, list | tuple):
        for part in made:
            yield from _tensors(torch, part)
