"""Masks of attention that a graph works out from sizes alone, and what they leave out.

Model: what depends on no input, weight or random number is a constant, and torch can say what it is. A mask that leaves
nothing out is none; one that leaves out what comes later is `is_causal=True`, which is how a model's own code calls
attention where it is not traced (Transformers, masking_utils.py, makes a tensor of it only for tracers); so is a window of
keys. What made such a mask, and nothing else, is not run. All other masks are tensors that are read.
Assumes: a mask that is added has zero for what counts and at least ten thousand below it for what does not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from scenarios.importers.aten.names import ATTENTION

_MOST_ELEMENTS = 1 << 27
"""Of a constant: a mask of 8192 tokens for two sequences. What is larger stays a tensor."""

_LEFT_OUT = -1e4
_PLACES = {
    "scaled_dot_product_attention": 3,
    "_scaled_dot_product_efficient_attention": 3,
    "_scaled_dot_product_cudnn_attention": 3,
    "_scaled_dot_product_fused_attention_overrideable": 3,
    "_scaled_dot_product_efficient_attention_backward": 4,
    "_scaled_dot_product_fused_attention_overrideable_backward": 4,
    "_scaled_dot_product_cudnn_attention_backward": 8,
}
"""Where a mask stands among the arguments, by the schema of the op; in others it has a name."""


def mask_of(node: Any, name: str) -> Any:
    """The node of the mask that an attention op takes, forward or backward; None where it takes none."""
    if name.removesuffix("_backward") not in ATTENTION:
        return None
    at = _PLACES.get(name)
    if at is not None and len(node.args) > at:
        return node.args[at]
    return node.kwargs.get("attn_mask")


class Masks:
    """The masks of a graph. `options`: what an attention op of ours is told instead of its mask, by its node's name;
    `unread`: names of nodes that nothing but known masks is made of."""

    def __init__(self, nodes: Sequence[Any], name_of: Any) -> None:
        self.options: dict[str, tuple[str, ...]] = {}
        masks = {node: mask_of(node, name_of(node.target)) for node in nodes if node.op == "call_function"}
        masks = {node: mask for node, mask in masks.items() if hasattr(mask, "op")}
        self.unread: frozenset[str] = frozenset()
        if not masks:
            return
        known = _known(nodes, set(masks.values()))
        said = {mask: _said(value) for mask, value in known.items()}
        taken = {node: mask for node, mask in masks.items() if said.get(mask) is not None}
        self.options = {node.name: said[mask] or () for node, mask in taken.items()}
        self.unread = frozenset(_unread(nodes, taken))


def _known(nodes: Sequence[Any], wanted: set[Any]) -> Mapping[Any, Any]:
    """The values of those of the nodes that are constants."""
    constants = _constants(nodes)
    needed = wanted & constants
    for node in reversed(nodes):
        if node in needed:
            needed |= set(node.all_input_nodes)
    values: dict[Any, Any] = {}
    for node in nodes:
        if node in needed:
            values[node] = _computed(node, values)
    return {node: values[node] for node in wanted & constants if values[node] is not None}


def _constants(nodes: Sequence[Any]) -> set[Any]:
    """Nodes that depend on nothing: what they begin with makes numbers of sizes."""
    found: set[Any] = set()
    for node in nodes:
        tags = getattr(node.target, "tags", ())
        is_random = any("nondeterministic" in str(tag) for tag in tags)
        if node.op == "call_function" and not is_random and found.issuperset(node.all_input_nodes):
            found.add(node)
    return found


def _computed(node: Any, values: Mapping[Any, Any]) -> Any:
    """What a node makes of known values, on the CPU; None where that is too large, or made of what is."""
    shape = getattr(node.meta.get("val"), "shape", ())
    if any(values[each] is None for each in node.all_input_nodes):
        return None
    if not all(isinstance(size, int) for size in shape) or math.prod(shape) > _MOST_ELEMENTS:
        return None
    import torch

    def here(said: Any) -> Any:
        if isinstance(said, torch.fx.Node):
            return values[said]
        return torch.device("cpu") if isinstance(said, torch.device) else said

    args = torch.fx.node.map_aggregate(node.args, here)
    kwargs = torch.fx.node.map_aggregate(node.kwargs, here)
    return node.target(*args, **kwargs)


def _said(mask: Any) -> tuple[str, ...] | None:
    """A mask in options of ours: none where it leaves nothing out, None where it leaves out what these cannot say."""
    import torch

    kept = mask if mask.dtype == torch.bool else mask == 0
    if mask.dtype != torch.bool and not bool((kept | (mask <= _LEFT_OUT)).all()):
        return None
    if bool(kept.all()):
        return ()
    rows, columns = kept.shape[-2:]
    if rows != columns:
        return None
    earlier = torch.ones((rows, columns), dtype=torch.bool).tril()
    if bool((kept == earlier).all()):
        return ("causal=true",)
    window = int(kept.reshape(-1, rows, columns)[0, -1].sum())
    if bool((kept == earlier.triu(1 - window)).all()):
        return ("causal=true", f"window={window}")
    return None


def _unread(nodes: Sequence[Any], taken: Mapping[Any, Any]) -> Iterator[str]:
    """What only known masks are made of."""
    gone: set[Any] = set()
    for node in reversed(nodes):
        if node.op != "call_function" or not node.users:
            continue
        if all(user in gone or taken.get(user) is node for user in node.users):
            gone.add(node)
            yield node.name
