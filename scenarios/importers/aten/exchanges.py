"""Rules of functional collectives, as DTensor and FSDP leave them in a graph that is local to one rank.

Model: all ranks run this graph. A collective goes over the ranks of its process group, and what reads its result waits for
it, nothing else: `wait_tensor` makes nothing. Ranks of a group are those that torch knows by its name; in a graph of another
process a group has as many ranks as its collectives say, next to each other, or as `--dim NAME=8` says where they say none.
Source: torch/distributed/_functional_collectives.py.
"""

from __future__ import annotations

from typing import Any

from scenarios.importers.aten.walk import Tree, Walk, flat, rule
from scenarios.importers.exchanges import over_groups
from scenarios.importers.groups import Groups

_KINDS = {
    "all_reduce": "all_reduce",
    "all_reduce_": "all_reduce",
    "all_reduce_coalesced": "all_reduce",
    "all_reduce_coalesced_": "all_reduce",
    "all_gather_into_tensor": "all_gather",
    "all_gather_into_tensor_out": "all_gather",
    "all_gather_into_tensor_coalesced": "all_gather",
    "reduce_scatter_tensor": "reduce_scatter",
    "reduce_scatter_tensor_coalesced": "reduce_scatter",
    "all_to_all_single": "all_to_all",
    "shard_dim_alltoall": "all_to_all",
    "broadcast": "broadcast",
    "broadcast_": "broadcast",
}


@rule(*_KINDS)
def _collective(walk: Walk, node: Any, arguments: list[Any], named: dict[str, Any]) -> Tree:
    kind = _KINDS[str(node.target).split("::")[-1].split(".")[1]]
    values = list(flat(arguments[0]))
    said = [*arguments[1:], *named.values()]
    name = next((each for each in reversed(said) if isinstance(each, str)), "")
    size = next((each for each in said if isinstance(each, int) and not isinstance(each, bool)), 0)
    groups = _groups(walk, name, size if kind in ("all_gather", "reduce_scatter") else 0)
    several = isinstance(node.meta.get("val"), list | tuple)
    outs = [walk.like(node, at)[1] for at in range(len(values))] if several else [walk.like(node)[1]]
    made = [over_groups(walk, (kind, node.name), value, out, groups) for value, out in zip(values, outs, strict=True)]
    return tuple(made) if several else made[0]


@rule("wait_tensor", "_wrap_tensor_autograd")
def _wait(_walk: Walk, _node: Any, arguments: list[Any], _named: dict[str, Any]) -> Tree:
    return arguments[0]


def _groups(walk: Walk, name: str, size: int) -> Groups:
    """The ranks of a process group, with others like it beside. Raises ValueError where nobody knows how many there are."""
    known = _known_ranks(name)
    if known is not None:
        ranks, walk.world = known[0], max(walk.world, known[1])
        return (ranks,)
    size = size or walk.dims.get(name, 0) or walk.guessed.get(name, 0)
    if size < 1:
        raise ValueError(
            f"process group '{name}' is not known here, nor how many ranks it has: say it with --dim {name}=8"
        )
    walk.world = max(walk.world, size)
    walk.guessed[name] = size
    return (tuple(range(size)),)


def _known_ranks(name: str) -> tuple[tuple[int, ...], int] | None:
    """The ranks of a group of this process, and how many ranks there are in all."""
    import torch.distributed as distributed

    if not distributed.is_available() or not distributed.is_initialized():
        return None
    try:
        group = distributed.distributed_c10d._resolve_process_group(name)
    except (RuntimeError, KeyError, ValueError):
        return None
    return tuple(distributed.get_process_group_ranks(group)), distributed.get_world_size()
