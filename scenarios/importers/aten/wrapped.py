"""Modules whose collectives stand in hooks, which torch does not trace: their graphs would lack what they send."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hw import Mark, Problem, SpecError

_HOW = (
    "see 'PyTorch' in docs/import.md for weights that are gathered and gradients that are scattered where torch sees it"
)


def refuse_hooks(torch: Any, module: Any) -> None:
    """Raise SpecError for a module that is wrapped by DDP or FSDP, with what to do instead."""
    problems = [Problem(Mark(type(module).__name__), said) for said in _said(torch, module)]
    if problems:
        raise SpecError(problems)


def _said(torch: Any, module: Any) -> Iterator[str]:
    if not torch.distributed.is_available():
        return
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel
    from torch.nn.parallel import DistributedDataParallel

    ways = {
        FSDPModule: ("fully_shard", "import the module before it"),
        FullyShardedDataParallel: ("FullyShardedDataParallel", "import the module within, `.module`"),
        DistributedDataParallel: ("DistributedDataParallel", "import the module within, `.module`"),
    }
    for kind, (name, instead) in ways.items():
        if any(isinstance(each, kind) for each in module.modules()):
            yield f"{name} sends from hooks, which torch cannot trace: {instead}; {_HOW}"
