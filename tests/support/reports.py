"""Runs and stories that the tests of pictures and reports share; some with names that try to be markup."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pandas as pd

from analysis.report import Story
from hw import Mesh, System, load_chip, parse_topology
from simulator import GraphBuilder, PlannedKernels, Result, RunOptions, simulate

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"


def block(rounds: int = 3, chips: int = 4, **options: Any) -> Result:
    """A sharded layer, its all-reduce in chunks, and weights that come from the host; `rounds` of them."""
    build = GraphBuilder(B=512, D=1024, F=2048)
    with build.repeat(rounds, x="o"):
        build.matmul("x:bf16[B,D]", "w:bf16[D,F_X]", out="h:bf16[B,F_X]")
        build.gelu("h", out="g:bf16[B,F_X]")
        build.matmul("g", "v:bf16[F_X,D]", out="p:bf16[B,D]{U_X}", chunks=4)
        build.all_reduce("p", over="X", out="r:bf16[B,D]", chunks=4)
        build.rms_norm("r", out="o:bf16[B,D]")
        build.copy("w2:bf16[D,F_X]@host", out="w2c:bf16[D,F_X]")
    chip = load_chip("tpu_v5e")
    system = System(chip, parse_topology(f"ring({chips})", chip.links), Mesh({"X": chips}))
    return simulate(build.graph(), system, RunOptions(**options))


def evil_result() -> Result:
    """A run whose names are markup."""
    result = block(2)
    plan = result.plan
    plan.kernels = PlannedKernels.listed(
        [
            replace(planned, kernel=replace(planned.kernel, name=f"{planned.kernel.name}{EVIL}"))
            for planned in plan.kernels
        ],
        plan.kernels.kernels,
    )
    return result


def evil_story() -> Story:
    study = pd.DataFrame({EVIL: [1, 2, EVIL], "time": [1e-3, 2e-3, None], "error": ["", "", EVIL]})
    what_if = pd.DataFrame(
        {"resource": [EVIL], "time": [1.0], "x1_1": [0.95], "x2": [0.6], "infinite": [0.5], "elasticity": [-0.5]}
    )
    rows = [(EVIL, EVIL, EVIL)]
    return Story(
        name=EVIL, about=EVIL, notes=[EVIL], sources=rows, settings=rows, inputs=[EVIL], study=study, what_if=what_if
    )
