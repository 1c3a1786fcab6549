"""Memory of Megatron-LM training steps against what was measured on 8 B200.

Model: Llama 3 70B cut to 12 layers, sequences of 4096, a distributed optimizer (ZeRO-1) with sums of gradients and states in
fp32, sequence parallel where there is tensor parallel, 1F1B; the rank that needs most.
Source: MooreThreads/SimuMax, docs/b200 (Apache-2.0), whose own model of memory has a mean error of 0.46 % of what is
allocated; the measurements are not part of the project.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from analysis import memory_frame, memory_owners, memory_reserved
from hw import Mesh, System, load_chip, parse_topology
from scenarios.models import load_model
from simulator import Parallel, Result, RunOptions, Training, simulate, train_graph
from simulator.models import Transformer

ROWS = Path(__file__).parents[3] / "shared/validation/public/simumax_b200_train.csv"

if not ROWS.exists():
    pytest.skip(f"the measurements are not here: {ROWS.name}", allow_module_level=True)


def rows() -> list[dict[str, str]]:
    """Each layout once: the number of microbatches changes no peak."""
    with ROWS.open(encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["mbc"] == "4"]


@cache
def stepped(layout: str) -> Result:
    """A step in a layout, such as tp2pp1, of four microbatches."""
    tp, pp = (int(part) for part in layout.removeprefix("tp").split("pp"))
    dp = 8 // tp // pp
    described = load_model("llama3_70b").description
    assert isinstance(described, Transformer)
    parallel = Parallel(dp=dp, tp=tp, pp=pp, zero=1, sequence=tp > 1)
    training = Training(batch=4 * dp, seq=4096, engine="megatron")
    chip = load_chip("b200")
    system = System(chip, parse_topology("switch(8) over nvlink", chip.links), Mesh(parallel.mesh))
    return simulate(train_graph(replace(described, layers=12), parallel, training), system, RunOptions(overlap="full"))


@pytest.mark.long
def test_allocated_bytes() -> None:
    errors = []
    for row in rows():
        by_chip = memory_owners(memory_frame(stepped(row["parallel"]))).groupby("chip")["bytes"].sum()
        want = float(row["real_alloc_gib"])
        errors.append(by_chip.max() / 2**30 / want - 1)
        print(f"{row['parallel']} {by_chip.max() / 2**30:.2f} GiB of {want:.2f}: {errors[-1]:+.2%}")
    assert len(errors) == 4
    assert sum(map(abs, errors)) / len(errors) <= 0.01
    assert max(map(abs, errors)) <= 0.01


def test_reserved_bytes() -> None:
    """What PyTorch's caching allocator takes of the device; the peer's mean error is 1.7 %."""
    errors = []
    for row in rows():
        told = memory_reserved(memory_frame(stepped(row["parallel"])))
        found, want = told["reserved"].max() / 2**30, float(row["real_reserved_gib"])
        errors.append(found / want - 1)
        print(f"{row['parallel']} {found:.2f} GiB of {want:.2f}: {errors[-1]:+.2%}")
    assert sum(map(abs, errors)) / len(errors) <= 0.03
