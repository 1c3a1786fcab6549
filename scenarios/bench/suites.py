"""The suites by name, and those that are asked for, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from scenarios.bench.bench import Bench
from scenarios.bench.layers import act, conv, loss, memory, moe, norm, optimizer
from scenarios.bench.operators import attention, launch, matmul, overlap, stream
from scenarios.bench.steps import block, infer, sustained, train

Suite = Callable[[Bench], None]

SUITES: Mapping[str, Suite] = {
    "launch": launch,
    "stream": stream,
    "matmul": matmul,
    "attention": attention,
    "norm": norm,
    "act": act,
    "loss": loss,
    "optimizer": optimizer,
    "memory": memory,
    "moe": moe,
    "conv": conv,
    "overlap": overlap,
    "block": block,
    "sustained": sustained,
    "infer": infer,
    "train": train,
}
"""What is measured, in the order in which it is: operators, which a calibration is found in, then what it is judged on."""


def measured(wanted: Sequence[str], bench: Bench, tell: Callable[[str], None]) -> None:
    """Run some suites; what each found is told, a line each."""
    for name in wanted:
        before = len(bench.rows)
        bench.attempt(name, partial(SUITES[name], bench))
        if bench.on_gpu:
            bench.torch.cuda.empty_cache()
        tell(f"{name}: {len(bench.rows) - before} rows")
